//! What outlives the program: the trait that a store fulfils, what can go wrong with one, and the task that
//! writes. What is kept is decided by the swarm.

use std::{io, path::PathBuf, sync::Arc};

pub use carrick_swarm::Change;

#[cfg(feature = "store")]
pub use file::FileStore;
pub(crate) use saver::{Saver, load, unix_now};

#[cfg(feature = "store")]
mod file;
mod saver;

/// Keeps records for the next run: a table of keys and values, which it need not understand.
///
/// `Builder::store` gives a node a file for it; [`Builder::store_with`](crate::Builder::store_with) takes any other. Its
/// calls may block: they run on a thread of their own, one at a time.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::{collections::BTreeMap, sync::{Arc, Mutex}};
/// use carrick::{Change, Node, Store, StoreError};
///
/// #[derive(Clone, Default)]
/// struct Shelf(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);
///
/// impl Store for Shelf {
///     fn load(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
///         self.0.lock().unwrap().iter().for_each(|(key, value)| take(key, value));
///         Ok(())
///     }
///
///     fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
///         let mut shelf = self.0.lock().unwrap();
///         for (key, value) in changes.iter().cloned() {
///             match value {
///                 Some(value) => drop(shelf.insert(key, value)),
///                 None => drop(shelf.remove(&key)),
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let peer = carrick::PeerId::random();
/// let shelf = Shelf::default();
/// let node = Node::builder().store_with(shelf.clone()).spawn().await?;
/// node.set_peer_metadata(&peer, "color", Some(b"red".to_vec())).await?;
/// node.close().await;
///
/// let next = Node::builder().store_with(shelf).spawn().await?;
/// let metadata = next.peer_metadata(&peer).await.unwrap();
/// assert_eq!(metadata.values["color"], b"red");
/// # Ok(())
/// # }
/// ```
pub trait Store: Send + Sync + 'static {
    /// Hands every record, its key and its value, to `take`. Called once, before anything is written.
    ///
    /// # Errors
    /// The records cannot be read; then the node is not spawned.
    fn load(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError>;

    /// Writes all changes or none, and returns when they will survive whatever happens next. A key stands in `changes`
    /// once; `None` removes it.
    ///
    /// # Errors
    /// Nothing was written. The node goes on, and hands out the same changes again with the next ones.
    fn write(&self, changes: &[Change]) -> Result<(), StoreError>;
}

impl<S: Store> Store for Arc<S> {
    fn load(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        (**self).load(take)
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        (**self).write(changes)
    }
}

/// Why a store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another node of this one, has it open.
    #[error(
        "the store {} is in use; close the program that has it open, or name another directory", .path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not what a store looks like.
    #[error(
        "the store {} is damaged ({reason}); move the file away to start with an empty one", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another version of this program has written it.
    #[error(
        "the store {} has format {version}, and this program reads {known}; use the program that wrote it, or name \
         another directory", .path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u64,
        /// The one we read.
        known: u64,
    },
    /// The operating system refused.
    #[error("cannot use the store {}: {reason}{}", .path.display(), hint(*.kind))]
    Io {
        /// The file or its directory.
        path: PathBuf,
        /// The operating system's error.
        kind: io::ErrorKind,
        /// Its text.
        reason: String,
    },
    /// A store that is not ours says so.
    #[error("the store failed: {0}")]
    Failed(String),
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem => "; name a directory that this user may write to",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; name a directory",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room on the disk",
        _ => "",
    }
}
