//! `libp2p/specs noise/README.md`: the handshake, what stands in it, and the records behind it.

mod identity;
mod muxers;
mod payload;
mod records;

use crate::{
    bench::{NOISE, YAMUX},
    case::{Bench, Case, Document, Need, Rule, Step, case, ensure, fail},
    speak::{
        channel::{Channel, Talk},
        multistream,
        noise::{Handshake, frame},
    },
};

pub(super) use identity::CASES as IDENTITY;
pub(super) use muxers::CASES as MUXERS;
pub(super) use payload::CASES as PAYLOAD;
pub(super) use records::CASES as RECORDS;

const SPEC: Document = Document("libp2p/specs noise/README.md");
const KEYS: Document = Document("libp2p/specs peer-ids/peer-ids.md");

const XX: Rule = SPEC.must("XX", "the XX handshake is supported by all");
const AUTHENTICATED: Rule = SPEC.must(
    "The libp2p Handshake Payload",
    "the payload's signature by the identity key covers the static key of Noise",
);
const WIRE: Rule = SPEC.must(
    "Wire Format",
    "a message is its length in two bytes, big endian, and the Noise message",
);
const ABORT: &str = "closed, without another word";

pub(super) const CASES: &[Case] = &[
    case(
        "noise/handshake/completes",
        "the handshake leads to an encrypted channel",
        XX,
        Need::Noise,
        [
            "an XX handshake, then a muxer's negotiation",
            "the muxer agreed",
        ],
        |b| Box::pin(completes(b)),
    ),
    case(
        "noise/handshake/byte-by-byte",
        "handshake messages may come in any pieces",
        WIRE,
        Need::Noise,
        ["message 1, a byte a packet", "message 2"],
        |b| Box::pin(bytewise(b)),
    ),
    case(
        "noise/handshake/data-with-message-3",
        "records may follow message 3 at once",
        WIRE,
        Need::Noise,
        [
            "message 3 and the muxer's negotiation in one packet",
            "the muxer agreed",
        ],
        |b| Box::pin(coalesced(b)),
    ),
    case(
        "noise/peer/signature",
        "the peer's signature covers its static key",
        AUTHENTICATED,
        Need::Noise,
        [
            "message 1",
            "a payload in message 2 whose signature is valid",
        ],
        |b| {
            Box::pin(peer(b, |handshake, _| {
                handshake.verify().map(|id| id.to_string())
            }))
        },
    ),
    case(
        "noise/peer/identity",
        "the peer is whom the address names",
        KEYS.must("Peer Ids", "a peer id is the multihash of the public key"),
        Need::Noise,
        ["message 1", "the identity key of the address's peer id"],
        |b| {
            Box::pin(peer(b, |handshake, bench| {
                let (is, named) = (handshake.verify()?, bench.place.peer);
                ensure(is == named, || format!("{is} where {named} was dialed"))?;
                Ok(is.to_string())
            }))
        },
    ),
    case(
        "noise/peer/key-encoding",
        "the identity key is encoded in the one way there is",
        KEYS.must(
            "Keys",
            "minimal varints, fields in tag order, all there, no others",
        ),
        Need::Noise,
        ["message 1", "a key whose encoding is the deterministic one"],
        |b| {
            Box::pin(peer(b, |handshake, _| {
                let said = handshake.said()?;
                let key = libp2p_identity::PublicKey::try_decode_protobuf(&said.key);
                let Ok(key) = key else {
                    return fail("the key cannot be decoded");
                };
                ensure(key.encode_protobuf() == said.key, || {
                    format!("the key is encoded otherwise: {:02x?}", said.key)
                })?;
                Ok(format!("{} bytes", said.key.len()))
            }))
        },
    ),
    case(
        "noise/peer/fresh-ephemeral",
        "each handshake has an ephemeral key of its own",
        Document("Noise Protocol Framework, revision 34").must(
            "14. Security considerations",
            "an ephemeral key is never used twice",
        ),
        Need::Noise,
        ["two handshakes", "two ephemeral keys"],
        |b| Box::pin(fresh(b)),
    ),
    case(
        "noise/handshake/message-1-payload",
        "what stands in message 1 is no extension",
        SPEC.practice(
            "The libp2p Handshake Payload",
            "the initiator sends no extensions in message 1, so nobody acts on them",
        ),
        Need::Noise,
        [
            "extensions with an unknown muxer in message 1",
            "a handshake that goes on, or an end",
        ],
        |b| Box::pin(early(b)),
    ),
    case(
        "noise/handshake/message-1-empty",
        "an empty message 1 ends the connection",
        WIRE,
        Need::Noise,
        ["a length of 0 where message 1 should be", ABORT],
        |b| Box::pin(first(b, frame(&[]))),
    ),
    case(
        "noise/handshake/message-1-short",
        "a message 1 that is too short for a key ends the connection",
        XX,
        Need::Noise,
        ["31 bytes as message 1", ABORT],
        |b| Box::pin(first(b, frame(&[9; 31]))),
    ),
    case(
        "noise/handshake/message-1-zero-key",
        "an ephemeral key of zeros ends the connection",
        Document("Noise Protocol Framework, revision 34").practice(
            "12.1. The 25519 DH functions",
            "an implementation may detect inputs that give an all-zero output",
        ),
        Need::Noise,
        ["32 zero bytes as message 1", ABORT],
        |b| Box::pin(first(b, frame(&[0; 32]))),
    ),
    case(
        "noise/handshake/message-3-short",
        "a message 3 that lacks a byte ends the connection",
        XX,
        Need::Noise,
        ["message 3 without its last byte, counted so", ABORT],
        |b| Box::pin(third(b, |third| third.truncate(third.len() - 1))),
    ),
    case(
        "noise/handshake/message-3-key-altered",
        "an altered static key ends the connection",
        XX,
        Need::Noise,
        [
            "message 3 with a flipped bit in the encrypted static key",
            ABORT,
        ],
        |b| Box::pin(third(b, |third| third[3] ^= 1)),
    ),
    case(
        "noise/handshake/message-3-payload-altered",
        "an altered payload ends the connection",
        XX,
        Need::Noise,
        ["message 3 with its last bit flipped", ABORT],
        |b| {
            Box::pin(third(b, |third| {
                if let Some(last) = third.last_mut() {
                    *last ^= 1;
                }
            }))
        },
    ),
    case(
        "noise/handshake/message-3-random",
        "noise instead of message 3 ends the connection",
        XX,
        Need::Noise,
        ["random bytes as message 3", ABORT],
        |b| {
            Box::pin(third(b, |third| {
                third.iter_mut().for_each(|byte| *byte = rand::random())
            }))
        },
    ),
    case(
        "noise/handshake/message-3-empty",
        "an empty message 3 ends the connection",
        WIRE,
        Need::Noise,
        ["a length of 0 where message 3 should be", ABORT],
        |b| Box::pin(third(b, Vec::clear)),
    ),
    case(
        "noise/handshake/message-1-again",
        "message 1 is not taken for message 3",
        XX,
        Need::Noise,
        ["message 1 twice", ABORT],
        |b| Box::pin(third(b, |third| *third = vec![9; 32])),
    ),
];

async fn completes(bench: Bench) -> Step<String> {
    bench.muxed(muxer(&bench)).await?;
    Ok("encrypted".to_owned())
}

/// A muxer that the address offers.
fn muxer(bench: &Bench) -> &'static str {
    if bench.place.offers.yamux {
        YAMUX
    } else {
        crate::bench::MPLEX
    }
}

/// Goes on honestly behind a handshake; a peer that has accepted it agrees.
async fn goes_on(bench: &Bench, channel: &mut Channel) -> Step<()> {
    bench.stage("negotiating the muxer");
    multistream::agree(channel, muxer(bench)).await
}

/// Goes on behind a handshake that should have failed; a peer that agrees has let us in.
async fn turned_away(bench: &Bench, mut channel: Channel) -> Step<String> {
    bench.stage("waiting for the connection to be closed");
    // The peer may have closed already.
    let _ = channel.send(&multistream::propose(&[muxer(bench)])).await;
    channel.rejected().await
}

async fn bytewise(bench: Bench) -> Step<String> {
    let mut handshake = Handshake::new(bench.agreed(NOISE).await?);
    for byte in frame(&handshake.first(&[])) {
        handshake.channel.send(&[byte]).await?;
    }
    handshake.hear().await?;
    handshake.verify()?;
    Ok("message 2 came".to_owned())
}

async fn coalesced(bench: Bench) -> Step<String> {
    let mut handshake = bench.handshake().await?;
    let payload = handshake.payload(&bench.keypair, &[])?;
    let third = frame(&handshake.third(&payload));
    let mut channel = handshake.into_channel();
    let Some(secured) = channel.secured() else {
        return fail("not a Noise channel");
    };
    let record = secured.seal(&multistream::propose(&[muxer(&bench)]));
    secured.pipe.send(&[third, record].concat()).await?;
    multistream::read_header(&mut channel).await?;
    multistream::expect(&mut channel, muxer(&bench)).await?;
    Ok("agreed".to_owned())
}

async fn peer(bench: Bench, look: fn(&Handshake, &Bench) -> Step<String>) -> Step<String> {
    let mut handshake = Handshake::new(bench.agreed(NOISE).await?);
    handshake.begin(&[]).await?;
    look(&handshake, &bench)
}

async fn fresh(bench: Bench) -> Step<String> {
    let first = bench.handshake().await?;
    let second = bench.handshake().await?;
    ensure(first.their_ephemeral != second.their_ephemeral, || {
        "the same ephemeral key twice".to_owned()
    })?;
    Ok("two keys".to_owned())
}

async fn early(bench: Bench) -> Step<String> {
    bench.handshake().await?;
    let mut handshake = Handshake::new(bench.agreed(NOISE).await?);
    let payload = crate::speak::noise::extensions(&["/p2pspec/nobody/1.0.0"]);
    if handshake.begin(&payload).await.is_err() {
        return Ok("ended".to_owned());
    }
    let payload = handshake.payload(&bench.keypair, &[])?;
    let mut channel = handshake.end(&payload).await?;
    goes_on(&bench, &mut channel).await?;
    Ok("ignored".to_owned())
}

/// Wrong bytes as message 1, when it has been seen that the right ones are answered.
async fn first(bench: Bench, bytes: Vec<u8>) -> Step<String> {
    bench.handshake().await?;
    let mut pipe = bench.agreed(NOISE).await?;
    pipe.send(&bytes).await?;
    bench.stage("waiting for the connection to be closed");
    pipe.rejected().await
}

/// A message 3 that was altered.
async fn third(bench: Bench, alter: fn(&mut Vec<u8>)) -> Step<String> {
    let mut handshake = bench.handshake().await?;
    let payload = handshake.payload(&bench.keypair, &[])?;
    let mut third = handshake.third(&payload);
    alter(&mut third);
    handshake.channel.send(&frame(&third)).await?;
    turned_away(&bench, handshake.into_channel()).await
}
