//! The chain actor: it orders entries, keeps them in a file, and says when a majority has one.
//!
//! The order is Lamport's: by time, then by node. An entry's time is later than all that its node had seen, so what depends on
//! another entry comes after it, and all nodes with the same entries have them in the same order. What holds always: an entry is in
//! the file before anybody hears of it.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use carrick::{
    RequestError,
    actors::{Inbound, Mailbox, SoleSender},
};
use ring::digest;

use crate::words::{Entry, Has, Receipt, Status, TEXT_MAX, ToChain, ToNet, reply};

/// The ledger of one node.
pub(crate) struct Chain {
    me: usize,
    clock: u64,
    /// In their order: by time and node.
    entries: BTreeMap<(u64, usize), Entry>,
    /// The times of each node's entries, by their numbers.
    numbers: Vec<BTreeMap<u64, u64>>,
    /// By node, the number up to which there is no gap.
    has: Has,
    /// By number, our entries that no majority has yet: who has them, and who waits to hear of it.
    waiting: BTreeMap<u64, (Vec<usize>, Inbound)>,
    file: File,
    net: SoleSender<ToNet>,
}

impl Chain {
    /// Reads what there is in the file. A last line that was cut short by a kill is dropped: nobody has heard of it.
    pub(crate) fn open(
        path: &Path,
        me: usize,
        nodes: usize,
        net: SoleSender<ToNet>,
    ) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        bytes.truncate(whole);
        file.set_len(whole as u64)?;
        let mut chain = Self {
            me,
            clock: 0,
            entries: BTreeMap::new(),
            numbers: vec![BTreeMap::new(); nodes],
            has: vec![0; nodes],
            waiting: BTreeMap::new(),
            file,
            net,
        };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            chain.insert(serde_json::from_slice(line)?);
        }
        Ok(chain)
    }

    /// Runs until nobody can send to it any more.
    ///
    /// # Errors
    /// The file cannot be written: a node that cannot keep its word must not go on.
    pub(crate) async fn run(mut self, mut inbox: Mailbox<ToChain>) -> io::Result<()> {
        while let Some(message) = inbox.recv().await {
            match message {
                ToChain::Submit(text, inbound) => self.submit(text, inbound).await?,
                ToChain::Push(entry, inbound) => {
                    self.store(entry)?;
                    reply(inbound, &());
                }
                ToChain::Store(entries) => entries
                    .into_iter()
                    .try_for_each(|entry| self.store(entry))?,
                ToChain::Sync(node, theirs, inbound) => {
                    // What it has, it has stored: so pushes that were lost are made good for.
                    let stored = theirs.get(self.me).copied().unwrap_or(0);
                    let numbers: Vec<u64> = self
                        .waiting
                        .range(..=stored)
                        .map(|(number, _)| *number)
                        .collect();
                    numbers
                        .into_iter()
                        .for_each(|number| self.stored(node, number));
                    reply(inbound, &self.beyond(&theirs));
                }
                ToChain::Stored(node, number) => self.stored(node, number),
                ToChain::Has(call) => {
                    call.reply(self.has.clone());
                }
                ToChain::Status(inbound) => reply(inbound, &self.status()),
                ToChain::Page(from, inbound) => {
                    let page = self.entries.values().skip(from).take(PAGE);
                    reply(inbound, &page.cloned().collect::<Vec<_>>());
                }
            }
        }
        Ok(())
    }

    async fn submit(&mut self, text: String, inbound: Inbound) -> io::Result<()> {
        if text.len() > TEXT_MAX {
            inbound.reply(Err(RequestError::TooLarge { limit: TEXT_MAX }));
            return Ok(());
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting
                .retain(|_, (_, inbound)| !inbound.is_cancelled());
        }
        if self.waiting.len() >= WAITING_MAX {
            inbound.reply(Err(RequestError::Busy { retry_after: None }));
            return Ok(());
        }
        let entry = Entry {
            time: self.clock + 1,
            node: self.me,
            number: self.has[self.me] + 1,
            text,
        };
        self.store(entry.clone())?;
        self.waiting.insert(entry.number, (Vec::new(), inbound));
        self.stored(self.me, entry.number);
        // The network does not wait for the chain, so the chain may wait for it.
        let _ = self.net.send(ToNet::Spread(entry)).await;
        Ok(())
    }

    /// Writes an entry down and puts it in its place. What is there already, or makes no sense, is left out.
    fn store(&mut self, entry: Entry) -> io::Result<()> {
        let makes_sense = entry.number > 0 && entry.text.len() <= TEXT_MAX && entry.time < u64::MAX;
        let known = self
            .numbers
            .get(entry.node)
            .is_none_or(|numbers| numbers.contains_key(&entry.number));
        if known || !makes_sense || self.entries.contains_key(&(entry.time, entry.node)) {
            return Ok(());
        }
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        // One call, so that a kill leaves the line or at most a part of it. That it survives a power cut, nobody has promised.
        self.file.write_all(&line)?;
        self.insert(entry);
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        let (node, time) = (entry.node, entry.time);
        let (Some(numbers), Some(has)) = (self.numbers.get_mut(node), self.has.get_mut(node))
        else {
            return;
        };
        numbers.insert(entry.number, time);
        while numbers.contains_key(&(*has + 1)) {
            *has += 1;
        }
        self.clock = self.clock.max(time);
        self.entries.insert((time, node), entry);
    }

    /// A node has our entry; once a majority has, whoever submitted it hears so.
    fn stored(&mut self, node: usize, number: u64) {
        let Some((nodes, _)) = self.waiting.get_mut(&number) else {
            return;
        };
        if !nodes.contains(&node) {
            nodes.push(node);
        }
        if nodes.len() > self.has.len() / 2
            && let Some((_, inbound)) = self.waiting.remove(&number)
            && let Some(&time) = self.numbers[self.me].get(&number)
        {
            reply(
                inbound,
                &Receipt {
                    time,
                    node: self.me,
                },
            );
        }
    }

    /// Entries that somebody does not have who has those.
    fn beyond(&self, theirs: &Has) -> Vec<Entry> {
        let missing = self.numbers.iter().enumerate().flat_map(|(node, numbers)| {
            let after = theirs
                .get(node)
                .map_or(1, |number| number.saturating_add(1));
            numbers.range(after..).map(move |(_, time)| (*time, node))
        });
        missing
            .filter_map(|place| self.entries.get(&place).cloned())
            .take(PAGE)
            .collect()
    }

    fn status(&self) -> Status {
        Status {
            entries: self.entries.len(),
            hash: hash(self.entries.values()),
        }
    }
}

/// What tells two ledgers apart.
pub(crate) fn hash<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for entry in entries {
        for number in [
            entry.time,
            entry.node as u64,
            entry.number,
            entry.text.len() as u64,
        ] {
            context.update(&number.to_be_bytes());
        }
        context.update(entry.text.as_bytes());
    }
    context
        .finish()
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Entries in one message: half a megabyte at most.
const PAGE: usize = 256;
/// Submissions that no majority has stored yet.
const WAITING_MAX: usize = 1024;
