//! A protocol's side of one stream, without input or output: what comes in is handed to it, what it wants is told to a
//! [`Talk`]. Users write these for their own protocols; the built-in ones are the same.

use std::{fmt, time::Duration};

use bytes::BytesMut;
use carrick_session::Code;
use carrick_wire::PeerId;

use crate::{chance::Chance, ground::Ground, laws::Law};

/// One end of a stream. It lives from the stream's beginning to its end, or to the first error.
pub trait Conversation {
    /// The protocol is agreed on, or as good as: what is written now may leave with the proposal.
    fn handle_opened(&mut self, talk: &mut Talk<'_>) {
        let _ = talk;
    }

    /// Takes bytes, in pieces of any size.
    fn recv(&mut self, talk: &mut Talk<'_>, bytes: &[u8]);

    /// All that was written has left for the connection: there is room for more.
    fn handle_drained(&mut self, talk: &mut Talk<'_>) {
        let _ = talk;
    }

    /// The peer has finished its side; everything it wrote has been read.
    fn handle_end(&mut self, talk: &mut Talk<'_>) {
        talk.finish();
    }

    /// The time is up that [`Talk::set_timeout`] has set.
    fn handle_timeout(&mut self, talk: &mut Talk<'_>) {
        let _ = talk;
    }

    /// The stream is gone, or never came to be; nothing is called afterwards.
    fn handle_error(&mut self, talk: &mut Talk<'_>, error: &Failure) {
        let _ = (talk, error);
    }
}

/// Why there is no stream, or no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is no connection to the peer; the text says why.
    Dial(String),
    /// The connection has no stream for it; the text says why.
    Open(&'static str),
    /// The peer does not speak the protocol, or broke the negotiation.
    Negotiation(String),
    /// The peer has reset it.
    Reset(Code),
    /// The connection is gone; the text says why.
    Lost(&'static str),
    /// The host was killed.
    Killed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(why) => write!(f, "no connection: {why}"),
            Self::Open(why) => write!(f, "no stream: {why}"),
            Self::Negotiation(why) => write!(f, "not negotiated: {why}"),
            Self::Reset(code) => write!(f, "reset by the peer: {code}"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::Killed => f.write_str("the host was killed"),
        }
    }
}

/// What a conversation wants.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) out: BytesMut,
    pub(crate) finish: bool,
    pub(crate) reset: Option<Code>,
    /// Nanoseconds since the beginning.
    pub(crate) timeout: Option<u64>,
    pub(crate) paused: Option<u64>,
    /// It waits for the peer's bytes: if none come for long, it is stuck.
    pub(crate) expects: bool,
    pub(crate) told: Vec<Told>,
}

/// What a conversation of a built-in protocol has found out.
#[derive(Debug)]
pub(crate) enum Told {
    Identified(Box<carrick_protocols::identify::Info>),
    Pushed(Box<carrick_protocols::identify::Info>),
    Pinged(Duration),
}

/// What a conversation sees of its world.
#[derive(Debug)]
pub struct Talk<'a> {
    pub(crate) ground: &'a mut Ground,
    pub(crate) desk: &'a mut Desk,
    pub(crate) host: usize,
    pub(crate) peer: PeerId,
    pub(crate) peer_host: Option<usize>,
}

impl Talk<'_> {
    /// Virtual time since the world's beginning.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.ground.nanos())
    }

    /// The host that we are on.
    pub fn host(&self) -> usize {
        self.host
    }

    /// Who is on the other end; ourselves as long as nobody is.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Writes; it leaves as fast as the connection takes it, [`Conversation::handle_drained`] says when it has.
    pub fn write(&mut self, bytes: &[u8]) {
        self.desk.out.extend_from_slice(bytes);
    }

    /// Closes our side behind what was written.
    pub fn finish(&mut self) {
        self.desk.finish = true;
    }

    /// Ends both directions at once.
    pub fn reset(&mut self, code: u32) {
        self.desk.reset = Some(Code(code));
    }

    /// Reads nothing for a while, as a slow reader would.
    pub fn pause(&mut self, time: Duration) {
        self.desk.paused = Some(self.ground.nanos() + time.as_nanos() as u64);
    }

    /// Calls [`Conversation::handle_timeout`] after this time; a later call replaces it.
    pub fn set_timeout(&mut self, after: Duration) {
        self.desk.timeout = Some(self.ground.nanos() + after.as_nanos() as u64);
    }

    /// Whether we wait for the peer: nothing for a minute, in a world without faults or not, is a breach of
    /// [`Law::NobodyStuck`].
    pub fn expect(&mut self, expects: bool) {
        self.desk.expects = expects;
    }

    /// The world's chance.
    pub fn chance(&mut self) -> &mut Chance {
        &mut self.ground.chance
    }

    /// Asserts something of the protocol: [`Law::User`]. The first breach ends the world, and its trace is shown.
    #[track_caller]
    pub fn check(&mut self, holds: bool, how: impl FnOnce() -> String) {
        self.ground.hold(Law::User, holds, how);
    }

    /// Leaves a line in the trace.
    pub fn note(&mut self, text: impl Into<String>) {
        self.ground.say(Some(self.host), text.into());
    }
}
