//! What the node's requests of all kinds share: whose turn it is, and who is let in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carrick_swarm::Limit;

pub(crate) use self::{
    gate::{Entered, Gate, Refusal, Rule},
    lanes::{Lanes, NoTurn},
};

pub(crate) mod gate;
pub(crate) mod lanes;

/// The requests of a node, ours and others'.
#[derive(Debug, Default)]
pub(crate) struct Requesting {
    pub(crate) lanes: Arc<Lanes>,
    /// One for each protocol that is served, for as long as it is.
    gates: Mutex<Vec<Arc<Gate>>>,
}

impl Requesting {
    pub(crate) fn add(&self, gate: Arc<Gate>) {
        self.gates().push(gate);
    }

    /// What the peer uses of a limit that uses most of it, in one protocol.
    pub(crate) fn most(&self, limit: Limit) -> u64 {
        match limit {
            Limit::RequestsOutboundPerPeer => self.lanes.most().0,
            Limit::RequestsQueuedPerPeer => self.lanes.most().1,
            _ => {
                let most = |gate: &Arc<Gate>| gate.most(limit);
                self.gates().iter().map(most).max().unwrap_or(0)
            }
        }
    }

    fn gates(&self) -> MutexGuard<'_, Vec<Arc<Gate>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
