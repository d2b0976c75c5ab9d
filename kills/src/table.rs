//! Which steps each side passes, and how often in one life.

use carrick::steps::Step;

/// What the victim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    Dialer,
    Listener,
}

/// What carries the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Road {
    Tcp,
    Quic,
}

impl Road {
    pub(crate) fn listen(self) -> &'static str {
        match self {
            Self::Tcp => "/ip4/127.0.0.1/tcp/0",
            Self::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        }
    }
}

/// A step, and how many of its passages are worth dying at.
pub(crate) fn steps(side: Side, road: Road) -> Vec<(Step, u32)> {
    let mut all = match (side, road) {
        (Side::Dialer, Road::Tcp) => vec![(Step::PipeDialed, 1)],
        (Side::Dialer, Road::Quic) => Vec::new(),
        (Side::Listener, _) => vec![
            (Step::PipeAccepted, 1),
            (Step::MessageArrived, 1),
            (Step::MessageAnswered, 1),
        ],
    };
    if road == Road::Tcp {
        all.extend([(Step::UpgradeSpoke, 2), (Step::UpgradeHeard, 2)]);
    }
    all.extend(EVERYWHERE);
    all
}

const EVERYWHERE: [(Step, u32); 23] = [
    (Step::UpgradeDone, 1),
    (Step::ConnectionAdmitted, 1),
    (Step::ConnectionStarted, 1),
    (Step::IdentifyAsked, 1),
    (Step::IdentifyTold, 1),
    (Step::IdentifyLearned, 1),
    (Step::StreamOpened, 1),
    (Step::StreamAgreed, 1),
    (Step::StreamAccepted, 1),
    (Step::StreamReserved, 1),
    (Step::StreamConfirmed, 1),
    (Step::StreamWrote, 5),
    (Step::StreamRead, 5),
    (Step::StreamFinished, 3),
    (Step::StreamReset, 1),
    (Step::ConnectionClosing, 1),
    (Step::ConnectionEnded, 1),
    (Step::NodeClosing, 1),
    (Step::NodeClosed, 1),
    (Step::StoreFileMade, 1),
    (Step::StoreWriting, 2),
    (Step::StoreCommitting, 2),
    (Step::StoreWritten, 2),
];
