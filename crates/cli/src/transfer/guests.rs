//! Who has come and may be anybody: so many at once, and so few of one peer that no peer keeps the others out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use carrick::PeerId;

/// Those who are here.
#[derive(Clone, Debug)]
pub(crate) struct Guests {
    max: usize,
    here: Arc<Mutex<BTreeMap<PeerId, usize>>>,
}

/// One of them; goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    peer: PeerId,
    guests: Guests,
}

impl Guests {
    /// Nobody yet, and `max` at most.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            here: Arc::default(),
        }
    }

    /// One more; `None`: there is no place for this peer.
    pub(crate) fn admit(&self, peer: PeerId) -> Option<Guest> {
        let mut here = self.here();
        let of_peer = here.get(&peer).copied().unwrap_or(0);
        if of_peer >= OF_PEER_MAX || here.values().sum::<usize>() >= self.max {
            return None;
        }
        here.insert(peer, of_peer + 1);
        let guests = self.clone();
        Some(Guest { peer, guests })
    }

    fn here(&self) -> MutexGuard<'_, BTreeMap<PeerId, usize>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut here = self.guests.here();
        match here.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = here.remove(&self.peer),
        }
    }
}

/// Streams of one peer: one that works, and some that it has given up and we have not yet.
const OF_PEER_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_has_no_place_until_another_goes_whether_of_a_peer_or_of_all() {
        let guests = Guests::new(OF_PEER_MAX + 1);
        let [peer, other] = [PeerId::random(), PeerId::random()];
        let mut here: Vec<_> = (0..OF_PEER_MAX)
            .map(|_| guests.admit(peer).expect("there is room"))
            .collect();
        assert!(guests.admit(peer).is_none());
        let last = guests.admit(other);
        assert!(last.is_some() && guests.admit(other).is_none());
        here.pop();
        assert!(guests.admit(other).is_some());
        here.extend(guests.admit(peer));
        assert_eq!(here.len(), OF_PEER_MAX);
        drop((here, last));
        assert!(guests.here().is_empty());
    }
}
