//! What a file may be, and what it says when it is something else.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use super::*;

/// A directory that is gone after the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("carrick-store-{}-{next}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        self.0.join(NAME)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set(key: &str, value: &str) -> Change {
    (key.to_owned(), Some(value.as_bytes().to_vec()))
}

fn loaded(store: &FileStore) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let take = &mut |key: &str, value: &[u8]| {
        all.push((key.to_owned(), String::from_utf8(value.to_vec()).unwrap()));
    };
    store.load(take).unwrap();
    all
}

fn some(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(pair).collect()
}

#[test]
fn what_is_written_is_there_when_the_file_is_opened_again() {
    let dir = Dir::new();
    let store = FileStore::open(&dir.0).unwrap();
    assert!(loaded(&store).is_empty());
    store.write(&[set("a", "1"), set("b", "2")]).unwrap();
    store.write(&[("a".into(), None), set("c", "3")]).unwrap();
    drop(store);
    let store = FileStore::open(&dir.0).unwrap();
    assert_eq!(loaded(&store), some(&[("b", "2"), ("c", "3")]));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    drop(FileStore::open(&dir.0).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.file()), mode(&dir.0)), (0o600, 0o700));
    fs::set_permissions(dir.file(), PermissionsExt::from_mode(0o644)).unwrap();
    drop(FileStore::open(&dir.0).unwrap());
    assert_eq!(mode(&dir.file()), 0o600);
}

#[test]
fn a_second_one_who_opens_it_is_told_that_it_is_in_use() {
    let dir = Dir::new();
    let first = FileStore::open(&dir.0).unwrap();
    let refused = FileStore::open(&dir.0).unwrap_err();
    assert_eq!(refused, StoreError::InUse { path: dir.file() });
    assert!(
        refused
            .to_string()
            .contains("close the program that has it open")
    );
    drop(first);
    assert!(FileStore::open(&dir.0).is_ok());
}

#[test]
fn a_file_that_is_no_store_is_named_and_left_alone() {
    let dir = Dir::new();
    fs::create_dir_all(&dir.0).unwrap();
    for text in ["not a store at all\n".repeat(1000), "short".to_owned()] {
        fs::write(dir.file(), &text).unwrap();
        let refused = FileStore::open(&dir.0).unwrap_err();
        assert!(
            matches!(&refused, StoreError::Damaged { path, .. } if *path == dir.file()),
            "{refused}"
        );
        assert!(
            refused.to_string().contains("move the file away"),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(dir.file()).unwrap(), text);
    }
}

#[test]
fn a_damaged_file_never_panics_and_never_lies() {
    let dir = Dir::new();
    let store = FileStore::open(&dir.0).unwrap();
    let records: Vec<_> = (0..500)
        .map(|n| set(&format!("key/{n}"), &"x".repeat(100)))
        .collect();
    store.write(&records).unwrap();
    let whole = loaded(&store);
    drop(store);
    let intact = fs::read(dir.file()).unwrap();
    let mut damaged = 0;
    // Every part of the file in turn: its header, its tables, its free pages.
    for at in (0..intact.len()).step_by(intact.len() / 40) {
        fs::write(dir.file(), &intact).unwrap();
        let mut file = OpenOptions::new().write(true).open(dir.file()).unwrap();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[0xa5; 64]).unwrap();
        drop(file);
        match FileStore::open(&dir.0) {
            Ok(store) => assert_eq!(loaded(&store), whole),
            Err(StoreError::Damaged { .. } | StoreError::Version { .. }) => damaged += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(damaged > 0);
    fs::write(dir.file(), &intact[..intact.len() / 2]).unwrap();
    assert!(matches!(
        FileStore::open(&dir.0),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let dir = Dir::new();
    drop(FileStore::open(&dir.0).unwrap());
    let database = Database::open(dir.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(FORMAT)
        .unwrap()
        .insert(FORMAT_KEY, 2)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = FileStore::open(&dir.0).unwrap_err();
    let (path, version, known) = (dir.file(), 2, 1);
    assert_eq!(
        refused,
        StoreError::Version {
            path,
            version,
            known
        }
    );
    assert!(
        refused
            .to_string()
            .contains("has format 2, and this program reads 1")
    );
}

#[test]
fn a_directory_that_is_none_is_refused_with_a_remedy() {
    let dir = Dir::new();
    fs::write(&dir.0, "a file").unwrap();
    let refused = FileStore::open(&dir.0).unwrap_err();
    assert!(
        refused.to_string().ends_with("; name a directory"),
        "{refused}"
    );
    let refused = FileStore::open("/proc/carrick").unwrap_err();
    assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
    fs::remove_file(&dir.0).unwrap();
}
