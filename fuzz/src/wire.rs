//! Promises of the decoders: no bytes panic, none are read twice or past their end, and where a
//! value has one form only, what decodes encodes to the same bytes. The tests of `wire` run these
//! functions over the corpus as well.

use carrick_wire::{
    Keypair, address, certificate::Certificate, envelope, identify, key, messages, mplex,
    multistream, noise, p2pd, packets, peer_id, peer_record::PeerRecord, pnet,
    stored_peer::StoredPeer, transfer, varint, yamux,
};

use crate::target::Target;

/// Every target of this file.
pub const TARGETS: [Target; 18] = [
    ("varint", varint),
    ("multistream", multistream),
    ("noise", noise),
    ("yamux", yamux),
    ("mplex", mplex),
    ("key", key),
    ("certificate", certificate),
    ("peer_id", peer_id),
    ("address", address),
    ("envelope", envelope),
    ("peer_record", peer_record),
    ("stored_peer", stored_peer),
    ("identify", identify),
    ("pnet", pnet),
    ("packets", packets),
    ("p2pd", p2pd),
    ("messages", messages),
    ("transfer", transfer),
];

/// Plain varints and length prefixes.
pub fn varint(data: &[u8]) {
    if let Ok(Some((value, used))) = varint::decode(data) {
        let mut out = Vec::new();
        varint::encode(value, &mut out);
        assert_eq!(out, data[..used]);
    }
    if let Ok(Some((body, used))) = varint::decode_prefixed(data, "body", 100) {
        assert!(body.len() <= 100 && data[..used].ends_with(body));
    }
}

/// A run of messages, as they follow each other on a stream.
pub fn multistream(mut data: &[u8]) {
    while let Ok(Some((message, used))) = multistream::Message::decode(data) {
        let mut out = Vec::new();
        message.encode(&mut out);
        assert_eq!(out, data[..used]);
        data = &data[used..];
    }
}

/// The handshake's payload.
pub fn noise(data: &[u8]) {
    if let Ok(payload) = noise::HandshakePayload::decode(data) {
        assert!(payload.stream_muxers.len() <= noise::MUXERS_MAX);
        assert!(payload.webtransport_certhashes.len() <= noise::CERTHASHES_MAX);
        assert_eq!(
            noise::HandshakePayload::decode(&payload.encode()),
            Ok(payload)
        );
    }
}

/// Headers one after the other.
pub fn yamux(data: &[u8]) {
    for bytes in data.as_chunks().0 {
        if let Ok(header) = yamux::Header::decode(bytes) {
            assert_eq!(header.encode(), *bytes);
        }
    }
}

/// Headers one after the other.
pub fn mplex(mut data: &[u8]) {
    while let Ok(Some((header, used))) = mplex::Header::decode(data) {
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out, data[..used]);
        data = &data[used..];
    }
}

/// Public and private keys, and the signature of a decoded key.
pub fn key(data: &[u8]) {
    if let Ok(key) = key::decode_public(data) {
        assert_eq!(key.encode_protobuf(), data);
        assert!(!key::verify(&key, b"message", data));
        assert_eq!(
            peer_id::decode(&key.to_peer_id().to_bytes()),
            Ok(key.to_peer_id())
        );
    }
    if let Ok(pair) = key::decode_private(data) {
        assert!(key::decode_public(&pair.public().encode_protobuf()).is_ok());
    }
}

/// A certificate of libp2p's TLS; the seeds are the spec's.
pub fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::decode(data) {
        assert!(certificate.signed.len() + certificate.signature.len() < data.len());
        assert!(certificate.key_info.len() < certificate.signed.len());
        let _ = certificate.host_key();
        assert!(Certificate::decode(&[data, &[0]].concat()).is_err());
    }
}

/// Binary and text.
pub fn peer_id(data: &[u8]) {
    if let Ok(peer) = peer_id::decode(data) {
        assert_eq!(peer.to_bytes(), data);
        assert!(peer_id::public_key(&peer).is_none_or(|key| key.to_peer_id() == peer));
    }
    if let Some(Ok(peer)) = std::str::from_utf8(data).ok().map(peer_id::parse) {
        assert_eq!(peer_id::parse(&peer.to_string()), Ok(peer));
    }
}

/// Binary and text; both forms name the same address.
pub fn address(data: &[u8]) {
    if let Ok(address) = address::decode(data) {
        assert_eq!(address.to_vec(), data);
        assert_eq!(address::parse(&address.to_string()), Ok(address));
    }
    if let Some(Ok(address)) = std::str::from_utf8(data).ok().map(address::parse) {
        assert_eq!(address::decode(&address.to_vec()), Ok(address));
    }
}

/// Envelopes, as bytes and as a payload in a good envelope.
pub fn envelope(data: &[u8]) {
    let _ = envelope::open(data, "fuzz");
    if let Ok(bytes) = envelope::seal(&keypair(), "fuzz", b"type", data) {
        assert_eq!(
            envelope::open(&bytes, "fuzz")
                .map(|opened| opened.payload)
                .as_deref(),
            Ok(data)
        );
    }
}

/// Records, as bytes and as a payload in a good envelope.
pub fn peer_record(data: &[u8]) {
    let _ = PeerRecord::open(data);
    let keypair = keypair();
    if let Ok(bytes) = envelope::seal(&keypair, "libp2p-peer-record", &[3, 1], data)
        && let Ok(record) = PeerRecord::open(&bytes)
    {
        assert_eq!(record.peer, keypair.public().to_peer_id());
        let again = record
            .seal(&keypair)
            .expect("it shrinks: bad addresses were left out");
        assert_eq!(PeerRecord::open(&again), Ok(record));
    }
}

/// What is kept of a peer between two runs.
pub fn stored_peer(data: &[u8]) {
    if let Ok(peer) = StoredPeer::decode(data) {
        assert_eq!(StoredPeer::decode(&peer.encode()), Ok(peer));
    }
}

/// Messages, alone and merged from two parts.
pub fn identify(data: &[u8]) {
    if let Ok(message) = identify::Message::decode(data) {
        let mut merged = message.clone();
        merged.merge(identify::Message::default());
        assert_eq!(merged, message);
        let bytes = message.encode();
        if bytes.len() <= identify::LEN_MAX {
            assert_eq!(identify::Message::decode(&bytes), Ok(message));
        }
    }
}

fn keypair() -> Keypair {
    Keypair::ed25519_from_bytes([7; 32]).expect("any 32 bytes are a secret key")
}

/// The file of a private network's key.
pub fn pnet(data: &[u8]) {
    if let Ok(key) = pnet::Psk::decode(data) {
        assert_eq!(pnet::Psk::decode(key.encode().as_bytes()), Ok(key));
    }
}

/// A datagram, an opening of a flow, and packets on a stream.
pub fn packets(data: &[u8]) {
    if let Ok((id, used)) = packets::decode(data) {
        let again = packets::encode(id, &data[used..]);
        assert!(again.len() <= data.len() && data.ends_with(&again[packets::id_len(id)..]));
    }
    if let Ok(Some((protocol, used))) = packets::decode_opening(data) {
        let mut out = Vec::new();
        packets::encode_opening(&protocol, &mut out);
        assert_eq!(out, data[..used]);
    }
    if let Ok(Some((packet, used))) = packets::decode_on_stream(data) {
        assert!(data[..used].ends_with(packet));
    }
}

/// Frames one after the other, whole and byte by byte, and a refusal.
pub fn messages(data: &[u8]) {
    let tag = messages::tag("/fuzz/1", b"");
    let decode = |chunk: usize| {
        let (mut decoder, mut out) = (messages::Decoder::new(tag, 1000), Vec::new());
        for chunk in data.chunks(chunk) {
            decoder.push(bytes::Bytes::copy_from_slice(chunk));
            while let Some(frame) = decoder.frame()? {
                out.push(frame);
            }
        }
        Ok::<_, carrick_wire::DecodeError>(out)
    };
    let whole = decode(data.len().max(1));
    assert_eq!(whole, decode(1));
    let mut again = Vec::new();
    for frame in whole.iter().flatten() {
        assert!(frame.payload.len() <= 1000);
        frame.header.encode(frame.payload.len(), &mut again);
        again.extend_from_slice(&frame.payload);
    }
    assert!(data.starts_with(&again));
    if let Ok(refusal) = messages::Refusal::decode(data) {
        assert_eq!(messages::Refusal::decode(&refusal.encode()), Ok(refusal));
    }
}

/// What programs and their daemon tell each other, and where they are.
pub fn p2pd(data: &[u8]) {
    let body = |framed: &[u8]| match p2pd::decode_frame(framed) {
        Ok(Some((body, used))) if used == framed.len() => body.to_vec(),
        other => panic!("what was encoded has its length before it: {other:?}"),
    };
    if let Ok(request) = p2pd::Request::decode(data) {
        assert_eq!(p2pd::Request::decode(&body(&request.encode())), Ok(request));
    }
    if let Ok(response) = p2pd::Response::decode(data) {
        let again = p2pd::Response::decode(&body(&response.encode()));
        assert_eq!(again, Ok(response));
    }
    if let Ok(info) = p2pd::StreamInfo::decode(data) {
        assert_eq!(p2pd::StreamInfo::decode(&body(&info.encode())), Ok(info));
    }
    if let Ok((call, request)) = p2pd::UnaryRequest::decode(data) {
        let again = p2pd::UnaryRequest::decode(&body(&request.encode(call)));
        assert_eq!(again, Ok((call, request)));
    }
    if let Ok((call, response)) = p2pd::UnaryResponse::decode(data) {
        let again = p2pd::UnaryResponse::decode(&body(&response.encode(call)));
        assert_eq!(again, Ok((call, response)));
    }
    if let Ok(endpoint) = p2pd::Endpoint::decode(data) {
        assert_eq!(p2pd::Endpoint::decode(&endpoint.encode()), Ok(endpoint));
    }
}

/// Frames one after the other, groups skipped; paths, and tickets.
pub fn transfer(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((frame, used))) = transfer::Frame::decode(rest) {
        let mut out = Vec::new();
        frame.encode(&mut out);
        assert_eq!(out, rest[..used]);
        let body = match frame {
            transfer::Frame::Group { len } => len,
            _ => 0,
        };
        rest = rest.get(used + body..).unwrap_or_default();
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(path) = transfer::EntryPath::parse(text) {
        assert!(path.names().all(|name| !matches!(name, "" | "." | "..")));
        assert!(path.names().count() <= transfer::EntryPath::DEPTH_MAX);
    }
    if let Ok(ticket) = text.parse::<transfer::Ticket>() {
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }
}
