//! A pipe that carries frames: chunks in and frames out, with deadlines, for whichever side of it. What the frames mean is the
//! affair of the machines in `carrick_protocols::messages`.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use carrick_protocols::messages::Violation;
use carrick_swarm::Behaviour;
use carrick_wire::messages::{Frame, Header, OVERHEAD_MAX};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use crate::transport::PipeRead;

/// Why a connection of a [`Server`](super::Server) was refused, or has ended badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// What came does not follow the protocol; the other side has made a mistake, or means harm.
    #[error("the other side broke the protocol: {0}")]
    Protocol(#[from] Violation),
    /// A frame did not come, or what was sent was not taken, in time.
    #[error("the other side is too slow: {0}")]
    TooSlow(&'static str),
    /// There are as many connections as are allowed.
    #[error("there are {max} connections, which is the limit")]
    TooManyConnections {
        /// The limit.
        max: usize,
    },
    /// [`Service::allow_connection`](super::Service::allow_connection) said no.
    #[error("the service does not allow the connection")]
    NotAllowed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

impl ServerError {
    /// What it implies of who is on the other side, if that is a peer.
    pub fn behaviour(&self) -> Option<Behaviour> {
        match self {
            Self::Protocol(_) => Some(Behaviour::Protocol),
            Self::TooSlow(_) => Some(Behaviour::Timeout),
            Self::TooManyConnections { .. } | Self::NotAllowed | Self::Io(_) => None,
        }
    }
}

/// What comes.
pub(super) struct ChunkReader {
    reader: Box<dyn PipeRead>,
    /// How long a frame may take that has begun, and its most bytes.
    patience: Duration,
    frame_max: usize,
    /// When the frame that has begun must be here, and the bytes that came since.
    deadline: Option<(Instant, usize)>,
}

impl ChunkReader {
    pub(super) fn new(reader: Box<dyn PipeRead>, patience: Duration, payload_max: usize) -> Self {
        Self {
            reader,
            patience,
            frame_max: payload_max.saturating_add(OVERHEAD_MAX),
            deadline: None,
        }
    }

    /// The next bytes; `None`: there are no more. Unless `may_idle`, a frame is to come, or has begun. Cancel-safe.
    pub(super) async fn next(&mut self, may_idle: bool) -> Result<Option<Bytes>, ServerError> {
        // After as many bytes as a frame may have it is another frame.
        if may_idle
            || self
                .deadline
                .is_some_and(|(_, bytes)| bytes > self.frame_max)
        {
            self.deadline = None;
        }
        if !may_idle && self.deadline.is_none() {
            self.deadline = Some((Instant::now() + self.patience, 0));
        }
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = self.reader.read_buf(&mut chunk);
        let read = match self.deadline {
            Some((deadline, _)) => timeout_at(deadline, read).await,
            None => Ok(read.await),
        };
        let read = read.map_err(|_| ServerError::TooSlow("a message did not come in time"))??;
        if let Some((_, bytes)) = &mut self.deadline {
            *bytes = bytes.saturating_add(read);
        }
        Ok((read > 0).then(|| chunk.freeze()))
    }
}

/// What goes.
pub(super) struct FrameWriter {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    head: Vec<u8>,
    out: BytesMut,
    patience: Duration,
    /// When some of what waits must have been taken.
    deadline: Instant,
}

impl FrameWriter {
    pub(super) fn new(writer: Box<dyn AsyncWrite + Send + Unpin>, patience: Duration) -> Self {
        Self {
            writer,
            head: Vec::new(),
            out: BytesMut::new(),
            patience,
            deadline: Instant::now(),
        }
    }

    /// Whether more frames may be added before some are written.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < BATCH
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(super) fn push(&mut self, frame: &Frame) {
        if self.out.is_empty() {
            self.deadline = Instant::now() + self.patience;
        }
        self.head.clear();
        Header::encode(&frame.header, frame.payload.len(), &mut self.head);
        self.out.extend_from_slice(&self.head);
        self.out.extend_from_slice(&frame.payload);
    }

    /// Writes some of what waits. Cancel-safe.
    pub(super) async fn write(&mut self) -> Result<(), ServerError> {
        let write = async {
            if self.writer.write_buf(&mut self.out).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            Ok::<_, io::Error>(())
        };
        let written = timeout_at(self.deadline, write).await;
        written.map_err(|_| ServerError::TooSlow(NOT_TAKEN))??;
        self.deadline = Instant::now() + self.patience;
        Ok(())
    }

    /// Says that nothing more comes.
    pub(super) async fn finish(&mut self) -> Result<(), ServerError> {
        let finished = timeout_at(Instant::now() + self.patience, self.writer.shutdown()).await;
        finished.map_err(|_| ServerError::TooSlow(NOT_TAKEN))??;
        Ok(())
    }
}

const NOT_TAKEN: &str = "it does not take what is sent";
const CHUNK: usize = 8 * 1024;
/// Bytes that wait to be written before further frames wait in their lanes.
const BATCH: usize = 32 * 1024;
