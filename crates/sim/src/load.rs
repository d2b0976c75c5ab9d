//! The simulation's own protocol: a numbered stream of bytes there and another one back, each byte known in advance to
//! whoever reads it. So nothing can be lost, repeated or moved without being noticed.

use std::time::Duration;

use crate::{
    chance::{Chance, mix},
    conversation::{Conversation, Failure, Talk},
    ground::Ground,
    laws::Law,
};

/// Its name.
pub(crate) const LOAD: &str = "/carrick-sim/load/1";
const HEADER: usize = 32;
const CHUNK_MAX: u64 = 64 << 10;

/// The byte at a place of a stream.
const fn byte_at(seed: u64, at: u64) -> u8 {
    (mix(seed ^ (at >> 3)) >> (8 * (at & 7))) as u8
}

/// One direction, verified.
#[derive(Debug)]
struct Reader {
    seed: u64,
    len: u64,
    got: u64,
}

impl Reader {
    fn recv(&mut self, talk: &mut Talk<'_>, bytes: &[u8]) {
        let (got, len, host) = (self.got, self.len, talk.host);
        let ground = &mut *talk.ground;
        ground.hold(Law::StreamBeyond, got + bytes.len() as u64 <= len, || {
            format!("h{host}: {} bytes behind {got} of {len}", bytes.len())
        });
        let wrong = (got..)
            .zip(bytes)
            .find(|(at, byte)| byte_at(self.seed, *at) != **byte);
        ground.hold(Law::StreamBytes, wrong.is_none(), || {
            format!("h{host}: byte {wrong:?} of {len} is another one")
        });
        self.got += bytes.len() as u64;
        ground.book.bytes += bytes.len() as u64;
    }

    fn end(&self, talk: &mut Talk<'_>) {
        let (got, len, host) = (self.got, self.len, talk.host);
        talk.ground.hold(Law::StreamEnd, got == len, || {
            format!("h{host}: the end came after {got} of {len} bytes")
        });
    }
}

#[derive(Debug)]
struct Writer {
    seed: u64,
    len: u64,
    put: u64,
}

impl Writer {
    /// Writes some more; false when all is written.
    fn go_on(&mut self, talk: &mut Talk<'_>) -> bool {
        let size = talk.chance().between(1, CHUNK_MAX).min(self.len - self.put);
        let bytes: Vec<u8> = (self.put..self.put + size)
            .map(|at| byte_at(self.seed, at))
            .collect();
        self.put += size;
        talk.write(&bytes);
        self.put < self.len
    }
}

/// Who calls.
#[derive(Debug)]
pub(crate) struct Caller {
    there: Writer,
    back: Reader,
    /// The other side reads slowly, milliseconds for each piece.
    slow: u64,
    /// Where it is given up.
    give_up: Option<u64>,
    is_over: bool,
}

impl Caller {
    pub(crate) fn new(seed: u64, ground: &mut Ground) -> Self {
        let chance = &mut Chance::of(seed, 0x10ad);
        let faults = ground.config.faults;
        let max = match faults.bandwidth_min {
            0 => ground.config.call_bytes_max,
            bytes => ground.config.call_bytes_max.min(bytes * 4),
        };
        let mut size = || match chance.below(4) {
            0 => 0,
            1 => chance.below(100).min(max),
            _ => chance.magnitude(1, max),
        };
        let (there, back) = (size(), size());
        let slow = chance.odds(faults.slow_readers);
        let give_up = chance.odds(faults.resets_by_users);
        ground.book.begun += 1;
        Self {
            there: Writer {
                seed,
                len: there,
                put: 0,
            },
            back: Reader {
                seed: !seed,
                len: back,
                got: 0,
            },
            slow: if slow { chance.between(1, 500) } else { 0 },
            give_up: give_up.then(|| chance.below(there + 1)),
            is_over: false,
        }
    }

    fn over(&mut self, talk: &mut Talk<'_>) {
        let first = !std::mem::replace(&mut self.is_over, true);
        let host = talk.host;
        talk.ground
            .hold(Law::CallEndsOnce, first, || format!("h{host}"));
        talk.expect(false);
    }

    fn go_on(&mut self, talk: &mut Talk<'_>) {
        if self.give_up.is_some_and(|at| self.there.put >= at) {
            self.over(talk);
            talk.ground.book.given_up += 1;
            return talk.reset(7);
        }
        if !self.there.go_on(talk) {
            talk.finish();
        }
    }
}

impl Conversation for Caller {
    fn handle_opened(&mut self, talk: &mut Talk<'_>) {
        talk.expect(true);
        let numbers = [self.there.seed, self.there.len, self.back.len, self.slow];
        for number in numbers {
            talk.write(&number.to_le_bytes());
        }
        self.go_on(talk);
    }

    fn handle_drained(&mut self, talk: &mut Talk<'_>) {
        if !self.is_over {
            self.go_on(talk);
        }
    }

    fn recv(&mut self, talk: &mut Talk<'_>, bytes: &[u8]) {
        self.back.recv(talk, bytes);
    }

    fn handle_end(&mut self, talk: &mut Talk<'_>) {
        if self.is_over {
            return;
        }
        self.back.end(talk);
        self.over(talk);
        talk.ground.book.done += 1;
    }

    fn handle_error(&mut self, talk: &mut Talk<'_>, error: &Failure) {
        if self.is_over {
            return;
        }
        self.over(talk);
        talk.ground.book.failed += 1;
        talk.note(format!("a call failed: {error}"));
    }
}

/// Who is called.
#[derive(Debug, Default)]
pub(crate) struct Answerer {
    header: Vec<u8>,
    there: Option<Reader>,
    back: Option<Writer>,
    slow: u64,
    ended: bool,
}

impl Conversation for Answerer {
    fn recv(&mut self, talk: &mut Talk<'_>, mut bytes: &[u8]) {
        talk.expect(true);
        let missing = HEADER - self.header.len();
        if missing > 0 {
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.header.extend_from_slice(head);
            bytes = rest;
            if self.header.len() < HEADER {
                return;
            }
            let mut numbers = self.header.chunks_exact(8).map(|part| {
                let mut number = [0; 8];
                number.copy_from_slice(part);
                u64::from_le_bytes(number)
            });
            let mut next = || numbers.next().unwrap_or_default();
            let (seed, there, back) = (next(), next(), next());
            self.slow = next().min(1000);
            self.there = Some(Reader {
                seed,
                len: there,
                got: 0,
            });
            self.back = Some(Writer {
                seed: !seed,
                len: back,
                put: 0,
            });
        }
        if let Some(there) = &mut self.there
            && !bytes.is_empty()
        {
            there.recv(talk, bytes);
            if self.slow > 0 && talk.chance().odds(200) {
                talk.pause(Duration::from_millis(self.slow));
            }
        }
    }

    fn handle_drained(&mut self, talk: &mut Talk<'_>) {
        if let Some(back) = self.back.as_mut().filter(|_| self.ended)
            && !back.go_on(talk)
        {
            talk.finish();
        }
    }

    fn handle_end(&mut self, talk: &mut Talk<'_>) {
        match &self.there {
            Some(there) => there.end(talk),
            None => {
                talk.ground.hold(Law::StreamEnd, false, || {
                    "the end came before the beginning".to_owned()
                });
            }
        }
        self.ended = true;
        self.handle_drained(talk);
    }
}
