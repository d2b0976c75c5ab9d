//! Every road to a listener: what it prints can be dialed, and both ends say what was negotiated.

use crate::{
    certificates::Authority,
    process::{Listener, carrick, carrick_with},
};

/// Pings, asks who it is and echoes; `id` must say these.
fn check(listener: &Listener, dialing: &[&str], security: &str, muxer: &str) {
    let with = |args: &[&str]| {
        [args, dialing]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run = |args: &[&str], input: &[u8]| {
        let args = with(args);
        carrick_with(&args.iter().map(String::as_str).collect::<Vec<_>>(), input)
    };
    let address = listener.address.as_str();
    let pinged = run(&["ping", address, "-n", "1", "--json"], b"");
    assert_eq!(pinged.objects().len(), 1);
    let about = &run(&["id", address, "--json"], b"").objects()[0];
    assert_eq!(about["peer"], listener.peer());
    assert_eq!(about["security"], security, "{about}");
    assert_eq!(about["muxer"], muxer, "{about}");
    let echoed = run(&["open", address, "/echo/1.0.0"], b"to and fro");
    assert_eq!(echoed.lines(), ["to and fro"]);
}

#[test]
fn tcp() {
    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0"]);
    check(&listener, &[], "/noise", "/yamux/1.0.0");
}

#[test]
fn quic() {
    let listener = Listener::start(&["/ip4/127.0.0.1/udp/0/quic-v1"]);
    assert!(listener.address.contains("/quic-v1/p2p/"));
    check(&listener, &[], "/tls/1.0.0", "/quic-v1");
}

#[test]
fn websocket() {
    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0/ws"]);
    assert!(listener.address.contains("/ws/p2p/"));
    check(&listener, &[], "/noise", "/yamux/1.0.0");
}

#[test]
fn websocket_over_tls_with_a_certificate_that_the_dialer_trusts() {
    let authority = Authority::default();
    let (chain, key) = authority.issue(&["127.0.0.1"]);
    let [chain, key, root] = [chain, key, authority.root()].map(|path| path.display().to_string());
    let listener = Listener::start(&[
        "/ip4/127.0.0.1/tcp/0/tls/ws",
        "--wss-cert",
        &chain,
        "--wss-key",
        &key,
    ]);
    check(&listener, &["--wss-root", &root], "/noise", "/yamux/1.0.0");
    carrick(&["ping", &listener.address]).refused(&["certificate"]);
    carrick(&["listen", "--wss-cert", &chain]).refused(&["--wss-key"]);
    carrick(&["listen", "--wss-cert", &key, "--wss-key", &key]).refused(&["holds no certificate"]);
}

#[test]
fn without_an_address_tcp_and_quic_of_every_interface_are_listened_on() {
    let listener = Listener::start(&[]);
    let about = &carrick(&["id", &listener.address, "--json"]).objects()[0];
    let addresses = about["addresses"].to_string();
    assert!(addresses.contains("/tcp/"), "{addresses}");
    assert!(addresses.contains("/quic-v1"), "{addresses}");
    assert!(!addresses.contains("/ws"), "{addresses}");
}
