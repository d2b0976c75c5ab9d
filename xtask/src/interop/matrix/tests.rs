//! Which cells `--only` leaves, and what they check.

use super::*;

fn run(only: &[&str], full: bool) -> Vec<Cell> {
    let peer = |name| Peer::new(name, &["x"]);
    let words: Vec<Word> = only.iter().map(|word| word.parse().unwrap()).collect();
    cells(&peer("carrick"), &[peer("go"), peer("py")], &words, full)
}

fn stacks_of(cells: &[Cell]) -> Vec<String> {
    let mut names: Vec<_> = cells.iter().map(|cell| cell.stack.to_string()).collect();
    names.dedup();
    names
}

#[test]
fn every_stack_meets_every_pair_once() {
    let all = run(&[], false);
    assert_eq!(all.len(), stacks().len() * 5);
    let names: Vec<_> = all.iter().map(ToString::to_string).collect();
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{name} comes twice");
    }
}

#[test]
fn words_of_one_kind_are_alternatives_and_kinds_restrict() {
    assert_eq!(
        stacks_of(&run(&["wss", "quic-v1"], false)),
        [
            "wss noise yamux",
            "wss tls yamux",
            "quic-v1",
            "quic-v1 ipv6"
        ]
    );
    assert_eq!(
        stacks_of(&run(&["ws", "tls", "mplex"], false)),
        ["ws tls mplex"]
    );
    assert_eq!(
        stacks_of(&run(&["ipv6"], false)),
        ["tcp noise yamux ipv6", "quic-v1 ipv6"]
    );
    assert_eq!(stacks_of(&run(&["keys", "tls"], false)).len(), 3);
    assert!("tpc".parse::<Word>().is_err());
    let only = [Word::from_str("go").unwrap()];
    assert!(wants(&only, "go") && !wants(&only, "py") && wants(&[], "py"));
}

#[test]
fn each_transport_has_one_row_with_the_long_checks() {
    for transport in ["tcp", "ws", "wss", "quic-v1"] {
        let cells = run(&[transport], false);
        let long = cells.iter().filter(|cell| cell.checks.contains(&"bulk"));
        assert_eq!(long.count(), 5, "{transport}");
    }
}

#[test]
fn requests_are_for_the_stacks_that_have_them() {
    let peers = ["rust", "go"].map(|name| Peer::new(name, &["x"]));
    let cells = cells(&Peer::new("carrick", &["x"]), &peers, &[], false);
    for cell in cells {
        let asked = REQUESTS.iter().all(|check| cell.checks.contains(check));
        let (pair, short) = (cell.pair(), cell.checks.len() == SHORT.len());
        assert_eq!(asked, !pair.contains("go") && !short, "{cell}");
    }
}

#[test]
fn slow_stacks_send_less() {
    let bytes = |full| {
        let cells = run(&["wss", "noise"], full);
        [cells[0].bulk_bytes, cells[4].bulk_bytes].map(|bytes| bytes >> 20)
    };
    assert_eq!((bytes(false), bytes(true)), ([64, 4], [1024, 64]));
}

#[test]
fn only_wss_takes_files() {
    let files = |transport| {
        let cells = run(&[transport], false);
        let stack = &cells[0].stack;
        (stack.listener_files().len(), stack.dialer_files().len())
    };
    assert_eq!((files("wss"), files("ws")), ((4, 2), (0, 0)));
}

#[test]
fn carrick_dials_a_name_in_one_row() {
    let dialed = |only: &str, printed: &str, dialer| {
        let stack = run(&["wss", only], false)[0].stack.clone();
        stack.dialed(format!("/ip4/127.0.0.1/tcp/1{printed}/p2p/X"), dialer)
    };
    let named = "/ip4/127.0.0.1/tcp/1/tls/sni/localhost/ws/p2p/X";
    assert_eq!(dialed("tls", "/tls/ws", "carrick"), named);
    assert_eq!(dialed("tls", "/wss", "carrick"), named);
    for (only, dialer) in [("noise", "carrick"), ("tls", "go")] {
        assert_eq!(
            dialed(only, "/wss", dialer),
            "/ip4/127.0.0.1/tcp/1/wss/p2p/X"
        );
    }
}
