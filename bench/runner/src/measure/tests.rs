//! Command lines and addresses, without a process.

use super::*;
use crate::plan::{ROWS, STACKS};

#[test]
fn another_port_takes_the_place_of_the_first() {
    for (address, expected) in [
        (
            "/ip4/127.0.0.1/tcp/4001/p2p/12D3",
            "/ip4/127.0.0.1/tcp/7/p2p/12D3",
        ),
        ("127.0.0.1:4001", "127.0.0.1:7"),
        ("127.0.0.1:4001#00ff", "127.0.0.1:7#00ff"),
    ] {
        let (put, socket) = socket_of(address).unwrap();
        assert_eq!(socket, "127.0.0.1:4001");
        assert_eq!(put("127.0.0.1:7").unwrap(), expected);
    }
    assert!(socket_of("/ip4/127.0.0.1/udp/4001/quic-v1").is_err());
}

#[test]
fn what_a_stack_says_stands_behind_what_the_row_says() {
    let row = ROWS.iter().find(|row| row.name == "up-100").unwrap();
    let stack = STACKS.iter().find(|stack| stack.name == "limit-1").unwrap();
    let line = arguments(row, stack, "address", true);
    assert_eq!(line[..3], ["run", "address", "up"]);
    let last = |option: &str| {
        let at = line
            .iter()
            .rposition(|argument| *argument == option)
            .unwrap();
        line[at + 1]
    };
    assert_eq!((last("--streams"), last("--bytes")), ("1", QUICK[1]));
}

#[test]
fn the_count_is_read_from_what_perf_writes() {
    let written = "# started on Monday\n\n1064,,raw_syscalls:sys_enter,2000,100.00,,\n";
    assert_eq!(calls::count_in(written), Some(1064.0));
    assert_eq!(
        calls::count_in("<not counted>,,raw_syscalls:sys_enter,0"),
        None
    );
}
