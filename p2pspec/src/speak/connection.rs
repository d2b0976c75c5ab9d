//! A connection with streams, whatever it is made of, for what is said on streams.

use std::io;

use quinn::VarInt;

use super::{
    channel::Talk,
    mplex::{self, Mplex},
    quic::Quic,
    yamux::{self, Yamux},
};
use crate::case::Step;

/// See the module.
pub(crate) enum Connection {
    Yamux(Box<Yamux>),
    Mplex(Box<Mplex>),
    Quic(Box<Quic>),
}

impl Connection {
    /// Opens a stream without a word on it, as far as the peer is concerned perhaps later.
    pub(crate) async fn open(&mut self) -> Step<u32> {
        Ok(match self {
            Self::Yamux(session) => {
                let id = session.fresh();
                let opening = yamux::head(yamux::WINDOW, yamux::SYN, id, 0);
                session.send_frame(&opening).await?;
                id
            }
            Self::Mplex(session) => session.open().await?,
            Self::Quic(quic) => quic.open().await?,
        })
    }

    /// Ends our side.
    pub(crate) async fn finish(&mut self, id: u32) -> Step<()> {
        match self {
            Self::Yamux(session) => {
                let end = yamux::head(yamux::DATA, yamux::FIN, id, 0);
                session.send_frame(&end).await?;
            }
            Self::Mplex(session) => {
                session
                    .send_message(u64::from(id), mplex::CLOSE_INITIATOR, &[])
                    .await?;
            }
            Self::Quic(quic) => quic.finish(id)?,
        }
        Ok(())
    }

    /// Breaks a stream off.
    pub(crate) async fn reset(&mut self, id: u32) -> Step<()> {
        match self {
            Self::Yamux(session) => {
                let end = yamux::head(yamux::WINDOW, yamux::RST, id, 0);
                session.send_frame(&end).await?;
            }
            Self::Mplex(session) => {
                session
                    .send_message(u64::from(id), mplex::RESET_INITIATOR, &[])
                    .await?;
            }
            Self::Quic(quic) => {
                quic.reset(id, VarInt::from_u32(0))?;
                quic.stop(id, VarInt::from_u32(0))?;
            }
        }
        Ok(())
    }

    /// Reads to a stream's end: the bytes, and whether it ended cleanly.
    pub(crate) async fn read_to_end(&mut self, id: u32) -> Step<(Vec<u8>, bool)> {
        match self {
            Self::Yamux(session) => session.read_to_end(id).await,
            Self::Mplex(session) => session.read_to_end(id).await,
            Self::Quic(quic) => quic.read_to_end(id).await,
        }
    }

    /// A stream to talk through.
    pub(crate) fn stream(&mut self, id: u32) -> Stream<'_> {
        Stream {
            connection: self,
            id,
        }
    }
}

/// See `Connection::stream`.
pub(crate) struct Stream<'a> {
    connection: &'a mut Connection,
    id: u32,
}

impl Talk for Stream<'_> {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.connection {
            Connection::Yamux(session) => session.write(self.id, bytes).await,
            Connection::Mplex(session) => session.write(self.id, bytes).await,
            Connection::Quic(quic) => quic.write(self.id, bytes).await,
        }
    }

    async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        match self.connection {
            Connection::Yamux(session) => session.stream(self.id).take(count).await,
            Connection::Mplex(session) => session.take(self.id, count).await,
            Connection::Quic(quic) => quic.take(self.id, count).await,
        }
    }
}
