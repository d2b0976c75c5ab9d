//! Chance that can be repeated: a small generator, and all that is drawn comes from its seed.

/// A generator of numbers (SplitMix64). The same seed gives the same numbers, on every machine.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A generator at its beginning.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for a part of the world: what others draw does not move it.
    pub const fn of(seed: u64, part: u64) -> Self {
        Self(mix(seed ^ mix(part ^ 0x51ed_270b)))
    }

    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`; 0 if that is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draw() % end }
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A number from `low` to `high` of which each order of magnitude is as likely as the others.
    pub const fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let steps = (high / if low == 0 { 1 } else { low }).ilog2() as u64;
        let top = low << self.below(steps + 1);
        let end = if top * 2 < high { top * 2 } else { high };
        self.between(top, end)
    }

    /// True in `of_thousand` cases of a thousand.
    pub const fn odds(&mut self, of_thousand: u64) -> bool {
        self.below(1000) < of_thousand
    }

    /// One of them; there must be one.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    /// 32 bytes, as keys and handshakes need them.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.draw().to_le_bytes());
        }
        bytes
    }
}

/// Spreads a number over all 64 bits.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
