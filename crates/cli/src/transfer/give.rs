//! The sender's side of one transfer, from the offer to the receiver's last word.
//! While groups go out, the receiver may say that it has had enough: both are waited for at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use carrick::{
    Stream,
    transfer::{Frame, GROUP_LEN, Reason, Secret},
};
use tokio::sync::{Semaphore, mpsc};

use super::{
    source::Source,
    talk::{Hearer, Pulse, Speaker, talk},
    tree::{self, Walk},
    trouble::Trouble,
};

/// What is given, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Give {
    pub(crate) source: Arc<Source>,
    pub(crate) patience: Duration,
    /// Bytes of groups that the connection has taken.
    pub(crate) sent: Arc<AtomicU64>,
    /// One for each receiver at once.
    pub(crate) places: Arc<Semaphore>,
}

impl Give {
    /// Serves a receiver who has come: it must hold the ticket.
    ///
    /// # Errors
    /// See [`Trouble`]. The receiver has been told.
    pub(crate) async fn serve(&self, stream: Stream, secret: &Secret) -> Result<(), Trouble> {
        let (mut hearer, mut speaker) = talk(stream, self.patience);
        let outcome = async {
            self.authorize(&mut hearer, secret).await?;
            let _place = self.places.try_acquire().map_err(|_| Trouble::Busy)?;
            self.offer(&mut hearer, &mut speaker).await
        };
        let outcome = outcome.await;
        self.end(outcome, &mut hearer, &mut speaker).await
    }

    /// Offers it to a receiver who waits.
    ///
    /// # Errors
    /// See [`Trouble`]. The receiver has been told.
    pub(crate) async fn push(&self, stream: Stream) -> Result<(), Trouble> {
        let (mut hearer, mut speaker) = talk(stream, self.patience);
        let outcome = self.offer(&mut hearer, &mut speaker).await;
        self.end(outcome, &mut hearer, &mut speaker).await
    }

    async fn authorize(&self, hearer: &mut Hearer, secret: &Secret) -> Result<(), Trouble> {
        let Frame::Fetch {
            root,
            secret: shown,
        } = hearer
            .hear_within(self.patience.min(TICKET_TIMEOUT))
            .await?
        else {
            return Err(Trouble::violation("it does not begin with a ticket"));
        };
        // Hashes are compared in constant time.
        let is_ours = blake3::hash(&shown) == blake3::hash(secret);
        if is_ours && root == self.source.root {
            Ok(())
        } else {
            Err(Trouble::Unauthorized)
        }
    }

    async fn offer(&self, hearer: &mut Hearer, speaker: &mut Speaker) -> Result<(), Trouble> {
        speaker.say(&self.source.offer()?).await?;
        loop {
            match hearer.hear().await? {
                Frame::Accept => break,
                Frame::Working => {}
                _ => return Err(Trouble::violation("it neither accepts nor declines")),
            }
        }
        let pulse = Pulse::new(self.patience);
        let (wants, wanted) = mpsc::channel(WANTS_MAX);
        let (blocks, mut ready) = mpsc::channel(BLOCKS_MAX);
        let (used, free) = mpsc::channel(BLOCKS_MAX);
        let source = self.source.clone();
        let mut output = Output { blocks, free };
        let reader = tokio::task::spawn_blocking(move || read(&source, wanted, &mut output));
        let hearing = hear(hearer, wants, &pulse);
        let telling = async {
            self.manifest(speaker, &pulse).await?;
            while let Some(block) = ready.recv().await {
                let Block { frames, bytes } = block?;
                speaker.write(&frames, || pulse.beat()).await?;
                self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
                let _ = used.try_send(frames);
            }
            // The receiver has the last word.
            std::future::pending().await
        };
        let outcome = tokio::select! {
            outcome = hearing => outcome,
            outcome = telling => outcome,
            trouble = pulse.watch() => Err(trouble),
        };
        // Without us it has nobody to read for.
        drop(ready);
        let _ = reader.await;
        outcome
    }

    async fn manifest(&self, speaker: &mut Speaker, pulse: &Pulse) -> Result<(), Trouble> {
        let mut frames = Vec::with_capacity(MANIFEST_PIECE);
        for entry in &self.source.entries {
            Frame::Entry(entry.clone()).encode(&mut frames);
            if frames.len() >= MANIFEST_PIECE {
                speaker.write(&frames, || pulse.beat()).await?;
                frames.clear();
            }
        }
        Frame::End.encode(&mut frames);
        speaker.write(&frames, || pulse.beat()).await
    }

    async fn end(
        &self,
        outcome: Result<(), Trouble>,
        hearer: &mut Hearer,
        speaker: &mut Speaker,
    ) -> Result<(), Trouble> {
        match outcome {
            Ok(()) => {
                let _ = speaker.finish().await;
                hearer.wait_for_end().await;
                Ok(())
            }
            Err(trouble) => {
                speaker.fail(&trouble).await;
                hearer.wait_for_end().await;
                Err(match &trouble {
                    // The receiver cannot know why.
                    Trouble::Remote {
                        reason: Reason::Corrupt,
                        ..
                    } => self.source.changed().unwrap_or(trouble),
                    _ => trouble,
                })
            }
        }
    }
}

/// What the receiver says once it has accepted; ready when it has everything.
async fn hear(
    hearer: &mut Hearer,
    wants: mpsc::Sender<(u64, u64)>,
    pulse: &Pulse,
) -> Result<(), Trouble> {
    loop {
        match hearer.hear_patiently().await? {
            Frame::Want { first, count } => {
                let end = first.checked_add(count).filter(|_| count > 0);
                let end = end.ok_or_else(|| Trouble::violation("it wants nothing"))?;
                let sent = wants.try_send((first, end));
                sent.map_err(|_| Trouble::violation("it wants too many things at once"))?;
            }
            Frame::Working => {}
            Frame::Done => return Ok(()),
            _ => return Err(Trouble::violation("a receiver's frame was due")),
        }
        pulse.beat();
    }
}

/// Encoded frames, and how many bytes of files are in them.
struct Block {
    frames: Vec<u8>,
    bytes: usize,
}

/// Where the blocks go, and where their memory comes back from.
struct Output {
    blocks: mpsc::Sender<Result<Block, Trouble>>,
    free: mpsc::Receiver<Vec<u8>>,
}

impl Output {
    /// An empty block, whose memory has been used before if there is any: new memory costs a page fault every 4 KiB.
    fn block(&mut self) -> Vec<u8> {
        let mut frames = self.free.try_recv().unwrap_or_default();
        frames.clear();
        frames.reserve_exact(GROUP_LEN + HEADS_LEN);
        frames
    }
}

/// Reads what is wanted, on a thread that may block; ends when nobody wants or takes anything any more.
fn read(source: &Source, mut wanted: mpsc::Receiver<(u64, u64)>, output: &mut Output) {
    while let Some((first, end)) = wanted.blocking_recv() {
        if let Err(trouble) = read_range(source, first, end, output) {
            let _ = output.blocks.blocking_send(Err(trouble));
            return;
        }
        if output.blocks.is_closed() {
            return;
        }
    }
}

fn read_range(source: &Source, first: u64, end: u64, output: &mut Output) -> Result<(), Trouble> {
    if end > source.numbering.total() {
        return Err(Trouble::violation(
            "it wants what the manifest does not have",
        ));
    }
    let mut frames = output.block();
    for (file, groups) in source.numbering.files(first..end) {
        let mut reader = source.open(file)?;
        let (size, values) = source.file(file);
        let hash = tree::file_hash(values);
        let mut walk = Walk::new(size, hash, groups);
        while let Some(part) = walk.next_part() {
            if part.groups > 1 {
                let begin = part.first as usize;
                let (left, right) = tree::halves(&values[begin..begin + part.groups as usize]);
                Frame::Node { left, right }.encode(&mut frames);
                walk.split(part, left, right);
                continue;
            }
            let len = tree::group_len(size, part.first);
            Frame::Group { len }.encode(&mut frames);
            reader.read(part.first, &mut frames)?;
            let block = Block { frames, bytes: len };
            if output.blocks.blocking_send(Ok(block)).is_err() {
                return Ok(());
            }
            frames = output.block();
        }
    }
    Ok(())
}

/// How long somebody may be here without having shown a ticket.
const TICKET_TIMEOUT: Duration = Duration::from_secs(10);
/// Ranges that a receiver may want before they are served.
const WANTS_MAX: usize = 1024;
/// Groups that are read ahead.
const BLOCKS_MAX: usize = 4;
/// What of a manifest is written at once.
const MANIFEST_PIECE: usize = 64 << 10;
/// Room for the nodes before a group.
const HEADS_LEN: usize = 1 << 10;
