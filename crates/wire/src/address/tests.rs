//! Tests of `address`.

use multibase::Base;
use proptest::prelude::*;

use super::*;
use crate::fixtures::hex;

const PEER: &str = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
const PEER_CID: &str = "k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe";
const CERTHASH: &str = "uEiC2yKjAoxBfwnr8pPsRc3kfA45DQ_1Wt8Z7YW28MKBMzQ";

const BROKEN: [&str; 36] = [
    "",
    "/",
    "//",
    "ip4/1.2.3.4",
    "/ip4",
    "/ip4/",
    "/ip4/::1",
    "/ip4/x",
    "/ip4/1.2.3",
    "/ip4/1.2.3.4/",
    "/ip4/256.0.0.1",
    "/ip6",
    "/ip6/1.2.3.4",
    "/ip6/::g",
    "/ip6zone//ip6/fe80::1",
    "/ipcidr/256",
    "/ip4/1.2.3.4/tcp",
    "/ip4/1.2.3.4/tcp/1/unix",
    "/udp/1234/sctp",
    "/ip4/1.2.3.4/p2p",
    "/ip4/1.2.3.4/p2p/tcp",
    "/ipfs",
    "/ipfs/tcp",
    "/p2p/Qm",
    "/p2p/",
    "/memory",
    "/memory/-1",
    "/memory/18446744073709551616",
    "/certhash",
    "/certhash/x",
    "/certhash/uEiC2yKjAoxBfwnr8",
    "/garlic64/AAAA",
    "/garlic32/aaaa",
    "/nothing",
    "/IP4/1.2.3.4",
    "/tcp/1/http/p2p-webcrt-direct",
];

fn good() -> Vec<String> {
    let onion = "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd";
    [
        "/ip4/1.2.3.4",
        "/ip4/0.0.0.0/tcp/0",
        "/ip6/::1/tcp/65535",
        "/ip6/fe80::1/udp/1/quic-v1",
        "/ip6/::ffff:1.2.3.4",
        "/ip6zone/eth0/ip6/fe80::1",
        "/ip4/10.0.0.0/ipcidr/8",
        "/dns/a/tcp/1",
        "/dns4/example.com/tcp/443/wss",
        "/dns6/é.example/tcp/1",
        "/dnsaddr/bootstrap.libp2p.io",
        "/tcp/1/tls/sni/example.com/ws",
        "/tcp/1/ws",
        "/tcp/1/x-parity-ws/%2Fa%2Fb",
        "/tcp/1/http",
        "/tcp/1/tls/http/http-path/a%2Fb",
        "/udp/1/webrtc-direct",
        "/memory/18446744073709551615",
        "/p2p-circuit",
        "/ip4/1.2.3.4/tcp/1/noise",
        "/udp/1/utp",
        "/sctp/9",
        "/dccp/9",
        "/webrtc",
        "/onion/timaq4ygg2iegci7:80",
    ]
    .map(String::from)
    .into_iter()
    .chain([
        format!("/p2p/{PEER}"),
        format!("/ip4/1.2.3.4/tcp/1/p2p/{PEER}/p2p-circuit/p2p/{PEER}"),
        format!("/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/{CERTHASH}/certhash/{CERTHASH}"),
        format!("/onion3/{onion}:1"),
        format!("/garlic64/{}", "A".repeat(516)),
        format!("/garlic32/{}", "a".repeat(56)),
    ])
    .collect()
}

fn long_digest() -> String {
    Base::Base58Btc.encode([&[0x12, 33][..], &[9; 33]].concat())
}

fn tcp(count: usize) -> Vec<u8> {
    [6, 0, 1].repeat(count)
}

#[test]
fn text_that_go_multiaddr_refuses_to_construct_is_rejected() {
    let numbers = ["tcp", "udp", "sctp", "dccp"].into_iter().flat_map(|name| {
        ["", "/", "/65536", "/-1", "/x", "/1 ", "/0x1", "/1.5"].map(|port| format!("/{name}{port}"))
    });
    let names = [
        "dns",
        "dns4",
        "dns6",
        "dnsaddr",
        "sni",
        "http-path",
        "ip6zone",
        "unix",
    ]
    .into_iter()
    .flat_map(|name| ["", "/", "//tcp/1", "/a/"].map(|value| format!("/{name}{value}")));
    let flags = [
        "quic",
        "quic-v1",
        "utp",
        "udt",
        "p2p-circuit",
        "webtransport",
        "noise",
    ]
    .map(|name| format!("/udp/1/{name}/1234"));
    let onions = [
        "onion/timaq4ygg2iegci",
        "onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyy",
    ]
    .into_iter()
    .flat_map(|name| {
        [
            "", ":80", "7", "7:0", "7:-1", "@:6", "77:80", "7:1:2", "9:80",
        ]
        .map(|end| format!("/{name}{end}"))
    });
    let others = BROKEN.map(String::from);
    let digest = format!("/p2p/{}", long_digest());
    let all = numbers
        .chain(names)
        .chain(flags)
        .chain(onions)
        .chain(others)
        .chain([digest]);
    let accepted: Vec<_> = all.filter(|text| parse(text).is_ok()).collect();
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[test]
fn bytes_published_with_go_multiaddr_match_their_text() {
    for (text, bytes) in [
        ("/ip4/127.0.0.1/udp/1234", "047f000001910204d2"),
        ("/ip4/127.0.0.1/tcp/4321", "047f0000010610e1"),
    ] {
        assert_eq!(parse(text).unwrap().to_vec(), hex(bytes));
        assert_eq!(decode(&hex(bytes)).unwrap().to_string(), text);
    }
}

#[test]
fn unknown_code_is_rejected() {
    for code in [&[0x7f][..], &[1], &[0xff, 0xff, 3]] {
        decode(code).unwrap_err();
        decode(&[&tcp(1), code].concat()).unwrap_err();
    }
}

#[test]
fn truncated_value_is_rejected() {
    let whole = hex("047f0000010610e1");
    for cut in (1..whole.len()).filter(|cut| *cut != 5) {
        decode(&whole[..cut]).unwrap_err();
    }
}

#[test]
fn length_beyond_the_remaining_bytes_is_rejected() {
    decode(&[53, 4, b'a', b'b', b'c']).unwrap_err();
    decode(&[
        53, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, b'a',
    ])
    .unwrap_err();
    decode(&[
        53, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, b'a',
    ])
    .unwrap_err();
}

#[test]
fn trailing_bytes_are_rejected() {
    for tail in [&[0][..], &[0xff], &[6], &[6, 0]] {
        decode(&[&hex("047f0000010610e1"), tail].concat()).unwrap_err();
    }
}

#[test]
fn empty_address_is_rejected() {
    decode(&[]).unwrap_err();
}

#[test]
fn second_binary_form_of_an_address_is_rejected() {
    // A code that overflows 32 bits, lengths that are not minimal, a path that is the default one.
    let forms = [
        &[0x86, 0x80, 0x80, 0x80, 0x10, 0, 1][..],
        &[0x86, 0, 0, 1],
        &[53, 0x81, 0, b'a'],
        &[0xa2, 0x25, 1, b'/'],
    ];
    for bytes in forms {
        decode(bytes).unwrap_err();
    }
    assert!(
        Multiaddr::try_from(forms[0].to_vec()).is_ok(),
        "the guard can go when this fails"
    );
}

#[test]
fn name_that_would_read_as_other_components_is_rejected() {
    for name in ["a/tcp/1", "/", "", "a/", "a\nb", "a\u{85}", "a//b"] {
        for code in [53, 54, 55, 56] {
            let bytes = [&[code, name.len() as u8], name.as_bytes()].concat();
            assert!(
                Multiaddr::try_from(bytes.clone()).is_ok(),
                "multiaddr takes it"
            );
            decode(&bytes).unwrap_err();
        }
    }
}

#[test]
fn peer_id_with_a_long_digest_is_rejected_in_both_forms() {
    let bytes = [&[0xa5, 3, 35, 0x12, 33][..], &[9; 33]].concat();
    assert!(Multiaddr::try_from(bytes.clone()).is_ok());
    decode(&bytes).unwrap_err();
    parse(&format!("/p2p/{}", long_digest())).unwrap_err();
}

#[test]
fn good_addresses_survive_text_to_binary_to_text() {
    for text in good() {
        let address = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(address.to_string(), text);
        assert_eq!(
            decode(&address.to_vec()).unwrap_or_else(|e| panic!("{text}: {e}")),
            address
        );
    }
}

#[test]
fn ipfs_prints_as_p2p_and_a_cid_as_base58() {
    for id in [PEER, PEER_CID] {
        assert_eq!(
            parse(&format!("/ipfs/{id}")).unwrap().to_string(),
            format!("/p2p/{PEER}")
        );
    }
    assert_eq!(
        parse("/dns/p2p/tcp/1").unwrap().to_string(),
        "/dns/p2p/tcp/1"
    );
}

#[test]
fn address_of_ten_thousand_components_is_rejected_by_its_size() {
    let bytes = tcp(10_000);
    assert_eq!(
        decode(&bytes),
        Err(DecodeError::TooLarge {
            what: "address",
            len: bytes.len(),
            max: LEN_MAX
        })
    );
    parse(&"/tcp/1".repeat(10_000)).unwrap_err();
}

#[test]
fn address_may_have_32_components_and_no_more() {
    assert!(decode(&tcp(32)).is_ok());
    let error = DecodeError::TooLarge {
        what: "components of an address",
        len: 33,
        max: 32,
    };
    assert_eq!(decode(&tcp(33)), Err(error.clone()));
    assert_eq!(parse(&"/tcp/1".repeat(33)), Err(error));
}

proptest! {
    #[test]
    fn what_decodes_has_one_binary_and_one_text_form(
        bytes: Vec<u8>, at: usize, byte: u8, which: prop::sample::Index,
    ) {
        let mut near = parse(which.get::<String>(&good())).unwrap().to_vec();
        let at = at % near.len();
        near[at] = byte;
        for bytes in [bytes, near] {
            if let Ok(address) = decode(&bytes) {
                prop_assert_eq!(address.to_vec(), bytes);
                prop_assert_eq!(parse(&address.to_string()), Ok(address));
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(
        text in "(/(ip4|ip6|dns|tcp|p2p|ipfs|onion3|certhash|unix|[a-z]{1,5}|1|::1|\\PC{0,4})){0,9}",
    ) {
        if let Ok(address) = parse(&text) {
            prop_assert_eq!(decode(&address.to_vec()), Ok(address));
        }
    }
}

#[test]
fn a_unix_path_is_one_component_and_gos_text_becomes_one() {
    let peer = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
    for (text, wanted, path) in [
        ("/unix/tmp%2Fa.sock", "/unix/tmp%2Fa.sock", "/tmp/a.sock"),
        ("/unix/tmp/a.sock", "/unix/tmp%2Fa.sock", "/tmp/a.sock"),
        (
            "/unix/%2Ftmp%2Fa.sock",
            "/unix/%2Ftmp%2Fa.sock",
            "/tmp/a.sock",
        ),
        ("/unix/tmp/50% a", "/unix/tmp%2F50%25%20a", "/tmp/50% a"),
        ("/unix/a.sock", "/unix/a.sock", "/a.sock"),
        ("/unix/tmp/p2p/x", "/unix/tmp%2Fp2p%2Fx", "/tmp/p2p/x"),
    ] {
        for suffix in [String::new(), format!("/p2p/{peer}")] {
            let address = parse(&format!("{text}{suffix}")).unwrap();
            assert_eq!(address.to_string(), format!("{wanted}{suffix}"));
            let Some(Protocol::Unix(component)) = address.iter().next() else {
                panic!("{text}");
            };
            assert_eq!(unix::decode(&component).unwrap(), path.as_bytes(), "{text}");
            assert_eq!(decode(address.as_ref()), Ok(address.clone()));
        }
    }
    for bad in ["", "%", "%2", "%2g", "%+1", "a%00", "a%2F", "%2F", "%2F%2F"] {
        assert_eq!(unix::decode(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn any_path_survives_its_encoding(folder in "[^/\\x00]{1,20}", name in prop::collection::vec(1..=255_u8, 0..20)) {
        let mut path = format!("/{folder}/").into_bytes();
        path.extend(name.iter().chain(b"s"));
        let component = unix::encode(&path);
        prop_assert!(!component.contains('/'));
        prop_assert_eq!(unix::decode(&component), Some(path));
    }
}

#[test]
fn both_forms_of_an_address_have_the_bound() {
    // Each slash of the path becomes three bytes.
    let path = format!("/unix/{}a", "a/".repeat(LEN_MAX / 2 - 20));
    assert!(path.len() < LEN_MAX);
    assert!(matches!(parse(&path), Err(DecodeError::TooLarge { .. })));
    // 39 bytes of a name are 67 of text.
    let name = format!("/onion3/{}:80", "a".repeat(56));
    let names: Multiaddr = name.repeat(COMPONENTS_MAX - 6).parse().unwrap();
    assert!(names.len() < LEN_MAX);
    assert!(matches!(
        decode(&names.to_vec()),
        Err(DecodeError::TooLarge { .. })
    ));
}
