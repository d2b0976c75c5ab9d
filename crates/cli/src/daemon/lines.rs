//! A message is a line: bytes as they arrive in, whole lines out. Pure. Invariant: it holds at most `max` bytes and what was
//! pushed last.

use bytes::{Bytes, BytesMut};

/// Cuts what arrives into lines.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// So many bytes have been looked at and hold no end of a line.
    seen: usize,
    max: usize,
}

/// A line is longer than it may be. What follows cannot be understood any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Lines {
    /// Lines of at most `max` bytes, their end not counted.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            seen: 0,
            max,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that is there; empty ones are left out.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        loop {
            let unseen = self.buffer.get(self.seen..).unwrap_or_default();
            let Some(at) = unseen.iter().position(|byte| *byte == b'\n') else {
                self.seen = self.buffer.len();
                return if self.seen > self.max {
                    Err(TooLong)
                } else {
                    Ok(None)
                };
            };
            let line = self.buffer.split_to(self.seen + at + 1);
            self.seen = 0;
            if self.buffer.is_empty() {
                // A long line's room is not kept for the short ones after it.
                self.buffer = BytesMut::new();
            }
            let text = line.trim_ascii();
            if line.len() - 1 > self.max {
                return Err(TooLong);
            }
            if !text.is_empty() {
                return Ok(Some(Bytes::copy_from_slice(text)));
            }
        }
    }

    /// Whether a line has begun.
    pub(crate) fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(max: usize, pieces: &[&[u8]]) -> (Vec<Bytes>, bool) {
        let mut lines = Lines::new(max);
        let mut all = Vec::new();
        for piece in pieces {
            lines.push(piece);
            loop {
                match lines.next() {
                    Ok(Some(line)) => all.push(line),
                    Ok(None) => break,
                    Err(TooLong) => return (all, true),
                }
            }
        }
        (all, false)
    }

    #[test]
    fn cut_anywhere_the_lines_are_the_same() {
        let text = b"{\"a\":1}\n\n  \r\n[2]\r\nlast\nbegun";
        let whole = cut(16, &[text]).0;
        assert_eq!(whole, ["{\"a\":1}", "[2]", "last"]);
        for at in 0..text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(cut(16, &[head, tail]).0, whole, "cut at {at}");
        }
        let bytes: Vec<_> = text.chunks(1).collect();
        assert_eq!(cut(16, &bytes).0, whole);
    }

    #[test]
    fn a_line_of_max_bytes_passes_and_one_of_more_does_not() {
        assert_eq!(cut(4, &[b"1234\n"]), (vec![Bytes::from("1234")], false));
        assert_eq!(cut(4, &[b"12345\n"]), (Vec::new(), true));
        assert_eq!(cut(4, &[b"1\n", b"12345"]), (vec![Bytes::from("1")], true));
    }
}
