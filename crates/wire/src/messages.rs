//! Typed messages between peers: what their frames say. Here: how urgent a message is.

/// How urgent a message is. Lanes of different priority share what carries them by weight, so an urgent flood slows what is
/// less urgent and never stops it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// What keeps the conversation going: cancellations, shutdown, small and rare.
    Control = 0,
    /// What somebody waits for.
    High = 1,
    /// What most messages are.
    #[default]
    Normal = 2,
    /// Large or many, and nobody waits: backfill, gossip.
    Bulk = 3,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::High, Self::Normal, Self::Bulk];

    /// The number of this priority's lane, 0 for the most urgent, which is also its number on the wire.
    pub const fn lane(self) -> usize {
        self as usize
    }

    /// The turns that this lane gets in a round in which all lanes want some: 8, 4, 2, 1.
    pub const fn weight(self) -> u32 {
        8 >> (self as u32)
    }
}
