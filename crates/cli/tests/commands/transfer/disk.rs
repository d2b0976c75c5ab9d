//! Receivers whose disk refuses: they say so to both sides, and leave nothing under the final name.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{TCP, last, noise, receive, received, sender, text, tree};
use crate::process::{carrick, folder, run};

/// Runs a script that starts the binary as `"$CARRICK" receive "$TICKET" --output "$OUTPUT" --json`.
fn scripted(script: &str, ticket: &str, output: &Path) -> crate::process::Finished {
    run(Command::new("sh")
        .args(["-c", script])
        .env("CARRICK", env!("CARGO_BIN_EXE_carrick"))
        .env("TICKET", ticket)
        .env("OUTPUT", output))
}

#[test]
fn a_full_disk_is_said_to_both_and_room_is_all_that_is_needed() {
    let folder = folder("transfer_full");
    let file = folder.join("file");
    fs::write(&file, noise(3_000_000)).expect("it can be written");
    let (sender, ticket) = sender(&["--keep", "--listen", TCP, text(&file)]);
    let output = folder.join("output");
    // The limit for files stands for the disk's end: it needs no privileges.
    let script =
        "trap '' XFSZ; ulimit -f 2048; exec \"$CARRICK\" receive \"$TICKET\" --output \"$OUTPUT\"";
    let full = scripted(script, &ticket, &output);
    full.refused(&[
        "cannot write",
        "larger than the limit",
        "make room",
        "goes on where it stopped",
    ]);
    let failed = sender.event("failed").to_string();
    assert!(
        failed.contains("the receiver cannot write: the file is larger"),
        "{failed}"
    );
    assert!(!output.join("file").exists());
    let rest = received(&ticket, &output);
    assert!(rest["resumed_bytes"].as_u64() >= Some(1 << 18), "{rest}");
    assert_eq!(tree(&output).len(), 2, "the file in its folder");
    assert_eq!(fs::read(output.join("file")).ok(), Some(noise(3_000_000)));
}

#[test]
fn a_full_file_system_leaves_nothing_under_the_final_name() {
    let can_mount = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .stderr(Stdio::null())
        .status();
    if !can_mount.is_ok_and(|status| status.success()) {
        // Not every machine lets a test have a file system of its own; the other test needs none.
        return;
    }
    let folder = folder("transfer_tmpfs");
    let (file, output) = (folder.join("file"), folder.join("output"));
    fs::write(&file, noise(3_000_000)).expect("it can be written");
    fs::create_dir(&output).expect("it can be made");
    let (sender, ticket) = sender(&["--keep", "--listen", TCP, text(&file)]);
    let script = "exec unshare -rm sh -c '
        mount -t tmpfs -o size=1m none \"$OUTPUT\" || exit 9
        \"$CARRICK\" receive \"$TICKET\" --output \"$OUTPUT\" && exit 8
        test ! -e \"$OUTPUT/file\" || exit 7
        mount -o remount,size=8m \"$OUTPUT\" || exit 6
        \"$CARRICK\" receive \"$TICKET\" --output \"$OUTPUT\" --json || exit 5
        cat \"$OUTPUT/file\" > \"$OUTPUT/../copy\"'";
    let both = scripted(script, &ticket, &output);
    assert_eq!(both.code, Some(0), "{}", both.stderr);
    assert!(
        both.stderr.contains("the disk is full; make room"),
        "{}",
        both.stderr
    );
    let rest = last(&both);
    assert!(rest["resumed_bytes"].as_u64() >= Some(1 << 18), "{rest}");
    let failed = sender.event("failed").to_string();
    assert!(
        failed.contains("the receiver cannot write: the disk is full"),
        "{failed}"
    );
    assert_eq!(fs::read(folder.join("copy")).ok(), Some(noise(3_000_000)));
}

#[test]
fn a_place_that_may_not_be_written_to_is_said_to_both() {
    let folder = folder("transfer_denied");
    let file = folder.join("file");
    fs::write(&file, noise(10)).expect("it can be written");
    let (sender, ticket) = sender(&["--keep", "--listen", TCP, text(&file)]);
    // Nobody may make a directory there, not even root.
    let denied = carrick(&["receive", &ticket, "--output", "/sys/kernel/carrick"]);
    denied.refused(&["cannot write /sys/kernel/carrick", "--output DIR"]);
    let words = ["permission denied", "read-only"];
    assert!(
        words.iter().any(|word| denied.stderr.contains(word)),
        "{}",
        denied.stderr
    );
    let failed = sender.event("failed").to_string();
    assert!(failed.contains("the receiver cannot write"), "{failed}");
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let folder = folder("transfer_exists");
    let file = folder.join("file");
    fs::write(&file, noise(1000)).expect("it can be written");
    let (sender, ticket) = sender(&["--keep", "--listen", TCP, text(&file)]);
    for (name, other) in [("shorter", noise(10)), ("same length", vec![0; 1000])] {
        let output = folder.join(name);
        fs::create_dir(&output).expect("it can be made");
        fs::write(output.join("file"), &other).expect("it can be written");
        receive(&ticket, &output).refused(&["file exists", "nothing is overwritten"]);
        assert_eq!(fs::read(output.join("file")).ok(), Some(other));
        sender.event("failed");
    }
    let output = folder.join("directory");
    fs::create_dir_all(output.join("file")).expect("it can be made");
    receive(&ticket, &output).refused(&["file exists"]);
}

#[test]
fn links_are_not_followed_wherever_they_lie() {
    let folder = folder("transfer_links");
    let (file, victim) = (folder.join("file"), folder.join("victim"));
    fs::write(&file, noise(1000)).expect("it can be written");
    fs::write(&victim, "precious").expect("it can be written");
    let (_sender, ticket) = sender(&["--keep", "--listen", TCP, text(&file)]);
    let root = ticket
        .parse::<carrick::transfer::Ticket>()
        .expect("it is one")
        .root;
    let digits: String = root[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let part = format!(".carrick-part-{digits}");
    for place in [
        "file",
        "PART",
        "PART/files",
        "PART/files/file",
        "PART/record",
    ] {
        let output = folder.join(format!("at_{}", place.replace('/', "_")));
        let link = output.join(place.replace("PART", &part));
        let above = link.parent().expect("it is below the folder");
        fs::create_dir_all(above).expect("it can be made");
        if place.starts_with("PART/") {
            let part = output.join(&part);
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(part, private).expect("it is ours");
        }
        std::os::unix::fs::symlink(&victim, &link).expect("it can be made");
        let refused = receive(&ticket, &output);
        assert_eq!(refused.code, Some(1), "{place}");
        assert_eq!(
            fs::read(&victim).ok(),
            Some(b"precious".to_vec()),
            "{place}"
        );
    }
}
