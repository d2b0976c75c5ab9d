//! What the initiator says of itself in message 3: what must end the connection, and what must not.

use libp2p_identity::Keypair;

use super::{ABORT, AUTHENTICATED, KEYS, SPEC, goes_on, identity::with_key, turned_away};
use crate::{
    case::{Bench, Case, Need, Rule, Step, case},
    speak::{
        noise::{Handshake, extensions, identity, sign, to_sign},
        pb,
    },
};

const INVALID: Rule = SPEC.must(
    "The libp2p Handshake Payload",
    "an invalid signature terminates the connection immediately",
);
const DECODED: Rule = SPEC.must(
    "The libp2p Handshake Payload",
    "the key in identity_key is decoded into a usable form",
);
const UNKNOWN: Rule = SPEC.must(
    "Noise Extensions",
    "the payload is protobuf, and extensions have numbers for experiments: unknown fields are passed over",
);

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "noise/signature/broken",
        "a broken signature ends the connection",
        INVALID,
        Need::Noise,
        [
            "the right payload with a flipped bit in the signature",
            ABORT,
        ],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let mut signature = sign(keys, &to_sign(&h.public()))?;
                signature[7] ^= 1;
                Ok(identity(&keys.public().encode_protobuf(), &signature))
            }))
        },
    ),
    case(
        "noise/signature/missing",
        "a payload without a signature ends the connection",
        INVALID,
        Need::Noise,
        ["identity_key alone", ABORT],
        |b| {
            Box::pin(rejects(b, |_, keys| {
                Ok(pb::bytes(1, &keys.public().encode_protobuf()))
            }))
        },
    ),
    case(
        "noise/signature/empty",
        "an empty signature ends the connection",
        INVALID,
        Need::Noise,
        ["identity_sig of no bytes", ABORT],
        |b| {
            Box::pin(rejects(b, |_, keys| {
                Ok(identity(&keys.public().encode_protobuf(), &[]))
            }))
        },
    ),
    case(
        "noise/signature/other-identity",
        "a signature by another identity ends the connection",
        INVALID,
        Need::Noise,
        ["one identity's key with another's signature", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let signature = sign(&Keypair::generate_ed25519(), &to_sign(&h.public()))?;
                Ok(identity(&keys.public().encode_protobuf(), &signature))
            }))
        },
    ),
    case(
        "noise/signature/other-static-key",
        "a signature of another static key ends the connection",
        AUTHENTICATED,
        Need::Noise,
        ["a payload that was made for another handshake", ABORT],
        |b| {
            Box::pin(rejects(b, |_, keys| {
                let signature = sign(keys, &to_sign(&[9; 32]))?;
                Ok(identity(&keys.public().encode_protobuf(), &signature))
            }))
        },
    ),
    case(
        "noise/signature/without-prefix",
        "a signature of the bare static key ends the connection",
        AUTHENTICATED,
        Need::Noise,
        [
            "a signature of the static key without noise-libp2p-static-key:",
            ABORT,
        ],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let signature = sign(keys, &h.public())?;
                Ok(identity(&keys.public().encode_protobuf(), &signature))
            }))
        },
    ),
    case(
        "noise/signature/other-prefix",
        "a signature for another purpose ends the connection",
        AUTHENTICATED,
        Need::Noise,
        ["a signature with the prefix of libp2p's TLS", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let signed = [b"libp2p-tls-handshake:", &h.public()[..]].concat();
                let signature = sign(keys, &signed)?;
                Ok(identity(&keys.public().encode_protobuf(), &signature))
            }))
        },
    ),
    case(
        "noise/signature/of-the-peer",
        "the peer's own payload sent back ends the connection",
        AUTHENTICATED,
        Need::Noise,
        ["the payload of message 2 in message 3", ABORT],
        |b| Box::pin(rejects(b, |h, _| Ok(h.heard.clone()))),
    ),
    case(
        "noise/identity/missing",
        "a payload without a key ends the connection",
        DECODED,
        Need::Noise,
        ["identity_sig alone", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                Ok(pb::bytes(2, &sign(keys, &to_sign(&h.public()))?))
            }))
        },
    ),
    case(
        "noise/identity/not-a-key",
        "bytes that are no key end the connection",
        DECODED,
        Need::Noise,
        ["identity_key of 36 bytes ff", ABORT],
        |b| Box::pin(rejects(b, |h, keys| with_key(h, keys, &[0xff; 36]))),
    ),
    case(
        "noise/identity/unknown-type",
        "a key of an unknown type ends the connection",
        KEYS.must(
            "Key Types",
            "the key types are RSA, Ed25519, Secp256k1 and ECDSA",
        ),
        Need::Noise,
        ["identity_key of type 9", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let key = [pb::number(1, 9), pb::bytes(2, &[7; 32])].concat();
                with_key(h, keys, &key)
            }))
        },
    ),
    case(
        "noise/identity/short",
        "an Ed25519 key of 31 bytes ends the connection",
        KEYS.must("Ed25519", "a public key has 32 bytes"),
        Need::Noise,
        ["identity_key without its last byte", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let key = [pb::number(1, 1), pb::bytes(2, &[7; 31])].concat();
                with_key(h, keys, &key)
            }))
        },
    ),
    case(
        "noise/identity/no-type",
        "a key without its type ends the connection",
        KEYS.must("Keys", "all fields are included"),
        Need::Noise,
        ["identity_key with Data alone", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let whole = keys.public().encode_protobuf();
                with_key(h, keys, &whole[2..])
            }))
        },
    ),
    case(
        "noise/payload/none",
        "a message 3 without a payload ends the connection",
        DECODED,
        Need::Noise,
        ["an empty payload", ABORT],
        |b| Box::pin(rejects(b, |_, _| Ok(Vec::new()))),
    ),
    case(
        "noise/payload/not-protobuf",
        "a payload that is not protobuf ends the connection",
        DECODED,
        Need::Noise,
        ["64 bytes ff as the payload", ABORT],
        |b| Box::pin(rejects(b, |_, _| Ok(vec![0xff; 64]))),
    ),
    case(
        "noise/payload/cut-off",
        "a payload that is cut off ends the connection",
        DECODED,
        Need::Noise,
        ["the right payload without its last five bytes", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let mut payload = h.payload(keys, &[])?;
                payload.truncate(payload.len() - 5);
                Ok(payload)
            }))
        },
    ),
    case(
        "noise/payload/unknown-field",
        "an unknown field is passed over",
        UNKNOWN,
        Need::Noise,
        [
            "the right payload and a field 99",
            "a handshake that succeeds",
        ],
        |b| {
            Box::pin(accepts(b, |h, keys| {
                Ok([h.payload(keys, &[])?, pb::bytes(99, b"unknown")].concat())
            }))
        },
    ),
    case(
        "noise/payload/unknown-extension",
        "an unknown extension is passed over",
        UNKNOWN,
        Need::Noise,
        [
            "the right payload with an extension 1025",
            "a handshake that succeeds",
        ],
        |b| {
            Box::pin(accepts(b, |h, keys| {
                let extension = pb::bytes(4, &pb::bytes(1025, b"unknown"));
                Ok([h.payload(keys, &[])?, extension].concat())
            }))
        },
    ),
    case(
        "noise/payload/any-order",
        "fields may stand in any order",
        UNKNOWN,
        Need::Noise,
        [
            "identity_sig before identity_key",
            "a handshake that succeeds",
        ],
        |b| {
            Box::pin(accepts(b, |h, keys| {
                let signature = sign(keys, &to_sign(&h.public()))?;
                let key = keys.public().encode_protobuf();
                Ok([pb::bytes(2, &signature), pb::bytes(1, &key)].concat())
            }))
        },
    ),
    case(
        "noise/payload/empty-extensions",
        "extensions may be there and empty",
        UNKNOWN,
        Need::Noise,
        [
            "the right payload with extensions of no bytes",
            "a handshake that succeeds",
        ],
        |b| {
            Box::pin(accepts(b, |h, keys| {
                Ok([h.payload(keys, &[])?, pb::bytes(4, &[])].concat())
            }))
        },
    ),
    case(
        "noise/payload/certhashes",
        "WebTransport's extension means nothing here",
        UNKNOWN,
        Need::Noise,
        [
            "the right payload with webtransport_certhashes",
            "a handshake that succeeds",
        ],
        |b| {
            Box::pin(accepts(b, |h, keys| {
                let hashes = pb::bytes(4, &pb::bytes(1, &[0x12; 34]));
                Ok([h.payload(keys, &[])?, hashes].concat())
            }))
        },
    ),
    case(
        "noise/payload/extensions-not-protobuf",
        "extensions that are not protobuf do not harm the node",
        SPEC.practice(
            "The libp2p Handshake Payload",
            "extensions are a message of their own",
        ),
        Need::Noise,
        ["the right payload with extensions of 8 bytes ff", ABORT],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                Ok([h.payload(keys, &[])?, pb::bytes(4, &[0xff; 8])].concat())
            }))
        },
    ),
    case(
        "noise/payload/many-muxers",
        "a thousand muxers are too many, or looked through",
        SPEC.practice("Noise Extensions", "what a peer lists has a bound"),
        Need::Noise,
        [
            "a thousand unknown muxers",
            "the connection closed: there is no overlap",
        ],
        |b| {
            Box::pin(rejects(b, |h, keys| {
                let muxers = vec!["/p2pspec/nobody/1.0.0"; 1000];
                Ok([h.payload(keys, &[])?, extensions(&muxers)].concat())
            }))
        },
    ),
];

type Payload = fn(&Handshake, &Keypair) -> Step<Vec<u8>>;

/// Message 2 has shown that the node speaks Noise; message 3 must end the connection.
pub(super) async fn rejects(bench: Bench, payload: Payload) -> Step<String> {
    let handshake = bench.handshake().await?;
    let payload = payload(&handshake, &bench.keypair)?;
    let channel = handshake.end(&payload).await?;
    turned_away(&bench, channel).await
}

pub(super) async fn accepts(bench: Bench, payload: Payload) -> Step<String> {
    let handshake = bench.handshake().await?;
    let payload = payload(&handshake, &bench.keypair)?;
    let mut channel = handshake.end(&payload).await?;
    goes_on(&bench, &mut channel).await?;
    Ok("accepted".to_owned())
}
