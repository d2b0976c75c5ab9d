//! Private networks from the command line.
#![cfg(unix)]

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::process::{Listener, carrick, folder};

#[test]
fn who_has_the_swarm_key_is_answered_and_who_has_not_is_told_why() {
    let folder = folder("swarm");
    let (ours, other) = (folder.join("swarm.key"), folder.join("other.key"));
    let made = &carrick(&["key", "swarm", text(&ours), "--json"]).objects()[0];
    assert_eq!(made["fingerprint"].as_str().map(str::len), Some(32));
    let mode = fs::metadata(&ours).expect("it exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    carrick(&["key", "swarm", text(&other)]).lines();
    carrick(&["key", "swarm", text(&other)]).refused(&["is not overwritten"]);

    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0", "--swarm-key", text(&ours)]);
    let ping = |key: &Path| {
        let address = listener.address.as_str();
        carrick(&[
            "ping",
            address,
            "-n",
            "1",
            "--json",
            "--swarm-key",
            text(key),
        ])
    };
    assert_eq!(ping(&ours).objects()[0]["seq"], 1);
    let quic = listener
        .address
        .replace("/tcp/", "/udp/")
        .replace("/p2p/", "/quic-v1/p2p/");
    carrick(&["ping", &quic, "--swarm-key", text(&ours)]).refused(&["private network", "TCP"]);
    let missing = folder.join("missing");
    ping(&missing).refused(&["cannot read the swarm key", "carrick key swarm"]);
    fs::write(&other, "/key/swarm/psk/1.0.0/\n/base16/\n00\n").expect("it is ours");
    ping(&other).refused(&["not a swarm key", "32 bytes"]);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}
