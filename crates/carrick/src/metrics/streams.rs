//! Streams in use, all of them and by protocol. A protocol has a row only if this side has named it: by accepting it, or by
//! opening a stream for it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use carrick_swarm::Direction;
use carrick_wire::ProtocolId;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::labels;

type Labels = [(&'static str, Cow<'static, str>); 3];

/// Protocols that have rows of their own; further ones share one.
const PROTOCOLS_MAX: usize = 128;
const OTHER: &str = "other";

#[derive(Debug)]
pub(super) struct Streams {
    pub(super) open: Family<Labels, Gauge>,
    pub(super) opened: Family<super::Labels<1>, Counter>,
    system: Both,
    transient: Both,
    other: Both,
    protocols: RwLock<BTreeMap<ProtocolId, Both>>,
    opened_by: [Counter; 2],
}

/// Outbound and inbound.
type Both = [Gauge; 2];

/// In the order of their numbers.
const DIRECTIONS: [Direction; 2] = [Direction::Outbound, Direction::Inbound];

impl Default for Streams {
    fn default() -> Self {
        let (open, opened) = (
            Family::default(),
            Family::<super::Labels<1>, Counter>::default(),
        );
        Self {
            system: both(&open, "system", ""),
            transient: both(&open, "transient", ""),
            other: both(&open, "protocol", OTHER),
            protocols: RwLock::default(),
            opened_by: DIRECTIONS.map(|direction| {
                opened.get_or_create_owned(&[("dir", labels::direction(direction))])
            }),
            open,
            opened,
        }
    }
}

impl Streams {
    fn of(&self, protocol: &ProtocolId) -> Both {
        let known = self
            .protocols
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(both) = known.get(protocol) {
            return both.clone();
        }
        if known.len() >= PROTOCOLS_MAX {
            return self.other.clone();
        }
        drop(known);
        let mut known = self
            .protocols
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || both(&self.open, "protocol", protocol.as_str());
        known.entry(protocol.clone()).or_insert_with(new).clone()
    }
}

fn both(open: &Family<Labels, Gauge>, scope: &'static str, protocol: &str) -> Both {
    DIRECTIONS.map(|direction| {
        open.get_or_create_owned(&[
            ("dir", Cow::Borrowed(labels::direction(direction))),
            ("scope", Cow::Borrowed(scope)),
            ("protocol", Cow::Owned(protocol.to_owned())),
        ])
    })
}

/// One stream, counted until it is dropped: among all, and among those of its protocol or those that have none yet.
#[derive(Debug)]
pub(crate) struct StreamTally {
    direction: Direction,
    among: [Gauge; 2],
}

impl StreamTally {
    pub(super) fn new(
        streams: &Streams,
        direction: Direction,
        protocol: Option<&ProtocolId>,
    ) -> Self {
        let at = direction as usize;
        let part = match protocol {
            Some(protocol) => &streams.of(protocol)[at],
            None => &streams.transient[at],
        };
        let among = [streams.system[at].clone(), part.clone()];
        for gauge in &among {
            gauge.inc();
        }
        streams.opened_by[at].inc();
        Self { direction, among }
    }

    pub(super) fn negotiated(&mut self, streams: &Streams, protocol: &ProtocolId) {
        let [_, part] = &mut self.among;
        part.dec();
        part.clone_from(&streams.of(protocol)[self.direction as usize]);
        part.inc();
    }
}

impl Drop for StreamTally {
    fn drop(&mut self) {
        for gauge in &self.among {
            gauge.dec();
        }
    }
}
