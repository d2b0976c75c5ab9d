//! Chance, from a seed, a way and a packet's number: what happens to packet 7 does not depend on what was asked of packet 6.
//! Every use draws from a place of its own, so that turning one fault on leaves the others where they were.

/// The numbers that one packet is dealt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(u64);

/// What a number is drawn for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum For {
    Loss,
    Burst,
    Jitter,
    Reorder,
    Duplicate,
    Corrupt,
    Place,
    Bit,
}

impl Dice {
    pub(crate) const fn new(seed: u64, way: usize, number: u64) -> Self {
        Self(mix(mix(mix(seed) ^ way as u64) ^ number))
    }

    /// Whether something of this probability, 0 to 1, happens.
    pub(crate) fn happens(self, subject: For, probability: f64) -> bool {
        self.fraction(subject) < probability
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn fraction(self, subject: For) -> f64 {
        (self.draw(subject) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, not including, `end`, which is not 0.
    pub(crate) const fn below(self, subject: For, end: usize) -> usize {
        (self.draw(subject) % end as u64) as usize
    }

    const fn draw(self, subject: For) -> u64 {
        mix(self.0 ^ ((subject as u64 + 1) << 56))
    }
}

/// One step of SplitMix64: ours, so that a seed means the same for ever.
const fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
