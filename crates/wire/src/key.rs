//! Keys and signatures of peers, peer-ids/peer-ids.md. The types are `libp2p_identity`'s; the
//! strictness is ours: one key has one encoding, so it has one peer id.

use libp2p_identity::{KeyType, Keypair, PublicKey};

use crate::{
    DecodeError, der,
    pb::{Fields, Value},
};

/// Longest public key, in bytes of protobuf: RSA with 8192 bits and its wrapping fit.
pub const PUBLIC_LEN_MAX: usize = 2048;
/// Longest private key, in bytes of protobuf: RSA with 8192 bits fits.
pub const PRIVATE_LEN_MAX: usize = 8192;
/// Fewest bits of an RSA modulus.
pub const RSA_BITS_MIN: usize = 2048;
/// Most bits of an RSA modulus; what one costs to verify grows with their square.
pub const RSA_BITS_MAX: usize = 8192;

/// Reads a public key.
///
/// # Errors
/// Longer than [`PUBLIC_LEN_MAX`], an unknown type or one whose feature is off, any other than the canonical encoding, an RSA
/// modulus out of bounds (found out before any arithmetic), an Ed25519 point of small order or not
/// in canonical form, a secp256k1 point that is not compressed.
pub fn decode_public(buf: &[u8]) -> Result<PublicKey, DecodeError> {
    let mut fields = Fields::of("public key", buf, PUBLIC_LEN_MAX)?;
    let (Some((1, Value::Varint(kind))), Some((2, Value::Bytes(data))), None) = (
        fields.next().transpose()?,
        fields.next().transpose()?,
        fields.next(),
    ) else {
        return Err(DecodeError::Malformed(
            "public key is not exactly a type and its data",
        ));
    };
    check_built(kind)?;
    match kind {
        0 => check_rsa(data)?,
        1 => check_ed25519(data)?,
        2 if !matches!(data, [2 | 3, x @ ..] if x.len() == 32) => {
            return Err(DecodeError::Malformed("secp256k1 key is not compressed"));
        }
        2 | 3 => {}
        _ => return Err(DecodeError::Unsupported("key type")),
    }
    PublicKey::try_decode_protobuf(buf)
        .ok()
        .filter(|key| key.encode_protobuf() == buf)
        .ok_or(DecodeError::Malformed(
            "public key is not valid or not canonical",
        ))
}

/// Reads a private key, as it is stored in key files.
///
/// # Errors
/// Longer than [`PRIVATE_LEN_MAX`], bad protobuf, an unknown type, an Ed25519 key whose public half
/// does not belong to it. The old Ed25519 form that repeats the public half is accepted.
pub fn decode_private(buf: &[u8]) -> Result<Keypair, DecodeError> {
    let fields = Fields::of("private key", buf, PRIVATE_LEN_MAX)?.collect::<Result<Vec<_>, _>>()?;
    let decoded = match fields.as_slice() {
        [(1, Value::Varint(1)), (2, Value::Bytes(data))] => {
            let mut pair = *data;
            if let Some((first, again)) = data.split_at_checked(64)
                && !again.is_empty()
            {
                if first.get(32..) != Some(again) {
                    return Err(DecodeError::Malformed("private key holds two public keys"));
                }
                pair = first;
            }
            let mut pair = pair.to_vec();
            libp2p_identity::ed25519::Keypair::try_from_bytes(&mut pair).map(Keypair::from)
        }
        [(1, Value::Varint(kind @ 0..=3)), (2, Value::Bytes(_))] => {
            check_built(*kind)?;
            Keypair::from_protobuf_encoding(buf)
        }
        [(1, Value::Varint(_)), (2, Value::Bytes(_))] => {
            return Err(DecodeError::Unsupported("key type"));
        }
        _ => {
            return Err(DecodeError::Malformed(
                "private key is not exactly a type and its data",
            ));
        }
    };
    decoded.map_err(|_| DecodeError::Malformed("private key is not valid"))
}

/// Whether `signature` is the key's over `message`. DER must be exact, without bytes after it;
/// secp256k1 takes only the smaller of the two equivalent signatures.
// P-256 takes both: Go's signers do not choose, and half of their signatures would be refused.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    #[cfg(feature = "aws-lc")]
    if let Ok(key) = key.clone().try_into_ed25519() {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let key = UnparsedPublicKey::new(&ED25519, key.to_bytes());
        return key.verify(message, signature).is_ok();
    }
    key.verify(message, signature)
}

/// The key's type as text: `Ed25519`, `RSA`, `Secp256k1` or `ECDSA`.
pub fn kind(key: &PublicKey) -> &'static str {
    match key.key_type() {
        KeyType::Ed25519 => "Ed25519",
        KeyType::RSA => "RSA",
        KeyType::Secp256k1 => "Secp256k1",
        KeyType::Ecdsa => "ECDSA",
    }
}

/// Keys of types whose features are off are unsupported.
fn check_built(kind: u64) -> Result<(), DecodeError> {
    let lacking = match kind {
        0 if !cfg!(feature = "rsa") => "RSA key: enable the feature `rsa` of carrick",
        2 if !cfg!(feature = "secp256k1") => {
            "secp256k1 key: enable the feature `secp256k1` of carrick"
        }
        3 if !cfg!(feature = "ecdsa") => "ECDSA key: enable the feature `ecdsa` of carrick",
        _ => return Ok(()),
    };
    Err(DecodeError::Unsupported(lacking))
}

// With a key of small order, signatures that fit almost any message can be made without a secret;
// a y of p or more is a second encoding of another point.
fn check_ed25519(data: &[u8]) -> Result<(), DecodeError> {
    let Ok(mut y) = <[u8; 32]>::try_from(data) else {
        return Err(DecodeError::Malformed("Ed25519 key is not 32 bytes"));
    };
    y.reverse();
    let [sign, ..] = &mut y;
    *sign &= 0x7f;
    if y >= ED25519_P {
        return Err(DecodeError::Malformed("Ed25519 key is not canonical"));
    }
    if SMALL_ORDER_Y.contains(&y) {
        return Err(DecodeError::Malformed("Ed25519 key has small order"));
    }
    Ok(())
}

/// 2^255 - 19, big-endian.
const ED25519_P: [u8; 32] = tail(0x7f, 0xed);

/// The y coordinates, big-endian, of the eight points whose order divides 8.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 1,
    ],
    tail(0x7f, 0xec),
    [
        0x05, 0xfc, 0x53, 0x6d, 0x88, 0x02, 0x38, 0xb1, 0x39, 0x33, 0xc6, 0xd3, 0x05, 0xac, 0xdf,
        0xd5, 0xf0, 0x98, 0xef, 0xf2, 0x89, 0xf4, 0xc3, 0x45, 0xb0, 0x27, 0xb2, 0xc2, 0x8f, 0x95,
        0xe8, 0x26,
    ],
    [
        0x7a, 0x03, 0xac, 0x92, 0x77, 0xfd, 0xc7, 0x4e, 0xc6, 0xcc, 0x39, 0x2c, 0xfa, 0x53, 0x20,
        0x2a, 0x0f, 0x67, 0x10, 0x0d, 0x76, 0x0b, 0x3c, 0xba, 0x4f, 0xd8, 0x4d, 0x3d, 0x70, 0x6a,
        0x17, 0xc7,
    ],
];

const fn tail(first: u8, last: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    let [head, .., end] = &mut bytes;
    *head = first;
    *end = last;
    bytes
}

fn check_rsa(spki: &[u8]) -> Result<(), DecodeError> {
    let (n, e) = rsa_numbers(spki).ok_or(DecodeError::Malformed(
        "RSA key is not a subject public key info in DER",
    ))?;
    let bits = bits(n);
    DecodeError::check_max("bits of an RSA modulus", bits, RSA_BITS_MAX)?;
    if bits < RSA_BITS_MIN {
        return Err(DecodeError::Malformed("RSA modulus is too short"));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !odd(n) || !odd(e) || !(2..=33).contains(&self::bits(e)) {
        return Err(DecodeError::Malformed(
            "RSA modulus or exponent cannot be one",
        ));
    }
    Ok(())
}

fn bits(number: &[u8]) -> usize {
    number
        .first()
        .map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

/// Modulus and exponent of an RSA key, without leading zeros.
fn rsa_numbers(mut spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = der::value(&mut spki, der::SEQUENCE)?;
    let algorithm = der::value(&mut info, der::SEQUENCE)?;
    let mut key = der::bits(&mut info)?;
    let mut numbers = der::value(&mut key, der::SEQUENCE)?;
    let (n, e) = (der::uint(&mut numbers)?, der::uint(&mut numbers)?);
    let exact = [spki, info, key, numbers]
        .iter()
        .all(|rest| rest.is_empty());
    (exact && algorithm == RSA_ENCRYPTION).then_some((n, e))
}

/// Object id 1.2.840.113549.1.1.1 and null.
const RSA_ENCRYPTION: &[u8] = &[
    6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 5, 0,
];

#[cfg(test)]
mod tests;
