//! A stream that speaks frames, in two halves: one may wait to write while the other one hears. Always: no wait for the
//! peer is longer than the patience given, and a peer's last word of failure is the error, whoever was to say what.

use std::{io, sync::Mutex, time::Duration};

use carrick::{Stream, StreamError, transfer::Frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    time::{Instant, sleep_until, timeout},
};

use super::trouble::Trouble;

/// Both halves of a stream.
pub(super) fn talk(stream: Stream, patience: Duration) -> (Hearer, Speaker) {
    let (reader, writer) = split(stream);
    let heard = Vec::with_capacity(HEARD_MAX);
    let (hearer, speaker) = (
        Hearer {
            reader,
            heard,
            taken: 0,
            patience,
        },
        Speaker {
            writer,
            out: Vec::new(),
            patience,
        },
    );
    (hearer, speaker)
}

/// What the peer says.
#[derive(Debug)]
pub(super) struct Hearer {
    reader: ReadHalf<Stream>,
    /// Read and, from `taken` on, not yet decoded.
    heard: Vec<u8>,
    taken: usize,
    patience: Duration,
}

impl Hearer {
    /// The next frame. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Result<Frame, Trouble> {
        self.hear_within(self.patience).await
    }

    /// As [`hear`](Self::hear), with another patience.
    pub(super) async fn hear_within(&mut self, patience: Duration) -> Result<Frame, Trouble> {
        within(patience, self.hear_patiently()).await
    }

    /// As [`hear`](Self::hear), however long it takes: somebody else watches the time.
    pub(super) async fn hear_patiently(&mut self) -> Result<Frame, Trouble> {
        loop {
            if let Some((frame, used)) =
                Frame::decode(&self.heard[self.taken..]).map_err(Trouble::violation)?
            {
                self.taken += used;
                return match frame {
                    Frame::Failed { reason, text } => Err(Trouble::Remote { reason, text }),
                    frame => Ok(frame),
                };
            }
            self.heard.drain(..self.taken);
            self.taken = 0;
            if self.reader.read_buf(&mut self.heard).await? == 0 {
                return Err(Trouble::Ended);
            }
        }
    }

    /// The bytes of a group whose head was heard.
    pub(super) async fn hear_group(
        &mut self,
        len: usize,
        group: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        let rest = &self.heard[self.taken..];
        let here = rest.len().min(len);
        group.clear();
        group.extend_from_slice(&rest[..here]);
        self.taken += here;
        while group.len() < len {
            let mut rest = (&mut self.reader).take((len - group.len()) as u64);
            let read = within(self.patience, async { Ok(rest.read_buf(group).await?) });
            if read.await? == 0 {
                return Err(Trouble::Ended);
            }
        }
        Ok(())
    }

    /// Waits for the peer's end, whatever it still says.
    pub(super) async fn wait_for_end(&mut self) {
        let mut rest = Vec::with_capacity(HEARD_MAX);
        let until_end = async {
            while self.reader.read_buf(&mut rest).await.is_ok_and(|n| n > 0) {
                rest.clear();
            }
        };
        let _ = timeout(self.patience.min(LAST_WORDS), until_end).await;
    }
}

/// What we say.
#[derive(Debug)]
pub(super) struct Speaker {
    writer: WriteHalf<Stream>,
    out: Vec<u8>,
    patience: Duration,
}

impl Speaker {
    pub(super) async fn say(&mut self, frame: &Frame) -> Result<(), Trouble> {
        self.out.clear();
        frame.encode(&mut self.out);
        let out = std::mem::take(&mut self.out);
        let said = within(self.patience, async {
            Ok(self.writer.write_all(&out).await?)
        })
        .await;
        self.out = out;
        said
    }

    /// Encoded frames; `moved` is called whenever some of them have been taken.
    pub(super) async fn write(&mut self, frames: &[u8], moved: impl Fn()) -> Result<(), Trouble> {
        for piece in frames.chunks(PIECE_LEN) {
            within(self.patience, async {
                Ok(self.writer.write_all(piece).await?)
            })
            .await?;
            moved();
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> Result<(), Trouble> {
        within(self.patience, async { Ok(self.writer.shutdown().await?) }).await
    }

    /// The last word about what went wrong here, unless the peer knows it better.
    pub(super) async fn fail(&mut self, trouble: &Trouble) {
        if let Some(reason) = trouble.reason() {
            let text = trouble.told();
            let _ = self.say(&Frame::Failed { reason, text }).await;
            let _ = self.finish().await;
        }
    }
}

/// When something last moved, whichever way.
#[derive(Debug)]
pub(super) struct Pulse {
    last: Mutex<Instant>,
    patience: Duration,
}

impl Pulse {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            patience,
        }
    }

    pub(super) fn beat(&self) {
        *self.lock() = Instant::now();
    }

    /// Ready, with the trouble, when nothing has moved for too long.
    pub(super) async fn watch(&self) -> Trouble {
        loop {
            let end = *self.lock() + self.patience;
            if end <= Instant::now() {
                return Trouble::Stalled(self.patience);
            }
            sleep_until(end).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn within<T>(
    patience: Duration,
    step: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let step = timeout(patience, step).await;
    step.unwrap_or(Err(Trouble::Stalled(patience)))
}

impl From<io::Error> for Trouble {
    /// Of a stream; files have their own.
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(StreamError::EndedEarly) => Self::Ended,
            Some(error) => Self::Stream(StreamError::clone(error).to_string()),
            None => Self::Stream(error.to_string()),
        }
    }
}

const HEARD_MAX: usize = 16 << 10;
/// What is written under one deadline.
const PIECE_LEN: usize = 64 << 10;
/// For the peer to end after the last word.
const LAST_WORDS: Duration = Duration::from_secs(5);
