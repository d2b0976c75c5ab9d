//! The store in a file: redb's, which is written so that a crash at any moment leaves the last commit.

use std::{
    fmt,
    fs::{DirBuilder, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, backends::FileBackend};

use super::{Change, Store, StoreError};
use crate::steps::{self, Step};

/// The store in a file, `carrick.redb`: one process at a time has it open. What is handed to it survives a crash of
/// the program, and of the machine as far as its disk keeps its word.
///
/// What the file holds tells with whom this node had to do, so nobody else may read it (mode 0600).
pub struct FileStore {
    path: PathBuf,
    /// `None` after a failure: redb wants its file opened anew.
    database: Mutex<Option<Database>>,
}

impl FileStore {
    /// Opens the store in this directory, or makes it, and the directory, too. Blocks; reads and checks the whole file.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let directory = directory.as_ref();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(directory)
            .map_err(|error| failed(directory, &error))?;
        let path = directory.join(NAME);
        let database = Mutex::new(Some(open(&path)?));
        Ok(Self { path, database })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match database.take() {
            Some(opened) => opened,
            None => open(&self.path)?,
        };
        let outcome = caught(&self.path, || {
            work(&opened).map_err(|error| refused(&self.path, error))
        });
        if outcome.is_ok() {
            *database = Some(opened);
        }
        outcome
    }
}

impl Store for FileStore {
    fn load(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            for record in table.iter()? {
                let (key, value) = record?;
                take(key.value(), value.value());
            }
            Ok(())
        })
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(RECORDS)?;
            for (key, value) in changes {
                match value {
                    Some(value) => drop(table.insert(key.as_str(), value.as_slice())?),
                    None => drop(table.remove(key.as_str())?),
                }
            }
            drop(table);
            steps::passed(Step::StoreCommitting);
            Ok(transaction.commit()?)
        })
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let file = open_file(path).map_err(|error| failed(path, &error))?;
    steps::passed(Step::StoreFileMade);
    let database = caught(path, || {
        let backend = FileBackend::new(file);
        let opened = backend.map_err(redb::Error::from).and_then(|backend| {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE_BYTES);
            builder.set_check_integrity_on_open(true);
            Ok(builder.create_with_backend(backend)?)
        });
        opened.map_err(|error| refused(path, error))
    })?;
    let version = caught(path, || {
        version(&database).map_err(|error| refused(path, error))
    })?;
    if version != VERSION {
        let (path, known) = (path.to_owned(), VERSION);
        return Err(StoreError::Version {
            path,
            version,
            known,
        });
    }
    Ok(database)
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// The file's format; a new file gets ours.
fn version(database: &Database) -> Result<u64, redb::Error> {
    if let Ok(table) = database.begin_read()?.open_table(FORMAT) {
        return Ok(table.get(FORMAT_KEY)?.map_or(0, |version| version.value()));
    }
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    transaction
        .open_table(FORMAT)?
        .insert(FORMAT_KEY, VERSION)?;
    transaction.commit()?;
    Ok(VERSION)
}

/// A damaged file must not take the node with it, even where it takes redb by surprise.
fn caught<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(StoreError::Damaged {
            path: path.to_owned(),
            reason: "it makes no sense".to_owned(),
        })
    })
}

fn refused(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => StoreError::InUse {
            path: path.to_owned(),
        },
        redb::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
            failed(path, &error)
        }
        error => StoreError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    }
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        kind: error.kind(),
        reason: error.to_string(),
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

const NAME: &str = "carrick.redb";
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
const FORMAT_KEY: &str = "version";
/// What we write, and the only one we read.
const VERSION: u64 = 1;
/// Pages of the file that are kept in memory; the node keeps what it needs itself.
const CACHE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;
