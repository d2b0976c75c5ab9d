//! Where what is received is put: in `.carrick-part-…` beside its final place until all of it is there, then under its
//! final name. In: a manifest and verified groups; out: what is missing.
//! Always: nothing half-written has a final name, nothing that exists is overwritten, no link is followed on the way.
//!
//! The record beside the files has 32 bytes for each group: its value, once it is written. What an interrupted transfer
//! has left is read again and counts only where it still has that value, so nothing is believed that a crash has lost.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use carrick::{
    steps::{self, Step},
    transfer::{Entry, EntryKind, EntryPath, GROUP_LEN, Hash},
};

use super::{
    hashing::Hashing,
    tree::{self, Numbering},
    trouble::Trouble,
};

/// A manifest's place on the disk.
#[derive(Debug)]
pub(super) struct Place {
    output: PathBuf,
    part: PathBuf,
    entries: Vec<Entry>,
    files: Vec<FileEntry>,
    numbering: Numbering,
    /// Names at the top that are there already, whole.
    present: BTreeSet<String>,
    /// What the transfer must bring, by the groups' numbers.
    missing: Vec<Range<u64>>,
    record: Option<File>,
}

/// A file of the manifest.
#[derive(Debug)]
struct FileEntry {
    entry: usize,
    size: u64,
    hash: Hash,
}

impl Place {
    /// Makes the place, or finds what is left there. Blocks, and reads all that is left: `checked` counts its bytes.
    ///
    /// # Errors
    /// See [`Trouble`]: something else has the name, or the disk refuses.
    pub(super) fn open(
        output: &Path,
        root: &Hash,
        entries: Vec<Entry>,
        checked: &AtomicU64,
    ) -> Result<Self, Trouble> {
        let files = entries.iter().enumerate();
        let files: Vec<_> = files
            .filter_map(|(at, entry)| match entry.kind {
                EntryKind::Directory => None,
                EntryKind::File { size, hash, .. } => Some(FileEntry {
                    entry: at,
                    size,
                    hash,
                }),
            })
            .collect();
        let mut place = Self {
            output: output.to_owned(),
            part: output.join(part_name(root)),
            numbering: Numbering::new(files.iter().map(|file| file.size)),
            entries,
            files,
            present: BTreeSet::new(),
            missing: Vec::new(),
            record: None,
        };
        fs::create_dir_all(output).map_err(Trouble::storage(output))?;
        place.find_present(checked)?;
        if place.present.len() < place.tops().count() {
            place.prepare()?;
            let have = place.find_parts(checked)?;
            place.missing = place.missing_without(&have);
        }
        Ok(place)
    }

    pub(super) fn missing(&self) -> &[Range<u64>] {
        &self.missing
    }

    /// Bytes that are not missing.
    pub(super) fn bytes_here(&self) -> u64 {
        let all: u64 = self
            .files
            .iter()
            .map(|file| file.size)
            .fold(0, u64::saturating_add);
        let missing = self
            .missing
            .iter()
            .flat_map(|range| self.numbering.files(range.clone()));
        missing.fold(all, |bytes, (file, groups)| {
            let size = self.files[file].size;
            let begin = groups.start.saturating_mul(GROUP_LEN as u64).min(size);
            let end = groups.end.saturating_mul(GROUP_LEN as u64).min(size);
            bytes.saturating_sub(end - begin)
        })
    }

    pub(super) fn file_count(&self) -> usize {
        self.files.len()
    }

    /// The files with groups in this range: which one, its size and hash, and which groups of it.
    pub(super) fn files(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = (usize, u64, Hash, Range<u64>)> {
        self.numbering.files(range).map(|(file, groups)| {
            let FileEntry { size, hash, .. } = self.files[file];
            (file, size, hash, groups)
        })
    }

    pub(super) fn name(&self, file: usize) -> &str {
        self.entries[self.files[file].entry].path.as_str()
    }

    pub(super) fn size(&self, file: usize) -> u64 {
        self.files[file].size
    }

    /// Puts everything under its final name. Blocks, until it is on the disk.
    ///
    /// # Errors
    /// See [`Trouble`]: something has got the name meanwhile, or the disk refuses.
    pub(super) fn finish(self) -> Result<(), Trouble> {
        for entry in self.incoming() {
            let path = self.part_of(entry);
            match entry.kind {
                EntryKind::Directory => sync_directory(&path),
                EntryKind::File {
                    size, executable, ..
                } => seal(&path, size, executable),
            }
            .map_err(Trouble::storage(&path))?;
        }
        steps::passed(Step::FilesSealed);
        for top in self.tops().filter(|top| !self.present.contains(*top)) {
            let target = self.output.join(top);
            if exists(&target)? {
                return Err(Trouble::Exists(target));
            }
            fs::rename(self.part.join(TREE).join(top), &target)
                .map_err(Trouble::storage(&target))?;
            steps::passed(Step::FileNamed);
        }
        sync_directory(&self.output).map_err(Trouble::storage(&self.output))?;
        drop(self.record);
        // It is complete, whatever becomes of what is left of the way there.
        let _ = fs::remove_dir_all(&self.part);
        Ok(())
    }

    /// The names at the top.
    fn tops(&self) -> impl Iterator<Item = &str> {
        let paths = self.entries.iter().map(|entry| &entry.path);
        paths
            .filter(|path| path.parent().is_none())
            .map(|path| path.as_str())
    }

    fn is_present(&self, entry: &Entry) -> bool {
        let top = entry.path.names().next();
        top.is_some_and(|top| self.present.contains(top))
    }

    fn incoming(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !self.is_present(entry))
    }

    fn part_of(&self, entry: &Entry) -> PathBuf {
        self.part.join(TREE).join(entry.path.as_str())
    }

    /// Which names at the top have all of their contents already, as after a transfer whose last word was lost.
    fn find_present(&mut self, checked: &AtomicU64) -> Result<(), Trouble> {
        let mut present = BTreeSet::new();
        for top in self.tops() {
            if exists(&self.output.join(top))? {
                present.insert(top.to_owned());
            }
        }
        self.present = present;
        let mut files = Vec::new();
        for entry in self.entries.iter().filter(|entry| self.is_present(entry)) {
            let path = self.output.join(entry.path.as_str());
            let metadata = fs::symlink_metadata(&path);
            let is_same = metadata.is_ok_and(|metadata| match entry.kind {
                EntryKind::Directory => metadata.is_dir(),
                EntryKind::File { size, .. } => metadata.is_file() && metadata.len() == size,
            });
            if !is_same {
                return Err(Trouble::Exists(path));
            }
            if let EntryKind::File { size, hash, .. } = entry.kind {
                files.push((path, size, hash));
            }
        }
        let numbering = Numbering::new(files.iter().map(|&(_, size, _)| size));
        let places: Vec<_> = files
            .iter()
            .map(|(path, size, _)| (path.as_path(), *size))
            .collect();
        let hashing = Hashing {
            files: &places,
            numbering: &numbering,
            end: numbering.total(),
            wanted: &|_| true,
            hashed: checked,
        };
        let values = hashing.values()?;
        for (at, (path, _, hash)) in files.iter().enumerate() {
            let groups = numbering.first(at) as usize..numbering.first(at + 1) as usize;
            if tree::file_hash(&values[groups]) != *hash {
                return Err(Trouble::Exists(path.clone()));
            }
        }
        Ok(())
    }

    /// The directories of the part, and its record, locked.
    fn prepare(&mut self) -> Result<(), Trouble> {
        directory(&self.part, true)?;
        directory(&self.part.join(TREE), false)?;
        for entry in self.incoming() {
            if entry.kind == EntryKind::Directory {
                directory(&self.part_of(entry), false)?;
            }
        }
        let path = self.part.join(RECORD);
        let record = open_to_write(&path).map_err(Trouble::storage(&path))?;
        match record.try_lock() {
            Ok(()) => self.record = Some(record),
            Err(TryLockError::WouldBlock) => return Err(Trouble::InUse(self.part.clone())),
            Err(TryLockError::Error(error)) => return Err(Trouble::storage(&path)(error)),
        }
        Ok(())
    }

    /// Of each group that the record knows, whether it is still what it was.
    fn find_parts(&mut self, checked: &AtomicU64) -> Result<Vec<bool>, Trouble> {
        let Some(record) = &mut self.record else {
            return Ok(Vec::new());
        };
        let path = self.part.join(RECORD);
        let mut bytes = Vec::new();
        // A record may be longer than a manifest needs only if somebody has changed it.
        let limit = self
            .numbering
            .total()
            .saturating_mul(size_of::<Hash>() as u64);
        record
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(Trouble::storage(&path))?;
        let (recorded, _) = bytes.as_chunks::<{ size_of::<Hash>() }>();
        let paths: Vec<_> = self
            .files
            .iter()
            .map(|file| self.part_of(&self.entries[file.entry]))
            .collect();
        let mut lens = Vec::with_capacity(paths.len());
        for path in &paths {
            lens.push(match fs::symlink_metadata(path) {
                Ok(metadata) if metadata.is_file() => metadata.len(),
                Ok(_) => return Err(Trouble::Exists(path.clone())),
                Err(_) => 0,
            });
        }
        let files = paths.iter().zip(&self.files);
        let files: Vec<_> = files
            .map(|(path, file)| (path.as_path(), file.size))
            .collect();
        let wanted = |number: u64| {
            let known = recorded
                .get(number as usize)
                .is_some_and(|value| *value != Hash::default());
            known
                && self
                    .numbering
                    .files(number..number + 1)
                    .all(|(file, groups)| {
                        lens[file]
                            >= groups
                                .end
                                .saturating_mul(GROUP_LEN as u64)
                                .min(self.files[file].size)
                    })
        };
        let hashing = Hashing {
            files: &files,
            numbering: &self.numbering,
            end: recorded.len() as u64,
            wanted: &wanted,
            hashed: checked,
        };
        let values = hashing.values()?;
        let pairs = values.iter().zip(recorded);
        Ok(pairs
            .map(|(now, then)| now == then && *now != Hash::default())
            .collect())
    }

    /// What is not `have`, as few ranges: when there are too many, what lies between the last ones comes again.
    fn missing_without(&self, have: &[bool]) -> Vec<Range<u64>> {
        let mut missing: Vec<Range<u64>> = Vec::new();
        for (at, file) in self.files.iter().enumerate() {
            if self.is_present(&self.entries[file.entry]) {
                continue;
            }
            let (mut begin, end) = (self.numbering.first(at), self.numbering.first(at + 1));
            while begin < end {
                let known_end = end.min(have.len() as u64);
                // Of this file alone: the sender may have made very many.
                let known = have.get(begin as usize..known_end as usize);
                let known = known.unwrap_or_default();
                let same = known.iter().take_while(|here| **here == known[0]).count() as u64;
                // What the record does not know is missing, up to the file's end.
                let (is_here, next) = match known.first() {
                    Some(is_here) => (*is_here, begin + same),
                    None => (false, end),
                };
                let is_few = missing.len() < RANGES_MAX;
                match missing.last_mut() {
                    _ if is_here => {}
                    Some(last) if last.end == begin => last.end = next,
                    _ if is_few => missing.push(begin..next),
                    Some(last) => last.end = next,
                    None => {}
                }
                begin = next;
            }
        }
        missing
    }
}

/// Writes groups where they belong. One file is open at a time, since groups come in order.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    place: &'a Place,
    /// The open file, and where it stands.
    open: Option<(usize, File, u64)>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(place: &'a Place) -> Self {
        Self { place, open: None }
    }

    /// Writes a group that has this value, and then records it.
    ///
    /// # Errors
    /// The disk refuses. The group counts as missing then.
    pub(super) fn write(
        &mut self,
        file: usize,
        group: u64,
        value: &Hash,
        bytes: &[u8],
    ) -> Result<(), Trouble> {
        let path = || {
            self.place
                .part_of(&self.place.entries[self.place.files[file].entry])
        };
        let mut write = || -> io::Result<()> {
            let begin = group * GROUP_LEN as u64;
            let (mut to, at) = match self.open.take() {
                Some((open, to, at)) if open == file => (to, at),
                _ => (open_to_write(&path())?, 0),
            };
            if at != begin {
                to.seek(SeekFrom::Start(begin))?;
            }
            to.write_all(bytes)?;
            self.open = Some((file, to, begin + bytes.len() as u64));
            Ok(())
        };
        write().map_err(|error| Trouble::storage(&path())(error))?;
        steps::passed(Step::GroupWritten);
        let Some(mut record) = self.place.record.as_ref() else {
            return Ok(());
        };
        let number = self.place.numbering.first(file) + group;
        let recorded = record
            .seek(SeekFrom::Start(
                number.saturating_mul(size_of::<Hash>() as u64),
            ))
            .and_then(|_| record.write_all(value));
        recorded.map_err(|error| Trouble::storage(&self.place.part.join(RECORD))(error))
    }
}

/// Where a transfer of this manifest waits for its end, within the directory of its final place.
fn part_name(root: &Hash) -> String {
    let digits: String = root
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}{digits}", EntryPath::PART_PREFIX)
}

/// Whether anything has this name, be it a link that leads nowhere.
fn exists(path: &Path) -> Result<bool, Trouble> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Trouble::storage(path)(error)),
    }
}

/// A directory that is one and no link, made if it is not there; for its owner alone if it is to be `private`.
fn directory(path: &Path, private: bool) -> Result<(), Trouble> {
    let mut builder = DirBuilder::new();
    if private {
        owner_only(&mut builder);
    }
    match builder.create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(path).map_err(Trouble::storage(path))?;
            if metadata.is_dir() && (!private || is_owner_only(&metadata)) {
                Ok(())
            } else {
                Err(Trouble::Exists(path.to_owned()))
            }
        }
        Err(error) => Err(Trouble::storage(path)(error)),
    }
}

/// A file that is one and no link, made if it is not there, and kept as it is otherwise.
fn open_to_write(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Gives a file its length and its mode, and waits until it is on the disk.
fn seal(path: &Path, size: u64, executable: bool) -> io::Result<()> {
    let file = open_to_write(path)?;
    if file.metadata()?.len() != size {
        file.set_len(size)?;
    }
    if executable {
        make_executable(&file)?;
    }
    file.sync_all()
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(unix)]
fn owner_only(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(0o700);
}

#[cfg(unix)]
fn is_owner_only(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 == 0
}

/// Whoever may read it may run it.
#[cfg(unix)]
fn make_executable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = file.metadata()?.permissions();
    let mode = permissions.mode();
    permissions.set_mode(mode | (mode & 0o444) >> 2);
    file.set_permissions(permissions)
}

/// Elsewhere directories cannot be opened, and owners and modes are other things.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn owner_only(_: &mut DirBuilder) {}

#[cfg(not(unix))]
fn is_owner_only(_: &fs::Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn make_executable(_: &File) -> io::Result<()> {
    Ok(())
}

/// The files, below the part.
const TREE: &str = "files";
const RECORD: &str = "record";
/// Most ranges that are asked for one by one.
const RANGES_MAX: usize = 512;

#[cfg(test)]
mod tests;
