//! Which addresses are ours and what they say.

use super::*;

fn parse(text: &str) -> Option<WsAddress> {
    WsAddress::parse(&text.parse().unwrap())
}

#[test]
fn websocket_addresses_say_host_path_and_tls() {
    let sni = |name: &str| Some(ServerName::Sni(name.to_owned()));
    let ip = || Some(ServerName::Ip);
    for (text, tls, host, path) in [
        ("/ip4/1.2.3.4/tcp/80/ws", None, "1.2.3.4", None),
        ("/ip4/1.2.3.4/tcp/81/ws", None, "1.2.3.4:81", None),
        ("/ip6/::1/tcp/443/ws", None, "[::1]:443", None),
        ("/ip6/::1/tcp/443/wss", ip(), "[::1]", None),
        ("/ip4/1.2.3.4/tcp/443/tls/ws", ip(), "1.2.3.4", None),
        (
            "/ip4/1.2.3.4/tcp/444/tls/sni/a.example/ws",
            sni("a.example"),
            "a.example:444",
            None,
        ),
        (
            "/ip4/1.2.3.4/tcp/80/ws/http-path/a%2Fb",
            None,
            "1.2.3.4",
            Some("/a/b"),
        ),
        (
            "/ip4/1.2.3.4/tcp/80/ws/http-path/%2Fa",
            None,
            "1.2.3.4",
            Some("/a"),
        ),
        (
            "/ip4/1.2.3.4/tcp/80/x-parity-ws/%2Fold",
            None,
            "1.2.3.4",
            Some("/old"),
        ),
        (
            "/ip4/1.2.3.4/tcp/443/tls/sni/a.example/ws/http-path/x%20y%0D%0A",
            sni("a.example"),
            "a.example",
            Some("/x%20y%0D%0A"),
        ),
    ] {
        let address = parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(address.tls, tls, "{text}");
        assert_eq!(address.host(), host, "{text}");
        assert_eq!(address.path(), path, "{text}");
        let tcp = text.parse::<Multiaddr>().unwrap().iter().take(2).collect();
        assert_eq!(address.at(tcp), text.parse().unwrap());
    }
}

#[test]
fn other_addresses_are_not_ours() {
    for text in [
        "/ip4/1.2.3.4/tcp/80",
        "/ip4/1.2.3.4/tcp/80/tls",
        "/ip4/1.2.3.4/tcp/80/tls/sni/a.example",
        "/ip4/1.2.3.4/tcp/80/sni/a.example/ws",
        "/ip4/1.2.3.4/tcp/80/tls/wss",
        "/ip4/1.2.3.4/tcp/80/ws/ws",
        "/ip4/1.2.3.4/tcp/80/ws/http-path/a/http-path/b",
        "/ip4/1.2.3.4/tcp/80/http-path/a/ws",
        "/ip4/1.2.3.4/udp/80/ws",
        "/dns4/a.example/tcp/80/ws",
        "/ip4/1.2.3.4/ws",
        "/ws",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
}
