//! `carrick send` and `carrick receive`: two processes, and files that must be the same on both sides.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Child,
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::Value;

use crate::process::{DEADLINE, Finished, carrick, collect, folder, spawn};

mod cuts;
mod disk;
mod hostile;

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A process that says what it does in JSON, and goes on while we read.
pub(crate) struct Running {
    child: Child,
    events: Receiver<Value>,
    stderr: Receiver<Vec<u8>>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = spawn(&[args, &["--json"]].concat());
        let (sender, events) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
        thread::spawn(move || {
            // A process that is killed may end within a line.
            for line in stdout.lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else {
                    break;
                };
                // Whoever does not want more of them has gone.
                let _ = sender.send(event);
            }
        });
        Self {
            child,
            events,
            stderr,
        }
    }

    /// The next event of this name; others before it are passed over.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        loop {
            let event = self.events.recv_timeout(DEADLINE).expect(name);
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Waits until it ends by itself: its exit code, and what it has said on stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let stderr = self.stderr.recv_timeout(DEADLINE).expect("it ends in time");
        let code = self.child.wait().expect("the process has ended").code();
        (code, String::from_utf8(stderr).expect("stderr is text"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sender with a ticket to show.
pub(crate) fn sender(args: &[&str]) -> (Running, String) {
    let running = Running::start(&[&["send"], args].concat());
    let ticket = running.event("ticket")["ticket"]
        .as_str()
        .map(str::to_owned);
    (running, ticket.expect("a ticket is a text"))
}

/// Bytes without a pattern, the same every time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 | 1;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.flat_map(u64::to_le_bytes).take(len).collect()
}

/// Everything below a folder, as path and contents; directories have none.
pub(crate) fn tree(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let below = path.strip_prefix(folder).expect("it is below").to_owned();
        if path.is_dir() {
            let inside = fs::read_dir(&path).expect("it can be read");
            waiting.extend(inside.map(|entry| entry.expect("it can be read").path()));
            all.push((below, None));
        } else {
            all.push((below, Some(fs::read(&path).expect("it can be read"))));
        }
    }
    all.sort();
    all
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// A folder with a bit of everything, in a place of its own.
fn album(place: &Path) -> PathBuf {
    let album = place.join("album");
    fs::create_dir_all(album.join("empty folder")).expect("it can be made");
    fs::create_dir_all(album.join("deep/er")).expect("it can be made");
    for (name, len) in [
        ("empty", 0),
        ("one", 1),
        ("group", 1 << 18),
        ("deep/er/ä", 700_001),
    ] {
        fs::write(album.join(name), noise(len)).expect("it can be written");
    }
    let script = album.join("deep/run");
    fs::write(&script, "#!/bin/sh\n").expect("it can be written");
    let mut permissions = fs::metadata(&script).expect("it is there").permissions();
    permissions.set_mode(0o755);
    fs::set_permissions(&script, permissions).expect("it is ours");
    album
}

/// `carrick receive` into this folder.
fn receive(ticket: &str, output: &Path) -> Finished {
    carrick(&["receive", ticket, "--output", text(output)])
}

/// The same, which must succeed: the last thing that it says.
#[track_caller]
fn received(ticket: &str, output: &Path) -> Value {
    last(&carrick(&[
        "receive",
        ticket,
        "--output",
        text(output),
        "--json",
    ]))
}

#[track_caller]
fn last(finished: &Finished) -> Value {
    let last = finished
        .objects()
        .pop()
        .expect("it says what it has received");
    assert_eq!(last["event"], "received");
    last
}

#[test]
fn a_file_goes_over_tcp_and_over_quic() {
    let folder = folder("transfer_file");
    let file = folder.join("file");
    fs::write(&file, noise(3_000_001)).expect("it can be written");
    for (listen, name) in [(TCP, "tcp"), (QUIC, "quic-v1")] {
        let (sender, ticket) = sender(&["--listen", listen, text(&file)]);
        let output = folder.join(name);
        let last = received(&ticket, &output);
        assert_eq!(last["bytes"], 3_000_001);
        assert_eq!(last["moved_bytes"], 3_000_001);
        assert!(
            last["address"].as_str().is_some_and(|at| at.contains(name)),
            "{last}"
        );
        let sent = sender.event("sent");
        assert_eq!(sent["moved_bytes"], 3_000_001);
        assert!(sent["seconds"].as_f64() > Some(0.0));
        assert_eq!(sender.end(), (Some(0), String::new()));
        assert_eq!(
            tree(&output),
            [
                (PathBuf::new(), None),
                (PathBuf::from("file"), Some(noise(3_000_001))),
            ]
        );
    }
}

#[test]
fn directories_come_as_they_are_and_a_second_time_nothing_moves() {
    let folder = folder("transfer_directory");
    let album = album(&folder);
    let other = folder.join("other file");
    fs::write(&other, noise(10)).expect("it can be written");
    let (_sender, ticket) = sender(&["--keep", "--listen", TCP, text(&album), text(&other)]);
    let output = folder.join("not there/yet");
    let first = received(&ticket, &output);
    assert_eq!(first["files"], 6);
    assert_eq!(first["moved_bytes"], first["bytes"]);
    assert_eq!(tree(&output.join("album")), tree(&album));
    assert_eq!(
        tree(&output).len(),
        tree(&album).len() + 2,
        "and nothing else"
    );
    let run = fs::metadata(output.join("album/deep/run")).expect("it is there");
    assert_ne!(run.permissions().mode() & 0o100, 0, "it can be run");
    let second = received(&ticket, &output);
    assert_eq!(second["moved_bytes"], 0);
    assert_eq!(second["resumed_bytes"], second["bytes"]);
}

#[test]
fn a_peer_who_waits_takes_from_whom_it_was_told_to_and_from_nobody_else() {
    let folder = folder("transfer_push");
    let (album, output) = (album(&folder), folder.join("output"));
    let keys = ["friend", "stranger"].map(|name| folder.join(name));
    let [friend, _] = keys.each_ref().map(|key| {
        let made = carrick(&["key", "generate", text(key), "--json"]).objects();
        made[0]["peer"].as_str().expect("a peer").to_owned()
    });
    let args = [
        "receive",
        "--listen",
        TCP,
        "--from",
        &friend,
        "--output",
        text(&output),
    ];
    let receiver = Running::start(&args);
    let address = receiver.event("listening")["address"].to_string();
    let address = address.trim_matches('"');
    let send = |key: &Path| carrick(&["send", "--to", address, "--key", text(key), text(&album)]);
    let declined = send(&keys[1]);
    assert_eq!(declined.code, Some(1));
    for word in ["takes nothing from this peer", "--from"] {
        assert!(declined.stderr.contains(word), "{}", declined.stderr);
    }
    assert!(!output.exists());
    let sent = send(&keys[0]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    assert_eq!(receiver.event("received")["files"], 5);
    assert_eq!(receiver.end(), (Some(0), String::new()));
    assert_eq!(tree(&output.join("album")), tree(&album));
}

#[test]
fn who_waits_needs_somebody_to_ask_or_to_be_told() {
    carrick(&["receive"]).refused(&["no terminal", "--from PEER", "--yes"]);
    let folder = folder("transfer_yes");
    let file = folder.join("file");
    fs::write(&file, noise(2000)).expect("it can be written");
    let output = folder.join("output");
    let waits = [
        "receive",
        "--listen",
        TCP,
        "--yes",
        "--max-size",
        "1kB",
        "--output",
        text(&output),
    ];
    let receiver = Running::start(&waits);
    let address = receiver.event("listening")["address"].to_string();
    let send = |file: &Path| carrick(&["send", "--to", address.trim_matches('"'), text(file)]);
    let refused = send(&file);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("2000 bytes are more than the 1000"),
        "{}",
        refused.stderr
    );
    receiver.event("failed");
    fs::write(&file, noise(1000)).expect("it can be written");
    assert_eq!(send(&file).code, Some(0));
    assert_eq!(receiver.event("received")["bytes"], 1000);
    assert_eq!(receiver.end().0, Some(0));
}

#[test]
fn what_cannot_be_sent_is_refused_before_there_is_a_ticket() {
    let folder = folder("transfer_refused");
    let missing = folder.join("missing");
    carrick(&["send", text(&missing)]).refused(&["missing", "cannot be read"]);
    let links = folder.join("links");
    fs::create_dir(&links).expect("it can be made");
    std::os::unix::fs::symlink("/etc/passwd", links.join("link")).expect("it can be made");
    carrick(&["send", text(&links)]).refused(&["link", "neither a file nor a directory"]);
    let odd = folder.join("back\\slash");
    fs::write(&odd, "").expect("it can be written");
    carrick(&["send", text(&odd)]).refused(&["backslash"]);
    let twice = folder.join("twice");
    fs::write(&twice, "").expect("it can be written");
    carrick(&["send", text(&twice), text(&twice)]).refused(&["twice"]);
}

#[test]
fn a_damaged_ticket_is_refused_with_a_remedy() {
    for bad in [
        "carrick1",
        "hello",
        "carrick1eyacicabciqi2i4vshfwlh374r3esz5xpupks577uyzem7zv4pbf5z4kb2hruyx",
    ] {
        carrick(&["receive", bad]).refused(&["ticket", "copy it anew"]);
    }
}

#[test]
fn a_file_that_changes_is_not_sent_and_both_sides_say_so() {
    let folder = folder("transfer_changed");
    let (file, output) = (folder.join("file"), folder.join("output"));
    fs::write(&file, noise(600_000)).expect("it can be written");
    let (sender, ticket) = sender(&["--listen", TCP, text(&file)]);
    fs::write(&file, noise(599_999)).expect("it can be written");
    receive(&ticket, &output).refused(&["files cannot be read, or have changed", "carrick send"]);
    let failed = sender.event("failed").to_string();
    assert!(
        failed.contains("has changed since it was hashed"),
        "{failed}"
    );
    assert!(!output.join("file").exists());
}
