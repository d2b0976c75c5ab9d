//! The matrix of certificates: what is accepted, and why each of the others is not.

use std::time::Duration;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{self, KeyPair as _, RsaEncoding},
};
use carrick_wire::DecodeError;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rustls::pki_types::{AlgorithmIdentifier, alg_id};

use super::*;
use crate::tls::{
    forge::{CRITICAL, Forge, SEQUENCE, UNKNOWN, der, extension, hex, peer, vectors},
    provider,
};
use crate::{NoProofs, proofs::tests::Memory};

/// 2024-01-01.
const NOW: u64 = 1_704_067_200;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn verify_at(certificate: &[u8], seconds: u64) -> Result<(), SecureError> {
    Verifier::new(&provider(), None, Arc::new(NoProofs)).verify(certificate, &[], at(seconds))
}

fn verify(certificate: &[u8]) -> Result<(), SecureError> {
    verify_at(certificate, NOW)
}

fn refused(why: &'static str) -> Result<(), SecureError> {
    Err(SecureError::Certificate(why))
}

fn malformed(verdict: Result<(), SecureError>) -> bool {
    matches!(verdict, Err(SecureError::Payload(_)))
}

#[test]
fn the_certificates_of_the_spec_are_accepted_but_for_the_one_with_a_false_signature() {
    let vectors = vectors("tls_certs");
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let certificate = hex(vector["der_hex"].as_str().unwrap());
        let expected = if vector["valid"] == true {
            Ok(())
        } else {
            Err(DecodeError::Signature("certificate extension").into())
        };
        assert_eq!(verify(&certificate), expected);
    }
}

#[test]
fn a_certificate_counts_from_its_first_second_to_its_last() {
    let (certificate, _) = Forge {
        not_before: "20240101000000Z",
        not_after: "20240101000010Z",
        ..Forge::new(1)
    }
    .p256();
    for (now, verdict) in [
        (0, refused("it is not valid yet")),
        (NOW - 1, refused("it is not valid yet")),
        (NOW, Ok(())),
        (NOW + 10, Ok(())),
        (NOW + 11, refused("it has expired")),
        (u64::MAX, refused("it has expired")),
    ] {
        assert_eq!(verify_at(&certificate, now), verdict, "at {now}");
    }
}

#[test]
fn there_is_exactly_one_certificate_and_nothing_follows_it() {
    let (certificate, _) = Forge::new(1).p256();
    let (other, _) = Forge::new(1).p256();
    let verifier = Verifier::new(&provider(), None, Arc::new(NoProofs));
    for others in [vec![other.clone()], vec![certificate.clone(), other]] {
        let verdict = verifier.verify(&certificate, &others, at(NOW));
        assert_eq!(verdict, refused("there is more than one"));
    }
    assert!(malformed(verify(&[])));
    assert!(malformed(verify(&[&certificate[..], &[0]].concat())));
    for len in 0..certificate.len() {
        assert!(malformed(verify(&certificate[..len])));
    }
    // Its outer length is indefinite.
    let indefinite = [&[0x30, 0x80][..], &certificate[4..], &[0, 0]].concat();
    assert!(malformed(verify(&indefinite)));
}

#[test]
fn any_changed_byte_of_a_certificate_is_refused() {
    let (certificate, _) = Forge::new(1).p256();
    for i in 0..certificate.len() {
        let mut changed = certificate.to_vec();
        changed[i] ^= 1;
        assert!(verify(&changed).is_err(), "byte {i}");
    }
}

#[test]
fn a_certificate_that_is_remembered_must_be_the_same_and_of_today_and_of_the_right_peer() {
    let proofs = Arc::new(Memory::default());
    let verify = |certificate: &[u8], expected, seconds| {
        let verifier = Verifier::new(&provider(), expected, proofs.clone());
        verifier.verify(certificate, &[], at(seconds))
    };
    let (certificate, _) = Forge::new(1).p256();
    for _ in 0..3 {
        assert_eq!(verify(&certificate, Some(peer(1)), NOW), Ok(()));
        assert_eq!(proofs.learnt(), 1);
    }
    assert!(matches!(
        verify(&certificate, Some(peer(2)), NOW),
        Err(SecureError::WrongPeer { .. })
    ));
    assert_eq!(
        verify(&certificate, None, 0),
        refused("it is not valid yet")
    );
    for i in 0..certificate.len() {
        let mut changed = certificate.to_vec();
        changed[i] ^= 1;
        assert!(verify(&changed, None, NOW).is_err(), "byte {i}");
    }
    assert_eq!(proofs.learnt(), 1, "what is refused is not learnt");
}

#[test]
fn a_certificate_signed_by_another_key_is_refused() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let forge = Forge::new(1);
    let info = key.subject_public_key_info();
    let sign = |signed: &[u8]| other.sign(signed).unwrap();
    let certificate = forge.certificate(&info, &alg_id::ECDSA_SHA256, sign);
    let invalid = refused("its own signature is invalid");
    assert_eq!(verify(&certificate), invalid);
    for signature in [vec![], vec![0; 64], vec![0x30, 0]] {
        let sign = |_: &[u8]| signature.clone();
        let certificate = forge.certificate(&info, &alg_id::ECDSA_SHA256, sign);
        assert_eq!(verify(&certificate), invalid);
    }
}

#[test]
fn the_identity_signs_this_key_and_is_the_one_expected() {
    let (certificate, _) = Forge {
        host_signs: Some(b"another key".to_vec()),
        ..Forge::new(1)
    }
    .p256();
    let signature = DecodeError::Signature("certificate extension");
    assert_eq!(verify(&certificate), Err(signature.into()));

    let (certificate, _) = Forge::new(1).p256();
    let verify_for = |seed| {
        let verifier = Verifier::new(&provider(), Some(peer(seed)), Arc::new(NoProofs));
        verifier.verify(&certificate, &[], at(NOW))
    };
    assert_eq!(verify_for(1), Ok(()));
    let (expected, found) = (peer(2), peer(1));
    assert_eq!(
        verify_for(2),
        Err(SecureError::WrongPeer { expected, found })
    );
}

#[test]
fn extensions_are_judged_as_the_spec_says() {
    let key = KeyPair::generate().unwrap();
    let info = key.subject_public_key_info();
    let forge = Forge::new(1);
    let plain = forge.libp2p(&info, &[]);
    let critical = forge.libp2p(&info, CRITICAL);
    let unknown = extension(UNKNOWN, &[], b"any");
    let unknown_critical = extension(UNKNOWN, CRITICAL, b"any");
    for (extensions, good) in [
        (vec![plain.clone()], true),
        (vec![critical.clone()], true),
        (vec![unknown.clone(), plain.clone()], true),
        (
            vec![critical.clone(), unknown.clone(), unknown.clone()],
            true,
        ),
        (vec![plain.clone(), unknown_critical.clone()], false),
        (vec![unknown_critical, plain.clone()], false),
        (vec![unknown], false),
        (vec![plain.clone(), plain], false),
        (vec![critical.clone(), critical], false),
    ] {
        let forge = Forge {
            extensions,
            ..Forge::new(1)
        };
        let sign = |signed: &[u8]| key.sign(signed).unwrap();
        let verdict = verify(&forge.certificate(&info, &alg_id::ECDSA_SHA256, sign));
        assert_eq!(verdict.is_ok(), good, "{:x?}", forge.extensions);
    }
    let forge = Forge {
        trailing: vec![0],
        ..Forge::new(1)
    };
    assert!(
        malformed(verify(&forge.p256().0)),
        "bytes after the signed key"
    );
    for unique_ids in [hex("81020001"), hex("82020001"), hex("8102000182020001")] {
        let forge = Forge {
            unique_ids,
            ..Forge::new(1)
        };
        assert!(malformed(verify(&forge.p256().0)), "unique ids");
    }
}

#[test]
fn certificates_of_elliptic_curves_are_accepted() {
    for (algorithm, id) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, alg_id::ECDSA_SHA256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, alg_id::ECDSA_SHA384),
        (&rcgen::PKCS_ECDSA_P521_SHA256, alg_id::ECDSA_SHA256),
        (&rcgen::PKCS_ECDSA_P521_SHA512, alg_id::ECDSA_SHA512),
        (&rcgen::PKCS_ED25519, alg_id::ED25519),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let info = key.subject_public_key_info();
        let sign = |signed: &[u8]| key.sign(signed).unwrap();
        let certificate = Forge::new(1).certificate(&info, &id, sign);
        assert_eq!(verify(&certificate), Ok(()), "{algorithm:?}");
        let certificate = Forge::new(1).certificate(&info, &alg_id::RSA_PKCS1_SHA256, sign);
        assert_eq!(verify(&certificate), refused(UNSUPPORTED));
    }
}

#[test]
fn certificates_of_rsa_are_accepted_with_either_padding() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let info: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let pairs: [(AlgorithmIdentifier, &'static dyn RsaEncoding); 6] = [
        (alg_id::RSA_PKCS1_SHA256, &signature::RSA_PKCS1_SHA256),
        (alg_id::RSA_PKCS1_SHA384, &signature::RSA_PKCS1_SHA384),
        (alg_id::RSA_PKCS1_SHA512, &signature::RSA_PKCS1_SHA512),
        (alg_id::RSA_PSS_SHA256, &signature::RSA_PSS_SHA256),
        (alg_id::RSA_PSS_SHA384, &signature::RSA_PSS_SHA384),
        (alg_id::RSA_PSS_SHA512, &signature::RSA_PSS_SHA512),
    ];
    for (id, padding) in pairs {
        let sign = |signed: &[u8]| {
            let mut signature = vec![0; key.public_modulus_len()];
            let rng = SystemRandom::new();
            key.sign(padding, &rng, signed, &mut signature).unwrap();
            signature
        };
        let certificate = Forge::new(1).certificate(info.as_ref(), &id, sign);
        assert_eq!(verify(&certificate), Ok(()), "{id:?}");
        let certificate = Forge::new(1).certificate(info.as_ref(), &id, |_| vec![1; 256]);
        assert_eq!(
            verify(&certificate),
            refused("its own signature is invalid")
        );
    }
}

#[test]
fn certificates_of_other_algorithms_are_refused() {
    // Ed448; ECDSA and RSA with SHA-1.
    for (algorithm, len) in [
        (&[6, 3, 0x2b, 0x65, 0x71][..], 57),
        (&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], 65),
        (
            &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0],
            270,
        ),
    ] {
        let key = der(3, &[&[0], &vec![4; len]]);
        let info = der(SEQUENCE, &[&der(SEQUENCE, &[algorithm]), &key]);
        let certificate = Forge::new(1).certificate(&info, algorithm, |_| vec![7; len]);
        assert_eq!(verify(&certificate), refused(UNSUPPORTED));
    }
}

const UNSUPPORTED: &str = "its algorithm is not supported";
