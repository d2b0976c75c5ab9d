//! What a node keeps in a directory, and what it says when it cannot.

use std::fs;

use crate::process::{Listener, carrick, folder};

#[test]
fn a_store_is_used_by_one_process_and_serves_the_next() {
    let directory = folder("store").join("peers");
    let directory = directory.to_str().expect("the path is text");
    let arguments = ["/ip4/127.0.0.1/tcp/0", "--store", directory];
    let listen = [&["listen"], &arguments[..]].concat();
    let first = Listener::start(&arguments);
    carrick(&["ping", &first.address, "-n", "1"]).lines();
    carrick(&listen).refused(&["carrick.redb is in use", "name another directory"]);
    drop(first);
    let second = Listener::start(&arguments);
    carrick(&["ping", &second.address, "-n", "1"]).lines();
}

#[test]
fn a_store_that_cannot_be_one_is_refused_with_a_remedy() {
    let folder = folder("no-store");
    let file = folder.join("file");
    fs::write(&file, "text").expect("it is ours");
    let file = file.to_str().expect("the path is text");
    carrick(&["listen", "--store", file]).refused(&["cannot use the store", "name a directory"]);
    fs::write(folder.join("carrick.redb"), "text".repeat(1000)).expect("it is ours");
    let folder = folder.to_str().expect("the path is text");
    carrick(&["listen", "--store", folder]).refused(&["is damaged", "move the file away"]);
}
