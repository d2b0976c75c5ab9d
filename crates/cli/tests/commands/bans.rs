//! Whom a node has nothing to do with.

use std::{fs, path::Path};

use crate::process::{Listener, carrick, folder};

fn list(name: &str, text: &str) -> String {
    let file = folder(name).join("bans.txt");
    fs::write(&file, text).expect("it is ours");
    text_of(&file)
}

fn text_of(file: &Path) -> String {
    file.to_str().expect("the path is text").to_owned()
}

#[test]
fn an_address_in_the_ban_list_is_refused_and_others_are_served() {
    let bans = list("bans-all", "# nobody from here\n\n127.0.0.0/8 # a test\n");
    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0", "--ban-list", &bans]);
    carrick(&["ping", &listener.address, "-n", "1"]).refused(&["could not reach"]);
    let bans = list("bans-others", "192.0.2.1\n2001:db8::/32  # all of them");
    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0", "--ban-list", &bans]);
    carrick(&["ping", &listener.address, "-n", "1"]).lines();
}

#[test]
fn a_ban_list_that_cannot_be_read_names_its_file_and_its_line() {
    let bans = list("bans-wrong", "192.0.2.1 # fine\nsomebody # who?\n");
    let line = format!("{bans}:2: \"somebody\" is no peer id");
    carrick(&["listen", "--ban-list", &bans]).refused(&[&line, "correct the line"]);
    let missing = text_of(&folder("bans-missing").join("bans.txt"));
    carrick(&["listen", "--ban-list", &missing]).refused(&["cannot read the ban list", &missing]);
}
