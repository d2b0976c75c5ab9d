//! What a manifest lists: files and directories under paths that stay where they are put. Always: a path that exists as
//! a value is relative, goes only down, and means the same on every system.

use std::{cmp::Ordering, fmt};

use super::{Fields, Hash};
use crate::{DecodeError, varint};

/// A file or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs.
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is. There are no links, devices or owners: nothing that could lead elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory; those that hold something are entries, too.
    Directory,
    /// A file.
    File {
        /// Its bytes.
        size: u64,
        /// The BLAKE3 hash of its contents, as `b3sum` prints it.
        hash: Hash,
        /// Whether it may be run.
        executable: bool,
    },
}

impl Entry {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match &self.kind {
            EntryKind::Directory => out.push(DIRECTORY),
            EntryKind::File {
                size,
                hash,
                executable,
            } => {
                out.push(if *executable { EXECUTABLE } else { FILE });
                varint::encode(*size, out);
                out.extend_from_slice(hash);
            }
        }
        out.extend_from_slice(self.path.as_str().as_bytes());
    }

    pub(super) fn decode(body: &mut Fields<'_>) -> Result<Self, DecodeError> {
        let [kind] = body.array()?;
        let kind = match kind {
            DIRECTORY => EntryKind::Directory,
            FILE | EXECUTABLE => EntryKind::File {
                size: body.number()?,
                hash: body.array()?,
                executable: kind == EXECUTABLE,
            },
            _ => return Err(DecodeError::Unsupported("kind of entry")),
        };
        let path = EntryPath::parse(body.text()?)?;
        Ok(Self { path, kind })
    }

    /// Whether this entry may follow `last` in a manifest: paths grow, name by name, so that none is there twice; and
    /// what lies in a directory follows it, so that nothing lies in a file.
    ///
    /// # Errors
    /// It may not.
    pub fn check_after(&self, last: Option<&Self>) -> Result<(), DecodeError> {
        let parent = self.path.parent();
        match last {
            None if parent.is_some() => Err(NO_DIRECTORY),
            None => Ok(()),
            Some(last) if self.path <= last.path => {
                Err(DecodeError::Malformed("paths are twice or out of order"))
            }
            Some(last) => {
                let Some(parent) = parent else { return Ok(()) };
                // Whatever stands between a directory and what it holds lies in that directory, too.
                let directory = match last.kind {
                    EntryKind::Directory => Some(last.path.as_str()),
                    EntryKind::File { .. } => last.path.parent(),
                };
                let inside = directory.is_some_and(|directory| {
                    directory == parent
                        || directory
                            .strip_prefix(parent)
                            .is_some_and(|rest| rest.starts_with('/'))
                });
                if inside { Ok(()) } else { Err(NO_DIRECTORY) }
            }
        }
    }
}

/// A relative path: names with `/` between them, none of which is empty, `.` or `..`, has a backslash, a control
/// character, or a drive's colon in it, or begins with [`PART_PREFIX`](Self::PART_PREFIX).
#[derive(Clone, PartialEq, Eq)]
pub struct EntryPath(String);

impl EntryPath {
    /// Most names in a path.
    pub const DEPTH_MAX: usize = 64;
    /// Longest name, in bytes: what file systems take.
    pub const NAME_MAX: usize = 255;
    /// Longest path, in bytes.
    pub const LEN_MAX: usize = 4096;
    /// What receivers call the place of what has not arrived in whole begins like this. They believe what they find there,
    /// so no peer may fill it.
    pub const PART_PREFIX: &str = ".carrick-part-";

    /// A path.
    ///
    /// # Errors
    /// It could lead elsewhere, means different things on different systems, or is above a limit.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        DecodeError::check_max("path", text.len(), Self::LEN_MAX)?;
        DecodeError::check_max("depth of a path", text.split('/').count(), Self::DEPTH_MAX)?;
        for name in text.split('/') {
            DecodeError::check_max("name in a path", name.len(), Self::NAME_MAX)?;
            if matches!(name, "" | "." | "..") {
                return Err(DecodeError::Malformed(
                    "a path is absolute, or has an empty name, . or .. in it",
                ));
            }
            if name.contains(|c: char| c.is_control() || c == '\\') {
                return Err(DecodeError::Malformed(
                    "a name has a backslash or a control character in it",
                ));
            }
            let head = name.get(..Self::PART_PREFIX.len());
            if head.is_some_and(|head| head.eq_ignore_ascii_case(Self::PART_PREFIX)) {
                return Err(DecodeError::Malformed(
                    "a name is that of an unfinished transfer",
                ));
            }
            if matches!(name.as_bytes(), [b'a'..=b'z' | b'A'..=b'Z', b':', ..]) {
                return Err(DecodeError::Malformed(
                    "a name begins like a drive of Windows",
                ));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// A path of one name.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or it has more than one name.
    pub fn name(text: &str) -> Result<Self, DecodeError> {
        if text.contains('/') {
            return Err(DecodeError::Malformed("a name has a slash in it"));
        }
        Self::parse(text)
    }

    /// The path, its names with `/` between them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The directory that it lies in; `None` at the top.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }
}

/// Name by name, so that what lies in a directory follows it at once.
impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.names().cmp(other.names())
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

const NO_DIRECTORY: DecodeError = DecodeError::Malformed("the directory of an entry is not there");
const FILE: u8 = 0;
const EXECUTABLE: u8 = 1;
const DIRECTORY: u8 = 2;
