//! Child processes: lines, ends, and that none is left behind.

use super::*;
use std::path::Path;

fn shell(script: &str) -> Process {
    Process::start(Command::new("sh").args(["-c", script])).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn lines_come_in_order_then_the_end_then_the_status() {
    let mut process = shell("echo one; echo why >&2; printf two; exit 7");
    assert_eq!(process.line(soon()), Line::Text("one".into()));
    assert_eq!(process.line(soon()), Line::Text("two".into()));
    assert_eq!(process.line(soon()), Line::End);
    assert_eq!(
        process.ended(soon()).and_then(|status| status.code()),
        Some(7)
    );
    assert_eq!(process.last_words(), "why");
}

#[test]
fn a_silent_process_is_late_and_ends_when_its_stdin_does() {
    let mut process = shell("read line; exit 0");
    assert_eq!(process.line(Instant::now()), Line::Late);
    drop(process.stdin.take());
    assert!(process.ended(soon()).is_some_and(|status| status.success()));
}

#[test]
fn what_ignores_the_end_of_stdin_is_killed_with_its_children() {
    let mut process = shell("sleep 1000 & echo $!; wait");
    let Line::Text(child) = process.line(soon()) else {
        panic!("no pid")
    };
    let (parent, child) = (
        format!("/proc/{}", process.pid),
        format!("/proc/{child}/exe"),
    );
    assert!(Path::new(&parent).exists() && Path::new(&child).exists());
    let lines = std::mem::replace(&mut process.lines, sync_channel(0).1);
    drop(process);
    assert!(!Path::new(&parent).exists());
    // Whoever may still write to its stdout has ended, too; a killed child takes a moment.
    let end = lines.recv_timeout(left(soon()));
    assert_eq!(end, Err(RecvTimeoutError::Disconnected));
}
