//! Streams that the peer opens: its pings are echoed, and nothing else is available. Some nodes serve only peers that do so.

use bytes::{Buf, BytesMut};

use super::multistream::{HEADER, message};

/// One such stream.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    input: BytesMut,
    pinging: bool,
}

/// As many are served; the others are reset.
pub(crate) const GUESTS_MAX: usize = 256;

impl Guest {
    /// What to answer.
    pub(crate) fn recv(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend_from_slice(bytes);
        let mut answer = Vec::new();
        while !self.pinging {
            let length = usize::from(self.input.first().copied().unwrap_or(u8::MAX));
            if length > 127 || self.input.len() <= length {
                // Longer than any name that is known here, or not whole yet.
                self.input.truncate(128);
                return answer;
            }
            let whole = self.input.split_to(length + 1);
            let known = [HEADER, crate::bench::PING]
                .into_iter()
                .find(|name| message(name) == whole);
            answer.extend(message(known.unwrap_or("na")));
            self.pinging = known == Some(crate::bench::PING);
        }
        answer.extend_from_slice(&self.input);
        self.input.advance(self.input.len());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bench::PING, speak::multistream::propose};

    #[test]
    fn a_ping_is_echoed_and_nothing_else_is_available() {
        let mut guest = Guest::default();
        assert_eq!(guest.recv(&propose(&["/x"])), propose(&["na"]));
        let bytes = [message(PING), b"0123".to_vec()].concat();
        assert_eq!(guest.recv(&bytes), bytes);
        assert_eq!(guest.recv(b"4567"), b"4567");
    }
}
