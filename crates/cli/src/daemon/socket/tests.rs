//! Whom the socket is made for, and in whose place.

use std::{os::unix::fs::symlink, process};

use super::*;

/// A directory of this user's alone, with a short name: a socket's path has 107 bytes at most.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        let place = env::temp_dir().join(format!("carrick-{}-{test}", process::id()));
        let _ = fs::remove_dir_all(&place);
        DirBuilder::new()
            .mode(0o700)
            .create(&place)
            .expect("it can be made");
        Self(place)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("c.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o777
}

async fn refused(path: &Path, wanted: &str) {
    let refused = Socket::bind(path)
        .await
        .expect_err("it is refused")
        .to_string();
    assert!(refused.contains(wanted), "no {wanted:?} in {refused}");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_made_for_this_user_alone() {
    let place = Place::new("made");
    let path = place.0.join("a/b/c.sock");
    let socket = Socket::bind(&path).await.expect("it is made");
    assert_eq!(mode(&place.0.join("a")), 0o700);
    assert_eq!(mode(&place.0.join("a/b")), 0o700);
    assert_eq!(mode(&path), 0o600);
    let (client, server) = tokio::join!(connect(&path), socket.accept());
    client.expect("it is this user's");
    server.expect("it is this user's");
    drop(socket);
    assert!(!path.exists(), "it goes with the daemon");
}

#[tokio::test]
async fn a_directory_that_others_may_enter_is_refused() {
    let place = Place::new("open");
    for open in [0o755, 0o711, 0o770, 0o701] {
        fs::set_permissions(&place.0, Permissions::from_mode(open)).expect("it is ours");
        refused(&place.socket(), "others may enter").await;
        assert!(!place.socket().exists());
    }
}

#[tokio::test]
async fn a_link_in_the_place_of_the_directory_or_the_socket_is_refused() {
    let place = Place::new("link");
    let real = Place::new("real");
    symlink(&real.0, place.0.join("linked")).expect("it can be made");
    refused(
        &place.0.join("linked/c.sock"),
        "not a directory of this user's",
    )
    .await;
    let target = place.0.join("target.sock");
    let _target = Socket::bind(&target).await.expect("it is made");
    symlink(&target, place.socket()).expect("it can be made");
    refused(&place.socket(), "no socket of this user's").await;
    assert!(place.socket().is_symlink(), "it is left as it was");
}

#[tokio::test]
async fn a_file_in_the_place_of_the_socket_is_refused_and_kept() {
    let place = Place::new("file");
    fs::write(place.socket(), "precious").expect("it is ours");
    refused(&place.socket(), "no socket of this user's").await;
    assert_eq!(fs::read(place.socket()).expect("it is there"), b"precious");
}

#[tokio::test]
async fn a_socket_is_replaced_only_when_nobody_answers() {
    let place = Place::new("stale");
    let path = place.socket();
    let first = Socket::bind(&path).await.expect("it is made");
    refused(&path, "a daemon runs already").await;
    drop(first);
    // Whoever listens without our lock is respected, too.
    let foreign = UnixListener::bind(&path).expect("the place is free");
    refused(&path, "a daemon runs already").await;
    drop(foreign);
    assert!(path.exists(), "it was left behind");
    Socket::bind(&path).await.expect("nobody answers any more");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_refused_with_the_reason() {
    let place = Place::new("long");
    refused(&place.0.join("x".repeat(120)), "at most 107 bytes").await;
}
