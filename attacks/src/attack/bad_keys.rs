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
            outcome
                .checks
                .push(Check::new(let_in, format!("{}: let in", key.what)));
        } else {
            outcome.tried += 1;
            outcome.refused += u64::from(!let_in);
            outcome
                .checks
                .push(Check::new(!let_in, format!("{}: refused", key.what)));
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

fn keys() -> Vec<Key> {
    let signer = Keypair::generate_ed25519();
    let good = signer.public().encode_protobuf();
    let data = good[4..].to_vec();
    let signed = |what, protobuf: Vec<u8>| Key {
        what,
        good: false,
        protobuf,
        signer: Some(signer.clone()),
        signature: Vec::new(),
    };
    let garbage = |what, protobuf: Vec<u8>, len: usize| Key {
        what,
        good: false,
        protobuf,
        signer: None,
        signature: vec![0x5a; len],
    };
    let mut keys = vec![Key {
        good: true,
        ..signed("a good key", good.clone())
    }];
    let long_kind = [&[8, 0x81, 0, 0x12, 32][..], &data].concat();
    let long_len = [&[8, 1, 0x12, 0xa0, 0][..], &data].concat();
    let swapped = [&[0x12, 32][..], &data, &[8, 1]].concat();
    keys.extend([
        signed("a number longer than it need be", long_kind),
        signed("a length longer than it need be", long_len),
        signed("its fields swapped", swapped),
        signed("a field twice", [&[8, 1][..], &good].concat()),
        signed("a field more", [&good[..], &[0x18, 1]].concat()),
        signed("a byte more", [&good[..], &[0]].concat()),
        signed("a data byte more", protobuf(1, &[&data[..], &[0]].concat())),
        signed("a data byte less", protobuf(1, &data[..31])),
        signed("a kind that is not", protobuf(4, &data)),
        signed("a kind of 2^62", protobuf(1 << 62, &data)),
        signed("no kind", good[2..].to_vec()),
        signed("no data", vec![8, 1]),
        signed("nothing", Vec::new()),
        signed(
            "another's key",
            Keypair::generate_ed25519().public().encode_protobuf(),
        ),
        signed(
            "3 KiB of a field more",
            [&good[..], &[0x1a, 0x80, 0x18], &[0; 3 << 10]].concat(),
        ),
    ]);
    // With the neutral element as the key and as R, and S = 0, the equation holds for every message.
    let [mut neutral, mut minus, mut zero] = [[0; 32]; 3];
    neutral[0] = 1;
    minus.fill(0xff);
    (minus[0], minus[31]) = (0xec, 0x7f);
    zero[31] = 0x80;
    let mut other_neutral = [0xff; 32];
    (other_neutral[0], other_neutral[31]) = (0xee, 0x7f);
    let mut eight = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ];
    let forged = |what, point: &[u8; 32]| Key {
        signature: [neutral, [0; 32]].concat(),
        ..garbage(what, protobuf(1, point), 0)
    };
    keys.push(forged("Ed25519: the neutral element", &neutral));
    keys.push(forged("Ed25519: order 2", &minus));
    keys.push(forged("Ed25519: order 4", &[0; 32]));
    keys.push(forged("Ed25519: order 4, the other sign", &zero));
    keys.push(forged("Ed25519: order 8", &eight));
    eight[31] |= 0x80;
    keys.push(forged("Ed25519: order 8, the other sign", &eight));
    keys.push(forged(
        "Ed25519: the neutral element written otherwise",
        &other_neutral,
    ));
    for (what, bits, last, exponent) in [
        ("RSA of 512 bits", 512, 0xc5, &[1, 0, 1][..]),
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
    ] {
        keys.push(garbage(
            what,
            protobuf(0, &rsa(bits, last, exponent)),
            bits / 8,
        ));
    }
    let point = [&[4][..], &[7; 64]].concat();
    let p256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let p384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
    keys.extend([
        garbage(
            "ECDSA, a point off its curve",
            protobuf(3, &curve(p256, &point)),
            70,
        ),
        garbage(
            "ECDSA, the point at infinity",
            protobuf(3, &curve(p256, &[0])),
            70,
        ),
        garbage(
            "ECDSA, P-384",
            protobuf(3, &curve(p384, &[&[4][..], &[7; 96]].concat())),
            100,
        ),
        garbage("secp256k1, not compressed", protobuf(2, &point), 70),
        garbage(
            "secp256k1, a point off its curve",
            protobuf(2, &[&[2][..], &[0xff; 32]].concat()),
            70,
        ),
        garbage("secp256k1, the point at infinity", protobuf(2, &[0]), 70),
    ]);
    keys
}

/// What the honest peers cost meanwhile, as a share of the time: so much is not counted.
const HONEST_SHARE: f64 = 0.5;
const COST_MAX: Duration = Duration::from_millis(30);
