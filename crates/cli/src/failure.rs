//! Why a command failed: the cause, and what to do about it; in one line, but for the addresses of a dial.

use std::fmt;

use carrick::{
    AttemptError, DialError, ListenError, NoPackets, OpenError, PacketsError, PingError,
    RequestError, StoreError, StreamError, perf::PerfError, transport::CertificateError,
};

/// What the user reads.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(cause: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        // A list of addresses ends with its last line.
        let separator = if cause.contains('\n') { "\n" } else { "; " };
        Self(format!("{cause}{separator}{remedy}"))
    }

    /// A text that names cause and remedy already.
    pub(crate) fn whole(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }

    /// In one line, the addresses of a dial, too.
    pub(crate) fn line(&self) -> String {
        self.0.replace("\n  ", " ").replace('\n', "; ")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let remedy = match &error {
            OpenError::Dial(error) => dial_remedy(error),
            OpenError::Unsupported { .. } => "`carrick id ADDR` lists what it supports",
            OpenError::TimedOut { .. } | OpenError::Stream(_) => "try again; -vv logs what happens",
            OpenError::Invalid(_) => "see `carrick --help`",
        };
        Self::new(error, remedy)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let remedy = match &error {
            RequestError::Open(error) => return error.clone().into(),
            // Its text names the remedy itself.
            RequestError::Busy { .. } => return Self(error.to_string()),
            RequestError::NotSupported => "`carrick id ADDR` lists what it supports",
            RequestError::Banned => "lift the ban first, if it is ours",
            RequestError::Timeout { .. } => "give it more time, or ask another peer",
            RequestError::TooLarge { .. } => "ask for less",
            RequestError::Malformed(_) => "check the protocol's codec: raw, json or cbor",
            _ => "try again; -vv logs what happens",
        };
        Self::new(error, remedy)
    }
}

fn dial_remedy(error: &DialError) -> &'static str {
    if matches!(error, DialError::Banned { .. }) {
        return "lift the ban first";
    }
    let DialError::Failed { attempts, .. } = error else {
        return "try again later";
    };
    let any = |test: fn(&AttemptError) -> bool| attempts.iter().any(|(_, error)| test(error));
    if any(|error| matches!(error, AttemptError::WrongPeer { .. })) {
        "copy the address anew from the peer that you want: another one answers there"
    } else if any(|error| matches!(error, AttemptError::PrivateNetwork)) {
        "use a TCP or WebSocket address of the peer, or leave --swarm-key out"
    } else if any(|error| matches!(error, AttemptError::NoTransport)) {
        "use a TCP address such as /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…"
    } else if any(|error| matches!(error, AttemptError::Name(_))) {
        "check the name, and that this machine can look it up"
    } else if any(|error| matches!(error, AttemptError::Upgrade(_))) {
        "check that a libp2p node with Noise and yamux answers there; \
         in a private network both need the same --swarm-key"
    } else {
        "check that the peer is running and listens there"
    }
}

impl From<PingError> for Failure {
    fn from(error: PingError) -> Self {
        match error {
            PingError::Open(error) => error.into(),
            error => Self::new(
                error,
                "check that the peer is still running; -vv logs what happens",
            ),
        }
    }
}

impl From<PerfError> for Failure {
    fn from(error: PerfError) -> Self {
        match error {
            PerfError::Open(error) => error.into(),
            error @ PerfError::Protocol(_) => Self::new(
                error,
                "the peer may expect the other header: --header spec or --header 16",
            ),
            error => Self::new(
                error,
                "check that the peer is still running; -vv logs what happens",
            ),
        }
    }
}

impl From<PacketsError> for Failure {
    fn from(error: PacketsError) -> Self {
        let remedy = match &error {
            PacketsError::Open(error) => return error.clone().into(),
            PacketsError::Unsupported {
                reason: NoPackets::Protocol(_),
                ..
            } => "`carrick id ADDR` lists what it supports",
            // Their texts name the remedy themselves.
            PacketsError::Unsupported { .. } => return Self(error.to_string()),
            PacketsError::Refused { .. } => "`carrick listen` takes them; other programs may not",
            PacketsError::TooLarge { .. } => "choose a smaller --size",
            PacketsError::TooManyFlows(_)
            | PacketsError::Closed
            | PacketsError::ClosedByPeer(_)
            | PacketsError::Lost(_) => {
                "check that the peer is still running; -vv logs what happens"
            }
        };
        Self::new(error, remedy)
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        match error {
            // Most of its texts name the remedy themselves.
            ListenError::Io { .. }
            | ListenError::NoTransport(_)
            | ListenError::NotBuilt(..)
            | ListenError::Invalid(_)
            | ListenError::PrivateNetwork(_)
            | ListenError::NoSwarmKey
            | ListenError::Store(_)
            | ListenError::PrivateSharedPort => Self(error.to_string()),
            error => Self::new(error, "try again; -vv logs what happens"),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        // Its texts name the remedy themselves.
        Self(error.to_string())
    }
}

impl From<CertificateError> for Failure {
    fn from(error: CertificateError) -> Self {
        Self::new(error, "give PEM files, as a web server takes them")
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        Self::new(
            error,
            "what was printed arrived intact; the log of the peer may say why",
        )
    }
}
