//! What metrics ask of the swarm beside its limits.

use super::Swarm;
use crate::{
    event::Direction,
    figures::{BlackHoleFigures, DialFigures},
};
use libp2p_identity::PeerId;

impl Swarm {
    /// What dials have taken so far.
    pub fn dial_figures(&self) -> DialFigures {
        self.dialer.figures()
    }

    /// How UDP and IPv6 fare.
    pub fn black_holes(&self) -> [BlackHoleFigures; 2] {
        self.dialer.black_holes()
    }

    /// The connections to a peer that it, or we, dialed, with those that we are closing.
    pub fn held(&self, peer: &PeerId, direction: Direction) -> usize {
        self.connections.held(peer, direction)
    }
}
