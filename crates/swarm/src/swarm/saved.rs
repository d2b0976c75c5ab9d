//! What outlives the program: records by key, in and out, as bytes. Which part a record belongs to stands
//! before the slash of its key: `peer/12D3Koo…`.

use std::time::{Duration, Instant};

use carrick_wire::peer_id;

use super::Swarm;
use crate::{event::Action, reputation::Ban};

/// A record's key, and its value; `None`: there is none any more.
pub type Change = (String, Option<Vec<u8>>);

/// When changes may next be handed out.
#[derive(Debug)]
pub(super) struct Saving {
    next: Instant,
}

impl Swarm {
    /// Takes in a record of an earlier run; `unix`: the time of day, since 1970. Afterwards nothing but changes is handed
    /// out: [`Self::save`].
    pub fn restore(&mut self, now: Instant, unix: Duration, key: &str, value: &[u8]) {
        let (part, id) = key.split_once('/').unwrap_or_default();
        if let (BAN, Ok(subject)) = (part, id.parse())
            && let Some(ban) = Ban::decode(subject, value)
        {
            return self.restore_bans(now, [ban]);
        }
        let counters = &mut self.out.counters;
        match (part, peer_id::parse(id)) {
            (PEER, Ok(peer)) if peer != self.local => {
                self.peer_store.restore(now, unix, peer, value, counters);
            }
            _ => counters.stored_refused += 1,
        }
    }

    /// From now on changes are noted. When there are some there is an [`Action::Save`], at most once in
    /// [`crate::Config::save_interval`]; then [`Self::take_changes`].
    pub fn save(&mut self, now: Instant) {
        self.saving = Some(Saving { next: now });
        self.peer_store.save();
        self.reputation.save();
    }

    /// What has changed since this was last called: at most 4096 records. If there are more, the next ones are due sooner.
    pub fn take_changes(&mut self, now: Instant, unix: Duration) -> Vec<Change> {
        let peers = self.peer_store.take_unsaved(now, unix, CHANGES_MAX);
        if let Some(saving) = self
            .saving
            .as_mut()
            .filter(|_| self.peer_store.is_unsaved())
        {
            saving.next = now + self.config.save_interval / 16;
        }
        let key = |peer| format!("{PEER}/{peer}");
        let peers = peers.into_iter().map(|(peer, record)| (key(peer), record));
        let bans = self.reputation.take_unsaved();
        let key = |subject| format!("{BAN}/{subject}");
        let bans = bans
            .into_iter()
            .map(|(subject, record)| (key(subject), record));
        peers.chain(bans).collect()
    }

    /// Whether there are changes.
    pub fn is_unsaved(&self) -> bool {
        self.peer_store.is_unsaved() || self.reputation.is_unsaved()
    }

    /// When changes are due.
    pub(super) fn save_at(&self) -> Option<Instant> {
        let saving = self.saving.as_ref()?;
        self.is_unsaved().then_some(saving.next)
    }

    pub(super) fn save_due(&mut self, now: Instant) {
        if self.save_at().is_some_and(|at| at <= now) {
            let next = now + self.config.save_interval;
            self.saving = Some(Saving { next });
            self.out.push(Action::Save);
        }
    }
}

const PEER: &str = "peer";
const BAN: &str = "ban";
const CHANGES_MAX: usize = 4096;
