//! What is sent: paths of the user's as a manifest, and their bytes. In: paths; out: entries with hashes, groups of files.
//! Files are read twice: once for their hashes, of which the root is made, and once to be sent; who verifies is the receiver.

use std::{
    fs::{self, File, Metadata},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use carrick::transfer::{
    ENTRIES_MAX, Entry, EntryKind, EntryPath, Frame, GROUP_LEN, Hash, MANIFEST_MAX,
};

use super::{
    hashing::Hashing,
    tree::{self, Numbering},
    trouble::Trouble,
};

/// Files and directories that do not change any more, or their sending fails.
#[derive(Debug)]
pub(crate) struct Source {
    /// In the manifest's order.
    pub(super) entries: Vec<Entry>,
    files: Vec<SourceFile>,
    pub(super) numbering: Numbering,
    pub(super) root: Hash,
    bytes: u64,
}

#[derive(Debug)]
struct SourceFile {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
    /// One value for each group.
    values: Vec<Hash>,
}

impl Source {
    /// Finds and hashes everything under these paths, with all cores. `found` is told how many bytes there are, and `hashed`
    /// counts them, for whoever watches.
    ///
    /// # Errors
    /// Something cannot be read, has no name that can be sent, or there are too many.
    pub(crate) fn new(
        paths: &[PathBuf],
        found: &AtomicU64,
        hashed: &AtomicU64,
    ) -> Result<Self, Trouble> {
        let mut all = find(paths)?;
        all.sort_by(|one, other| one.0.path.cmp(&other.0.path));
        check(&all)?;
        let (mut entries, mut files) = (Vec::new(), Vec::new());
        for (entry, file) in all {
            entries.push(entry);
            files.extend(file);
        }
        let sizes = files.iter().map(|file| file.size);
        let bytes = sizes.clone().fold(0, u64::saturating_add);
        found.store(bytes, Ordering::Relaxed);
        let numbering = Numbering::new(sizes);
        let places: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_path(), file.size))
            .collect();
        let hashing = Hashing {
            files: &places,
            numbering: &numbering,
            end: numbering.total(),
            wanted: &|_| true,
            hashed,
        };
        let values = hashing.values()?;
        let mut values = values.into_iter();
        let mut hashes = Vec::with_capacity(files.len());
        for (at, file) in files.iter_mut().enumerate() {
            let groups = numbering.first(at + 1) - numbering.first(at);
            file.values = values.by_ref().take(groups as usize).collect();
            hashes.push(tree::file_hash(&file.values));
        }
        let mut hashes = hashes.into_iter();
        for entry in &mut entries {
            if let EntryKind::File { hash, .. } = &mut entry.kind {
                hashes.by_ref().take(1).for_each(|of_file| *hash = of_file);
            }
        }
        Ok(Self {
            root: root(&entries),
            entries,
            files,
            numbering,
            bytes,
        })
    }

    pub(crate) fn root(&self) -> Hash {
        self.root
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn offer(&self) -> Result<Frame, Trouble> {
        let first = self
            .entries
            .first()
            .and_then(|entry| entry.path.names().next());
        let name = EntryPath::name(first.unwrap_or_default()).map_err(Trouble::violation)?;
        Ok(Frame::Offer {
            root: self.root,
            entries: self.entries.len() as u64,
            bytes: self.bytes,
            name,
        })
    }

    /// The size of a file, and the values of its groups.
    pub(super) fn file(&self, file: usize) -> (u64, &[Hash]) {
        (self.files[file].size, &self.files[file].values)
    }

    /// Opens a file, which must still be the one that was hashed, as far as its size and times tell.
    pub(super) fn open(&self, file: usize) -> Result<SourceReader<'_>, Trouble> {
        let source = &self.files[file];
        let file = File::open(&source.path).map_err(Trouble::source(&source.path))?;
        let reader = SourceReader {
            file,
            source,
            at: 0,
        };
        reader.check()?;
        Ok(reader)
    }

    /// Which file has changed, if the receiver says that bytes are not what was promised.
    pub(super) fn changed(&self) -> Option<Trouble> {
        (0..self.files.len()).find_map(|file| self.open(file).err())
    }
}

/// An open file of a source.
#[derive(Debug)]
pub(super) struct SourceReader<'a> {
    file: File,
    source: &'a SourceFile,
    at: u64,
}

impl SourceReader<'_> {
    /// Appends a group of the file.
    pub(super) fn read(&mut self, group: u64, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let len = tree::group_len(self.source.size, group);
        let begin = group * GROUP_LEN as u64;
        let broken = Trouble::source(&self.source.path);
        if self.at != begin {
            self.file
                .seek(SeekFrom::Start(begin))
                .map_err(Trouble::source(&self.source.path))?;
        }
        let read = (&self.file)
            .take(len as u64)
            .read_to_end(out)
            .map_err(broken)?;
        self.at = begin + read as u64;
        if read < len {
            Err(changed(&self.source.path))
        } else {
            Ok(())
        }
    }

    fn check(&self) -> Result<(), Trouble> {
        let path = &self.source.path;
        let metadata = self.file.metadata().map_err(Trouble::source(path))?;
        if metadata.len() == self.source.size && metadata.modified().ok() == self.source.modified {
            Ok(())
        } else {
            Err(changed(path))
        }
    }
}

fn changed(path: &Path) -> Trouble {
    Trouble::Source {
        path: path.to_owned(),
        what: "has changed since it was hashed".to_owned(),
    }
}

type Found = (Entry, Option<SourceFile>);

/// Everything under these paths. Links that the user names are followed, links inside directories are refused.
fn find(paths: &[PathBuf]) -> Result<Vec<Found>, Trouble> {
    let mut found = Vec::new();
    for path in paths {
        // `..` and `.` have a name once they are resolved.
        let real = fs::canonicalize(path).map_err(Trouble::source(path))?;
        let named = path.file_name().or_else(|| real.file_name());
        let name = named.ok_or_else(|| refuse(path, "has no name to be sent under"))?;
        let mut waiting = vec![(real.clone(), name_of(path, name)?)];
        while let Some((path, name)) = waiting.pop() {
            let metadata = fs::symlink_metadata(&path).map_err(Trouble::source(&path))?;
            if metadata.is_dir() {
                for inside in fs::read_dir(&path).map_err(Trouble::source(&path))? {
                    let inside = inside.map_err(Trouble::source(&path))?;
                    let below = name_of(&inside.path(), &inside.file_name())?;
                    waiting.push((inside.path(), format!("{name}/{below}")));
                }
            }
            if found.len() as u64 >= ENTRIES_MAX {
                return Err(refuse(
                    &path,
                    "is one entry too many: make an archive of them",
                ));
            }
            found.push(entry(path, &name, &metadata)?);
        }
    }
    Ok(found)
}

fn entry(path: PathBuf, name: &str, metadata: &Metadata) -> Result<Found, Trouble> {
    let in_manifest = EntryPath::parse(name);
    let in_manifest =
        in_manifest.map_err(|error| refuse(&path, &format!("cannot be sent: {error}")))?;
    if metadata.is_dir() {
        let kind = EntryKind::Directory;
        return Ok((
            Entry {
                path: in_manifest,
                kind,
            },
            None,
        ));
    }
    if !metadata.is_file() {
        return Err(refuse(
            &path,
            "is neither a file nor a directory: only these can be sent, links and devices cannot",
        ));
    }
    let kind = EntryKind::File {
        size: metadata.len(),
        hash: Hash::default(),
        executable: is_executable(metadata),
    };
    let file = SourceFile {
        size: metadata.len(),
        modified: metadata.modified().ok(),
        values: Vec::new(),
        path,
    };
    Ok((
        Entry {
            path: in_manifest,
            kind,
        },
        Some(file),
    ))
}

fn name_of(path: &Path, name: &std::ffi::OsStr) -> Result<String, Trouble> {
    let name = name.to_str();
    name.map(str::to_owned)
        .ok_or_else(|| refuse(path, "cannot be sent: its name is not UTF-8"))
}

/// Whether a receiver will take this manifest.
fn check(found: &[Found]) -> Result<(), Trouble> {
    let mut last = None;
    let mut len = 0_usize;
    let mut frame = Vec::new();
    for (entry, file) in found {
        if let Err(error) = entry.check_after(last) {
            let path = match file {
                Some(file) => &file.path,
                None => Path::new(entry.path.as_str()),
            };
            return Err(refuse(path, &format!("cannot be sent: {error}")));
        }
        frame.clear();
        Frame::Entry(entry.clone()).encode(&mut frame);
        len = len.saturating_add(frame.len());
        last = Some(entry);
    }
    if len > MANIFEST_MAX {
        let first = found.first().map_or("", |(entry, _)| entry.path.as_str());
        return Err(refuse(
            Path::new(first),
            "and the others have too many names: make an archive of them",
        ));
    }
    Ok(())
}

fn refuse(path: &Path, what: &str) -> Trouble {
    Trouble::Source {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

/// BLAKE3 over the manifest, which names, sizes and hashes are in.
pub(super) fn root(entries: &[Entry]) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key(ROOT_CONTEXT);
    let mut frame = Vec::new();
    for entry in entries {
        frame.clear();
        Frame::Entry(entry.clone()).encode(&mut frame);
        hasher.update(&frame);
    }
    hasher.finalize().into()
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

const ROOT_CONTEXT: &str = "carrick transfer 1.0.0 manifest";
