//! Steps at which a process can be made to die or to freeze, so that a test sees what it leaves behind. With the feature
//! `fault-points`, `CARRICK_FAULT=UpgradeHeard:3` kills the process (SIGKILL) when it passes that step for the third time,
//! and `CARRICK_FAULT=UpgradeHeard:3:stop` freezes it (SIGSTOP). Without the feature nothing of it is compiled.

/// A step on the way of a connection, a stream or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A dialer has a pipe.
    PipeDialed,
    /// A listener has a pipe, or QUIC's first packet, and nothing was read of it.
    PipeAccepted,
    /// One flight of negotiation and handshake was sent.
    UpgradeSpoke,
    /// One piece of negotiation and handshake was received.
    UpgradeHeard,
    /// The peer is authenticated and the muxer is there.
    UpgradeDone,
    /// The swarm has let the connection in, and no task of it runs.
    ConnectionAdmitted,
    /// Its tasks run.
    ConnectionStarted,
    /// The peer is about to be asked who it is.
    IdentifyAsked,
    /// The peer was told who we are.
    IdentifyTold,
    /// The peer has said who it is.
    IdentifyLearned,
    /// A stream of ours is there; nothing was said on it.
    StreamOpened,
    /// The peer has agreed to its protocol.
    StreamAgreed,
    /// A stream of the peer's is there; nothing was read of it.
    StreamAccepted,
    /// Its protocol is known and it has its place.
    StreamReserved,
    /// The peer was told so.
    StreamConfirmed,
    /// Bytes were written to a stream.
    StreamWrote,
    /// Bytes were read from a stream.
    StreamRead,
    /// Our side of a stream was closed.
    StreamFinished,
    /// A stream was reset.
    StreamReset,
    /// A message is about to be handed to its mailbox.
    MessageArrived,
    /// A reply was given to the connection.
    MessageAnswered,
    /// A connection is about to be closed.
    ConnectionClosing,
    /// All tasks of a connection are over.
    ConnectionEnded,
    /// The node begins to close itself.
    NodeClosing,
    /// All of it is closed.
    NodeClosed,
    /// The store's file is there, perhaps empty.
    StoreFileMade,
    /// A batch is about to be written.
    StoreWriting,
    /// It is written, and not committed.
    StoreCommitting,
    /// It is committed.
    StoreWritten,
    /// A key's file is there, empty, under a name of its own.
    KeyFileMade,
    /// The key is in it.
    KeyFileWritten,
    /// The key has its final name.
    KeyFileNamed,
    /// A group of a transferred file was written.
    GroupWritten,
    /// All groups are on the disk.
    FilesSealed,
    /// A file has its final name.
    FileNamed,
}

/// The process has come to this step.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub const fn passed(_: Step) {}

/// The process has come to this step, and may not go further.
#[cfg(feature = "fault-points")]
pub fn passed(step: Step) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    };

    static FATE: OnceLock<Option<(String, AtomicU32, Signal)>> = OnceLock::new();
    let fate = FATE.get_or_init(|| {
        let told = std::env::var("CARRICK_FAULT").ok()?;
        let mut parts = told.split(':');
        let name = parts.next()?.to_owned();
        let passage = parts.next().and_then(|text| text.parse().ok()).unwrap_or(1);
        let signal = match parts.next() {
            Some("stop") => Signal::STOP,
            _ => Signal::KILL,
        };
        Some((name, AtomicU32::new(passage), signal))
    });
    let Some((name, left, signal)) = fate else {
        return;
    };
    if format!("{step:?}") == *name && left.fetch_sub(1, Relaxed) == 1 {
        let _ = kill_process(getpid(), *signal);
    }
}
