//! The proofs of identity that were checked last, so that meeting a peer again costs no signature checks.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use carrick_session::Proofs;

/// Proofs that are remembered, about 100 bytes each. The oldest make room.
const PROOFS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct RecentProofs(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    known: HashSet<[u8; 32]>,
    /// The same, oldest first.
    order: VecDeque<[u8; 32]>,
}

impl RecentProofs {
    fn recent(&self) -> MutexGuard<'_, Recent> {
        // A digest is added to both or, at worst, forgotten a while longer by one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proofs for RecentProofs {
    fn is_known(&self, digest: &[u8; 32]) -> bool {
        self.recent().known.contains(digest)
    }

    fn learn(&self, digest: [u8; 32]) {
        let mut recent = self.recent();
        if !recent.known.insert(digest) {
            return;
        }
        if recent.order.len() >= PROOFS_MAX
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.known.remove(&oldest);
        }
        recent.order.push_back(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_last_is_known_and_no_more_than_a_bound() {
        let proofs = RecentProofs::default();
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..=PROOFS_MAX {
            proofs.learn(digest(number));
            proofs.learn(digest(number));
        }
        assert!(!proofs.is_known(&digest(0)));
        assert!((1..=PROOFS_MAX).all(|number| proofs.is_known(&digest(number))));
        assert_eq!(proofs.recent().order.len(), PROOFS_MAX);
        assert_eq!(proofs.recent().known.len(), PROOFS_MAX);
    }
}
