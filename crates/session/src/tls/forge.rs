//! Certificates for tests, put together by hand so that each can be wrong in one way.

use carrick_wire::{Keypair, PeerId, certificate};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rustls::{
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, alg_id},
    sign::CertifiedKey,
};

pub(super) fn identity(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap()
}

pub(super) fn peer(seed: u8) -> PeerId {
    identity(seed).public().to_peer_id()
}

/// A list of the specs' test vectors.
pub(super) fn vectors(name: &str) -> Vec<serde_json::Value> {
    let vectors = include_str!("../../../wire/tests/vectors.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    vectors[name].as_array().unwrap().clone()
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// What goes into a certificate. As it comes from [`Forge::new`], nothing is wrong with it.
pub(super) struct Forge {
    pub(super) identity: Keypair,
    pub(super) not_before: &'static str,
    pub(super) not_after: &'static str,
    /// Between key and extensions.
    pub(super) unique_ids: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
    /// What the identity signs instead of the certificate's key.
    pub(super) host_signs: Option<Vec<u8>>,
    pub(super) trailing: Vec<u8>,
}

impl Forge {
    pub(super) fn new(seed: u8) -> Self {
        Self {
            identity: identity(seed),
            not_before: "20000101000000Z",
            not_after: "40960101000000Z",
            unique_ids: Vec::new(),
            extensions: Vec::new(),
            host_signs: None,
            trailing: Vec::new(),
        }
    }

    /// The certificate of a P-256 key.
    pub(super) fn p256(&self) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let der = self.certificate(
            &key.subject_public_key_info(),
            &alg_id::ECDSA_SHA256,
            |signed| key.sign(signed).unwrap(),
        );
        (der, key)
    }

    /// What a handshake shows.
    pub(super) fn certified(&self) -> CertifiedKey {
        let (der, key) = self.p256();
        certified(vec![der], &key)
    }

    /// A certificate of this key, a whole `SubjectPublicKeyInfo`, signed by `sign`.
    pub(super) fn certificate(
        &self,
        key_info: &[u8],
        algorithm: &[u8],
        sign: impl Fn(&[u8]) -> Vec<u8>,
    ) -> CertificateDer<'static> {
        let algorithm = der(SEQUENCE, &[algorithm]);
        let signed_key = self.host_signs.as_deref().unwrap_or(key_info);
        let mut signed_key = certificate::extension(&self.identity, signed_key).unwrap();
        signed_key.extend_from_slice(&self.trailing);
        let libp2p = extension(LIBP2P, &[], &signed_key);
        let extensions = match self.extensions.as_slice() {
            [] => libp2p,
            others => others.concat(),
        };
        let validity = [self.not_before, self.not_after].map(|time| der(0x18, &[time.as_bytes()]));
        let signed = der(
            SEQUENCE,
            &[
                &[0xa0, 3, 2, 1, 2],
                &[2, 1, 1],
                &algorithm,
                &der(SEQUENCE, &[]),
                &der(SEQUENCE, &[&validity.concat()]),
                &der(SEQUENCE, &[]),
                key_info,
                &self.unique_ids,
                &der(0xa3, &[&der(SEQUENCE, &[&extensions])]),
            ],
        );
        let signature = der(3, &[&[0], &sign(&signed)]);
        der(SEQUENCE, &[&signed, &algorithm, &signature]).into()
    }

    /// The libp2p extension for `key_info`, as another one beside others.
    pub(super) fn libp2p(&self, key_info: &[u8], critical: &[u8]) -> Vec<u8> {
        let content = certificate::extension(&self.identity, key_info).unwrap();
        extension(LIBP2P, critical, &content)
    }
}

pub(super) fn certified(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> CertifiedKey {
    let secret = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = default_provider().key_provider;
    CertifiedKey::new(chain, provider.load_private_key(secret.into()).unwrap())
}

pub(super) fn extension(id: &[u8], critical: &[u8], content: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[&der(6, &[id]), critical, &der(4, &[content])])
}

pub(super) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

pub(super) const CRITICAL: &[u8] = &[1, 1, 0xff];
pub(super) const UNKNOWN: &[u8] = &[0x2b, 6, 1, 4, 1, 7];
const LIBP2P: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xa2, 0x5a, 1, 1];
pub(super) const SEQUENCE: u8 = 0x30;
