//! WebSocket as the client, by hand: the upgrade request, masked frames out, frames in.

use std::io;

use bytes::{Buf, BytesMut};
use ring::digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::channel::Duplex;
use crate::case::{Step, ensure, fail};

/// Opcodes of RFC 6455, section 5.2.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0;
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

/// A frame as it is written.
pub(crate) struct Frame<'a> {
    /// The first byte: FIN, reserved bits, opcode.
    pub(crate) first: u8,
    pub(crate) masked: bool,
    pub(crate) body: &'a [u8],
}

impl Frame<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mask_bit = if self.masked { 0x80 } else { 0 };
        let mut out = vec![self.first];
        match self.body.len() {
            short @ 0..=125 => out.push(mask_bit | short as u8),
            middle @ 126..=0xffff => {
                out.push(mask_bit | 126);
                out.extend((middle as u16).to_be_bytes());
            }
            long => {
                out.push(mask_bit | 127);
                out.extend((long as u64).to_be_bytes());
            }
        }
        if self.masked {
            let mask = [0x37, 0xfa, 0x21, 0x3d];
            out.extend(mask);
            out.extend(
                self.body
                    .iter()
                    .zip(mask.iter().cycle())
                    .map(|(a, b)| a ^ b),
            );
        } else {
            out.extend(self.body);
        }
        out
    }
}

/// A masked frame with FIN.
pub(crate) fn frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    Frame {
        first: 0x80 | opcode,
        masked: true,
        body,
    }
    .encode()
}

/// What came back for an upgrade.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let this = self.headers.iter().find(|(each, _)| each == name);
        this.map(|(_, value)| value.as_str())
    }
}

/// A WebSocket connection, after the upgrade or before it.
pub(crate) struct Frames {
    socket: Box<dyn Duplex>,
    raw: BytesMut,
    /// Pongs that have come.
    pub(crate) pongs: Vec<Vec<u8>>,
    /// The opcodes of data frames that have come, without repetition.
    pub(crate) opcodes: Vec<u8>,
    /// The code of the close frame that has come.
    pub(crate) close_code: Option<u16>,
    /// Whether a masked frame came.
    pub(crate) masked: bool,
}

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The headers of an upgrade that is as it should be.
pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
];

impl Frames {
    pub(crate) fn new(socket: Box<dyn Duplex>) -> Self {
        Self {
            socket,
            raw: BytesMut::new(),
            pongs: Vec::new(),
            opcodes: Vec::new(),
            close_code: None,
            masked: false,
        }
    }

    /// Sends a request and reads the head of what comes back.
    pub(crate) async fn request(&mut self, line: &str, headers: &[(&str, &str)]) -> Step<Response> {
        let mut text = format!("{line}\r\nHost: localhost\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        self.socket
            .write_all(format!("{text}\r\n").as_bytes())
            .await?;
        self.response().await
    }

    /// Reads the head of a response.
    pub(crate) async fn response(&mut self) -> Step<Response> {
        let end = loop {
            if let Some(at) = self.raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            ensure(self.raw.len() < 16 * 1024, || {
                "a response head of more than 16 KiB".to_owned()
            })?;
            if self.socket.read_buf(&mut self.raw).await? == 0 {
                return fail("the peer closed before a whole HTTP response");
            }
        };
        let head = self.raw.split_to(end + 4);
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        let Some(Ok(status)) = status.split(' ').nth(1).map(str::parse) else {
            return fail(format!("not an HTTP response: {status:?}"));
        };
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Ok(Response {
            status,
            headers: headers.collect(),
        })
    }

    /// The upgrade, as it should be.
    pub(crate) async fn upgrade(&mut self) -> Step<Response> {
        let response = self.request("GET / HTTP/1.1", &UPGRADE).await?;
        ensure(response.status == 101, || {
            format!("the upgrade is answered with {}", response.status)
        })?;
        Ok(response)
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(&frame(opcode::BINARY, bytes)).await
    }

    /// Waits for more payload; false at the end.
    pub(crate) async fn fill(&mut self, input: &mut BytesMut) -> io::Result<bool> {
        loop {
            let Some((opcode, body)) = self.frame() else {
                if self.socket.read_buf(&mut self.raw).await? == 0 {
                    return Ok(false);
                }
                continue;
            };
            match opcode {
                opcode::PING => {
                    self.socket.write_all(&frame(opcode::PONG, &body)).await?;
                }
                opcode::PONG => self.pongs.push(body.to_vec()),
                opcode::CLOSE => {
                    self.close_code = match body[..] {
                        [high, low, ..] => Some(u16::from_be_bytes([high, low])),
                        _ => None,
                    };
                    let _ = self.socket.write_all(&frame(opcode::CLOSE, &body)).await;
                    return Ok(false);
                }
                data => {
                    if !self.opcodes.contains(&data) {
                        self.opcodes.push(data);
                    }
                    input.extend_from_slice(&body);
                    if !body.is_empty() {
                        return Ok(true);
                    }
                }
            }
            if self.pongs.len() > PONGS_MAX {
                return Err(io::Error::other("pongs without end"));
            }
            if opcode == opcode::PONG {
                return Ok(true);
            }
        }
    }

    /// Takes a whole frame from what has come.
    fn frame(&mut self) -> Option<(u8, BytesMut)> {
        let raw = &self.raw;
        let (first, second) = (*raw.first()?, *raw.get(1)?);
        let (mut head, length) = match second & 0x7f {
            126 => (
                4,
                u64::from(u16::from_be_bytes(raw.get(2..4)?.try_into().ok()?)),
            ),
            127 => (10, u64::from_be_bytes(raw.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        if second & 0x80 != 0 {
            self.masked = true;
            head += 4;
        }
        let length = usize::try_from(length).ok()?;
        if raw.len() - head.min(raw.len()) < length {
            return None;
        }
        self.raw.advance(head);
        Some((first & 0x0f, self.raw.split_to(length)))
    }
}

const PONGS_MAX: usize = 64;

/// What the server must answer to `KEY`.
pub(crate) fn accept_key() -> String {
    let text = format!("{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - group.len()));
        for place in 0..4 {
            out.push(if place <= group.len() {
                char::from(LETTERS[(word >> (18 - 6 * place) & 63) as usize])
            } else {
                '='
            });
        }
    }
    out
}
