//! One stream of a connection, below its protocol: the same verbs whatever link carries it.

use std::task::{Context, Poll};

use bytes::Bytes;
use carrick_session::{Code, Key, Read, StreamError as MuxError};
use tokio::io::ReadBuf;

use super::{
    Shared,
    quic::{QuicChannel, Role},
};
use crate::{ConnectionError, StreamError};

/// One stream of a link's. It is [`release`](Self::release)d, or it lives as long as its connection.
#[derive(Debug)]
pub(crate) enum Channel {
    Muxed(Key),
    Quic(Box<QuicChannel>),
}

impl Channel {
    /// Takes received bytes, at least one; `None` at the clean end.
    pub(crate) fn poll_read(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        match self {
            Self::Muxed(key) => {
                let read = shared.muxed().with(|state| state.poll_read(cx, *key));
                read.map(|read| match read {
                    Ok(Read::Data(bytes)) => Ok(Some(bytes)),
                    // What is blocked is pending.
                    Ok(Read::End | Read::Blocked) => Ok(None),
                    Err(error) => Err(mux_error(shared, error)),
                })
            }
            Self::Quic(channel) => channel.poll_read(shared.quic(), cx),
        }
    }

    /// As [`poll_read`](Self::poll_read), straight into a buffer, where that saves something; `None`: it does not.
    pub(crate) fn poll_fill(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Option<Poll<Result<(), StreamError>>> {
        match self {
            Self::Muxed(_) => None,
            Self::Quic(channel) => Some(channel.poll_fill(shared.quic(), cx, buf)),
        }
    }

    /// Queues `head` and as much of `data` as there is room for, and returns how much of `data` that was. Then
    /// `head` is empty.
    pub(crate) fn poll_write(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        head: &mut Vec<u8>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        match self {
            Self::Muxed(key) => {
                let written = shared
                    .muxed()
                    .with(|state| state.poll_write(cx, *key, head, data));
                written.map(|written| {
                    let written = written.map_err(|error| mux_error(shared, error))?;
                    head.clear();
                    Ok(written)
                })
            }
            Self::Quic(channel) => channel.poll_write(shared.quic(), cx, Role::Writer, head, data),
        }
    }

    /// As [`poll_write`](Self::poll_write) of `head` alone, for who wants to read: another task may wait to write
    /// meanwhile, and both are woken.
    pub(crate) fn poll_write_head(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        head: &mut Vec<u8>,
    ) -> Poll<Result<(), StreamError>> {
        match self {
            Self::Muxed(key) => {
                let written = shared
                    .muxed()
                    .with(|state| state.poll_write_head(cx, *key, head));
                written.map(|written| {
                    written.map_err(|error| mux_error(shared, error))?;
                    head.clear();
                    Ok(())
                })
            }
            Self::Quic(channel) => {
                let written = channel.poll_write(shared.quic(), cx, Role::Reader, head, &[]);
                written.map_ok(|_| ())
            }
        }
    }

    /// Closes our write side. Finishing twice is no error.
    pub(crate) fn finish(&mut self, shared: &Shared) -> Result<(), StreamError> {
        match self {
            Self::Muxed(key) => match shared.muxed().with(|state| state.mux.finish(*key)) {
                Ok(()) | Err(MuxError::Finished) => Ok(()),
                Err(error) => Err(mux_error(shared, error)),
            },
            Self::Quic(channel) => channel.finish(shared.quic()),
        }
    }

    /// Waits until the peer, whose side has ended, wants nothing of ours any more, and says why: it has reset the stream, or
    /// is gone. Cancel-safe.
    pub(crate) async fn unwanted(&mut self, shared: &Shared) -> StreamError {
        match self {
            Self::Muxed(key) => {
                let poll = |cx: &mut Context<'_>| {
                    let watched = shared.muxed().with(|state| state.poll_watch(cx, *key));
                    watched.map(|error| mux_error(shared, error))
                };
                std::future::poll_fn(poll).await
            }
            Self::Quic(channel) => channel.unwanted(shared.quic()).await,
        }
    }

    /// Whether the peer has reset it, as far as that shows before anything is read; so nobody need look at it.
    pub(crate) fn is_reset(&self, shared: &Shared) -> bool {
        match self {
            Self::Muxed(key) => shared.muxed().with(|state| state.mux.watch(*key).is_some()),
            Self::Quic(_) => false,
        }
    }

    /// The stream's id in QUIC.
    pub(crate) fn quic_id(&self) -> Option<u64> {
        match self {
            Self::Muxed(_) => None,
            Self::Quic(channel) => Some(channel.id()),
        }
    }

    /// Ends both directions.
    pub(crate) fn reset(&mut self, shared: &Shared, code: Code) {
        match self {
            Self::Muxed(key) => shared.muxed().with(|state| state.mux.reset(*key, code)),
            Self::Quic(channel) => channel.reset(code),
        }
    }

    /// Gives up reading.
    pub(crate) fn stop(&mut self, shared: &Shared, code: Code) {
        match self {
            Self::Muxed(key) => {
                let now = std::time::Instant::now();
                shared.muxed().with(|state| state.mux.stop(now, *key, code));
            }
            Self::Quic(channel) => channel.stop(code),
        }
    }

    /// Ends both directions; what was written before can still be read.
    pub(crate) fn refuse(&mut self, shared: &Shared, code: Code) {
        match self {
            Self::Muxed(_) => self.reset(shared, code),
            Self::Quic(channel) => channel.refuse(shared.quic(), code),
        }
    }

    /// The stream's user is gone: what is not finished is reset. `unanswered`: the peer has not agreed to the protocol yet.
    pub(crate) fn release(self, shared: &Shared, unanswered: bool) {
        match self {
            Self::Muxed(key) => shared.muxed().with(|state| state.release_stream(key)),
            Self::Quic(channel) => channel.release_unless_unanswered(shared.quic(), unanswered),
        }
    }
}

fn mux_error(shared: &Shared, error: MuxError) -> StreamError {
    match error {
        MuxError::Reset(code) => StreamError::Reset(code),
        MuxError::ResetLocally(code) => StreamError::ResetLocally(code),
        MuxError::Finished => StreamError::Finished,
        MuxError::ConnectionLost => {
            StreamError::ConnectionLost(shared.lost().unwrap_or(ConnectionError::Closed))
        }
    }
}
