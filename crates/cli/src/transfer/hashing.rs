//! Hashes the groups of many files with all cores: before they are sent, and of what an interrupted transfer has left.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use carrick::transfer::{GROUP_LEN, Hash};

use super::{
    tree::{self, Numbering},
    trouble::Trouble,
};

/// Files that are hashed, and who counts their bytes.
pub(super) struct Hashing<'a> {
    /// Each with its size.
    pub(super) files: &'a [(&'a Path, u64)],
    pub(super) numbering: &'a Numbering,
    /// The groups before this number.
    pub(super) end: u64,
    /// Which groups, by their numbers.
    pub(super) wanted: &'a (dyn Fn(u64) -> bool + Sync),
    pub(super) hashed: &'a AtomicU64,
}

impl Hashing<'_> {
    /// The values of the groups, by their numbers; zeros for those that are not wanted.
    ///
    /// # Errors
    /// A file cannot be read, or is shorter than its size.
    pub(super) fn values(&self) -> Result<Vec<Hash>, Trouble> {
        let mut values = vec![Hash::default(); self.end.min(self.numbering.total()) as usize];
        let parts: Vec<_> = values.chunks_mut(GROUPS_AT_ONCE).map(Mutex::new).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), Trouble> {
            let mut group = Vec::with_capacity(GROUP_LEN);
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                let Some(values) = parts.get(part) else {
                    return Ok(());
                };
                let mut values = values.lock().unwrap_or_else(PoisonError::into_inner);
                let first = (part * GROUPS_AT_ONCE) as u64;
                self.part(first, &mut values, &mut group).inspect_err(|_| {
                    // The others need not go on.
                    next.fetch_max(parts.len(), Ordering::Relaxed);
                })?;
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let spawned = (1..threads.min(parts.len())).map(|_| scope.spawn(work));
            let mut threads: Vec<_> = spawned.collect();
            let mut outcome = work();
            while let Some(thread) = threads.pop() {
                let other = thread.join().expect("hashing does not panic");
                outcome = outcome.and(other);
            }
            outcome
        })?;
        drop(parts);
        Ok(values)
    }

    /// The values of neighbouring groups, which may be of several files.
    fn part(&self, first: u64, values: &mut [Hash], group: &mut Vec<u8>) -> Result<(), Trouble> {
        let mut values = values.iter_mut();
        let end = first + values.len() as u64;
        for (file, groups) in self.numbering.files(first..end) {
            let path = self.files[file].0;
            let mut of_file = || -> io::Result<()> {
                let mut open = None;
                for at in groups.clone() {
                    let Some(value) = values.next() else { break };
                    if (self.wanted)(self.numbering.first(file) + at) {
                        *value = self.group(file, at, &mut open, group)?;
                    }
                }
                Ok(())
            };
            of_file().map_err(Trouble::source(path))?;
        }
        Ok(())
    }

    fn group(
        &self,
        file: usize,
        at: u64,
        open: &mut Option<File>,
        group: &mut Vec<u8>,
    ) -> io::Result<Hash> {
        let (path, size) = self.files[file];
        let open = match open {
            Some(open) => open,
            None => open.insert(File::open(path)?),
        };
        let len = tree::group_len(size, at);
        group.clear();
        open.seek(SeekFrom::Start(at * GROUP_LEN as u64))?;
        if open.take(len as u64).read_to_end(group)? < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hashed.fetch_add(len as u64, Ordering::Relaxed);
        Ok(tree::group_value(size, at, group))
    }
}

/// What a thread takes at a time: 4 MiB.
const GROUPS_AT_ONCE: usize = 16;
