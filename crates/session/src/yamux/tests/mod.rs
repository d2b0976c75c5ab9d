//! What a hostile or careless peer can send, frame by frame. Pairs of muxers are in `tests/session`.

mod ends;
mod floods;
mod odd;
mod violations;

use super::*;
use crate::testing::{PLAIN, epoch, events};

/// A listening muxer: the peer's streams have odd ids, ours even ones.
struct Machine {
    yamux: Yamux,
    now: Instant,
}

impl Machine {
    fn new() -> Self {
        Self::with(&Config::default())
    }

    fn with(config: &Config) -> Self {
        let now = epoch();
        Self {
            yamux: Yamux::new(Role::Listener, config, PLAIN, now),
            now,
        }
    }

    fn recv(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.yamux.recv(self.now, Bytes::copy_from_slice(bytes))
    }

    /// The headers of what it sends, without bodies.
    fn sent(&mut self) -> Vec<Header> {
        let mut records = Records::new(PLAIN);
        self.yamux.poll_transmit(&mut records);
        let mut bytes = records.as_slice();
        let mut headers = Vec::new();
        while let Some((header, rest)) = bytes.split_first_chunk() {
            let header = Header::decode(header).unwrap();
            let body = if header.kind == Kind::Data {
                header.length
            } else {
                0
            };
            headers.push(header);
            bytes = &rest[body as usize..];
        }
        assert!(bytes.is_empty(), "only whole frames");
        headers
    }

    fn events(&mut self) -> Vec<Event> {
        events(|| self.yamux.poll_event())
    }

    /// A stream that the peer opened.
    fn incoming(&mut self, id: u32) -> Key {
        self.recv(&frame(Kind::WindowUpdate, Flags::SYN, id, 0))
            .unwrap();
        match self.events().last() {
            Some(Event::Incoming(key)) => *key,
            event => panic!("{event:?}"),
        }
    }

    /// A stream of ours that the peer has acknowledged, and its id.
    fn outgoing(&mut self) -> (Key, u32) {
        let key = self.yamux.open_beyond(0).unwrap();
        self.yamux.write(key, b"", b"x").unwrap();
        let id = self.yamux.streams[key.0].id;
        self.recv(&frame(Kind::WindowUpdate, Flags::ACK, id, 0))
            .unwrap();
        self.sent();
        (key, id)
    }

    fn read(&mut self, key: Key) -> Result<Read, StreamError> {
        self.yamux.read(self.now, key)
    }

    /// `bytes` break the protocol: the peer is told so, and the error says what.
    fn refuses(&mut self, bytes: &[u8], text: &str) {
        let violation = self.recv(bytes).unwrap_err();
        assert!(violation.0.contains(text), "{violation}");
        assert_eq!(
            self.sent().last(),
            Some(&header(Kind::GoAway, Flags::EMPTY, 0, 1))
        );
    }

    fn is_reset(&mut self, id: u32) -> bool {
        self.sent()
            .iter()
            .any(|header| header.stream == id && header.flags.contains(Flags::RST))
    }
}

fn header(kind: Kind, flags: Flags, stream: u32, length: u32) -> Header {
    Header {
        kind,
        flags,
        stream,
        length,
    }
}

fn frame(kind: Kind, flags: Flags, stream: u32, length: u32) -> Vec<u8> {
    header(kind, flags, stream, length).encode().to_vec()
}

fn data(flags: Flags, stream: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    [&frame(Kind::Data, flags, stream, len)[..], body].concat()
}
