//! Buffers of connections: blocks to read into, and memory for what waits to be sent.
//!
//! A connection reads into one large block after the other. Streams hold slices of them; a block is used again once no
//! slice is left. When `LENT_MAX` blocks are out with slow readers, payloads are copied out, so a stream that is not
//! read holds what its window allows and not the blocks around it. An idle connection holds no buffer at all: they wait
//! in a pool, since the allocator would give their pages back to the system, which has to clear each of them again.

use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
    thread::LocalKey,
};

use bytes::{Bytes, BytesMut};
use carrick_session::Records;

/// Bytes in a block: several full records, and what the kernel has ready in one call.
const BLOCK: usize = 512 << 10;
/// Room that a read should find; below it the next block begins.
const READ_MIN: usize = 80 << 10;
/// Blocks whose slices may be with streams at once.
const LENT_MAX: usize = 4;
/// Bytes in a send buffer: what `send_buffer_max` lets pile up by default, and what ciphers add.
const SEND: usize = 336 << 10;
/// Larger send buffers are not kept: who asks for much in the configuration asks for it when it is needed.
const SEND_KEPT_MAX: usize = 2 * SEND;
/// Unsent bytes from which on a send buffer comes out of the pool.
const SEND_MIN: usize = 8 << 10;
/// Free buffers of a kind that each thread keeps, and that all threads share besides: tasks move between threads.
const LOCAL_MAX: usize = 2;
const SHARED_MAX: usize = 4;

/// Free buffers.
type Pool<T> = RefCell<Vec<T>>;

thread_local! {
    static BLOCKS: Pool<BytesMut> = const { RefCell::new(Vec::new()) };
    static SENDS: Pool<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
static SHARED_BLOCKS: Mutex<Vec<BytesMut>> = Mutex::new(Vec::new());
static SHARED_SENDS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn take<T>(local: &'static LocalKey<Pool<T>>, shared: &Mutex<Vec<T>>) -> Option<T> {
    local
        .with_borrow_mut(Vec::pop)
        .or_else(|| shared.lock().unwrap_or_else(PoisonError::into_inner).pop())
}

fn give<T>(local: &'static LocalKey<Pool<T>>, shared: &Mutex<Vec<T>>, buffer: T) {
    let left = local.with_borrow_mut(|pool| {
        if pool.len() >= LOCAL_MAX {
            return Some(buffer);
        }
        pool.push(buffer);
        None
    });
    if let Some(buffer) = left {
        let mut pool = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < SHARED_MAX {
            pool.push(buffer);
        }
    }
}

/// Sees to it that `records` can take `len` bytes more without growing, where that is worth it.
pub(crate) fn prepare(records: &mut Records, len: usize) {
    if records.spare_capacity() < len && records.len() + len >= SEND_MIN {
        let memory = take(&SENDS, &SHARED_SENDS).unwrap_or_else(|| Vec::with_capacity(SEND));
        give_send(records.give_memory(memory));
    }
}

/// Takes the memory out of `records`, if they are empty.
pub(crate) fn release(records: &mut Records) {
    give_send(records.take_memory());
}

fn give_send(memory: Vec<u8>) {
    if (SEND..=SEND_KEPT_MAX).contains(&memory.capacity()) {
        give(&SENDS, &SHARED_SENDS, memory);
    }
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
            is_block: false,
            lent: Vec::new(),
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

    /// Whether another read would need one more block because streams have not read what they were given.
    pub(crate) fn runs_ahead(&mut self) -> bool {
        self.is_block
            && !self.lent.is_empty()
            && self.current.capacity() - self.current.len() < READ_MIN
            && !(self.current.is_empty() && self.current.try_reclaim(BLOCK))
            && !self.lent.iter_mut().any(|block| block.try_reclaim(BLOCK))
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

impl Drop for Blocks {
    /// Most connections are short: the next one gets the block.
    fn drop(&mut self) {
        self.current.clear();
        give_block(&mut self.current);
    }
}

/// A payload in memory of its own.
pub(crate) fn copy(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn take_block() -> BytesMut {
    take(&BLOCKS, &SHARED_BLOCKS).unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
}

/// False while slices of the block are out.
fn give_block(block: &mut BytesMut) -> bool {
    let free = block.try_reclaim(BLOCK);
    if free {
        give(&BLOCKS, &SHARED_BLOCKS, std::mem::take(block));
    }
    free
}

#[cfg(test)]
mod tests;
