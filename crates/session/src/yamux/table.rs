//! The table of streams: what yamux knows of each beyond what every muxer does, and how many there are.

use std::time::Instant;

use carrick_wire::yamux::INITIAL_WINDOW;

use crate::stream::Stream;

#[derive(Debug)]
pub(crate) struct Entry {
    /// 0 until the first frame is sent: ids are given in the order in which streams reach the wire.
    pub(super) id: u32,
    pub(super) ours: bool,
    pub(super) acked: bool,
    /// Its first frame waits for the ack backlog.
    pub(super) parked: bool,
    pub(crate) stream: Stream,
    /// How much the peer lets us send.
    pub(super) credit: u32,
    /// How much the peer may still send.
    pub(super) window: u32,
    /// What `window` is refilled to.
    pub(super) window_max: u32,
    /// What it holds unread, as far as its first window reaches.
    pub(super) held: u32,
    pub(super) refilled: Option<Instant>,
}

impl Entry {
    pub(super) fn new(id: u32, ours: bool) -> Self {
        Self {
            id,
            ours,
            acked: false,
            parked: false,
            stream: Stream::new(),
            credit: INITIAL_WINDOW,
            window: INITIAL_WINDOW,
            window_max: INITIAL_WINDOW,
            held: 0,
            refilled: None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) inbound: usize,
    pub(super) inbound_max: usize,
    pub(super) outbound: usize,
    pub(super) outbound_max: usize,
    /// Streams of ours that the peer has been sent and has not answered.
    pub(super) unacked: usize,
    /// Streams of ours that have no id yet.
    pub(super) unsent: u64,
    pub(super) open_wanted: bool,
}
