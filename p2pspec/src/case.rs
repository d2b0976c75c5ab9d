//! What a case is: a rule of a specification, what is sent, what counts as conforming, and the function that finds out.

use std::{fmt, io, pin::Pin};

pub use crate::bench::Bench;

/// How binding a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The specification says MUST, or describes the one behaviour that its format allows.
    Must,
    /// The specification says SHOULD, or recommends.
    Should,
    /// The specification is silent; what deployed implementations agree on, or what robustness asks for.
    Practice,
}

impl Level {
    /// As it is written in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Practice => "practice",
        }
    }
}

/// A sentence of a specification.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The document, as in `libp2p/specs noise/README.md`.
    pub document: &'static str,
    /// The heading under which it stands.
    pub section: &'static str,
    /// How binding it is.
    pub level: Level,
    /// What it says, in our words.
    pub says: &'static str,
}

/// A document that rules are cited from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document(pub(crate) &'static str);

impl Document {
    pub(crate) const fn must(self, section: &'static str, says: &'static str) -> Rule {
        self.rule(section, Level::Must, says)
    }

    pub(crate) const fn should(self, section: &'static str, says: &'static str) -> Rule {
        self.rule(section, Level::Should, says)
    }

    /// Where the document is silent and implementations agree.
    pub(crate) const fn practice(self, section: &'static str, says: &'static str) -> Rule {
        self.rule(section, Level::Practice, says)
    }

    const fn rule(self, section: &'static str, level: Level, says: &'static str) -> Rule {
        Rule {
            document: self.0,
            section,
            level,
            says,
        }
    }
}

/// What an address must offer for a case to run on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Any byte pipe that begins with multistream-select: TCP, else WebSocket.
    Pipe,
    /// TCP, and Noise on it.
    Noise,
    /// TCP, and TLS on it.
    Tls,
    /// Noise on TCP or WebSocket, and in it yamux.
    Yamux,
    /// Noise on TCP or WebSocket, and in it mplex.
    Mplex,
    /// Any connection with streams.
    Streams,
    /// WebSocket.
    WebSocket,
    /// QUIC version 1.
    Quic,
}

impl Need {
    /// What is missing when no address has it.
    pub const fn missing(self) -> &'static str {
        match self {
            Self::Pipe => "no TCP or WebSocket address",
            Self::Noise => "no TCP address that speaks Noise",
            Self::Tls => "no TCP address that speaks TLS",
            Self::Yamux => "no address that speaks Noise and yamux",
            Self::Mplex => "no address that speaks Noise and mplex",
            Self::Streams => "no address with streams",
            Self::WebSocket => "no WebSocket address",
            Self::Quic => "no QUIC address",
        }
    }
}

/// Why a case does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The node did something else than the rule says.
    Fail(String),
    /// The case does not apply to this node.
    Skip(String),
    /// The node did not take the connection: perhaps a limit of its own. To be tried again, later.
    Refused(String),
}

/// What a step of a case yields.
pub type Step<T> = Result<T, Stop>;

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Fail(match error.kind() {
            io::ErrorKind::UnexpectedEof => "the peer closed".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// Fails with this text.
pub(crate) fn fail<T>(text: impl Into<String>) -> Step<T> {
    Err(Stop::Fail(text.into()))
}

/// Fails unless this holds.
pub(crate) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Step<()> {
    if holds { Ok(()) } else { fail(text()) }
}

/// A case that is running; it yields what was seen.
pub type Running = Pin<Box<dyn Future<Output = Step<String>> + Send>>;

/// One numbered case.
pub struct Case {
    /// Stable for ever: specification, subject, variant.
    pub id: &'static str,
    /// What a conforming node does.
    pub title: &'static str,
    /// The rule it stands on.
    pub rule: Rule,
    /// On what it runs.
    pub need: Need,
    /// What is sent.
    pub sends: &'static str,
    /// What is accepted as conforming.
    pub accepts: &'static str,
    /// Finds out.
    pub run: fn(Bench) -> Running,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// A row of a table.
pub(crate) const fn case(
    id: &'static str,
    title: &'static str,
    rule: Rule,
    need: Need,
    [sends, accepts]: [&'static str; 2],
    run: fn(Bench) -> Running,
) -> Case {
    Case {
        id,
        title,
        rule,
        need,
        sends,
        accepts,
        run,
    }
}

/// The verdict on one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It conforms; what was seen.
    Pass(String),
    /// It does not; what was seen instead.
    Fail(String),
    /// It does not apply; why.
    Skip(String),
}

impl Outcome {
    /// As it is written in results.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pass(_) => "pass",
            Self::Fail(_) => "fail",
            Self::Skip(_) => "skip",
        }
    }

    /// What was seen, or why it was not looked at.
    pub fn detail(&self) -> &str {
        match self {
            Self::Pass(text) | Self::Fail(text) | Self::Skip(text) => text,
        }
    }
}
