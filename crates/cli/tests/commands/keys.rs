//! Key files.
#![cfg(unix)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::process::{Listener, carrick, folder};

#[test]
fn a_generated_key_is_private_and_gives_a_listener_its_id() {
    let file = folder("private").join("node.key");
    let made = &carrick(&["key", "generate", text(&file), "--json"]).objects()[0];
    assert_eq!(made["key_type"], "Ed25519");
    let mode = fs::metadata(&file).expect("it exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = &carrick(&["key", "show", text(&file), "--json"]).objects()[0];
    assert_eq!(shown, made);
    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0", "--key", text(&file)]);
    assert_eq!(made["peer"], listener.peer());
}

#[test]
fn a_key_is_never_overwritten() {
    let file = folder("overwritten").join("node.key");
    carrick(&["key", "generate", text(&file)]).lines();
    let before = fs::read(&file).expect("it exists");
    carrick(&["key", "generate", text(&file)]).refused(&["is not overwritten", "another name"]);
    assert_eq!(fs::read(&file).expect("it still exists"), before);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let file = folder("readable").join("node.key");
    carrick(&["key", "generate", text(&file)]).lines();
    for mode in [0o640, 0o604] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
        let remedy = format!("chmod 600 {}", text(&file));
        carrick(&["listen", "--key", text(&file)]).refused(&["readable by others", &remedy]);
    }
}

#[test]
fn a_truncated_key_is_said_to_be_truncated_wherever_it_ends() {
    let file = folder("truncated").join("node.key");
    carrick(&["key", "generate", text(&file)]).lines();
    let whole = fs::read(&file).expect("it exists");
    for len in [0, 1, 2, 3, 4, 5, 36, whole.len() - 1] {
        fs::write(&file, &whole[..len]).expect("it is ours");
        let wanted = format!("truncated after {len} bytes");
        carrick(&["listen", "--key", text(&file)]).refused(&[&wanted, "key generate"]);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let folder = folder("no_key");
    let file = folder.join("text");
    fs::write(&file, "-----BEGIN PRIVATE KEY-----").expect("the folder is ours");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    carrick(&["key", "show", text(&file)]).refused(&["is not a key file", "key generate"]);
    let nothing = folder.join("nothing");
    carrick(&["key", "show", text(&nothing)]).refused(&["cannot read", "key generate"]);
    let nowhere = folder.join("nowhere/node.key");
    carrick(&["key", "generate", text(&nowhere)]).refused(&["cannot create", "choose a place"]);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}
