//! yamux as the client: frames as they are wanted, and enough of a session around them to hold honest conversations.

use std::{collections::BTreeMap, io};

use bytes::{Buf, BytesMut};

use super::{
    channel::{Channel, Talk},
    guest::{GUESTS_MAX, Guest},
};
use crate::case::{Step, ensure, fail};

pub(crate) const DATA: u8 = 0;
pub(crate) const WINDOW: u8 = 1;
pub(crate) const PING: u8 = 2;
pub(crate) const GO_AWAY: u8 = 3;

pub(crate) const SYN: u16 = 1;
pub(crate) const ACK: u16 = 2;
pub(crate) const FIN: u16 = 4;
pub(crate) const RST: u16 = 8;

/// What every stream may send at first.
pub(crate) const WINDOW_FIRST: u32 = 256 * 1024;

/// A frame, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    pub(crate) stream: u32,
    pub(crate) length: u32,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.version, self.kind];
        out.extend(self.flags.to_be_bytes());
        out.extend(self.stream.to_be_bytes());
        out.extend(self.length.to_be_bytes());
        out.extend(&self.body);
        out
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// A frame without a body.
pub(crate) fn head(kind: u8, flags: u16, stream: u32, length: u32) -> Frame {
    Frame {
        version: 0,
        kind,
        flags,
        stream,
        length,
        body: Vec::new(),
    }
}

/// A data frame.
pub(crate) fn data(flags: u16, stream: u32, body: &[u8]) -> Frame {
    Frame {
        body: body.to_vec(),
        ..head(DATA, flags, stream, body.len() as u32)
    }
}

/// What is known of one stream.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) input: BytesMut,
    pub(crate) acked: bool,
    pub(crate) ended: bool,
    pub(crate) reset: bool,
    /// What we may still send.
    pub(crate) credit: u64,
    /// What has come on it.
    pub(crate) heard: usize,
    /// What has come and was not granted anew yet.
    owed: u32,
    /// Whether what was received is granted anew.
    pub(crate) generous: bool,
}

/// A session.
pub(crate) struct Yamux {
    pub(crate) channel: Channel,
    next: u32,
    pub(crate) streams: BTreeMap<u32, Inbox>,
    /// The code of the go-away that has come.
    pub(crate) gone: Option<u32>,
    /// Streams that the other side opened.
    pub(crate) incoming: Vec<u32>,
    guests: BTreeMap<u32, Guest>,
}

impl Yamux {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            next: 1,
            streams: BTreeMap::new(),
            gone: None,
            incoming: Vec::new(),
            guests: BTreeMap::new(),
        }
    }

    pub(crate) async fn send_frame(&mut self, frame: &Frame) -> io::Result<()> {
        self.channel.send(&frame.encode()).await
    }

    /// Sends them in one piece.
    pub(crate) async fn send_frames(&mut self, frames: &[Frame]) -> io::Result<()> {
        let bytes: Vec<_> = frames.iter().flat_map(Frame::encode).collect();
        self.channel.send(&bytes).await
    }

    /// An id that was not used yet.
    pub(crate) fn fresh(&mut self) -> u32 {
        let id = self.next;
        self.next += 2;
        self.track(id);
        id
    }

    /// Keeps books of a stream whose frames the caller sends.
    pub(crate) fn track(&mut self, id: u32) {
        self.streams.insert(
            id,
            Inbox {
                input: BytesMut::new(),
                acked: false,
                ended: false,
                reset: false,
                credit: u64::from(WINDOW_FIRST),
                heard: 0,
                owed: 0,
                generous: true,
            },
        );
    }

    /// Opens a stream with its first bytes.
    pub(crate) async fn open(&mut self, first: &[u8]) -> io::Result<u32> {
        let id = self.fresh();
        self.send_frame(&data(SYN, id, first)).await?;
        self.spend(id, first.len());
        Ok(id)
    }

    fn spend(&mut self, id: u32, count: usize) {
        if let Some(inbox) = self.streams.get_mut(&id) {
            inbox.credit = inbox.credit.saturating_sub(count as u64);
        }
    }

    /// Sends on a stream, as its window allows.
    pub(crate) async fn write(&mut self, id: u32, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let credit = self.streams.get(&id).map_or(0, |inbox| inbox.credit);
            let now = bytes.len().min(16 * 1024).min(credit as usize);
            if now > 0 {
                self.send_frame(&data(0, id, &bytes[..now])).await?;
                self.spend(id, now);
                bytes = &bytes[now..];
            } else {
                self.step().await?;
                if self.streams.get(&id).is_none_or(|inbox| inbox.reset) {
                    return Err(io::Error::other("the peer reset the stream"));
                }
            }
        }
        Ok(())
    }

    /// The next frame, when all that it means was noted; an end is an error.
    pub(crate) async fn step(&mut self) -> io::Result<Frame> {
        let head = self.channel.take(12).await?;
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (stream, length) = (word(4), word(8));
        let mut frame = Frame {
            version: head[0],
            kind: head[1],
            flags: u16::from_be_bytes([head[2], head[3]]),
            stream,
            length,
            body: Vec::new(),
        };
        if frame.version != 0 || frame.kind > GO_AWAY {
            return Err(io::Error::other(format!("not a yamux frame: {head:02x?}")));
        }
        if frame.kind == DATA {
            if length > BODY_MAX {
                return Err(io::Error::other(format!("a frame of {length} bytes")));
            }
            frame.body = self.channel.take(length as usize).await?;
        }
        self.note(&frame).await?;
        Ok(frame)
    }

    async fn note(&mut self, frame: &Frame) -> io::Result<()> {
        match frame.kind {
            PING if frame.has(SYN) => {
                // A peer that has closed need not be answered.
                let _ = self.send_frame(&head(PING, ACK, 0, frame.length)).await;
            }
            PING => {}
            GO_AWAY => self.gone = Some(frame.length),
            _ if self.streams.contains_key(&frame.stream) => self.note_stream(frame).await?,
            _ => {
                // A peer that has closed need not be answered.
                let _ = self.serve(frame).await;
            }
        }
        Ok(())
    }

    /// A frame of a stream that is not ours.
    async fn serve(&mut self, frame: &Frame) -> io::Result<()> {
        let id = frame.stream;
        if frame.has(SYN) {
            if self.incoming.len() >= GUESTS_MAX {
                return self.send_frame(&head(WINDOW, RST, id, 0)).await;
            }
            self.incoming.push(id);
            self.guests.insert(id, Guest::default());
            self.send_frame(&head(WINDOW, ACK, id, 0)).await?;
        }
        let Some(guest) = self.guests.get_mut(&id) else {
            return Ok(());
        };
        let answer = guest.recv(&frame.body);
        if frame.has(FIN) || frame.has(RST) {
            self.guests.remove(&id);
        }
        if frame.has(RST) {
            return Ok(());
        }
        if !frame.body.is_empty() {
            self.send_frame(&head(WINDOW, 0, id, frame.length)).await?;
        }
        let end = if frame.has(FIN) { FIN } else { 0 };
        if !answer.is_empty() || end != 0 {
            self.send_frame(&data(end, id, &answer)).await?;
        }
        Ok(())
    }

    async fn note_stream(&mut self, frame: &Frame) -> io::Result<()> {
        let Some(inbox) = self.streams.get_mut(&frame.stream) else {
            return Ok(());
        };
        if frame.kind == WINDOW {
            inbox.credit += u64::from(frame.length);
        } else {
            inbox.input.extend_from_slice(&frame.body);
            inbox.heard += frame.body.len();
            inbox.owed += frame.length;
        }
        inbox.acked |= frame.has(ACK);
        inbox.ended |= frame.has(FIN);
        inbox.reset |= frame.has(RST);
        if inbox.generous && inbox.owed >= WINDOW_FIRST / 2 {
            let owed = std::mem::take(&mut inbox.owed);
            self.send_frame(&head(WINDOW, 0, frame.stream, owed))
                .await?;
        }
        Ok(())
    }

    /// Waits for a frame that is so.
    pub(crate) async fn wait(&mut self, what: &str, is: impl Fn(&Frame) -> bool) -> Step<Frame> {
        loop {
            match self.step().await {
                Ok(frame) if is(&frame) => return Ok(frame),
                Ok(_) => {}
                Err(error) => return fail(format!("no {what}: {}", told(&error, self.gone))),
            }
        }
    }

    /// Waits for the session to end, by a go-away that reports an error or a close.
    pub(crate) async fn over(&mut self) -> Step<String> {
        loop {
            if let Some(code @ 1..) = self.gone {
                return Ok(format!("go-away with code {code}"));
            }
            match self.step().await {
                Ok(_) => {}
                Err(error) => return Ok(told(&error, self.gone)),
            }
        }
    }

    /// Reads to a stream's end: the bytes, and whether it ended cleanly.
    pub(crate) async fn read_to_end(&mut self, id: u32) -> Step<(Vec<u8>, bool)> {
        loop {
            let Some(inbox) = self.streams.get(&id) else {
                return fail("no such stream");
            };
            if inbox.ended || inbox.reset {
                return Ok((inbox.input.to_vec(), inbox.ended && !inbox.reset));
            }
            ensure(inbox.input.len() <= READ_MAX, || {
                "the stream does not end".to_owned()
            })?;
            self.step().await?;
        }
    }

    /// A stream to talk through.
    pub(crate) fn stream(&mut self, id: u32) -> YamuxStream<'_> {
        YamuxStream { session: self, id }
    }
}

/// An error, and the go-away that came before it.
fn told(error: &io::Error, gone: Option<u32>) -> String {
    let how = match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed".to_owned(),
        _ => format!("closed ({error})"),
    };
    match gone {
        Some(code) => format!("{how} after a go-away with code {code}"),
        None => how,
    }
}

const BODY_MAX: u32 = 16 * 1024 * 1024;
const READ_MAX: usize = 4 * 1024 * 1024;

/// See `Yamux::stream`.
pub(crate) struct YamuxStream<'a> {
    session: &'a mut Yamux,
    id: u32,
}

impl Talk for YamuxStream<'_> {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.session.write(self.id, bytes).await
    }

    async fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        loop {
            let Some(inbox) = self.session.streams.get_mut(&self.id) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            if inbox.input.len() >= count {
                let taken = inbox.input[..count].to_vec();
                inbox.input.advance(count);
                return Ok(taken);
            }
            if inbox.reset {
                return Err(io::Error::other("the peer reset the stream"));
            }
            if inbox.ended {
                return Err(io::Error::other("the peer ended the stream"));
            }
            self.session.step().await?;
        }
    }
}
