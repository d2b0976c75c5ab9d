//! Why a transfer failed: for the user the cause and the remedy, for the peer a reason and a text without our paths.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use carrick::transfer::Reason;

use crate::{failure::Failure, output};

/// One cause each.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The peer ended the stream early.
    Ended,
    /// The stream or its connection broke.
    Stream(String),
    /// Nothing moved for so long.
    Stalled(Duration),
    /// The peer does not keep to the protocol.
    Violation(String),
    /// The peer gives up.
    Remote { reason: Reason, text: String },
    /// We cannot write, or read back what we have written.
    Storage { path: PathBuf, error: io::Error },
    /// Something else has that name.
    Exists(PathBuf),
    /// Another receiver writes there.
    InUse(PathBuf),
    /// The peer sent other bytes than it had promised.
    Corrupt(String),
    /// We cannot read what we are to send, or it is not what it was.
    Source { path: PathBuf, what: String },
    /// More than we want.
    TooLarge { bytes: u64, max: u64 },
    /// Not from this peer, or not this.
    Declined(&'static str),
    /// The ticket is not one of ours.
    Unauthorized,
    /// We are busy.
    Busy,
}

impl Trouble {
    pub(super) fn violation(what: impl fmt::Display) -> Self {
        Self::Violation(what.to_string())
    }

    pub(super) fn storage(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Storage {
            path: path.to_owned(),
            error,
        }
    }

    pub(super) fn source(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Source {
            path: path.to_owned(),
            what: format!("cannot be read: {error}"),
        }
    }

    /// What the peer is told, if it does not know already.
    pub(super) fn reason(&self) -> Option<Reason> {
        Some(match self {
            Self::Ended | Self::Stream(_) | Self::Stalled(_) | Self::Remote { .. } => return None,
            Self::Violation(_) => Reason::Protocol,
            Self::Storage { .. } | Self::Exists(_) | Self::InUse(_) => Reason::Storage,
            Self::Corrupt(_) => Reason::Corrupt,
            Self::Source { .. } => Reason::Source,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Declined(_) => Reason::Declined,
            Self::Unauthorized => Reason::Unauthorized,
            Self::Busy => Reason::Busy,
        })
    }

    /// The cause, in words for the peer: where our files are is no business of its.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Storage { error, .. } => format!("the receiver cannot write: {}", cause(error)),
            Self::Exists(_) => "the receiver has something of that name already".to_owned(),
            Self::InUse(_) => "the receiver is receiving it already".to_owned(),
            Self::Source { .. } => "the sender's files cannot be read, or have changed".to_owned(),
            other => other.to_string(),
        }
    }

    fn remedy(&self) -> String {
        let again = "run the same command again: it goes on where it stopped";
        match self {
            Self::Ended | Self::Stream(_) => again.to_owned(),
            Self::Stalled(_) => format!("check that the peer is still running, and {again}"),
            Self::Violation(_) => "the peer may run another version of this program".to_owned(),
            Self::Remote { reason, .. } => remote_remedy(*reason).to_owned(),
            Self::Storage { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => format!("make room, and {again}"),
                _ => "choose a directory that you may write to: --output DIR".to_owned(),
            },
            Self::Exists(_) => {
                "nothing is overwritten: move it away, or choose another directory: --output DIR"
                    .to_owned()
            }
            Self::InUse(_) => "wait for it, or choose another directory: --output DIR".to_owned(),
            Self::Corrupt(_) => {
                "its file has changed since it was hashed, or it lies: ask for a new ticket"
                    .to_owned()
            }
            Self::Source { .. } => {
                "send what is there and does not change meanwhile: run `carrick send` again"
                    .to_owned()
            }
            Self::TooLarge { .. } => "raise --max-size if you want it".to_owned(),
            Self::Declined(_) | Self::Unauthorized | Self::Busy => {
                "nothing is to be done here".to_owned()
            }
        }
    }
}

fn remote_remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::Unauthorized => "ask the sender for a new ticket",
        Reason::Declined => "ask the receiver to let you: `carrick receive --from PEER`, or --yes",
        Reason::Busy => "try again later",
        Reason::TooLarge => "ask the receiver for a higher --max-size, or send less",
        Reason::Storage => {
            "when the receiver has made room, run the same command again: it goes on where it stopped"
        }
        Reason::Corrupt | Reason::Source => {
            "files must not change while they are sent: run `carrick send` again"
        }
        Reason::Protocol => "the two may run different versions of this program",
        Reason::Cancelled => "run the same command again: it goes on where it stopped",
    }
}

/// The system's words, without its numbers.
fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the quota is used up".to_owned(),
        io::ErrorKind::FileTooLarge => "the file is larger than the limit for files".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => error.to_string(),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the peer ended the transfer before everything was there"),
            Self::Stream(error) => write!(f, "the transfer was interrupted: {error}"),
            Self::Stalled(time) => write!(f, "nothing moved for {} s", time.as_secs()),
            Self::Violation(what) => write!(f, "the peer does not keep to the protocol: {what}"),
            Self::Remote { text, .. } => write!(f, "the peer gave up: {}", output::plain(text)),
            Self::Storage { path, error } => {
                write!(f, "cannot write {}: {}", path.display(), cause(error))
            }
            Self::Exists(path) => write!(f, "{} exists, and is something else", path.display()),
            Self::InUse(path) => write!(f, "another process is receiving in {}", path.display()),
            Self::Corrupt(name) => {
                write!(
                    f,
                    "the peer sent other bytes than it had promised for {name}"
                )
            }
            Self::Source { path, what } => write!(f, "{} {what}", path.display()),
            Self::TooLarge { bytes, max } => {
                write!(f, "{bytes} bytes are more than the {max} of --max-size")
            }
            Self::Declined(why) => f.write_str(why),
            Self::Unauthorized => f.write_str("the ticket is not for what is sent here"),
            Self::Busy => f.write_str("as many transfers as allowed are under way"),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let remedy = trouble.remedy();
        Self::new(trouble, remedy)
    }
}
