//! Records after the handshake: sealed and opened in place, one half for the writer, one for the reader (RFC 8446,
//! sections 4.6, 5 and 7).
//!
//! Each half derives its own next keys. The two share one flag: the reader has seen that the peer wants our keys changed.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{self, Prk},
};
use bytes::{Bytes, BytesMut};
use rustls::CipherSuite;

use super::record::{ALERT, APPLICATION_DATA, HANDSHAKE, HEAD, PLAIN_MAX, next_record};
use crate::{Layout, Records, Role, SecureError};

/// The halves for what follows a handshake that agreed on `suite` and these secrets.
pub(super) fn split(
    role: Role,
    suite: CipherSuite,
    ours: &[u8],
    theirs: &[u8],
) -> Result<(Opener, Sealer), SecureError> {
    let (cipher, hash) = match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => (&aead::AES_128_GCM, hkdf::HKDF_SHA256),
        CipherSuite::TLS13_AES_256_GCM_SHA384 => (&aead::AES_256_GCM, hkdf::HKDF_SHA384),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => {
            (&aead::CHACHA20_POLY1305, hkdf::HKDF_SHA256)
        }
        _ => {
            return Err(SecureError::Handshake(
                "a cipher suite that we did not offer",
            ));
        }
    };
    let keys = |secret| Keys::new(cipher, hash, Prk::new_less_safe(hash, secret));
    let update_wanted = Arc::new(AtomicBool::new(false));
    let opener = Opener {
        keys: keys(theirs),
        gets_tickets: role == Role::Dialer,
        update_wanted: update_wanted.clone(),
        message: Vec::new(),
        fruitless: 0,
        ended: false,
    };
    let sealer = Sealer {
        keys: keys(ours),
        update_wanted,
    };
    Ok((opener, sealer))
}

/// Seals outgoing records. The writer owns it.
pub(crate) struct Sealer {
    keys: Keys,
    update_wanted: Arc<AtomicBool>,
}

impl Sealer {
    /// Room for the header, the inner type and the tag of each record.
    pub(crate) const LAYOUT: Layout = Layout {
        head: HEAD,
        body_max: PLAIN_MAX,
        tail: 1 + TAG,
    };

    /// Seals every record where it lies.
    pub(crate) fn seal(&mut self, records: &mut Records) -> Result<(), SecureError> {
        let wanted = self.update_wanted.swap(false, Ordering::Relaxed);
        let update = if wanted || self.keys.records >= RECORDS_MAX {
            let update = self.record(HANDSHAKE, &KEY_UPDATE)?;
            self.keys = self.keys.next();
            Some(update)
        } else {
            None
        };
        records.seal(|head, rest| self.keys.seal(APPLICATION_DATA, head, rest))?;
        if let Some(update) = update {
            records.insert_sealed(&update);
        }
        Ok(())
    }

    /// Puts the last record into `records`: nothing follows.
    pub(crate) fn close(&mut self, records: &mut Records) -> Result<(), SecureError> {
        let notify = self.record(ALERT, &[WARNING, CLOSE_NOTIFY])?;
        records.insert_sealed(&notify);
        Ok(())
    }

    fn record(&mut self, kind: u8, content: &[u8]) -> Result<Vec<u8>, SecureError> {
        let mut record = vec![0; HEAD];
        record.extend_from_slice(content);
        record.resize(HEAD + content.len() + Self::LAYOUT.tail, 0);
        let (head, rest) = record.split_at_mut(HEAD);
        self.keys.seal(kind, head, rest)?;
        Ok(record)
    }
}

/// For a fuzzer, which plays a peer that has the keys and keeps no promise.
#[cfg(fuzzing)]
impl Sealer {
    pub(crate) fn any_record(&mut self, kind: u8, content: &[u8]) -> Result<Vec<u8>, SecureError> {
        self.record(kind, content)
    }

    pub(crate) fn next_keys(&mut self) {
        self.keys = self.keys.next();
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealer").field(&self.keys.records).finish()
    }
}

/// Opens incoming records. The reader owns it.
pub(crate) struct Opener {
    keys: Keys,
    gets_tickets: bool,
    update_wanted: Arc<AtomicBool>,
    /// A handshake message that is not complete yet.
    message: Vec<u8>,
    /// Records in a row that brought no data.
    fruitless: usize,
    ended: bool,
}

impl Opener {
    /// Splits complete records off `buf` until one holds data, and returns these as a slice of the same memory; `None`
    /// when there are no more complete records.
    pub(crate) fn open(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, SecureError> {
        loop {
            if self.ended {
                // What follows the peer's last record is not from the peer.
                buf.clear();
                return Ok(None);
            }
            let Some(record) = next_record(buf)? else {
                return Ok(None);
            };
            let (kind, content) = self.keys.open(record)?;
            if kind != HANDSHAKE && !self.message.is_empty() {
                return Err(SecureError::Misbehaved(
                    "a handshake message is interrupted",
                ));
            }
            if kind == APPLICATION_DATA && !content.is_empty() {
                self.fruitless = 0;
                return Ok(Some(content));
            }
            self.fruitless += 1;
            if self.fruitless > FRUITLESS_MAX {
                return Err(SecureError::Misbehaved("too many records without data"));
            }
            match kind {
                APPLICATION_DATA => {}
                HANDSHAKE => self.handshake(&content)?,
                ALERT => self.alert(&content)?,
                _ => return Err(SecureError::Misbehaved("a record of an unknown type")),
            }
        }
    }

    /// Whether the peer has said that nothing follows.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn handshake(&mut self, content: &[u8]) -> Result<(), SecureError> {
        if content.is_empty() {
            return Err(SecureError::Misbehaved("an empty handshake record"));
        }
        self.message.extend_from_slice(content);
        while let Some([kind, length @ ..]) = self.message.first_chunk::<4>() {
            let [high, middle, low] = *length;
            let len = 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
            if len > MESSAGE_MAX {
                return Err(SecureError::Misbehaved("a handshake message is too long"));
            }
            if self.message.len() < len {
                return Ok(());
            }
            match (*kind, &self.message[4..len]) {
                (NEW_SESSION_TICKET, _) if self.gets_tickets => {}
                // The keys change at the end of a record.
                (KEY_UPDATE_MESSAGE, [wanted @ (0 | 1)]) if self.message.len() == len => {
                    self.keys = self.keys.next();
                    if *wanted == 1 {
                        self.update_wanted.store(true, Ordering::Relaxed);
                    }
                }
                _ => return Err(SecureError::Misbehaved("a handshake message out of turn")),
            }
            self.message.drain(..len);
        }
        Ok(())
    }

    fn alert(&mut self, content: &[u8]) -> Result<(), SecureError> {
        match content {
            [_, CLOSE_NOTIFY] => {
                self.ended = true;
                Ok(())
            }
            [_, USER_CANCELED] => Ok(()),
            [_, alert] => Err(SecureError::Alert(*alert)),
            _ => Err(SecureError::Misbehaved("an alert is not two bytes long")),
        }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opener").field(&self.keys.records).finish()
    }
}

/// The keys of one direction, until the next update.
struct Keys {
    cipher: &'static aead::Algorithm,
    hash: hkdf::Algorithm,
    secret: Prk,
    key: LessSafeKey,
    iv: [u8; NONCE],
    /// How many records these keys have seen.
    records: u64,
}

impl Keys {
    fn new(cipher: &'static aead::Algorithm, hash: hkdf::Algorithm, secret: Prk) -> Self {
        let (mut key, mut iv) = ([0; KEY_MAX], [0; NONCE]);
        let key = &mut key[..cipher.key_len()];
        expand_label(&secret, b"tls13 key", key);
        expand_label(&secret, b"tls13 iv", &mut iv);
        let key = UnboundKey::new(cipher, key).expect("the key is as long as its cipher says");
        Self {
            cipher,
            hash,
            secret,
            key: LessSafeKey::new(key),
            iv,
            records: 0,
        }
    }

    /// RFC 8446, section 7.2.
    fn next(&self) -> Self {
        let mut secret = [0; SECRET_MAX];
        let secret = &mut secret[..self.hash.hmac_algorithm().digest_algorithm().output_len()];
        expand_label(&self.secret, b"tls13 traffic upd", secret);
        Self::new(
            self.cipher,
            self.hash,
            Prk::new_less_safe(self.hash, secret),
        )
    }

    /// `rest` is the content and room for its type and the tag.
    fn seal(&mut self, kind: u8, head: &mut [u8], rest: &mut [u8]) -> Result<(), SecureError> {
        // A record's content is at most PLAIN_MAX long, so this fits in 16 bits.
        let [high, low] = u16::try_from(rest.len())
            .map_err(|_| SecureError::Record)?
            .to_be_bytes();
        head.copy_from_slice(&[APPLICATION_DATA, 3, 3, high, low]);
        let nonce = self.next_nonce()?;
        let (plain, tag) = rest.split_at_mut(rest.len() - TAG);
        if let Some(last) = plain.last_mut() {
            *last = kind;
        }
        let sealed = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(head), plain);
        tag.copy_from_slice(sealed.map_err(|_| SecureError::Record)?.as_ref());
        Ok(())
    }

    /// The type of a record and its content, without padding.
    fn open(&mut self, mut record: BytesMut) -> Result<(u8, Bytes), SecureError> {
        let (head, sealed) = record.split_at_mut(HEAD);
        if head.first() != Some(&APPLICATION_DATA) {
            return Err(SecureError::Misbehaved("a record is not sealed"));
        }
        let nonce = self.next_nonce()?;
        let plain = self.key.open_in_place(nonce, Aad::from(head), sealed);
        let plain = plain.map_err(|_| SecureError::Record)?;
        if plain.len() > PLAIN_MAX + 1 {
            return Err(SecureError::Misbehaved("a record is too long"));
        }
        let end = plain.iter().rposition(|byte| *byte != 0);
        let end = end.ok_or(SecureError::Misbehaved("a record has no type"))?;
        let kind = plain[end];
        record.truncate(HEAD + end);
        Ok((kind, record.freeze().split_off(HEAD)))
    }

    /// RFC 8446, section 5.3.
    fn next_nonce(&mut self) -> Result<Nonce, SecureError> {
        let mut nonce = self.iv;
        for (byte, number) in nonce[NONCE - 8..]
            .iter_mut()
            .zip(self.records.to_be_bytes())
        {
            *byte ^= number;
        }
        self.records = self
            .records
            .checked_add(1)
            .ok_or(SecureError::NoncesExhausted)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// RFC 8446, section 7.1, with an empty context; the label comes with its prefix.
fn expand_label(secret: &Prk, label: &[u8], out: &mut [u8]) {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let lens = [0, out.len() as u8, label.len() as u8];
    let info = [&lens, label, &[0]];
    secret
        .expand(&info, Len(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("a key is shorter than the 255 hashes that HKDF can give");
}

const TAG: usize = 16;
const NONCE: usize = aead::NONCE_LEN;
const KEY_MAX: usize = 32;
const SECRET_MAX: usize = 48;
/// Our keys change after so many records; AES-GCM is safe for three times as many (RFC 8446, section 5.5).
const RECORDS_MAX: u64 = 1 << 23;
/// Records in a row that may bring no data, such as tickets and key updates.
const FRUITLESS_MAX: usize = 32;
/// Longest handshake message that is read, bytes: tickets can hold the certificate that we sent.
const MESSAGE_MAX: usize = 1 << 14;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE_MESSAGE: u8 = 24;
/// Ours, which does not ask for one in return.
const KEY_UPDATE: [u8; 5] = [KEY_UPDATE_MESSAGE, 0, 0, 1, 0];

const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

#[cfg(test)]
mod tests;
