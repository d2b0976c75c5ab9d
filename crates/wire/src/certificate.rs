//! The certificate of libp2p's TLS, tls/tls.md: X.509 v3 in DER, borrowed from its bytes, and the extension that binds it
//! to a peer's key. Every certificate that decodes has that extension exactly once and no critical one that nobody here understands.
//!
//! What needs a clock or the algorithm of the certificate's own signature is left to the session.

use libp2p_identity::{Keypair, PublicKey};

use crate::{
    DecodeError,
    der::{self, BOOLEAN, OBJECT_ID, OCTET_STRING, SEQUENCE},
    key,
};

/// The object id of the extension, 1.3.6.1.4.1.53594.1.1.
pub const EXTENSION_ID: &[u64] = &[1, 3, 6, 1, 4, 1, 53594, 1, 1];
/// Stands before the certificate's public key in the bytes that the identity key signs.
pub const SIGNATURE_PREFIX: &[u8] = b"libp2p-tls-handshake:";

/// What the handshake needs of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// What the certificate's own signature is over.
    pub signed: &'a [u8],
    /// Of the signature: the content of the `AlgorithmIdentifier`.
    pub algorithm: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// First second of its life, seconds since 1970.
    pub not_before: i64,
    /// Last second of its life, seconds since 1970.
    pub not_after: i64,
    /// The certificate's key as a whole `SubjectPublicKeyInfo`.
    pub key_info: &'a [u8],
    /// Of the key: the content of the `AlgorithmIdentifier`.
    pub key_algorithm: &'a [u8],
    /// The key itself.
    pub key: &'a [u8],
    host_key: &'a [u8],
    host_signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate; no signature is checked.
    ///
    /// # Errors
    /// Not exactly one certificate of version 3 in DER, two algorithms for one signature, unique ids (the spec forbids
    /// them), the libp2p extension missing or repeated, a critical extension that is not understood.
    pub fn decode(buf: &'a [u8]) -> Result<Self, DecodeError> {
        let malformed = DecodeError::Malformed("certificate is not an X.509 certificate in DER");
        let (mut this, extensions) = Self::read(buf).ok_or(malformed)?;
        (this.host_key, this.host_signature) = signed_key(extensions)?;
        Ok(this)
    }

    /// The peer's identity key, which has signed the certificate's key.
    ///
    /// # Errors
    /// The key does not decode, or did not sign.
    pub fn host_key(&self) -> Result<PublicKey, DecodeError> {
        let host = self.claimed_key()?;
        let message = [SIGNATURE_PREFIX, self.key_info].concat();
        if key::verify(&host, &message, self.host_signature) {
            Ok(host)
        } else {
            Err(DecodeError::Signature("certificate extension"))
        }
    }

    /// The same key without a look at its signature: for a certificate that has passed [`Self::host_key`] before.
    ///
    /// # Errors
    /// The key does not decode.
    pub fn claimed_key(&self) -> Result<PublicKey, DecodeError> {
        key::decode_public(self.host_key)
    }

    /// Everything but the extensions, which are returned beside it.
    fn read(mut buf: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut certificate = der::value(&mut buf, SEQUENCE)?;
        let signed = der::whole(&mut certificate, SEQUENCE)?;
        let algorithm = der::value(&mut certificate, SEQUENCE)?;
        let signature = der::bits(&mut certificate)?;

        let mut fields = der::value(&mut { signed }, SEQUENCE)?;
        let version = der::value(&mut fields, VERSION)?;
        let _serial = der::value(&mut fields, der::INTEGER)?;
        let same_algorithm = der::value(&mut fields, SEQUENCE)?;
        let _issuer = der::value(&mut fields, SEQUENCE)?;
        let mut validity = der::value(&mut fields, SEQUENCE)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let _subject = der::value(&mut fields, SEQUENCE)?;
        let key_info = der::whole(&mut fields, SEQUENCE)?;
        let mut extensions = match fields {
            [] => &[],
            _ => der::value(&mut fields, EXTENSIONS)?,
        };
        let extension_list = match extensions {
            [] => &[],
            _ => der::value(&mut extensions, SEQUENCE)?,
        };

        let mut info = der::value(&mut { key_info }, SEQUENCE)?;
        let key_algorithm = der::value(&mut info, SEQUENCE)?;
        let key = der::bits(&mut info)?;
        let exact = [buf, certificate, fields, validity, info, extensions]
            .iter()
            .all(|rest| rest.is_empty());
        let this = Self {
            signed,
            algorithm,
            signature,
            not_before,
            not_after,
            key_info,
            key_algorithm,
            key,
            host_key: &[],
            host_signature: &[],
        };
        (exact && version == VERSION_3 && same_algorithm == algorithm)
            .then_some((this, extension_list))
    }
}

/// The content of the extension for a certificate with this key, a whole `SubjectPublicKeyInfo`; `None` if the identity
/// cannot sign.
pub fn extension(identity: &Keypair, key_info: &[u8]) -> Option<Vec<u8>> {
    let signature = identity.sign(&[SIGNATURE_PREFIX, key_info].concat()).ok()?;
    let public = der::encode(OCTET_STRING, &identity.public().encode_protobuf())?;
    let signature = der::encode(OCTET_STRING, &signature)?;
    der::encode(SEQUENCE, &[public, signature].concat())
}

/// Key and signature of the one libp2p extension.
fn signed_key(mut extensions: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let malformed = || DecodeError::Malformed("certificate has a malformed extension");
    let mut found = None;
    while !extensions.is_empty() {
        let (id, critical, content) = extension_parts(&mut extensions).ok_or_else(malformed)?;
        if id == EXTENSION_ID_DER {
            let signed_key = signed_key_parts(content).ok_or_else(malformed)?;
            if found.replace(signed_key).is_some() {
                return Err(DecodeError::Malformed(
                    "certificate has two libp2p extensions",
                ));
            }
        } else if critical && !is_understood(id, content) {
            return Err(DecodeError::Unsupported(
                "critical extension in a certificate",
            ));
        }
    }
    found.ok_or(DecodeError::Malformed(
        "certificate has no libp2p extension",
    ))
}

/// py-libp2p's certificates have these two, and critical.
fn is_understood(id: &[u8], mut content: &[u8]) -> bool {
    match id {
        BASIC_CONSTRAINTS => true,
        // Its first bit: the key may sign handshakes.
        KEY_USAGE => matches!(
            der::value(&mut content, der::BIT_STRING),
            Some([0..8, 0x80..=0xff, ..])
        ),
        _ => false,
    }
}

fn extension_parts<'a>(extensions: &mut &'a [u8]) -> Option<(&'a [u8], bool, &'a [u8])> {
    let mut extension = der::value(extensions, SEQUENCE)?;
    let id = der::value(&mut extension, OBJECT_ID)?;
    let critical = match extension {
        [BOOLEAN, ..] => match der::value(&mut extension, BOOLEAN)? {
            [0xff] => true,
            [0] => false,
            _ => return None,
        },
        _ => false,
    };
    let content = der::value(&mut extension, OCTET_STRING)?;
    extension.is_empty().then_some((id, critical, content))
}

fn signed_key_parts(mut content: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = der::value(&mut content, SEQUENCE)?;
    let public = der::value(&mut fields, OCTET_STRING)?;
    let signature = der::value(&mut fields, OCTET_STRING)?;
    (content.is_empty() && fields.is_empty()).then_some((public, signature))
}

/// Takes a `UTCTime` or a `GeneralizedTime`, both to the second and in UTC (RFC 5280, section 4.1.2.5).
fn time(buf: &mut &[u8]) -> Option<i64> {
    let (century, digits) = match **buf {
        [UTC_TIME, ..] => (None, der::value(buf, UTC_TIME)?),
        _ => {
            let digits = der::value(buf, GENERALIZED_TIME)?;
            let (century, digits) = digits.split_first_chunk()?;
            (Some(two_digits(*century)?), digits)
        }
    };
    let [pairs @ .., b'Z'] = digits else {
        return None;
    };
    let (pairs, []) = pairs.as_chunks::<2>() else {
        return None;
    };
    let [year, month, day, hour, minute, second] = *pairs else {
        return None;
    };
    let year = two_digits(year)?;
    let century = century.unwrap_or(if year < 50 { 20 } else { 19 });
    let days = days(century * 100 + year, two_digits(month)?, two_digits(day)?)?;
    let (hour, minute, second) = (two_digits(hour)?, two_digits(minute)?, two_digits(second)?);
    (hour < 24 && minute < 60 && second < 60)
        .then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn two_digits(digits: [u8; 2]) -> Option<i64> {
    let [ten, one] = digits.map(|digit| digit.wrapping_sub(b'0'));
    (ten < 10 && one < 10).then(|| i64::from(ten * 10 + one))
}

/// Days from 1970-01-01 to this date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let months = [
        31,
        if leap { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let (before, rest) = months.split_at_checked(usize::try_from(month - 1).ok()?)?;
    if !(1..=*rest.first()?).contains(&day) {
        return None;
    }
    // The leap days before this year, counted from year 0, which is one.
    let leap_days = |year: i64| (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    let years = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    Some(years + before.iter().sum::<i64>() + day - 1)
}

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]` and `[3]`, explicit.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Version 3 as an integer.
const VERSION_3: &[u8] = &[2, 1, 2];
/// Object ids 2.5.29.15 and 2.5.29.19.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const EXTENSION_ID_DER: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xa2, 0x5a, 1, 1];

#[cfg(test)]
mod tests;
