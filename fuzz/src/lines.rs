//! Promises of the daemon's reader of lines: any pieces give the same lines, and none is too long.

#[path = "../../crates/cli/src/daemon/lines.rs"]
#[allow(dead_code, reason = "the daemon uses all of it")]
mod lines;

use crate::target::Target;
use lines::{Lines, TooLong};

/// Every target of this file.
pub const TARGETS: [Target; 1] = [("rpc_lines", rpc_lines)];

/// Of a line.
const MAX: usize = 64;

/// The first byte says how long pieces are.
pub fn rpc_lines(data: &[u8]) {
    let Some((size, data)) = data.split_first() else {
        return;
    };
    let whole = cut(std::iter::once(data));
    let pieces = cut(data.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, pieces);
}

/// The lines in these pieces, and whether one was too long.
fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let (mut lines, mut all) = (Lines::new(MAX), Vec::new());
    for piece in pieces {
        lines.push(piece);
        loop {
            match lines.next() {
                Ok(Some(line)) => {
                    assert!(!line.is_empty() && line.len() <= MAX && !line.contains(&b'\n'));
                    all.push(line.to_vec());
                }
                Ok(None) => break,
                Err(TooLong) => return (all, true),
            }
        }
    }
    (all, false)
}
