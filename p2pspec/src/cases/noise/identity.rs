//! Identities of other kinds than Ed25519, in message 3: those that are right, and those that only look so.

use libp2p_identity::Keypair;

use super::{
    ABORT, KEYS,
    payload::{accepts, rejects},
};
use crate::{
    case::{Case, Need, Rule, Step, case, fail},
    speak::{
        der::{self, tlv},
        noise::{Handshake, identity, sign, to_sign},
        pb,
    },
};

const KINDS: Rule = KEYS.practice(
    "Key Types",
    "Ed25519 is for all; RSA, Secp256k1 and ECDSA are for those who wish to meet all",
);
const ENCODING: Rule = KEYS.practice(
    "Keys",
    "keys have one encoding: fields in order, each once, nothing else, the shortest varints",
);
const SECP: Rule = KEYS.must(
    "Secp256k1",
    "a key is a point in compressed form, and signs the SHA-256 of the message in DER",
);
const ECDSA: Rule = KEYS.must(
    "ECDSA",
    "a key is a PKIX structure in DER, and signs the SHA-256 of the message in DER",
);
const OF_ITS_TYPE: Rule = KEYS.must("Key Types", "a key is what its type says");
const SUCCEEDS: &str = "a handshake that succeeds";

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "noise/identity/secp256k1",
        "a Secp256k1 identity is accepted",
        KINDS,
        Need::Noise,
        ["a payload of a Secp256k1 key", SUCCEEDS],
        |b| Box::pin(accepts(b, |h, _| h.payload(&secp256k1(), &[]))),
    ),
    case(
        "noise/identity/ecdsa",
        "an ECDSA identity is accepted",
        KINDS,
        Need::Noise,
        ["a payload of a P-256 key", SUCCEEDS],
        |b| Box::pin(accepts(b, |h, _| h.payload(&ecdsa(), &[]))),
    ),
    case(
        "noise/identity/secp256k1-broken",
        "a broken Secp256k1 signature ends the connection",
        SECP,
        Need::Noise,
        ["a Secp256k1 signature of something else", ABORT],
        |b| {
            Box::pin(rejects(b, |h, _| {
                signed(h, &secp256k1(), b"something else")
            }))
        },
    ),
    case(
        "noise/identity/ecdsa-broken",
        "a broken ECDSA signature ends the connection",
        ECDSA,
        Need::Noise,
        ["a P-256 signature of something else", ABORT],
        |b| Box::pin(rejects(b, |h, _| signed(h, &ecdsa(), b"something else"))),
    ),
    case(
        "noise/identity/ecdsa-trailing",
        "a signature with bytes behind it ends the connection",
        KEYS.practice("ECDSA", "a signature is one structure in DER"),
        Need::Noise,
        ["a valid P-256 signature and three zeros", ABORT],
        |b| {
            Box::pin(rejects(b, |h, _| {
                let keys = ecdsa();
                let signature = sign(&keys, &to_sign(&h.public()))?;
                Ok(identity(
                    &keys.public().encode_protobuf(),
                    &[signature, vec![0; 3]].concat(),
                ))
            }))
        },
    ),
    case(
        "noise/identity/secp256k1-high-s",
        "the other signature of the same message is not one",
        KEYS.practice(
            "Secp256k1",
            "of the two forms of a signature only that of the lower s is valid",
        ),
        Need::Noise,
        [
            "a valid signature whose s is the group's order minus s",
            ABORT,
        ],
        |b| {
            Box::pin(rejects(b, |h, _| {
                let keys = secp256k1();
                let signature = sign(&keys, &to_sign(&h.public()))?;
                Ok(identity(
                    &keys.public().encode_protobuf(),
                    &high_s(&signature)?,
                ))
            }))
        },
    ),
    case(
        "noise/identity/other-type",
        "an Ed25519 key that calls itself Secp256k1 ends the connection",
        OF_ITS_TYPE,
        Need::Noise,
        ["the right key and signature, and type 2", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let data = keys.public().encode_protobuf().split_off(4);
                with_key(h, keys, &[pb::number(1, 2), pb::bytes(2, &data)].concat())
            }))
        },
    ),
    case(
        "noise/identity/long",
        "an Ed25519 key of 33 bytes ends the connection",
        KEYS.must("Ed25519", "a public key has 32 bytes"),
        Need::Noise,
        ["the right key and a zero behind it", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let mut data = keys.public().encode_protobuf().split_off(4);
                data.push(0);
                with_key(h, keys, &[pb::number(1, 1), pb::bytes(2, &data)].concat())
            }))
        },
    ),
    case(
        "noise/identity/other-order",
        "a key whose fields are in another order ends the connection",
        ENCODING,
        Need::Noise,
        ["the right key, Data before Type", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let whole = keys.public().encode_protobuf();
                with_key(h, keys, &[&whole[2..], &whole[..2]].concat())
            }))
        },
    ),
    case(
        "noise/identity/another-field",
        "a key with a field too many ends the connection",
        ENCODING,
        Need::Noise,
        ["the right key and a field 3", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let whole = keys.public().encode_protobuf();
                with_key(h, keys, &[whole, pb::number(3, 1)].concat())
            }))
        },
    ),
    case(
        "noise/identity/long-varint",
        "a key whose type is written in two bytes ends the connection",
        ENCODING,
        Need::Noise,
        ["the right key, its type as 81 00", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let whole = keys.public().encode_protobuf();
                with_key(h, keys, &[&[8, 0x81, 0][..], &whole[2..]].concat())
            }))
        },
    ),
];

fn secp256k1() -> Keypair {
    Keypair::generate_secp256k1()
}

fn ecdsa() -> Keypair {
    Keypair::generate_ecdsa()
}

/// A payload of these keys with their signature of whatever.
fn signed(_: &Handshake, keys: &Keypair, what: &[u8]) -> Step<Vec<u8>> {
    Ok(identity(
        &keys.public().encode_protobuf(),
        &sign(keys, what)?,
    ))
}

/// A payload with a valid signature of the keys, and this in place of their public one.
pub(super) fn with_key(handshake: &Handshake, keys: &Keypair, key: &[u8]) -> Step<Vec<u8>> {
    let signature = sign(keys, &to_sign(&handshake.public()))?;
    Ok(identity(key, &signature))
}

/// The same `r`, and the order minus `s`.
fn high_s(signature: &[u8]) -> Step<Vec<u8>> {
    let whole = der::take(&mut &signature[..]);
    let parts = whole.and_then(|whole| der::inside(whole.body));
    let Some([r, s]) = parts.as_deref() else {
        return fail("our own signature is not readable");
    };
    let mut low = [0; 32];
    let digits = s.body.strip_prefix(&[0]).unwrap_or(s.body);
    low[32 - digits.len()..].copy_from_slice(digits);
    let (mut high, mut borrow) = ([0; 33], 0);
    for at in (0..32).rev() {
        let left = i16::from(ORDER[at]) - i16::from(low[at]) - borrow;
        borrow = i16::from(left < 0);
        high[at + 1] = left.rem_euclid(256) as u8;
    }
    let integers = [r.whole, &tlv(der::INTEGER, &[&high])].concat();
    Ok(tlv(der::SEQUENCE, &[&integers]))
}

/// Of secp256k1's group.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];
