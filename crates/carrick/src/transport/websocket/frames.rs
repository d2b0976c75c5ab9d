//! WebSocket frames as a byte stream, RFC 6455 §5: payload in and out, no message is ever put together.
//!
//! Received bytes are unmasked and moved over their headers where they lie, so nothing is held but a header that is not
//! complete and one control frame of at most 125 bytes. What a peer may not do is a [`Violation`].

use std::io::Cursor;

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// Most payload in one message, and so in one frame, of ours and of a peer's.
pub(super) const MESSAGE_MAX: u64 = 1 << 20;
/// Most payload in a control frame.
const CONTROL_MAX: u64 = 125;
/// The longest header: 2 bytes, a length of 8, a mask of 4.
pub(super) const HEADER_MAX: usize = 14;

/// Which end of the connection we are: a client masks what it sends, a server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// What the peer did wrong, and the code that tells it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("WebSocket: {what}")]
pub(super) struct Violation {
    pub(super) code: CloseCode,
    what: &'static str,
}

/// What a received control frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Send this back in a pong.
    Pong(Vec<u8>),
    /// Say goodbye with this code, if there is one. Nothing comes after it.
    Close(Option<[u8; 2]>),
}

/// Takes frames apart.
#[derive(Debug)]
pub(super) struct Decoder {
    end: End,
    /// The beginning of a header that is not complete.
    header: [u8; HEADER_MAX],
    header_len: usize,
    /// Payload of the current frame that has not come yet.
    left: u64,
    mask: [u8; 4],
    /// The current frame's, and what has come of it, if it is a control frame.
    control: Option<(Control, Vec<u8>)>,
    /// Bytes of the message that further frames continue.
    message: Option<u64>,
    closed: bool,
}

impl Decoder {
    pub(super) fn new(end: End) -> Self {
        Self {
            end,
            header: [0; HEADER_MAX],
            header_len: 0,
            left: 0,
            mask: [0; 4],
            control: None,
            message: None,
            closed: false,
        }
    }

    /// Whether the peer has said that nothing more comes.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Replaces received bytes by the payload in them and gives its length. Of several pings in them the last one is
    /// to be answered, §5.5.3.
    pub(super) fn recv(
        &mut self,
        bytes: &mut [u8],
        request: &mut Option<Request>,
    ) -> Result<usize, Violation> {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() && !self.closed {
            if self.left == 0 {
                from += self.recv_header(&bytes[from..])?;
            }
            let rest = bytes.len() - from;
            let here = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
            self.left -= here as u64;
            if let Some((_, payload)) = &mut self.control {
                let had = payload.len();
                payload.extend_from_slice(&bytes[from..from + here]);
                apply_mask(&mut self.mask, &mut payload[had..]);
                self.finish_control(request)?;
            } else {
                if from != to {
                    bytes.copy_within(from..from + here, to);
                }
                apply_mask(&mut self.mask, &mut bytes[to..to + here]);
                to += here;
            }
            from += here;
        }
        Ok(to)
    }

    /// Takes a header, or a part of one, and tells how many bytes belong to it.
    fn recv_header(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let had = self.header_len;
        let more = bytes.len().min(HEADER_MAX - had);
        self.header[had..had + more].copy_from_slice(&bytes[..more]);
        self.header_len += more;
        let mut cursor = Cursor::new(&self.header[..self.header_len]);
        let parsed = FrameHeader::parse(&mut cursor);
        let parsed = parsed.map_err(|_| protocol("an unknown kind of frame"))?;
        let Some((header, length)) = parsed else {
            return Ok(more);
        };
        let header_len = usize::try_from(cursor.position()).unwrap_or(HEADER_MAX);
        if header_len != header.len(length) {
            return Err(protocol("a length in a longer form than it needs"));
        }
        self.begin(&header, length)?;
        self.header_len = 0;
        Ok(header_len - had)
    }

    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<(), Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(protocol("a frame of an extension, and none was agreed on"));
        }
        self.mask = match (header.mask, self.end) {
            (Some(mask), End::Server) => mask,
            (None, End::Client) => [0; 4],
            (None, End::Server) => return Err(protocol("a client's frame without a mask")),
            (Some(_), End::Client) => return Err(protocol("a server's frame with a mask")),
        };
        let so_far = match (header.opcode, self.message) {
            (OpCode::Control(_), _) if length > CONTROL_MAX => {
                return Err(protocol("a control frame of more than 125 bytes"));
            }
            (OpCode::Control(_), _) if !header.is_final => {
                return Err(protocol("a control frame in fragments"));
            }
            (OpCode::Control(control), _) => {
                self.control = Some((control, Vec::new()));
                self.left = length;
                return Ok(());
            }
            (OpCode::Data(Data::Text), _) => {
                return Err(Violation {
                    code: CloseCode::Unsupported,
                    what: "a text frame; libp2p sends binary ones",
                });
            }
            (OpCode::Data(Data::Binary), None) => 0,
            (OpCode::Data(Data::Continue), Some(so_far)) => so_far,
            (OpCode::Data(_), _) => {
                return Err(protocol("a message and its continuations are out of order"));
            }
        };
        let message = length
            .checked_add(so_far)
            .filter(|length| *length <= MESSAGE_MAX)
            .ok_or(Violation {
                code: CloseCode::Size,
                what: "a message of more than 1 MiB",
            })?;
        self.message = (!header.is_final).then_some(message);
        self.left = length;
        Ok(())
    }

    /// Acts on the control frame if it is complete.
    fn finish_control(&mut self, request: &mut Option<Request>) -> Result<(), Violation> {
        if self.left > 0 {
            return Ok(());
        }
        match self.control.take() {
            Some((Control::Ping, payload)) => *request = Some(Request::Pong(payload)),
            Some((Control::Close, payload)) => {
                self.closed = true;
                let code = match payload[..] {
                    [] => None,
                    [_] => return Err(protocol("half a close code")),
                    [high, low, ..] => Some([high, low]),
                };
                *request = Some(Request::Close(code));
            }
            Some((Control::Pong | Control::Reserved(_), _)) | None => {}
        }
        Ok(())
    }
}

/// Writes the header of a binary frame and gives the mask for its payload.
pub(super) fn begin_data(end: End, length: usize, out: &mut Vec<u8>) -> [u8; 4] {
    begin(end, OpCode::Data(Data::Binary), length, out)
}

/// Writes a pong.
pub(super) fn pong(end: End, payload: &[u8], out: &mut Vec<u8>) {
    control(end, Control::Pong, payload, out);
}

/// Writes a goodbye.
pub(super) fn close(end: End, code: Option<[u8; 2]>, out: &mut Vec<u8>) {
    control(
        end,
        Control::Close,
        code.as_ref().map_or(&[], |c| &c[..]),
        out,
    );
}

fn control(end: End, control: Control, payload: &[u8], out: &mut Vec<u8>) {
    let mut mask = begin(end, OpCode::Control(control), payload.len(), out);
    push_masked(&mut mask, payload, out);
}

fn begin(end: End, opcode: OpCode, length: usize, out: &mut Vec<u8>) -> [u8; 4] {
    let header = FrameHeader {
        opcode,
        // It hides nothing, but must differ each time, §5.3.
        mask: (end == End::Client).then(rand::random),
        ..FrameHeader::default()
    };
    header
        .format(length as u64, out)
        .expect("a Vec takes everything");
    header.mask.unwrap_or_default()
}

/// Appends payload, masked.
pub(super) fn push_masked(mask: &mut [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(mask, &mut out[start..]);
}

/// Masks or unmasks, and turns the mask so that it fits what follows.
fn apply_mask(mask: &mut [u8; 4], bytes: &mut [u8]) {
    if *mask == [0; 4] {
        return;
    }
    // As wide as the compiler's vectors may get; a multiple of four.
    let wide: [u8; 64] = std::array::from_fn(|n| mask[n % 4]);
    let mut chunks = bytes.chunks_exact_mut(wide.len());
    for chunk in &mut chunks {
        chunk
            .iter_mut()
            .zip(wide)
            .for_each(|(byte, key)| *byte ^= key);
    }
    let rest = chunks.into_remainder();
    rest.iter_mut()
        .zip(wide)
        .for_each(|(byte, key)| *byte ^= key);
    mask.rotate_left(rest.len() % 4);
}

fn protocol(what: &'static str) -> Violation {
    Violation {
        code: CloseCode::Protocol,
        what,
    }
}

#[cfg(test)]
mod tests;
