//! Read buffers: lent to streams as slices, taken back when those are gone, and bounded in number.
//!
//! A connection reads into one large block after the other. Streams hold slices of them; a block is used again once no
//! slice is left. When `LENT_MAX` blocks are out with slow readers, payloads are copied out, so a stream that is not
//! read holds what its window allows and not the blocks around it. An idle connection holds no block at all.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Bytes in a block: several full records, and less than a core's second-level cache.
const BLOCK: usize = 256 << 10;
/// Room that a read should find; below it the next block begins.
const READ_MIN: usize = 80 << 10;
/// Blocks whose slices may be with streams at once.
const LENT_MAX: usize = 8;
/// Free blocks kept on each thread.
const POOL_MAX: usize = 4;

thread_local! {
    static POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// One connection's blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    current: BytesMut,
    /// Whether `current` is a block, and not what was read before the first one.
    is_block: bool,
    /// Handles on blocks of which slices are out, oldest first.
    lent: Vec<BytesMut>,
}

impl Blocks {
    /// Starts with bytes that were read before.
    pub(crate) fn new(leftover: BytesMut) -> Self {
        Self {
            current: leftover,
            ..Self::default()
        }
    }

    /// The bytes that wait to be opened.
    pub(crate) fn current(&mut self) -> &mut BytesMut {
        &mut self.current
    }

    /// Makes room for a read behind the bytes that wait.
    pub(crate) fn make_room(&mut self) {
        if self.current.capacity() - self.current.len() >= READ_MIN {
            return;
        }
        if self.current.is_empty() && self.current.try_reclaim(BLOCK) {
            return;
        }
        let mut next = self.take_back().unwrap_or_else(take_block);
        next.extend_from_slice(&self.current);
        let last = std::mem::replace(&mut self.current, next);
        self.lend(last);
        self.is_block = true;
    }

    /// Keeps a handle on a block, unless none of its slices can be out: payloads were copied.
    fn lend(&mut self, mut block: BytesMut) {
        block.clear();
        if self.is_block && self.lent.len() < LENT_MAX {
            self.lent.push(block);
        }
    }

    /// Whether payloads must be copied because too many blocks are with slow readers.
    pub(crate) fn must_copy(&self) -> bool {
        self.lent.len() >= LENT_MAX
    }

    /// Gives back the block in which nothing waits, and those that streams are done with. The others stay counted: who
    /// sends in small portions must not have one block after the other held.
    pub(crate) fn rest(&mut self) {
        if self.current.is_empty() && self.current.capacity() > 0 {
            let mut block = std::mem::take(&mut self.current);
            if !give_block(&mut block) {
                self.lend(block);
            }
            self.is_block = false;
        }
        self.lent.retain_mut(|block| !give_block(block));
    }

    fn take_back(&mut self) -> Option<BytesMut> {
        let free = self
            .lent
            .iter_mut()
            .position(|block| block.try_reclaim(BLOCK))?;
        Some(self.lent.swap_remove(free))
    }
}

/// A payload in memory of its own.
pub(crate) fn copy(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn take_block() -> BytesMut {
    POOL.with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
}

/// False while slices of the block are out.
fn give_block(block: &mut BytesMut) -> bool {
    let free = block.try_reclaim(BLOCK);
    if free {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < POOL_MAX {
                pool.push(std::mem::take(block));
            }
        });
    }
    free
}

#[cfg(test)]
mod tests;
