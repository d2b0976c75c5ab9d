//! `carrick open` on both sides: who opens, and who accepts.

use crate::process::{Running, carrick, carrick_with};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

fn accept(more: &[&str], input: &[u8]) -> Running {
    let args = ["open", "--accept", "/chat/1", "--listen", LOOPBACK];
    Running::start_with(&[&args, more].concat(), input, "")
}

#[test]
fn two_talk_and_both_end() {
    let acceptor = accept(&["--json"], b"from the acceptor");
    let told: serde_json::Value = serde_json::from_str(&acceptor.told[0]).expect("JSON");
    let address = told["listening"].as_str().expect("an address");
    let opener = carrick_with(&["open", address, "/chat/1", "--json"], b"from the opener");
    assert_eq!(opener.stdout, b"from the acceptor");
    let figures: serde_json::Value = serde_json::from_str(&opener.stderr).expect("JSON");
    assert_eq!(
        (&figures["sent"], &figures["received"]),
        (&15.into(), &17.into())
    );
    assert!(address.ends_with(figures["peer"].as_str().expect("an id")));
    let (code, heard) = acceptor.wait();
    assert_eq!((code, &heard[..]), (Some(0), &b"from the opener"[..]));
}

#[test]
fn with_keep_one_peer_comes_after_the_other() {
    let acceptor = accept(&["--keep"], b"only once");
    let address = acceptor.after("listening ").to_owned();
    for (n, answer) in ["only once", "", ""].into_iter().enumerate() {
        let opener = carrick_with(&["open", &address, "/chat/1"], &[b'0' + n as u8]);
        assert_eq!(opener.stdout, answer.as_bytes(), "{}", opener.stderr);
        assert_eq!(opener.code, Some(0));
    }
    acceptor.signal("TERM");
    let (code, heard) = acceptor.wait();
    assert_eq!((code, &heard[..]), (Some(0), &b"012"[..]));
}

#[test]
fn either_a_peer_or_what_is_accepted_is_named() {
    carrick(&["open"]).refused(&["ADDR"]);
    carrick(&["open", "--keep"]).refused(&["--accept"]);
    let peer = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
    carrick(&["open", peer]).refused(&["PROTOCOL"]);
    carrick(&["open", peer, "--accept", "/chat/1"]).refused(&["--accept"]);
    carrick(&["open", peer, "/chat/1", "--listen", LOOPBACK]).refused(&["--listen"]);
}
