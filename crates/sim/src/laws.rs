//! The laws of the world: what must hold at every step, by name. Each is evaluated wherever it could be broken; the first
//! breach ends the world.

use std::{fmt, panic::Location};

/// A sentence for each law.
macro_rules! laws {
    ($($law:ident: $text:literal;)*) => {
        /// What must always hold.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Law {
            $(#[doc = $text] $law,)*
        }

        impl Law {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$law),*];

            /// The law as a sentence.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$law => $text,)* }
            }
        }
    };
}

laws! {
    TimeGoesForward: "time never goes back";
    TimeMovesOn: "not too much happens at one moment";
    PipeKeepsOrder: "a pipe gives bytes in the order of their times";
    PipeKeepsBytes: "a pipe that was not broken gives every byte that it took";
    PipeIsBounded: "a pipe holds no more than it has room for";
    PipeEndsOnce: "a side of a pipe is closed once";
    DialIsNew: "each attempt has an id that no other had";
    DialIsWanted: "an attempt is begun for somebody who waits, or for a peer that is kept";
    DialsAreBounded: "a dial tries no more addresses at once than it may";
    AbortIsKnown: "only attempts that were begun are aborted";
    AttemptInTime: "an attempt ends within its time";
    AnswerIsKnown: "only those who asked are answered";
    AnswerOnce: "who asks for a connection is answered once";
    AnswerInTime: "who asks for a connection is answered within the time of a dial";
    AnswerLives: "a connection that is the answer is alive, and to the right peer";
    CalmDial: "in a calm world every dial succeeds";
    ActionHitsLife: "what the swarm wants done concerns something that lives";
    ActionsCease: "the swarm does not want things without end";
    TimeoutsMove: "a timeout that was handled is not due any more";
    PreferIsOpen: "the preferred connection is open and belongs to its peer";
    ConnectedOnce: "a connection is announced once";
    ConnectedFirst: "the first connection to a peer is announced as such, and no other";
    IdentifiedWithin: "a peer is identified after its connection is announced and before it has ended";
    ClosedOnce: "a connection that was announced ends once";
    DisconnectedLast: "a peer is disconnected when its last connection has ended";
    SwarmHolds: "the swarm and the shell hold the same connections";
    SwarmLimit: "no limit of the swarm is exceeded";
    PerPeerLimit: "nobody has more connections than one peer may";
    UpgradeInTime: "an upgrade ends within its time";
    UpgradeFinds: "an upgrade finds the peer that is there, and no other than was dialed";
    UpgradeAgrees: "both ends of a pipe agree on security and muxer";
    CalmUpgrade: "in a calm world no upgrade fails";
    HonestNoise: "over an unbroken pipe every record opens";
    HonestMux: "honest muxers never break their protocol";
    MuxTimeout: "only a way that was broken makes the muxer give up";
    MuxEvent: "an event of the muxer concerns a stream that lives";
    StreamsLimit: "no side has more streams than it may";
    StreamsMatch: "the muxer's streams are those that the shell knows";
    ReadIsData: "a read that has data has some";
    ReadIsBounded: "no stream is given more than its window";
    WriteIsBounded: "a write takes no more than it was offered, and no more than 64 KiB";
    WriteProgress: "a write that is not blocked takes something";
    RecordsBounded: "what is queued on one connection is bounded";
    NoLostWakeup: "a stream that waits to read has nothing to read";
    NoLostRoom: "a stream that waits to write has no room to write";
    NoLostOpen: "who waits to open a stream cannot open one";
    NoLostCongestion: "a pipe is not read only as long as the muxer is congested";
    FinishOnce: "a stream's side is finished once";
    EndAfterData: "nothing is read after the end";
    ErrorIsFinal: "nothing is read after an error";
    StreamBytes: "a stream's bytes arrive as they were written, in order, once";
    StreamEnd: "a clean end comes after the last byte, and not before";
    StreamBeyond: "no more arrives than was written";
    StreamFails: "a stream that fails has a reason: a fault, a limit, or somebody who wanted it";
    CalmStream: "in a calm world no stream fails";
    NobodyStuck: "nobody who waits for a peer is stuck for more than a minute";
    NegotiatesInTime: "a stream is negotiated, or refused, in time";
    NegotiatesProtocol: "the protocol agreed on is one that was proposed";
    CallEndsOnce: "a call ends once";
    AllCallsEnd: "every call ends";
    IdentifyIsTrue: "what a peer says of itself is what it is";
    IdentifyObserved: "an observed address is where we are";
    IdentifyAddresses: "the addresses a peer tells are its own";
    IdentifyAgent: "the agent that is told is the peer's";
    PingIsPossible: "a ping takes no less than the way there and back";
    PingEcho: "a ping's echo is the ping";
    RttIsPossible: "a measured round trip is no shorter than the way";
    HonestNotBanned: "nobody honest is banned for what it did";
    WindowsLent: "windows grow by no more than the pool has";
    WindowsReturned: "what windows grew by comes back, and not more";
    ClosedStreams: "a connection that has ended has no stream";
    IdleStays: "a connection in use is not closed for being idle";
    IdleGoes: "a connection that nobody uses is closed in time";
    CloseInTime: "a connection that is being closed ends in time";
    DeadIsFound: "a dead peer is found out in time";
    SavedIsSmall: "what is saved at once is bounded";
    RestoredIsKnown: "what was saved is understood after a restart";
    NothingAfterClose: "a swarm that has shut down dials nobody and admits nobody";
    LeftConnections: "when all are gone no connection is left";
    LeftPipes: "when all are gone no pipe is left";
    LeftUpgrades: "when all are gone no upgrade is left";
    LeftWaiters: "when all are gone nobody waits";
    LeftSwarm: "when all are gone the swarm counts nothing";
    LeftWindows: "when all are gone no window has grown";
    User: "what the user's own protocol asserts";
}

const COUNT: usize = Law::ALL.len();
const SITES: usize = 1 << 16;

/// A law was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub law: Law,
    /// How, in words.
    pub how: String,
    /// Where in the simulation's code it was noticed.
    pub at: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: {}: {} ({})",
            self.law,
            self.law.text(),
            self.how,
            self.at
        )
    }
}

/// How often each law was looked at, and the first breach.
#[derive(Debug)]
pub(crate) struct Laws {
    evaluated: [u64; COUNT],
    sites: Vec<u64>,
    breach: Option<Breach>,
}

impl Default for Laws {
    fn default() -> Self {
        Self {
            evaluated: [0; COUNT],
            sites: vec![0; SITES / 64],
            breach: None,
        }
    }
}

impl Laws {
    /// Looks at a law; gives `holds` back.
    #[track_caller]
    pub(crate) fn hold(&mut self, law: Law, holds: bool, how: impl FnOnce() -> String) -> bool {
        self.evaluated[law as usize] += 1;
        let place = Location::caller();
        let site = (place.line() as usize * 61 + place.file().len()) % SITES;
        self.sites[site / 64] |= 1 << (site % 64);
        if !holds && self.breach.is_none() {
            self.breach = Some(Breach {
                law,
                how: how(),
                at: format!("{}:{}", place.file(), place.line()),
            });
        }
        holds
    }

    pub(crate) const fn breach(&self) -> Option<&Breach> {
        self.breach.as_ref()
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            evaluated: self.evaluated.to_vec(),
            sites: self.sites.clone(),
        }
    }
}

/// How often laws were evaluated, over any number of worlds.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    evaluated: Vec<u64>,
    sites: Vec<u64>,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.evaluated
            .resize(other.evaluated.len().max(self.evaluated.len()), 0);
        for (sum, more) in self.evaluated.iter_mut().zip(&other.evaluated) {
            *sum += more;
        }
        self.sites
            .resize(other.sites.len().max(self.sites.len()), 0);
        for (all, more) in self.sites.iter_mut().zip(&other.sites) {
            *all |= more;
        }
    }

    /// Evaluations of one law.
    pub fn of(&self, law: Law) -> u64 {
        self.evaluated.get(law as usize).copied().unwrap_or(0)
    }

    /// Evaluations of all laws.
    pub fn evaluations(&self) -> u64 {
        self.evaluated.iter().sum()
    }

    /// Places in the code where a law was evaluated.
    pub fn sites(&self) -> u32 {
        self.sites.iter().map(|word| word.count_ones()).sum()
    }
}
