//! TCP addresses: which are ours, and what a wildcard stands for.

use super::*;

#[test]
fn only_an_ip_and_a_tcp_port_are_ours() {
    for (text, ours) in [
        ("/ip4/127.0.0.1/tcp/80", true),
        ("/ip6/::1/tcp/80", true),
        ("/ip4/127.0.0.1/udp/80", false),
        ("/ip4/127.0.0.1/tcp/80/ws", false),
        ("/ip4/127.0.0.1", false),
        ("/dns4/example.org/tcp/80", false),
        ("/memory/1", false),
    ] {
        let address: Multiaddr = text.parse().unwrap();
        assert_eq!(TcpTransport.can_handle(&address), ours, "{text}");
    }
}

#[test]
fn a_wildcard_expands_to_interfaces_with_the_loopback_last() {
    let addresses = expand("0.0.0.0:4001".parse().unwrap()).unwrap();
    assert!(
        addresses
            .iter()
            .all(|address| address.to_string().ends_with("/tcp/4001"))
    );
    assert_eq!(
        addresses.last().map(ToString::to_string).as_deref(),
        Some("/ip4/127.0.0.1/tcp/4001")
    );
    assert!(
        !addresses
            .iter()
            .any(|address| address.to_string().contains("0.0.0.0"))
    );
}

#[test]
fn an_address_without_wildcard_stands_for_itself() {
    let addresses = expand("127.0.0.1:4001".parse().unwrap()).unwrap();
    assert_eq!(addresses, ["/ip4/127.0.0.1/tcp/4001".parse().unwrap()]);
}

#[tokio::test]
async fn the_system_asks_whether_the_other_machine_is_still_there_on_either_side() {
    let mut port = Port::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = port.address().unwrap();
    let (dialed, (accepted, _)) = tokio::join!(connect(address), port.accept());
    for socket in [&dialed.unwrap(), &accepted] {
        let socket = SockRef::from(socket);
        assert!(socket.keepalive().unwrap());
        assert!(socket.tcp_nodelay().unwrap());
    }
}
