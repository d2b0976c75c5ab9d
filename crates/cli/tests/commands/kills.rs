//! The command dies at each step of writing a file: what is there afterwards is whole or not there, and the next try works.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    process::{CARRICK, carrick, folder},
    transfer::{TCP, noise, sender, text},
};

/// Runs the binary until it kills itself there.
fn dies(at: &str, args: &[&str]) {
    let mut command = Command::new(CARRICK);
    let command = command.args(args).env("CARRICK_FAULT", at);
    let ran = command.stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(ran.status.signal(), Some(9), "{at}: {ran:?}");
}

fn generate(at: &str, file: &Path) {
    let _ = fs::remove_file(file);
    dies(at, &["key", "generate", text(file)]);
}

#[test]
fn a_key_is_whole_or_not_there_whenever_its_writer_dies() {
    let folder = folder("kills_key");
    let file = folder.join("node.key");
    for at in ["KeyFileMade", "KeyFileWritten", "KeyFileNamed"] {
        generate(at, &file);
        if !file.exists() {
            carrick(&["key", "generate", text(&file)]).lines();
        }
        carrick(&["key", "show", text(&file)]).lines();
    }
    assert!(file.exists(), "the last one had its name");
}

#[test]
fn a_transfer_goes_on_whenever_its_receiver_dies() {
    let folder = folder("kills_transfer");
    let path = folder.join("file");
    let bytes = noise(900_000);
    fs::write(&path, &bytes).expect("it can be written");
    let output = folder.join("output");
    let (sender, ticket) = sender(&["--listen", TCP, "--keep", text(&path)]);
    let receive = ["receive", &ticket, "--output", text(&output)];
    for at in [
        "GroupWritten:1",
        "GroupWritten:2",
        "FilesSealed",
        "FileNamed",
    ] {
        dies(at, &receive);
        let named = output.join("file");
        assert_eq!(named.exists(), at == "FileNamed", "{at}");
    }
    carrick(&receive).lines();
    assert_eq!(fs::read(output.join("file")).expect("it is there"), bytes);
    drop(sender);
}
