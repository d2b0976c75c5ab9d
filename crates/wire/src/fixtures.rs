//! What tests share: the vectors of the specs, and bytes as hexadecimal text.

use std::sync::LazyLock;

use libp2p_identity::Keypair;
use serde_json::Value;

pub(crate) static VECTORS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../tests/vectors.json")).unwrap());

pub(crate) fn list(name: &str) -> &'static Vec<Value> {
    VECTORS[name].as_array().unwrap()
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

pub(crate) fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex(text(value, name))
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    assert!(digits.remainder().is_empty());
    digits
        .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
        .collect()
}

pub(crate) fn keypair(kind: &str) -> Keypair {
    let key = list("keys").iter().find(|key| key["type"] == kind).unwrap();
    crate::key::decode_private(&bytes(key, "private_pb")).unwrap()
}

pub(crate) fn keypairs() -> [Keypair; 4] {
    ["ed25519", "secp256k1", "ecdsa", "rsa"].map(keypair)
}
