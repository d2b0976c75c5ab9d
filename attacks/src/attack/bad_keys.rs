//! C-07: identities whose keys are wrong: RSA moduli of every size, even ones, exponents of every size, other curves, points off
//! their curve, uncompressed points, Ed25519 points of small order and in other encodings, keys in other encodings of protobuf.
//! Each stands in a certificate that is otherwise good. Answered by refusing each before it costs anything.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use carrick::Keypair;
use carrick_wire::{certificate::SIGNATURE_PREFIX, varint};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{
    forge::{Forge, SEQUENCE, der, libp2p, over_tcp},
    ground,
    sample::Sample,
};

pub(super) const ATTACK: Attack = Attack {
    id: "C-07",
    name: "keys",
    rss_mib: 16,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let before = Sample::of(scene.pid)?.busy;
    let since = Instant::now();
    for (n, key) in keys().into_iter().enumerate() {
        let forge = Forge::new()?;
        let message = [SIGNATURE_PREFIX, &forge.key_info()].concat();
        let signature = match &key.signer {
            Some(signer) => signer.sign(&message).map_err(io::Error::other)?,
            None => key.signature,
        };
        let content = der(
            SEQUENCE,
            &[&der(4, &[&key.protobuf]), &der(4, &[&signature])],
        );
        let forge = Forge {
            extensions: libp2p(&[], &content),
            ..forge
        };
        let shown = forge.shows(vec![forge.certificate()?])?;
        let source = ground::attacker_apart(n as u32);
        let let_in = over_tcp(&scene, source, &shown, &[b"libp2p"]).await?.0;
        if key.good {
            outcome.checks.push(Check::new(
                let_in,
                format!("{} is let in: {let_in}", key.what),
            ));
        } else {
            outcome.tried += 1;
            outcome.refused += u64::from(!let_in);
            outcome.checks.push(Check::new(
                !let_in,
                format!("{} is refused: {}", key.what, !let_in),
            ));
        }
    }
    let busy = Sample::of(scene.pid)?.busy.saturating_sub(before);
    let honest = since.elapsed().mul_f64(HONEST_SHARE);
    let each = busy.saturating_sub(honest) / outcome.tried.max(1) as u32;
    let text = format!(
        "{:.1} ms of processor time for each, of at most 30 ms",
        each.as_secs_f64() * 1e3
    );
    outcome.checks.push(Check::new(each <= COST_MAX, text));
    Ok(outcome)
}

/// What is shown as an identity's key, and as its signature unless somebody signs.
struct Key {
    what: &'static str,
    good: bool,
    protobuf: Vec<u8>,
    signer: Option<Keypair>,
    signature: Vec<u8>,
}

/// A key in the encoding of libp2p.
fn protobuf(kind: u64, data: &[u8]) -> Vec<u8> {
    let mut out = vec![8];
    varint::encode(kind, &mut out);
    out.push(0x12);
    varint::encode(data.len() as u64, &mut out);
    out.extend_from_slice(data);
    out
}

/// An RSA key of which only the size counts.
fn rsa(bits: usize, last: u8, exponent: &[u8]) -> Vec<u8> {
    let mut modulus = vec![0xc5; bits / 8];
    modulus[bits / 8 - 1] = last;
    let key = der(
        SEQUENCE,
        &[&der(2, &[&[0], &modulus]), &der(2, &[exponent])],
    );
    let algorithm = [
        0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0,
    ];
    der(SEQUENCE, &[&algorithm, &der(3, &[&[0], &key])])
}

/// A key on a curve, which the object id names.
fn curve(id: &[u8], point: &[u8]) -> Vec<u8> {
    let ec = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let algorithm = der(SEQUENCE, &[&ec, &der(6, &[id])]);
    der(SEQUENCE, &[&algorithm, &der(3, &[&[0], point])])
}

impl Key {
    /// One that its owner has signed with.
    fn signed(what: &'static str, protobuf: Vec<u8>, signer: &Keypair) -> Self {
        Self {
            what,
            good: false,
            protobuf,
            signer: Some(signer.clone()),
            signature: Vec::new(),
        }
    }

    /// One with a signature that is none.
    fn unsigned(what: &'static str, protobuf: Vec<u8>, signature: Vec<u8>) -> Self {
        Self {
            what,
            good: false,
            protobuf,
            signer: None,
            signature,
        }
    }
}

fn keys() -> Vec<Key> {
    let all = [encodings(), points(), moduli(), curves()];
    all.into_iter().flatten().collect()
}

/// A good key in its encoding and in others.
fn encodings() -> Vec<Key> {
    let signer = Keypair::generate_ed25519();
    let good = signer.public().encode_protobuf();
    let data = good[4..].to_vec();
    let another = Keypair::generate_ed25519().public().encode_protobuf();
    let others = [
        (
            "a number longer than it need be",
            [&[8, 0x81, 0, 0x12, 32][..], &data].concat(),
        ),
        (
            "a length longer than it need be",
            [&[8, 1, 0x12, 0xa0, 0][..], &data].concat(),
        ),
        (
            "its fields swapped",
            [&[0x12, 32][..], &data, &[8, 1]].concat(),
        ),
        ("a field twice", [&[8, 1][..], &good].concat()),
        ("a field more", [&good[..], &[0x18, 1]].concat()),
        ("a byte more", [&good[..], &[0]].concat()),
        ("a data byte more", protobuf(1, &[&data[..], &[0]].concat())),
        ("a data byte less", protobuf(1, &data[..31])),
        ("a kind that is not", protobuf(4, &data)),
        ("a kind of 2^62", protobuf(1 << 62, &data)),
        ("no kind", good[2..].to_vec()),
        ("no data", vec![8, 1]),
        ("nothing", Vec::new()),
        ("another's key", another),
        (
            "3 KiB of a field more",
            [&good[..], &[0x1a, 0x80, 0x18], &[0; 3 << 10]].concat(),
        ),
    ];
    let bad = others.map(|(what, protobuf)| Key::signed(what, protobuf, &signer));
    let good = Key::signed("a good key", good, &signer);
    [Key { good: true, ..good }]
        .into_iter()
        .chain(bad)
        .collect()
}

/// Ed25519 points of small order: with the neutral element as the key and as R, and S = 0, the equation holds for every message.
fn points() -> Vec<Key> {
    let filled = |first: u8, middle: u8, last: u8| {
        let mut point = [middle; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let neutral = filled(1, 0, 0);
    let mut eight_minus = EIGHT;
    eight_minus[31] |= 0x80;
    let points = [
        ("Ed25519: the neutral element", neutral),
        ("Ed25519: order 2", filled(0xec, 0xff, 0x7f)),
        ("Ed25519: order 4", [0; 32]),
        ("Ed25519: order 4, the other sign", filled(0, 0, 0x80)),
        ("Ed25519: order 8", EIGHT),
        ("Ed25519: order 8, the other sign", eight_minus),
        (
            "Ed25519: the neutral element written otherwise",
            filled(0xee, 0xff, 0x7f),
        ),
    ];
    let signature = [neutral, [0; 32]].concat();
    points
        .map(|(what, point)| Key::unsigned(what, protobuf(1, &point), signature.clone()))
        .into()
}

/// A point of order 8.
const EIGHT: [u8; 32] = [
    0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
    0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
];

/// RSA keys: bits, last byte of the modulus, exponent.
fn moduli() -> Vec<Key> {
    let keys: [(_, _, _, &[u8]); 13] = [
        ("RSA of 512 bits", 512, 0xc5, &[1, 0, 1]),
        ("RSA of 1,024 bits", 1024, 0xc5, &[1, 0, 1]),
        ("RSA of 2,040 bits", 2040, 0xc5, &[1, 0, 1]),
        ("RSA of 8,200 bits", 8200, 0xc5, &[1, 0, 1]),
        ("RSA of 16,384 bits", 16_384, 0xc5, &[1, 0, 1]),
        ("RSA of 65,536 bits", 65_536, 0xc5, &[1, 0, 1]),
        ("RSA, an even modulus", 2048, 0xc4, &[1, 0, 1]),
        ("RSA, exponent 1", 2048, 0xc5, &[1]),
        ("RSA, exponent 2", 2048, 0xc5, &[2]),
        ("RSA, exponent 2^31+1", 2048, 0xc5, &[0, 0x80, 0, 0, 1]),
        ("RSA, exponent of 2,040 bits", 2048, 0xc5, &[0x45; 255]),
        ("RSA, negative exponent", 2048, 0xc5, &[0xff]),
        (
            "RSA of 8,192 bits, a false signature",
            8192,
            0xc5,
            &[1, 0, 1],
        ),
    ];
    let key = |(what, bits, last, exponent): (_, usize, _, &[u8])| {
        let key = protobuf(0, &rsa(bits, last, exponent));
        Key::unsigned(what, key, vec![0x5a; bits / 8])
    };
    keys.map(key).into()
}

/// Points of other curves, of none, and at infinity.
fn curves() -> Vec<Key> {
    let point = [&[4][..], &[7; 64]].concat();
    let long = [&[4][..], &[7; 96]].concat();
    let (p256, p384) = (
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        [0x2b, 0x81, 4, 0, 0x22],
    );
    let keys = [
        (
            "ECDSA, a point off its curve",
            protobuf(3, &curve(&p256, &point)),
        ),
        (
            "ECDSA, the point at infinity",
            protobuf(3, &curve(&p256, &[0])),
        ),
        ("ECDSA, P-384", protobuf(3, &curve(&p384, &long))),
        ("secp256k1, not compressed", protobuf(2, &point)),
        (
            "secp256k1, a point off its curve",
            protobuf(2, &[&[2][..], &[0xff; 32]].concat()),
        ),
        ("secp256k1, the point at infinity", protobuf(2, &[0])),
    ];
    keys.map(|(what, key)| Key::unsigned(what, key, vec![0x5a; 70]))
        .into()
}

/// What the honest peers cost meanwhile, as a share of the time: so much is not counted.
const HONEST_SHARE: f64 = 0.5;
const COST_MAX: Duration = Duration::from_millis(30);
