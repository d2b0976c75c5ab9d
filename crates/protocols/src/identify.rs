//! Identify and identify push, identify/README.md: who the other side is, what it speaks, where it
//! listens, and where it sees us. [`Collector`] reads, [`Own`] writes, [`PushLimiter`] keeps pace.
//! Invariant: an [`Info`] is bounded, holds only valid values, and its texts are safe to show.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use carrick_wire::{
    DecodeError, ProtocolId, address, identify::Message, key, peer_record::PeerRecord, varint,
};
use libp2p_identity::{KeyType, Keypair, PeerId, PublicKey};
use multiaddr::{Multiaddr, Protocol};

/// `/ipfs/id/1.0.0`
pub const PROTOCOL: ProtocolId = ProtocolId::from_static("/ipfs/id/1.0.0");
/// `/ipfs/id/push/1.0.0`
pub const PUSH_PROTOCOL: ProtocolId = ProtocolId::from_static("/ipfs/id/push/1.0.0");
/// Longest part of a message that is read, in bytes.
pub const PART_MAX: usize = 8 * 1024;
/// Most parts of a message that are read.
pub const PARTS_MAX: usize = 10;
/// Protocols kept of a peer, and most of our own that are sent.
pub const PROTOCOLS_MAX: usize = 256;
/// Addresses kept of a peer, and most of our own that are sent.
pub const ADDRESSES_MAX: usize = 64;
/// Longest agent and protocol version that are kept and sent, in bytes.
pub const AGENT_MAX: usize = 256;
/// Streams on which one peer may ask at once.
pub const INBOUND_MAX: usize = 4;
/// Longest message that is sent, in bytes, with its length: some peers read no more.
pub const OWN_MAX: usize = 4096;

/// What a peer says of itself. Nothing but the key and the signed addresses is proven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Its public key; fits the peer id of the connection.
    pub key: Option<PublicKey>,
    /// Where it listens, without its id at the end; at most [`ADDRESSES_MAX`].
    pub listen_addresses: Vec<Multiaddr>,
    /// What it accepts; at most [`PROTOCOLS_MAX`].
    pub protocols: Vec<ProtocolId>,
    /// Our address as it sees it. Peers err and lie: believe several of them, not one.
    pub observed_address: Option<Multiaddr>,
    /// The network's name and version; at most [`AGENT_MAX`] bytes, control characters replaced.
    pub protocol_version: Option<String>,
    /// The program's name and version; bounded and safe to show as the protocol version is.
    pub agent: Option<String>,
    /// Its own signed record; addresses as in `listen_addresses`.
    pub signed_addresses: Option<PeerRecord>,
}

/// Why a message tells us nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// A part is too long or not a message, or the key is not one.
    #[error("identify: {0}")]
    Decode(#[from] DecodeError),
    /// More than [`PARTS_MAX`] parts.
    #[error("identify: more than {PARTS_MAX} parts")]
    TooManyParts,
    /// The stream ended inside a part, or before the first.
    #[error("identify: the stream ended early")]
    Truncated,
    /// The key belongs to another peer than the one that the connection's handshake authenticated.
    #[error("identify: the key is that of another peer, {0}")]
    WrongPeer(PeerId),
}

/// Reads one message, or one push: parts with their lengths, merged until the stream ends.
#[derive(Debug)]
pub struct Collector {
    peer: PeerId,
    buffer: Vec<u8>,
    parts: usize,
    message: Message,
}

impl Collector {
    /// For a stream of a connection to `peer`.
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            buffer: Vec::new(),
            parts: 0,
            message: Message::default(),
        }
    }

    /// Takes received bytes. Keeps at most one part that is not whole.
    ///
    /// # Errors
    /// What cannot be a message; the stream should be reset.
    pub fn recv(&mut self, bytes: &[u8]) -> Result<(), IdentifyError> {
        self.buffer.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((part, len)) = varint::decode_prefixed(
            &self.buffer[used..],
            "part of an identify message",
            PART_MAX,
        )? {
            self.parts += 1;
            if self.parts > PARTS_MAX {
                return Err(IdentifyError::TooManyParts);
            }
            self.message.merge(Message::decode(part)?);
            used += len;
        }
        self.buffer.drain(..used);
        Ok(())
    }

    /// Takes the end of the stream. What is not valid in lists is left out, the rest is kept.
    ///
    /// # Errors
    /// No message, half of one, or somebody else's key.
    pub fn finish(self) -> Result<Info, IdentifyError> {
        if self.parts == 0 || !self.buffer.is_empty() {
            return Err(IdentifyError::Truncated);
        }
        let (peer, message) = (self.peer, self.message);
        let key = message.public_key.as_deref().map(key::decode_public);
        let key = key.transpose()?;
        let found = key.as_ref().map(PublicKey::to_peer_id);
        if let Some(found) = found.filter(|found| *found != peer) {
            return Err(IdentifyError::WrongPeer(found));
        }
        let addresses = message.listen_addrs.iter();
        let addresses = addresses.filter_map(|bytes| address::decode(bytes).ok());
        let record = message.signed_peer_record.as_deref();
        let record = record.and_then(|bytes| PeerRecord::open(bytes).ok());
        Ok(Info {
            key,
            listen_addresses: cleaned(peer, addresses),
            protocols: protocols(&message.protocols),
            observed_address: message
                .observed_addr
                .and_then(|bytes| address::decode(&bytes).ok()),
            protocol_version: message.protocol_version.as_deref().map(safe_text),
            agent: message.agent_version.as_deref().map(safe_text),
            signed_addresses: record.filter(|record| record.peer == peer).map(|record| {
                let addresses = cleaned(peer, record.addresses.into_iter());
                PeerRecord {
                    addresses,
                    ..record
                }
            }),
        })
    }
}

/// The peer's own addresses once each, without its id at the end, without those of others.
fn cleaned(peer: PeerId, addresses: impl Iterator<Item = Multiaddr>) -> Vec<Multiaddr> {
    let mut seen = BTreeSet::new();
    addresses
        .filter_map(|mut address| {
            if let Some(Protocol::P2p(owner)) = address.iter().last() {
                if owner != peer {
                    return None;
                }
                address.pop();
            }
            (!address.is_empty()).then_some(address)
        })
        .filter(|address| seen.insert(address.clone()))
        .take(ADDRESSES_MAX)
        .collect()
}

fn protocols(names: &[String]) -> Vec<ProtocolId> {
    let mut seen = BTreeSet::new();
    names
        .iter()
        .filter_map(|name| ProtocolId::new(name).ok())
        .filter(|protocol| seen.insert(protocol.clone()))
        .take(PROTOCOLS_MAX)
        .collect()
}

/// The text with characters that would move or hide what is shown replaced, cut to [`AGENT_MAX`].
fn safe_text(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        let c = if misleads(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        };
        if safe.len() + c.len_utf8() > AGENT_MAX {
            break;
        }
        safe.push(c);
    }
    safe
}

/// Whether a character moves or hides what is shown around it: those of the Unicode categories Cc and Cf.
pub fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// What we say of ourselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// The network's name and version; cut to [`AGENT_MAX`] bytes.
    pub protocol_version: String,
    /// The program's name and version; cut to [`AGENT_MAX`] bytes.
    pub agent: String,
    /// Where we can be reached, the most useful first.
    pub listen_addresses: Vec<Multiaddr>,
    /// What we accept, the most useful first.
    pub protocols: Vec<ProtocolId>,
}

impl Own {
    /// Signs it once, to be told to many. What does not fit into [`OWN_MAX`] bytes is left out, from
    /// the ends of both lists. `seq` numbers the signed record: it must grow when the addresses change.
    pub fn seal(&self, keypair: &Keypair, seq: u64) -> Sealed {
        let key = keypair.public();
        let mut message = Message {
            public_key: Some(key.encode_protobuf()),
            protocol_version: Some(safe_text(&self.protocol_version)),
            agent_version: Some(safe_text(&self.agent)),
            ..Message::default()
        };
        let envelope = message.public_key.as_ref().map_or(0, Vec::len)
            + signature_len_max(keypair)
            + ENVELOPE_OVERHEAD
            + OBSERVED_MAX
            + FIELD_OVERHEAD;
        let budget = OWN_MAX.saturating_sub(LENGTH_LEN + message.encode().len() + envelope);
        let addresses = self.fill(budget, &mut message);
        let record = PeerRecord {
            peer: key.to_peer_id(),
            seq,
            addresses,
        };
        message.signed_peer_record = record.seal(keypair).ok();
        let len_max = message.encode().len() + OBSERVED_MAX + FIELD_OVERHEAD + LENGTH_LEN;
        if len_max > OWN_MAX {
            // Only the largest RSA keys come here, with nothing in the lists.
            message.signed_peer_record = None;
        }
        Sealed { message }
    }

    /// Puts addresses and protocols in turn as long as they fit; gives the addresses for the record.
    fn fill(&self, mut budget: usize, message: &mut Message) -> Vec<Multiaddr> {
        let mut take = |cost: usize| match budget.checked_sub(cost) {
            Some(rest) => {
                budget = rest;
                true
            }
            None => false,
        };
        let mut kept = Vec::new();
        let count = self.listen_addresses.len().max(self.protocols.len());
        for index in 0..count.min(ADDRESSES_MAX.max(PROTOCOLS_MAX)) {
            // Each address stands in the list and, within one more message, in the record.
            if let Some(address) = self.listen_addresses.get(index)
                && index < ADDRESSES_MAX
                && take(2 * address.len() + 3 * FIELD_OVERHEAD)
            {
                message.listen_addrs.push(address.to_vec());
                kept.push(address.clone());
            }
            if let Some(protocol) = self.protocols.get(index)
                && take(protocol.as_str().len() + FIELD_OVERHEAD)
            {
                message.protocols.push(protocol.as_str().to_owned());
            }
        }
        kept
    }
}

/// What we say of ourselves, signed and cut to size.
#[derive(Debug, Clone)]
pub struct Sealed {
    message: Message,
}

impl Sealed {
    /// The message with its length, at most [`OWN_MAX`] bytes. `observed` is the other side's address
    /// as we see it; one longer than 256 bytes is not told.
    pub fn encode(&self, observed: Option<&Multiaddr>) -> Vec<u8> {
        let mut message = self.message.clone();
        let observed = observed.filter(|address| address.len() <= OBSERVED_MAX);
        message.observed_addr = observed.map(Multiaddr::to_vec);
        let mut out = Vec::new();
        varint::encode_prefixed(&message.encode(), &mut out);
        out
    }
}

fn signature_len_max(keypair: &Keypair) -> usize {
    match keypair.key_type() {
        KeyType::Ed25519 => 64,
        KeyType::Secp256k1 | KeyType::Ecdsa => 72,
        KeyType::RSA => 1024,
    }
}

/// Longest observed address that is told, in bytes.
const OBSERVED_MAX: usize = 256;
/// A field's tag and the length of a value below 16 KiB.
const FIELD_OVERHEAD: usize = 3;
/// The length of a message below 16 KiB.
const LENGTH_LEN: usize = 2;
/// The envelope's and the record's fields besides key, signature and addresses: seven tags with
/// lengths, the payload type, the peer id and the sequence number.
const ENVELOPE_OVERHEAD: usize = 7 * FIELD_OVERHEAD + 2 + 64 + 10;

/// How often a push may come: [`PushLimiter::BURST`] at once, then one per [`PushLimiter::INTERVAL`].
#[derive(Debug, Clone)]
pub struct PushLimiter {
    // When all tokens will be back: one instant holds the whole bucket.
    full_at: Instant,
}

impl PushLimiter {
    /// Pushes at once.
    pub const BURST: u32 = 10;
    /// Time after which one more is allowed.
    pub const INTERVAL: Duration = Duration::from_secs(5);

    /// With a full burst.
    pub const fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Whether one more push is allowed now; counts it if so.
    pub fn allow(&mut self, now: Instant) -> bool {
        if self.full_at > now + Self::INTERVAL * (Self::BURST - 1) {
            return false;
        }
        self.full_at = self.full_at.max(now) + Self::INTERVAL;
        true
    }

    /// When the next push is allowed; may be in the past.
    pub fn next(&self) -> Instant {
        let burst = Self::INTERVAL * (Self::BURST - 1);
        self.full_at.checked_sub(burst).unwrap_or(self.full_at)
    }
}

#[cfg(test)]
mod tests;
