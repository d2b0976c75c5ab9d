//! The signed peer record in identify's field 8: RFC 0002 and RFC 0003 of libp2p/specs, as they are deployed.

use libp2p_identity::{Keypair, PublicKey};
use multiaddr::Multiaddr;

use super::{ask, field, push::signed};
use crate::{
    case::{Bench, Case, Document, Need, Step, Stop, case, ensure, fail},
    speak::pb::{self, Field, Value},
};

const ENVELOPE: Document = Document("libp2p/specs RFC/0002-signed-envelopes.md");
const RECORD: Document = Document("libp2p/specs RFC/0003-routing-records.md");

/// Domain and payload type as go-libp2p and js-libp2p have them, and as RFC 0003 says.
const KINDS: [(&str, &[u8]); 2] = [
    ("libp2p-peer-record", &[3, 1]),
    ("libp2p-routing-state", b"/libp2p/routing-state-record"),
];
const ASK: &str = "/ipfs/id/1.0.0";

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "identify/record/signature",
        "the envelope's signature is valid",
        ENVELOPE.must(
            "Signature Production / Verification",
            "the signature covers domain, payload type and payload, each with its length",
        ),
        Need::Streams,
        [
            ASK,
            "a signature that is valid for the domain of peer records",
        ],
        |b| Box::pin(looked(b, |record, _| Ok(record.domain.to_owned()))),
    ),
    case(
        "identify/record/payload-type",
        "the payload type is that of peer records",
        RECORD.practice(
            "Signed Envelope Payload Type",
            "go-libp2p and js-libp2p write 03 01",
        ),
        Need::Streams,
        [ASK, "the type 03 01"],
        |b| {
            Box::pin(looked(b, |record, _| {
                ensure(record.kind == KINDS[0].1, || {
                    format!("{:02x?}", record.kind)
                })?;
                Ok("03 01".to_owned())
            }))
        },
    ),
    case(
        "identify/record/signer",
        "the record is signed by the peer itself",
        RECORD.must(
            "Certification / Verification",
            "the record's peer id and the envelope's key are of one peer",
        ),
        Need::Streams,
        [
            ASK,
            "the peer's own id in the record, and its own key in the envelope",
        ],
        |b| {
            Box::pin(looked(b, |record, bench| {
                let named = bench.place.peer;
                let own = record.signer.to_peer_id() == named && record.peer == named.to_bytes();
                ensure(own, || format!("signed by {}", record.signer.to_peer_id()))?;
                Ok(named.to_string())
            }))
        },
    ),
    case(
        "identify/record/sequence",
        "the record has a sequence number",
        RECORD.must("Address Record Format", "seq rises with each new record"),
        Need::Streams,
        [ASK, "a seq that is not 0, and does not fall"],
        |b| Box::pin(sequence(b)),
    ),
    case(
        "identify/record/addresses",
        "the record's addresses are multiaddresses",
        RECORD.must(
            "Address Record Format",
            "each AddressInfo has a multiaddress, in binary",
        ),
        Need::Streams,
        [ASK, "addresses that can be decoded"],
        |b| {
            Box::pin(looked(b, |record, _| {
                Ok(format!("{} addresses", record.addresses))
            }))
        },
    ),
];

struct Signed {
    signer: PublicKey,
    kind: Vec<u8>,
    domain: &'static str,
    peer: Vec<u8>,
    sequence: u64,
    addresses: usize,
}

fn one(fields: &[Field], number: u64) -> Step<&[u8]> {
    let all = pb::all(fields, number);
    all.last()
        .copied()
        .map_or_else(|| fail(format!("there is no field {number}")), Ok)
}

fn open(envelope: &[u8]) -> Step<Signed> {
    let fields = pb::fields(envelope)?;
    let Ok(signer) = PublicKey::try_decode_protobuf(one(&fields, 1)?) else {
        return fail("the envelope's key cannot be decoded");
    };
    let (kind, payload, signature) = (one(&fields, 2)?, one(&fields, 3)?, one(&fields, 5)?);
    let valid =
        |(domain, _): &&(&str, &[u8])| signer.verify(&to_sign(domain, kind, payload), signature);
    let Some((domain, _)) = KINDS.iter().find(valid) else {
        return fail("the signature is not valid for any domain of peer records");
    };
    let record = pb::fields(payload)?;
    let mut addresses = 0;
    for info in pb::all(&record, 3) {
        let info = pb::fields(info)?;
        if let Err(error) = Multiaddr::try_from(one(&info, 1)?.to_vec()) {
            return fail(error.to_string());
        }
        addresses += 1;
    }
    let number = |field: &Field| match field.value {
        Value::Number(number) if field.number == 2 => Some(number),
        _ => None,
    };
    Ok(Signed {
        kind: kind.to_vec(),
        domain,
        peer: one(&record, 1)?.to_vec(),
        sequence: record.iter().find_map(number).unwrap_or(0),
        addresses,
        signer,
    })
}

fn to_sign(domain: &str, kind: &[u8], payload: &[u8]) -> Vec<u8> {
    let parts = [domain.as_bytes(), kind, payload];
    parts.map(pb::delimited).concat()
}

/// A record of this peer's, as deployed.
pub(super) fn sealed(keys: &Keypair) -> Vec<u8> {
    let peer = keys.public().to_peer_id().to_bytes();
    let record = [pb::bytes(1, &peer), pb::number(2, 1)].concat();
    let (domain, kind) = KINDS[0];
    let signature = signed(keys, &to_sign(domain, kind, &record));
    [
        pb::bytes(1, &keys.public().encode_protobuf()),
        pb::bytes(2, kind),
        pb::bytes(3, &record),
        pb::bytes(5, &signature),
    ]
    .concat()
}

async fn record(bench: &Bench) -> Step<Signed> {
    let said = ask(&mut bench.connection().await?).await?;
    match pb::all(&said.fields, field::RECORD).last() {
        Some(envelope) => open(envelope),
        None => Err(Stop::Skip("identify has no signed record".to_owned())),
    }
}

async fn looked(bench: Bench, look: fn(&Signed, &Bench) -> Step<String>) -> Step<String> {
    look(&record(&bench).await?, &bench)
}

async fn sequence(bench: Bench) -> Step<String> {
    let (first, second) = (record(&bench).await?, record(&bench).await?);
    ensure(
        first.sequence > 0 && second.sequence >= first.sequence,
        || format!("{} and then {}", first.sequence, second.sequence),
    )?;
    Ok(format!("{} and then {}", first.sequence, second.sequence))
}
