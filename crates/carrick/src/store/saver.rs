//! The task that writes: takes batches from the control task, one at a time, and never makes it wait.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use carrick_swarm::Change;
use tokio::{
    runtime::Handle,
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use tracing::{info, warn};

use super::{Store, StoreError};
use crate::steps::{self, Step};

/// The control task's end.
pub(crate) struct Saver {
    batches: mpsc::Sender<Vec<Change>>,
    task: JoinHandle<()>,
}

impl Saver {
    pub(crate) fn new(store: Arc<dyn Store>, runtime: &Handle) -> Self {
        let (batches, received) = mpsc::channel(1);
        let task = runtime.spawn(run(store, received));
        Self { batches, task }
    }

    /// Room for a batch, unless the one before it still waits.
    pub(crate) fn ready(&self) -> Option<mpsc::Permit<'_, Vec<Change>>> {
        self.batches.try_reserve().ok()
    }

    /// As [`ready`](Self::ready), but waits for it.
    pub(crate) async fn room(&self) -> Option<mpsc::Permit<'_, Vec<Change>>> {
        self.batches.reserve().await.ok()
    }

    /// Returns when all batches are written.
    pub(crate) async fn finish(self) {
        drop(self.batches);
        // It only fails with the runtime.
        let _ = self.task.await;
    }
}

async fn run(store: Arc<dyn Store>, mut batches: mpsc::Receiver<Vec<Change>>) {
    let mut unwritten = Unwritten::default();
    let mut failing = false;
    while let Some(batch) = batches.recv().await {
        batch.into_iter().for_each(|change| unwritten.add(change));
        let (store, changes) = (store.clone(), unwritten.changes());
        let written = spawn_blocking(move || {
            steps::passed(Step::StoreWriting);
            let written = store.write(&changes);
            steps::passed(Step::StoreWritten);
            written
        })
        .await;
        let panicked = |_| Err(StoreError::Failed("it panicked".to_owned()));
        match written.unwrap_or_else(panicked) {
            Ok(()) => {
                unwritten = Unwritten::default();
                if std::mem::take(&mut failing) {
                    info!("the store is written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(%error, "cannot save what is known of peers; it is kept in memory");
                }
            }
        }
    }
}

/// What is to be written, or could not be and is kept for the next time. Invariant: within the bounds; what finds no room
/// is written when it changes again.
#[derive(Default)]
struct Unwritten {
    records: BTreeMap<String, Option<Vec<u8>>>,
    bytes: usize,
}

impl Unwritten {
    fn add(&mut self, (key, value): Change) {
        let size = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        if let Some(before) = self.records.remove(&key) {
            self.bytes -= size(&before);
        }
        let bytes = self.bytes + size(&value);
        if self.records.len() < RECORDS_MAX && bytes <= UNWRITTEN_BYTES_MAX {
            self.bytes = bytes;
            self.records.insert(key, value);
        }
    }

    fn changes(&self) -> Vec<Change> {
        let records = self.records.iter();
        records
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// Everything in the store, within bounds.
pub(crate) async fn load(store: Arc<dyn Store>) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let load = spawn_blocking(move || {
        let (mut records, mut bytes) = (Vec::new(), 0);
        store.load(&mut |key, value| {
            bytes += key.len() + value.len();
            if bytes <= LOADED_BYTES_MAX && records.len() < RECORDS_MAX {
                records.push((key.to_owned(), value.to_owned()));
            }
        })?;
        Ok(records)
    });
    let panicked = |_| Err(StoreError::Failed("it panicked".to_owned()));
    load.await.unwrap_or_else(panicked)
}

/// The time of day, since 1970.
pub(crate) fn unix_now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// Records that wait to be written, and that are read.
const RECORDS_MAX: usize = 1 << 17;
/// Most that waits to be written, in bytes.
const UNWRITTEN_BYTES_MAX: usize = 64 << 20;
/// Most that is read of a store, in bytes.
const LOADED_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests;
