//! The receiver's side of one transfer: from the offer to the files under their final names. One task hears, one thread
//! verifies and writes. Always: what is written has been proven to be a part of what was offered.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use carrick::{
    Stream,
    transfer::{
        ENTRIES_MAX, Entry, EntryKind, EntryPath, Frame, GROUP_LEN, Hash, MANIFEST_MAX, Secret,
    },
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

use super::{
    place::{Place, Writer},
    source,
    talk::{Hearer, Speaker, talk},
    tree::{self, Walk},
    trouble::Trouble,
};

/// How a transfer is received.
#[derive(Clone, Debug)]
pub(crate) struct Take {
    pub(crate) output: PathBuf,
    pub(crate) size_max: Option<u64>,
    pub(crate) patience: Duration,
    pub(crate) progress: Arc<Progress>,
}

/// How far it is, for whoever watches.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes of all files; 0 before the offer.
    pub(crate) total: AtomicU64,
    /// Bytes that were here before, verified again.
    pub(crate) resumed: AtomicU64,
    /// Bytes that have come, verified and written.
    pub(crate) received: AtomicU64,
}

/// What the sender says that it has.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) root: Hash,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) name: EntryPath,
}

/// What has been received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// Without what was here before.
    pub(crate) moved: u64,
}

impl Take {
    /// Fetches what a ticket is for.
    ///
    /// # Errors
    /// See [`Trouble`]. The sender has been told.
    pub(crate) async fn fetch(
        &self,
        stream: Stream,
        root: Hash,
        secret: Secret,
    ) -> Result<Received, Trouble> {
        let (mut hearer, mut speaker) = talk(stream, self.patience);
        let outcome = async {
            speaker.say(&Frame::Fetch { root, secret }).await?;
            let offer = self.offer(&mut hearer, self.patience).await?;
            if offer.root != root {
                return Err(Trouble::violation(
                    "it offers something else than the ticket is for",
                ));
            }
            self.receive(&mut hearer, &mut speaker, offer).await
        };
        let outcome = outcome.await;
        end(outcome, &mut hearer, &mut speaker).await
    }

    /// Receives what a sender has come with, if `consent` agrees, which may take its time; what it gives is held until the
    /// end. Who has come may be anybody: he has a moment to say what it is, whatever the patience with those who work.
    ///
    /// # Errors
    /// See [`Trouble`]. The sender has been told.
    pub(crate) async fn accept<C, H>(
        &self,
        stream: Stream,
        consent: impl FnOnce(Offer) -> C,
    ) -> Result<Received, Trouble>
    where
        C: Future<Output = Result<H, Trouble>>,
    {
        let (mut hearer, mut speaker) = talk(stream, self.patience);
        let outcome = async {
            let patience = self.patience.min(OFFER_TIMEOUT);
            let offer = self.offer(&mut hearer, patience).await?;
            let _held = working(&mut speaker, consent(offer.clone())).await?;
            self.receive(&mut hearer, &mut speaker, offer).await
        };
        let outcome = outcome.await;
        end(outcome, &mut hearer, &mut speaker).await
    }

    /// Tells a sender why not.
    pub(crate) async fn refuse(&self, stream: Stream, trouble: Trouble) {
        let (mut hearer, mut speaker) = talk(stream, self.patience);
        speaker.fail(&trouble).await;
        hearer.wait_for_end().await;
    }

    async fn offer(&self, hearer: &mut Hearer, patience: Duration) -> Result<Offer, Trouble> {
        let Frame::Offer {
            root,
            entries,
            bytes,
            name,
        } = hearer.hear_within(patience).await?
        else {
            return Err(Trouble::violation("an offer was due"));
        };
        if entries == 0 || entries > ENTRIES_MAX {
            return Err(Trouble::violation(format!("it offers {entries} entries")));
        }
        match self.size_max {
            Some(max) if bytes > max => return Err(Trouble::TooLarge { bytes, max }),
            _ => {}
        }
        self.progress.total.store(bytes, Ordering::Relaxed);
        Ok(Offer {
            root,
            entries,
            bytes,
            name,
        })
    }

    async fn receive(
        &self,
        hearer: &mut Hearer,
        speaker: &mut Speaker,
        offer: Offer,
    ) -> Result<Received, Trouble> {
        speaker.say(&Frame::Accept).await?;
        let entries = manifest(hearer, &offer).await?;
        let (output, progress) = (self.output.clone(), self.progress.clone());
        let place =
            spawn_blocking(move || Place::open(&output, &offer.root, entries, &AtomicU64::new(0)));
        let place = Arc::new(working(speaker, joined(place)).await?);
        progress
            .resumed
            .store(place.bytes_here(), Ordering::Relaxed);
        for range in place.missing() {
            let (first, count) = (range.start, range.end - range.start);
            speaker.say(&Frame::Want { first, count }).await?;
        }
        self.groups(hearer, speaker, &place).await?;
        let received = Received {
            files: place.file_count(),
            bytes: offer.bytes,
            moved: progress.received.load(Ordering::Relaxed),
        };
        let place = Arc::into_inner(place).expect("the writer has ended");
        working(speaker, joined(spawn_blocking(move || place.finish()))).await?;
        // Everything is in its place, whether the sender learns of it or not.
        if speaker.say(&Frame::Done).await.is_ok() && speaker.finish().await.is_ok() {
            hearer.wait_for_end().await;
        }
        Ok(received)
    }

    async fn groups(
        &self,
        hearer: &mut Hearer,
        speaker: &mut Speaker,
        place: &Arc<Place>,
    ) -> Result<(), Trouble> {
        let (groups, queue) = mpsc::channel(GROUPS_MAX);
        let (used, mut free) = mpsc::channel(2 * GROUPS_MAX);
        let (their_place, progress) = (place.clone(), self.progress.clone());
        let mut writer = spawn_blocking(move || write(&their_place, queue, &used, &progress));
        let hearing = async {
            for range in place.missing() {
                for (file, size, hash, wanted) in place.files(range.clone()) {
                    let mut walk = Walk::new(size, hash, wanted);
                    while let Some(part) = walk.next_part() {
                        if part.groups > 1 {
                            let Frame::Node { left, right } = hearer.hear().await? else {
                                return Err(Trouble::violation("a node was due"));
                            };
                            if !walk.split(part, left, right) {
                                return Err(Trouble::Corrupt(place.name(file).to_owned()));
                            }
                            continue;
                        }
                        let Frame::Group { len } = hearer.hear().await? else {
                            return Err(Trouble::violation("a group was due"));
                        };
                        if len != tree::group_len(size, part.first) {
                            return Err(Trouble::violation("a group has another length"));
                        }
                        let mut bytes = free
                            .try_recv()
                            .unwrap_or_else(|_| Vec::with_capacity(GROUP_LEN));
                        hearer.hear_group(len, &mut bytes).await?;
                        let group = Group {
                            file,
                            group: part.first,
                            value: part.value,
                            bytes,
                        };
                        if working(speaker, async { Ok(groups.send(group).await) })
                            .await?
                            .is_err()
                        {
                            // The writer says why.
                            return Ok(());
                        }
                    }
                }
            }
            Ok(())
        };
        let heard = tokio::select! {
            heard = hearing => heard,
            // It ends before the queue does if it cannot go on.
            written = &mut writer => return written.expect("the writer neither panics nor is aborted"),
        };
        drop(groups);
        // What has been heard is written, whatever came then.
        working(speaker, joined(writer)).await?;
        heard
    }
}

/// A group that is to be verified and written.
struct Group {
    file: usize,
    group: u64,
    value: Hash,
    bytes: Vec<u8>,
}

fn write(
    place: &Place,
    mut queue: mpsc::Receiver<Group>,
    used: &mpsc::Sender<Vec<u8>>,
    progress: &Progress,
) -> Result<(), Trouble> {
    let mut writer = Writer::new(place);
    while let Some(Group {
        file,
        group,
        value,
        bytes,
    }) = queue.blocking_recv()
    {
        if tree::group_value(place.size(file), group, &bytes) != value {
            return Err(Trouble::Corrupt(place.name(file).to_owned()));
        }
        writer.write(file, group, &value, &bytes)?;
        progress
            .received
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let _ = used.try_send(bytes);
    }
    Ok(())
}

/// The entries, which must be what was offered.
async fn manifest(hearer: &mut Hearer, offer: &Offer) -> Result<Vec<Entry>, Trouble> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut bytes, mut len) = (0_u64, 0_usize);
    loop {
        let entry = match hearer.hear().await? {
            Frame::Entry(entry) => entry,
            Frame::End => break,
            _ => return Err(Trouble::violation("an entry was due")),
        };
        entry
            .check_after(entries.last())
            .map_err(Trouble::violation)?;
        if let EntryKind::File { size, .. } = entry.kind {
            bytes = bytes.saturating_add(size);
        }
        len = len.saturating_add(entry.path.as_str().len() + ENTRY_HEAD);
        if len > MANIFEST_MAX || bytes > offer.bytes || entries.len() as u64 >= offer.entries {
            return Err(Trouble::violation("the manifest has more than was offered"));
        }
        entries.push(entry);
    }
    let first = entries.first().and_then(|entry| entry.path.names().next());
    let is_offered = bytes == offer.bytes
        && entries.len() as u64 == offer.entries
        && first == Some(offer.name.as_str())
        && source::root(&entries) == offer.root;
    if is_offered {
        Ok(entries)
    } else {
        Err(Trouble::violation(
            "the manifest is not the one that was offered",
        ))
    }
}

/// Waits for work of ours, and tells the sender so, who would give us up otherwise.
async fn working<T>(
    speaker: &mut Speaker,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            () = sleep(WORKING_INTERVAL) => {}
        }
        // A sender who has gone is noticed by who waits for it; our work is worth finishing.
        let _ = speaker.say(&Frame::Working).await;
    }
}

async fn joined<T>(work: JoinHandle<Result<T, Trouble>>) -> Result<T, Trouble> {
    work.await.expect("the work neither panics nor is aborted")
}

async fn end(
    outcome: Result<Received, Trouble>,
    hearer: &mut Hearer,
    speaker: &mut Speaker,
) -> Result<Received, Trouble> {
    if let Err(trouble) = &outcome {
        speaker.fail(trouble).await;
        hearer.wait_for_end().await;
    }
    outcome
}

/// How long somebody may be here without having said what it has.
const OFFER_TIMEOUT: Duration = Duration::from_secs(10);
/// Groups that wait to be written.
const GROUPS_MAX: usize = 4;
/// Bytes of an entry's frame beside its path, at least.
const ENTRY_HEAD: usize = 4;
const WORKING_INTERVAL: Duration = Duration::from_secs(1);
