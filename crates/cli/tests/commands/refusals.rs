//! What cannot work: one line with the cause and the remedy, and an exit code that is not 0.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
};

use carrick::Keypair;

use crate::process::{Listener, carrick};

#[test]
fn an_address_that_does_not_parse() {
    for command in ["ping", "id", "listen"] {
        for address in ["127.0.0.1:4001", "/ip4/300.0.0.1/tcp/1", ""] {
            carrick(&[command, address]).refused(&["ADDR", "a multiaddr looks like /ip4/"]);
        }
    }
    carrick(&["open", "nonsense", "/echo/1.0.0"]).refused(&["'nonsense'", "looks like /ip4/"]);
}

#[test]
fn an_address_without_a_peer_id() {
    let address = "/ip4/127.0.0.1/tcp/4001";
    for args in [
        vec!["ping", address],
        vec!["id", address],
        vec!["open", address, "/x"],
    ] {
        carrick(&args).refused(&["which peer", "append /p2p/<peer-id>"]);
    }
}

#[test]
fn a_peer_id_without_an_address() {
    carrick(&["ping", &format!("/p2p/{}", stranger())]).refused(&["where to find it", "before it"]);
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it is bound").port();
    carrick(&["listen", &format!("/ip4/127.0.0.1/tcp/{port}")])
        .refused(&["in use", "choose another port, or 0"]);
}

#[test]
fn a_peer_that_is_not_there() {
    // The port of a connected socket is taken, and nobody listens on it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    let taken = TcpStream::connect(address).expect("somebody listens");
    let port = taken.local_addr().expect("it is bound").port();
    let target = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", stranger());
    for args in [
        vec!["ping", &target],
        vec!["id", &target],
        vec!["open", &target, "/x"],
    ] {
        carrick(&args).refused(&["Connection refused", "is running and listens there"]);
    }
}

#[test]
fn somebody_who_does_not_speak_libp2p() {
    let server = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = server.local_addr().expect("it is bound").port();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("somebody connects");
        stream
            .write_all(b"\x06hello\n")
            .expect("the other side is there");
        // Closing before all is read would be a reset.
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    let target = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", stranger());
    carrick(&["ping", &target]).refused(&["upgrade failed", "a libp2p node"]);
    let _ = answering.join().expect("the server did not panic");
}

#[test]
fn another_peer_than_the_address_names() {
    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0"]);
    let wrong = stranger();
    let target = listener.address.replace(listener.peer(), &wrong);
    carrick(&["ping", &target]).refused(&[
        &format!("expected {wrong}"),
        &format!("found {}", listener.peer()),
        "copy the address anew",
    ]);
}

#[test]
fn a_protocol_that_the_peer_does_not_support() {
    let listener = Listener::start(&["/ip4/127.0.0.1/tcp/0"]);
    carrick(&["open", &listener.address, "/nothing/1.0.0"])
        .refused(&["does not support /nothing/1.0.0", "carrick id"]);
}

#[test]
fn arguments_that_make_no_sense() {
    carrick(&["ping"]).refused(&["<ADDR>", "Usage: carrick ping"]);
    carrick(&["pong"]).refused(&["'pong'", "'ping'"]);
    carrick(&["listen", "--kee", "x"]).refused(&["'--kee'", "'--key'"]);
    carrick(&["listen", "/ip4/127.0.0.1/udp/0"]).refused(&["no transport", "TCP is"]);
    carrick(&["ping", "/ip4/127.0.0.1/tcp/1/p2p/x"]).refused(&["<ADDR>", "\"x\" is no peer id"]);
}

/// A peer id that nobody has.
fn stranger() -> String {
    let key = Keypair::generate_ed25519();
    key.public().to_peer_id().to_string()
}
