//! Hands what is to outlive the program to the one who writes it.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tracing::warn;

use super::Control;
use crate::store::{Saver, unix_now};

impl Control {
    /// While the last batch still waits, changes wait with the swarm.
    pub(super) fn save(&mut self) {
        if let Some(place) = self.saver.as_ref().and_then(Saver::ready) {
            place.send(self.swarm.take_changes(Instant::now(), unix_now()));
        }
    }

    /// Saves what is not yet, within a bound.
    pub(super) async fn save_all(&mut self) {
        let Some(saver) = self.saver.take() else {
            return;
        };
        let save = async {
            while self.swarm.is_unsaved()
                && let Some(place) = saver.room().await
            {
                place.send(self.swarm.take_changes(Instant::now(), unix_now()));
            }
            saver.finish().await;
        };
        if timeout(SAVE_TIMEOUT, save).await.is_err() {
            warn!("the store did not take the last changes in time");
        }
    }
}

/// A disk that takes longer than this for its last words does not get them.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);
