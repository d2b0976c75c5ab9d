//! Connections that say something once, and whether the victim bears it or ends them, as it should.

use std::{io, net::IpAddr, time::Duration};

use carrick_wire::yamux::Kind;

use super::{Check, Scene};
use crate::raw::Raw;

/// What is said, and what must come of it.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) frames: Vec<u8>,
    pub(super) end: End,
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection ends with a protocol error.
    Cut,
    /// It goes on.
    Lives,
    /// Both are right.
    Either,
}

impl Case {
    pub(super) fn new(what: &'static str, end: End, frames: &[&[u8]]) -> Self {
        Self {
            what,
            frames: frames.concat(),
            end,
        }
    }

    /// Says it from `source`.
    pub(super) async fn check(&self, scene: &Scene, source: IpAddr) -> io::Result<Check> {
        let raw = Raw::connect(source, scene.tcp()).await?;
        let found = say(raw, &self.frames).await;
        let holds = match self.end {
            End::Cut => found == Found::Accused || found == Found::Closed,
            End::Lives => found == Found::Answers,
            End::Either => found != Found::Silent,
        };
        Ok(Check::new(holds, format!("{}: {found:?}", self.what)))
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A go-away with a protocol error, then the end.
    Accused,
    /// The end without a word.
    Closed,
    /// A ping is answered afterwards.
    Answers,
    /// None of these within 5 s.
    Silent,
}

/// Says this and sees what comes of it.
pub(super) async fn say(raw: Raw, frames: &[u8]) -> Found {
    let Raw {
        mut reader,
        mut writer,
    } = raw;
    let ping = crate::raw::frame(Kind::Ping, carrick_wire::yamux::Flags::SYN, 0, PING);
    let speak = async {
        // Nobody may listen any more.
        if writer.send(frames).await.is_ok() {
            let _ = writer.send(&ping).await;
        }
        std::future::pending::<()>().await;
    };
    let listen = async {
        let mut accused = false;
        loop {
            match reader.next().await {
                Ok(Some(frame)) => match frame.header.kind {
                    Kind::GoAway if frame.header.length == 1 => accused = true,
                    Kind::Ping if frame.header.length == PING => return Found::Answers,
                    _ => {}
                },
                Ok(None) | Err(_) if accused => return Found::Accused,
                Ok(None) | Err(_) => return Found::Closed,
            }
        }
    };
    let found = async {
        tokio::select! {
            () = speak => Found::Silent,
            found = listen => found,
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .unwrap_or(Found::Silent)
}

const PING: u32 = 0x7363_7270;
const PATIENCE: Duration = Duration::from_secs(5);
