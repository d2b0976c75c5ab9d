//! Black holes, lengths and rebindings, at their times.

use super::*;
use std::net::Ipv4Addr;

use crate::packet::{UDP, tests::packet};
use crate::script;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn path(script: &[&str]) -> Path {
    let translation = Translation::new(Ipv4Addr::new(9, 0, 0, 1), Ipv4Addr::new(9, 0, 0, 2), false);
    let mut path = Path::new(7, Faults::default(), translation);
    for line in script {
        path.command(Duration::ZERO, script::parse(line).unwrap().unwrap());
    }
    path
}

/// Whether a packet of this length arrives on the other side at once.
fn passes(path: &mut Path, now: Duration, from: usize, len: usize) -> bool {
    path.send(now, from, packet(UDP, &vec![1; len - 28]));
    let arrived = path.arrived(now);
    arrived.is_some_and(|(side, packet)| side != from && packet.len() == len)
}

#[test]
fn a_black_hole_lasts_its_time() {
    let mut path = path(&["at 3s blackhole 10s"]);
    let seconds = [2, 3, 12, 13];
    let passed = seconds.map(|at| passes(&mut path, s(at), A, 100));
    assert_eq!(passed, [true, false, false, true]);
    assert_eq!(path.summary()["a_to_b"]["black_holed"], 2);
}

#[test]
fn a_black_hole_may_take_what_one_side_sends() {
    let mut path = path(&["blackhole 10s b"]);
    assert!(passes(&mut path, s(1), A, 100));
    assert!(!passes(&mut path, s(1), B, 100));
}

#[test]
fn commands_are_done_in_their_order_of_time() {
    let mut path = path(&["at 5s mtu 0", "at 2s mtu 1200", "at 9s loss 100%"]);
    assert_eq!(path.next(), Some(s(2)));
    let seconds = [1, 2, 4, 5, 9];
    let passed = seconds.map(|at| passes(&mut path, s(at), A, 1400));
    assert_eq!(passed, [true, false, false, true, false]);
}

#[test]
fn who_sends_too_much_is_told_if_asked_for() {
    let mut path = path(&["mtu 1200", "too-big on"]);
    path.send(s(1), A, packet(UDP, &[1; 1400]));
    let (side, answer) = path.arrived(s(1)).unwrap();
    assert_eq!((side, answer[9]), (A, 1));
    assert_eq!(path.summary()["a_to_b"]["too_long"], 1);
    assert!(passes(&mut path, s(1), A, 1200));
}

#[test]
fn after_a_rebinding_the_old_port_is_forgotten() {
    let mut path = path(&["at 1s rebind"]);
    assert!(passes(&mut path, s(0), B, 100));
    assert!(!passes(&mut path, s(1), B, 100));
    assert_eq!(path.summary()["b_to_a"]["forgotten"], 1);
    assert_eq!(path.summary()["rebindings"], 1);
}
