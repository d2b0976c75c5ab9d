//! What a build without some of the features says of what it lacks.

use carrick::{
    AttemptError, DialError, ListenError, Multiaddr, OpenError,
    resolve::{Family, Resolver, SystemResolver},
};
use carrick_wire::{DecodeError, key};

use crate::common::*;

const ADDRESSES: [(&str, &str, bool); 4] = [
    (
        "/ip4/127.0.0.1/udp/0/quic-v1",
        "quic",
        cfg!(feature = "quic"),
    ),
    (
        "/ip4/127.0.0.1/tcp/0/ws",
        "websocket",
        cfg!(feature = "websocket"),
    ),
    (
        "/ip4/127.0.0.1/tcp/0/tls/ws/http-path/p2p",
        "websocket",
        cfg!(feature = "websocket"),
    ),
    (
        "/ip6/::1/tcp/0/wss",
        "websocket",
        cfg!(feature = "websocket"),
    ),
];

#[test]
fn an_address_that_needs_a_feature_names_it() {
    run(async {
        let node = client().await;
        for (text, feature, _) in ADDRESSES.into_iter().filter(|(.., built)| !built) {
            let address: Multiaddr = text.parse().unwrap();
            let named = format!("enable the feature `{feature}`");
            let refused = soon(node.listen(address.clone())).await.unwrap_err();
            assert!(matches!(refused, ListenError::NotBuilt(..)), "{refused}");
            assert!(refused.to_string().ends_with(&named), "{refused}");
            let failed = soon(node.dial(address)).await.unwrap_err();
            let OpenError::Dial(DialError::Failed { attempts, .. }) = failed else {
                panic!("{failed}");
            };
            let [(_, error @ AttemptError::NotBuilt(_))] = attempts.as_slice() else {
                panic!("{attempts:?}");
            };
            assert!(error.to_string().ends_with(&named), "{error}");
        }
    });
}

#[test]
fn beside_an_address_that_needs_a_feature_another_one_is_dialed() {
    run(async {
        let (server, client) = (server(TCP).await, client().await);
        let all: Vec<Multiaddr> = ADDRESSES
            .iter()
            .filter(|(.., built)| !built)
            .map(|(text, ..)| text.parse().unwrap())
            .chain([server.address()])
            .collect();
        let stream = soon(client.open_stream(all, ECHO)).await.unwrap();
        soon(echo_on(stream, b"x")).await.unwrap();
    });
}

#[test]
fn localhost_is_known_whoever_looks_names_up() {
    run(async {
        let resolver = SystemResolver::default();
        let found = soon(resolver.ip("localhost".to_owned(), Family::V4))
            .await
            .unwrap();
        assert!(
            found.iter().any(|ip| ip.is_ipv4() && ip.is_loopback()),
            "{found:?}"
        );
        if !cfg!(feature = "dns") {
            let error = soon(resolver.txt("localhost".to_owned()))
                .await
                .unwrap_err();
            assert!(
                error.to_string().ends_with("enable the feature `dns`"),
                "{error}"
            );
        }
    });
}

#[test]
fn a_key_whose_type_is_switched_off_names_the_feature() {
    for (kind, feature, built) in [
        (0, "rsa", cfg!(feature = "rsa")),
        (2, "secp256k1", cfg!(feature = "secp256k1")),
        (3, "ecdsa", cfg!(feature = "ecdsa")),
    ] {
        let key = [8, kind, 18, 1, 0];
        for error in [
            key::decode_public(&key).err(),
            key::decode_private(&key).err(),
        ] {
            let text = error
                .as_ref()
                .map(DecodeError::to_string)
                .unwrap_or_default();
            assert_eq!(
                text.contains(&format!("feature `{feature}`")),
                !built,
                "{text}"
            );
        }
    }
}
