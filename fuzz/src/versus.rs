//! Our decoders beside rust-libp2p's: both take an input, or neither does, and both find the same in it. What differs on
//! purpose is in `DIFFERENCES.md`, by the numbers used here; any other difference is a failure.

use carrick_wire::{DecodeError, Keypair, address, envelope, key, peer_id, peer_record, varint};
use libp2p_core::{PeerRecord, SignedEnvelope};
use libp2p_identity::{PeerId, PublicKey};
use multiaddr::Multiaddr;

use crate::{source::Source, target::Target};

/// Every target of this file.
pub const TARGETS: [Target; 7] = [
    ("versus_varint", varint),
    ("versus_address", address),
    ("versus_peer_id", peer_id),
    ("versus_key", key),
    ("versus_signature", signature),
    ("versus_envelope", envelope),
    ("versus_peer_record", peer_record),
];

/// Compares two verdicts. `differs`: whether one of the known differences explains that only one of the two was kind.
pub(crate) fn agree<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug, F: std::fmt::Debug>(
    ours: &Result<T, E>,
    theirs: &Result<T, F>,
    differs: impl FnOnce() -> bool,
) {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if ours == theirs => {}
        (Err(_), Err(_)) => {}
        _ => assert!(differs(), "ours: {ours:?}, theirs: {theirs:?}"),
    }
}

/// unsigned-varint: a number and the bytes it takes.
pub fn varint(data: &[u8]) {
    let ours = varint::decode(data)
        .map_err(drop)
        .and_then(|found| found.ok_or(()));
    let theirs =
        unsigned_varint::decode::u64(data).map(|(value, rest)| (value, data.len() - rest.len()));
    // D1: theirs goes on to 64 bits, which take ten bytes.
    let nine = data
        .iter()
        .take(varint::LEN_MAX)
        .filter(|byte| **byte >= 0x80)
        .count();
    agree(&ours, &theirs, || {
        nine == varint::LEN_MAX && theirs.as_ref().is_ok_and(|found| found.1 == 10)
    });
    if let Ok((value, used)) = ours {
        let mut buffer = unsigned_varint::encode::u64_buffer();
        assert_eq!(
            unsigned_varint::encode::u64(value, &mut buffer),
            &data[..used]
        );
    }
}

/// multiaddr: binary, then text.
pub fn address(data: &[u8]) {
    let theirs = Multiaddr::try_from(data.to_vec());
    let ours = address::decode(data);
    agree(&ours, &theirs, || {
        ours.is_err() && theirs.as_ref().is_ok_and(|it| is_loose(it, data.len()))
    });
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (ours, theirs) = (address::parse(text), text.parse::<Multiaddr>());
    agree(&ours, &theirs, || match (&ours, &theirs) {
        (Err(_), Ok(theirs)) => is_loose(theirs, text.len()),
        // D4: peer ids as CIDs, the old name of `p2p`. D5: slashes in Unix paths.
        _ => ["/p2p/", "/ipfs/", "/unix/"]
            .iter()
            .any(|word| text.contains(word)),
    });
}

/// D2: bounded, and D3: one form, which text keeps, with peer ids that can be ones.
fn is_loose(theirs: &Multiaddr, len: usize) -> bool {
    let text = theirs.to_string();
    let again = text.parse::<Multiaddr>();
    let peers = theirs.iter().filter_map(|part| match part {
        multiaddr::Protocol::P2p(peer) => Some(peer.to_bytes()),
        _ => None,
    });
    len.max(text.len()).max(theirs.len()) > address::LEN_MAX
        || theirs.iter().count() > address::COMPONENTS_MAX
        || again.is_err()
        || again.is_ok_and(|again| again != *theirs)
        || theirs.iter().collect::<Multiaddr>() != *theirs
        || text.is_empty()
        || text.ends_with('/')
        || text.contains("//")
        || text.contains(char::is_control)
        || peers
            .into_iter()
            .any(|peer| peer_id::decode(&peer).is_err())
}

/// libp2p-identity: peer ids, binary, then text.
pub fn peer_id(data: &[u8]) {
    let (ours, theirs) = (peer_id::decode(data), PeerId::from_bytes(data));
    // D6: a SHA-256 has 32 bytes.
    let is_loose = |peer: &PeerId| {
        let hash = peer.as_ref();
        hash.code() != 0 && hash.digest().len() != 32
    };
    agree(&ours, &theirs, || {
        ours.is_err() && theirs.as_ref().is_ok_and(is_loose)
    });
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (ours, theirs) = (peer_id::parse(text), text.parse::<PeerId>());
    agree(&ours, &theirs, || match (&ours, &theirs) {
        // D8: base58 begins with 1 or Qm; what does not is a CID of some base.
        (Err(_), Ok(peer)) => {
            text.len() > peer_id::TEXT_MAX
                || !(text.starts_with('1') || text.starts_with("Qm"))
                || is_loose(peer)
                || peer.to_base58() != text
        }
        _ => !(text.starts_with('1') || text.starts_with("Qm")),
    });
}

/// libp2p-identity: public keys.
pub fn key(data: &[u8]) {
    let (ours, theirs) = (
        key::decode_public(data),
        PublicKey::try_decode_protobuf(data),
    );
    agree(&ours, &theirs, || {
        let Ok(theirs) = &theirs else { return false };
        let why = ours
            .as_ref()
            .err()
            .map(DecodeError::to_string)
            .unwrap_or_default();
        // D9: one encoding. D10: points of small order, D11: RSA of a size that can be checked and is safe.
        theirs.encode_protobuf() != data
            || data.len() > key::PUBLIC_LEN_MAX
            || why.contains("small order")
            || why.contains("canonical")
            || why.contains("RSA")
    });
}

/// Signatures of Ed25519, which two libraries verify: honest ones with bytes changed.
pub fn signature(data: &[u8]) {
    let mut source = Source::new(data);
    let pair = keypair(source.u8() % 4);
    let message = source.bytes(8).to_vec();
    let mut signature = pair.sign(&message).expect("Ed25519 always signs");
    for _ in 0..source.u8() % 4 {
        let at = source.index(signature.len());
        signature[at] = source.u8();
    }
    // A byte less is no signature.
    signature.truncate(64 - usize::from(source.u8() == 1));
    let ours = key::verify(&pair.public(), &message, &signature);
    assert_eq!(ours, pair.public().verify(&message, &signature));
    let mut encoded = pair.public().encode_protobuf();
    let at = source.index(encoded.len());
    encoded[at] ^= source.u8();
    if let Ok(other) = key::decode_public(&encoded) {
        assert_eq!(
            key::verify(&other, &message, &signature),
            other.verify(&message, &signature)
        );
    }
}

/// libp2p-core: envelopes, raw, and those of either with bytes changed.
pub fn envelope(data: &[u8]) {
    let mut source = Source::new(data);
    let (form, edits) = (source.u8() % 3, source.u8() % 3);
    let pair = keypair(source.u8() % 4);
    let places: Vec<_> = (0..edits).map(|_| (source.u16(), source.u8())).collect();
    let payload = source.bytes(usize::MAX);
    let mut bytes = match form {
        0 => payload.to_vec(),
        1 => match envelope::seal(&pair, DOMAIN, b"type", payload) {
            Ok(bytes) => bytes,
            Err(_) => return,
        },
        _ => SignedEnvelope::new(&pair, DOMAIN.to_owned(), b"type".to_vec(), payload.to_vec())
            .expect("Ed25519 always signs")
            .into_protobuf_encoding(),
    };
    for (place, value) in places {
        let at = usize::from(place) % bytes.len().max(1);
        bytes.get_mut(at).into_iter().for_each(|byte| *byte = value);
    }
    let ours = envelope::open(&bytes, DOMAIN)
        .map(|opened| (opened.key, opened.payload_type, opened.payload));
    let theirs = SignedEnvelope::from_protobuf_encoding(&bytes)
        .map_err(drop)
        .and_then(|it| {
            let kind = ours
                .as_ref()
                .map_or(b"type".to_vec(), |ours| ours.1.clone());
            let (payload, key) = it
                .payload_and_signing_key(DOMAIN.to_owned(), &kind)
                .map_err(drop)?;
            Ok((key.clone(), kind, payload.to_vec()))
        });
    agree(&ours, &theirs, || {
        // D12: bounded, and its key as strict as D9 to D11.
        let why = ours
            .as_ref()
            .err()
            .map(DecodeError::to_string)
            .unwrap_or_default();
        bytes.len() > envelope::LEN_MAX || theirs.is_ok() && why.contains("key")
    });
}

/// libp2p-core: peer records, as payload of good envelopes.
pub fn peer_record(data: &[u8]) {
    let mut source = Source::new(data);
    let pair = keypair(source.u8() % 4);
    // Half of the inputs are made to begin with the right peer.
    let mut payload = Vec::new();
    if source.bool() {
        let peer = pair.public().to_peer_id().to_bytes();
        payload.extend_from_slice(&[10, peer.len() as u8]);
        payload.extend_from_slice(&peer);
    }
    payload.extend_from_slice(source.bytes(usize::MAX));
    let Ok(bytes) = envelope::seal(
        &pair,
        peer_record::DOMAIN,
        peer_record::PAYLOAD_TYPE,
        &payload,
    ) else {
        return;
    };
    let ours = peer_record::PeerRecord::open(&bytes);
    let opened = SignedEnvelope::from_protobuf_encoding(&bytes).expect("we have just made it");
    let theirs = PeerRecord::from_signed_envelope_interop(opened);
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!((ours.peer, ours.seq), (theirs.peer_id(), theirs.seq()));
            // D13: addresses that are none of ours are left out.
            let strict = theirs
                .addresses()
                .iter()
                .filter(|it| address::decode(&it.to_vec()).is_ok());
            assert!(ours.addresses.iter().eq(strict));
        }
        (Err(_), Err(_)) => {}
        // D13: theirs refuses the whole record.
        (Ok(_), Err(why)) => assert!(why.to_string().contains("MultiAddress"), "{why}"),
        (Err(why), Ok(_)) => {
            let why = why.to_string();
            // D6: no peer has such an id. D14: groups, and more addresses than anybody has.
            let known = [
                "peer id",
                "wire type",
                "addresses",
                "out of range",
                "varint",
            ];
            assert!(known.iter().any(|known| why.contains(known)), "{why}");
        }
    }
}

fn keypair(number: u8) -> Keypair {
    Keypair::ed25519_from_bytes([number; 32]).expect("any 32 bytes are a secret key")
}

const DOMAIN: &str = "fuzz";
