//! libp2p's certificates: ours, with whatever is to be wrong about them, and the peer's, taken apart.

use libp2p_identity::{Keypair, PublicKey};
use ring::{
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{
    der::{self, Value, tlv},
    noise,
};
use crate::case::{Step, ensure, fail};

const LIBP2P: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xa2, 0x5a, 1, 1];
/// An identifier that nobody uses: 1.3.6.1.4.1.53594.1.99.
const UNKNOWN: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xa2, 0x5a, 1, 99];
const SIGNED: &[u8] = b"libp2p-tls-handshake:";

/// The kind of key that a certificate is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    P256,
    P384,
    Ed25519,
}

/// What is in our certificate; the default is as it should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paper {
    pub(crate) kind: Kind,
    /// Whether there is a libp2p extension.
    pub(crate) extension: bool,
    /// Whether it is marked critical.
    pub(crate) critical: bool,
    /// Whether it is there twice.
    pub(crate) twice: bool,
    /// Whether an unknown extension stands beside it; critical or not.
    pub(crate) unknown: Option<bool>,
    /// What is signed by the identity.
    pub(crate) prefix: &'static [u8],
    /// Whether the identity's signature is of another key.
    pub(crate) foreign_signature: bool,
    /// Whether the extension names another identity than the one that signed.
    pub(crate) foreign_identity: bool,
    /// Bytes that follow the extension's structure.
    pub(crate) trailing: &'static [u8],
    /// Instead of the extension's structure.
    pub(crate) instead: Option<&'static [u8]>,
    /// Whether the certificate's own signature is broken.
    pub(crate) broken: bool,
    /// Whether deprecated unique ids are there.
    pub(crate) unique_ids: bool,
    /// Whether what proves the key in the handshake is another key's.
    pub(crate) foreign_proof: bool,
    pub(crate) not_before: &'static str,
    pub(crate) not_after: &'static str,
    /// How many certificates are sent.
    pub(crate) chain: usize,
}

impl Default for Paper {
    fn default() -> Self {
        Self {
            kind: Kind::P256,
            extension: true,
            critical: false,
            twice: false,
            unknown: None,
            prefix: SIGNED,
            foreign_signature: false,
            foreign_identity: false,
            trailing: &[],
            instead: None,
            broken: false,
            unique_ids: false,
            foreign_proof: false,
            not_before: "19750101000000Z",
            not_after: "40960101000000Z",
            chain: 1,
        }
    }
}

/// A chain and the key that proves it.
#[derive(Debug)]
pub(crate) struct Papers {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

enum Signer {
    Ecdsa(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

struct Key {
    signer: Signer,
    spki: Vec<u8>,
    algorithm: Vec<u8>,
    pkcs8: Vec<u8>,
}

impl Key {
    fn new(kind: Kind) -> Option<Self> {
        let chance = SystemRandom::new();
        let (signing, curve, hash): (_, &[u8], u8) = match kind {
            Kind::P256 => (
                &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
                2,
            ),
            Kind::P384 => (
                &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
                &[0x2b, 0x81, 4, 0, 0x22],
                3,
            ),
            Kind::Ed25519 => return Self::edwards(&chance),
        };
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &chance).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref(), &chance).ok()?;
        let ec = tlv(der::OID, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]]);
        let kind = tlv(der::SEQUENCE, &[&ec, &tlv(der::OID, &[curve])]);
        let public = tlv(der::BIT_STRING, &[&[0], pair.public_key().as_ref()]);
        let oid = tlv(der::OID, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, hash]]);
        Some(Self {
            spki: tlv(der::SEQUENCE, &[&kind, &public]),
            algorithm: tlv(der::SEQUENCE, &[&oid]),
            pkcs8: pkcs8.as_ref().to_vec(),
            signer: Signer::Ecdsa(pair),
        })
    }

    fn edwards(chance: &SystemRandom) -> Option<Self> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(chance).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).ok()?;
        let algorithm = tlv(der::SEQUENCE, &[&tlv(der::OID, &[&[0x2b, 0x65, 0x70]])]);
        let public = tlv(der::BIT_STRING, &[&[0], pair.public_key().as_ref()]);
        Some(Self {
            spki: tlv(der::SEQUENCE, &[&algorithm, &public]),
            algorithm,
            pkcs8: pkcs8.as_ref().to_vec(),
            signer: Signer::Edwards(pair),
        })
    }

    fn sign(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match &self.signer {
            Signer::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), bytes).ok()?;
                Some(signature.as_ref().to_vec())
            }
            Signer::Edwards(pair) => Some(pair.sign(bytes).as_ref().to_vec()),
        }
    }
}

impl Paper {
    /// Writes it for this identity.
    pub(crate) fn write(&self, identity: &Keypair) -> Step<Papers> {
        let papers = Key::new(self.kind).and_then(|key| self.with(identity, &key));
        papers.map_or_else(|| fail("no certificate could be made"), Ok)
    }

    fn with(&self, identity: &Keypair, key: &Key) -> Option<Papers> {
        let name = tlv(
            der::SEQUENCE,
            &[&tlv(
                der::SET,
                &[&tlv(
                    der::SEQUENCE,
                    &[
                        &tlv(der::OID, &[&[0x55, 4, 3]]),
                        &tlv(der::UTF8, &[b"libp2p"]),
                    ],
                )],
            )],
        );
        let validity = tlv(
            der::SEQUENCE,
            &[
                &tlv(der::TIME, &[self.not_before.as_bytes()]),
                &tlv(der::TIME, &[self.not_after.as_bytes()]),
            ],
        );
        let version = tlv(0xa0, &[&tlv(der::INTEGER, &[&[2]])]);
        let mut serial: [u8; 8] = rand::random();
        serial[0] = 1;
        let serial = tlv(der::INTEGER, &[&serial]);
        let mut parts: Vec<Vec<u8>> = vec![version, serial, key.algorithm.clone()];
        parts.extend([name.clone(), validity, name, key.spki.clone()]);
        if self.unique_ids {
            parts.extend([tlv(0x81, &[&[0, 1, 2, 3]]), tlv(0x82, &[&[0, 1, 2, 3]])]);
        }
        let extensions = self.extensions(identity, key)?;
        if !extensions.is_empty() {
            parts.push(tlv(0xa3, &[&tlv(der::SEQUENCE, &[&extensions])]));
        }
        let body = tlv(der::SEQUENCE, &[&parts.concat()]);
        let mut signature = key.sign(&body)?;
        if self.broken {
            signature = key.sign(b"something else")?;
        }
        let signature = tlv(der::BIT_STRING, &[&[0], &signature]);
        let certificate = tlv(der::SEQUENCE, &[&body, &key.algorithm, &signature]);
        let mut pkcs8 = key.pkcs8.clone();
        if self.foreign_proof {
            pkcs8 = Key::new(self.kind)?.pkcs8;
        }
        Some(Papers {
            chain: vec![certificate.into(); self.chain],
            key: PrivatePkcs8KeyDer::from(pkcs8).into(),
        })
    }

    fn extensions(&self, identity: &Keypair, key: &Key) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        if let Some(critical) = self.unknown {
            out.extend(extension(UNKNOWN, critical, b"\x05\x00"));
        }
        if self.extension {
            let spki = if self.foreign_signature {
                Key::new(self.kind)?.spki
            } else {
                key.spki.clone()
            };
            let signature = noise::sign(identity, &[self.prefix, &spki].concat()).ok()?;
            let mut named = identity.public();
            if self.foreign_identity {
                named = Keypair::generate_ed25519().public();
            }
            let body = tlv(
                der::SEQUENCE,
                &[
                    &tlv(der::OCTET_STRING, &[&named.encode_protobuf()]),
                    &tlv(der::OCTET_STRING, &[&signature]),
                ],
            );
            let body = self.instead.map_or(body, <[u8]>::to_vec);
            let one = extension(LIBP2P, self.critical, &[&body, self.trailing].concat());
            out.extend(one.repeat(1 + usize::from(self.twice)));
        }
        Some(out)
    }
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = tlv(der::BOOLEAN, &[&[0xff]]);
    tlv(
        der::SEQUENCE,
        &[
            &tlv(der::OID, &[oid]),
            if critical { &flag } else { &[] },
            &tlv(der::OCTET_STRING, &[value]),
        ],
    )
}

/// The peer's certificate, taken apart.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) version: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
    pub(crate) validity: Vec<(u8, String)>,
    pub(crate) unique_ids: bool,
    /// Object identifier, critical, value.
    pub(crate) extensions: Vec<(Vec<u8>, bool, Vec<u8>)>,
}

/// Takes a certificate apart.
pub(crate) fn read(certificate: &[u8]) -> Step<Seen> {
    parse(certificate).map_or_else(|| fail("the certificate is not readable DER"), Ok)
}

fn parse(certificate: &[u8]) -> Option<Seen> {
    let outer = der::take(&mut &certificate[..])?;
    let outer = der::inside(outer.body)?;
    let [body, algorithm, signature] = outer[..] else {
        return None;
    };
    let parts = der::inside(body.body)?;
    let (version, rest) = match parts.split_first()? {
        (first, rest) if first.tag == 0xa0 => (first.body.to_vec(), rest),
        _ => (Vec::new(), &parts[..]),
    };
    let [_, _, _, validity, _, spki, rest @ ..] = rest else {
        return None;
    };
    let time = |value: &Value<'_>| (value.tag, String::from_utf8_lossy(value.body).into_owned());
    let mut extensions = Vec::new();
    if let Some(list) = rest.iter().find(|value| value.tag == 0xa3) {
        let list = der::take(&mut &list.body[..])?;
        for one in der::inside(list.body)? {
            let parts = der::inside(one.body)?;
            let critical = parts.get(1)?.tag == der::BOOLEAN;
            let value = parts.last()?.body.to_vec();
            extensions.push((parts.first()?.body.to_vec(), critical, value));
        }
    }
    Some(Seen {
        version,
        body: body.whole.to_vec(),
        spki: spki.whole.to_vec(),
        signature: signature.body.get(1..)?.to_vec(),
        algorithm: algorithm.body.to_vec(),
        validity: der::inside(validity.body)?.iter().map(time).collect(),
        unique_ids: rest.iter().any(|value| [0x81, 0x82].contains(&value.tag)),
        extensions,
    })
}

impl Seen {
    /// The identity that the extension proves.
    pub(crate) fn identity(&self) -> Step<PublicKey> {
        let ours = self.extensions.iter().filter(|(oid, ..)| oid == LIBP2P);
        let values: Vec<_> = ours.map(|(.., value)| value).collect();
        ensure(values.len() == 1, || {
            format!("the certificate has {} libp2p extensions", values.len())
        })?;
        let whole = der::take(&mut &values[0][..]);
        let parts = whole.and_then(|whole| der::inside(whole.body));
        let Some([key, signature]) = parts.as_deref() else {
            return fail("the libp2p extension is not two values in a sequence");
        };
        ensure([key.tag, signature.tag] == [der::OCTET_STRING; 2], || {
            "the libp2p extension does not hold octet strings".to_owned()
        })?;
        let Ok(public) = PublicKey::try_decode_protobuf(key.body) else {
            return fail("the identity in the certificate cannot be decoded");
        };
        let signed = [SIGNED, &self.spki].concat();
        ensure(public.verify(&signed, signature.body), || {
            "the identity's signature in the certificate is not valid".to_owned()
        })?;
        Ok(public)
    }

    /// Whether the certificate is signed by its own key; none when this program does not know the algorithm.
    pub(crate) fn is_self_signed(&self) -> Option<bool> {
        let oid = der::take(&mut &self.algorithm[..])?.body;
        let spki = der::take(&mut &self.spki[..])?;
        let public = der::inside(spki.body)?.last()?.body.get(1..)?;
        let algorithm: &dyn signature::VerificationAlgorithm = match (oid, public.len()) {
            ([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], 65) => &signature::ECDSA_P256_SHA256_ASN1,
            ([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], 97) => &signature::ECDSA_P384_SHA384_ASN1,
            ([0x2b, 0x65, 0x70], 32) => &signature::ED25519,
            ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], _) => {
                &signature::RSA_PKCS1_2048_8192_SHA256
            }
            _ => return None,
        };
        let key = UnparsedPublicKey::new(algorithm, public);
        Some(key.verify(&self.body, &self.signature).is_ok())
    }
}
