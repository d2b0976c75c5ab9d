//! The records behind the handshake: their lengths, their order, their integrity.

use super::{SPEC, muxer};
use crate::{
    bench::{PING, still},
    case::{Bench, Case, Document, Need, Rule, Step, case, ensure, fail},
    speak::{
        channel::{Channel, Talk},
        multistream,
        noise::Secured,
        yamux::{self, Yamux},
    },
};

const WIRE: Rule = SPEC.must(
    "Wire Format",
    "a transport message is an encrypted payload and 16 bytes of authentication data",
);
const NONCES: Rule = Document("Noise Protocol Framework, revision 34").must(
    "5.1. The CipherState object",
    "the nonce counts messages; what fails to decrypt under it is an error",
);
const CLOSED: &str = "the connection closed";

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "noise/records/bit-flipped",
        "an altered record ends the connection",
        NONCES,
        Need::Noise,
        ["a record with a flipped bit", CLOSED],
        |b| {
            Box::pin(ends(b, |secured| {
                let mut record = secured.seal(&[0; 12]);
                record[5] ^= 1;
                record
            }))
        },
    ),
    case(
        "noise/records/tag-altered",
        "an altered authentication tag ends the connection",
        NONCES,
        Need::Noise,
        ["a record whose last bit is flipped", CLOSED],
        |b| {
            Box::pin(ends(b, |secured| {
                let mut record = secured.seal(&[0; 12]);
                if let Some(last) = record.last_mut() {
                    *last ^= 1;
                }
                record
            }))
        },
    ),
    case(
        "noise/records/replayed",
        "a record that comes twice ends the connection",
        NONCES,
        Need::Noise,
        ["a record twice", CLOSED],
        |b| Box::pin(ends(b, |secured| secured.seal(b"\x00").repeat(2))),
    ),
    case(
        "noise/records/skipped",
        "a record that is missing ends the connection",
        NONCES,
        Need::Noise,
        ["a record under the nonce after the next", CLOSED],
        |b| {
            Box::pin(ends(b, |secured| {
                secured.sent += 1;
                secured.seal(b"\x00")
            }))
        },
    ),
    case(
        "noise/records/swapped",
        "records in another order end the connection",
        NONCES,
        Need::Noise,
        ["two records, the second one first", CLOSED],
        |b| {
            Box::pin(ends(b, |secured| {
                let first = secured.seal(b"\x00");
                [secured.seal(b"\x00"), first].concat()
            }))
        },
    ),
    case(
        "noise/records/empty",
        "a record of no bytes ends the connection",
        WIRE,
        Need::Noise,
        ["a length of 0", CLOSED],
        |b| Box::pin(ends(b, |_| vec![0, 0])),
    ),
    case(
        "noise/records/shorter-than-tag",
        "a record that is too short for its tag ends the connection",
        WIRE,
        Need::Noise,
        ["a record of 15 bytes", CLOSED],
        |b| Box::pin(ends(b, |_| [&[0, 15][..], &[7; 15]].concat())),
    ),
    case(
        "noise/records/not-encrypted",
        "what is not encrypted ends the connection",
        WIRE,
        Need::Noise,
        ["a record of plaintext", CLOSED],
        |b| Box::pin(ends(b, |_| [&[0, 64][..], &[0; 64]].concat())),
    ),
    case(
        "noise/records/no-plaintext",
        "a record may hold no plaintext",
        SPEC.practice("Wire Format", "a payload has any length, and zero is one"),
        Need::Yamux,
        [
            "a record of a tag alone, then a stream",
            "the stream served",
        ],
        |b| Box::pin(hollow(b)),
    ),
    case(
        "noise/records/longest",
        "a record of 65,535 bytes is taken",
        SPEC.must("Wire Format", "a Noise message has at most 65,535 bytes"),
        Need::Yamux,
        [
            "65,504 bytes for ping in one record of 65,535",
            "their echo",
        ],
        |b| Box::pin(longest(b)),
    ),
    case(
        "noise/records/byte-by-byte",
        "a record may come in any pieces",
        WIRE,
        Need::Yamux,
        ["a record, a byte a packet", "it is understood"],
        |b| Box::pin(pieces(b)),
    ),
    case(
        "noise/records/cut-frames",
        "frames need not end where records do",
        SPEC.must("Encryption and I/O", "records carry a stream of bytes"),
        Need::Yamux,
        [
            "a yamux ping cut in the middle into two records",
            "its answer",
        ],
        |b| Box::pin(cut(b)),
    ),
];

/// The muxer was agreed on before, so the channel worked.
async fn ends(bench: Bench, wrong: fn(&mut Secured) -> Vec<u8>) -> Step<String> {
    let mut channel = bench.muxed(muxer(&bench)).await?;
    let bytes = wrong(secured(&mut channel)?);
    secured(&mut channel)?.pipe.send(&bytes).await?;
    bench.stage("waiting for the connection to be closed");
    channel.closed().await
}

fn secured(channel: &mut Channel) -> Step<&mut Secured> {
    channel
        .secured()
        .map_or_else(|| fail("not a Noise channel"), Ok)
}

async fn hollow(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let secured = secured(&mut session.channel)?;
    let record = secured.seal(&[]);
    secured.pipe.send(&record).await?;
    still(&mut session).await?;
    Ok("passed over".to_owned())
}

/// 12 bytes of yamux's header and 65,504 for ping leave 3 for a second frame's first bytes.
async fn longest(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let id = session.open(&multistream::propose(&[PING])).await?;
    multistream::read_header(&mut session.stream(id)).await?;
    multistream::expect(&mut session.stream(id), PING).await?;
    let payload: Vec<u8> = (0..65_504).map(|_| rand::random()).collect();
    let ping = yamux::head(yamux::PING, yamux::SYN, 0, 3).encode();
    let mut bytes = yamux::data(0, id, &payload).encode();
    bytes.extend(&ping[..3]);
    ensure(bytes.len() == 65_519, || format!("{} bytes", bytes.len()))?;
    session.channel.send(&bytes).await?;
    session.channel.send(&ping[3..]).await?;
    bench.stage("waiting for the echo of a longest record");
    let echo = session.stream(id).take(payload.len()).await?;
    ensure(echo == payload, || "the echo differs".to_owned())?;
    Ok("echoed".to_owned())
}

async fn pieces(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let ping = yamux::head(yamux::PING, yamux::SYN, 0, 5).encode();
    let record = secured(&mut session.channel)?.seal(&ping);
    for byte in record {
        secured(&mut session.channel)?.pipe.send(&[byte]).await?;
    }
    answered(&mut session, 5).await
}

async fn cut(bench: Bench) -> Step<String> {
    let mut session = bench.yamux().await?;
    let ping = yamux::head(yamux::PING, yamux::SYN, 0, 6).encode();
    session.channel.send(&ping[..7]).await?;
    session.channel.send(&ping[7..]).await?;
    answered(&mut session, 6).await
}

async fn answered(session: &mut Yamux, value: u32) -> Step<String> {
    let is = |frame: &yamux::Frame| frame.kind == yamux::PING && frame.has(yamux::ACK);
    let answer = session.wait("answer to a ping", is).await?;
    ensure(answer.length == value, || {
        format!("the value is {}", answer.length)
    })?;
    Ok("answered".to_owned())
}
