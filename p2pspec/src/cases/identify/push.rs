//! identify/push: updates of ours that the node takes, and those that must not harm it.

use libp2p_identity::Keypair;

use super::{SPEC, ask, field};
use crate::{
    bench::ping,
    case::{Bench, Case, Need, Rule, Step, Stop, case, fail},
    speak::{channel::Talk, connection::Connection, multistream, noise, pb},
};

const PUSH: &str = "/ipfs/id/push/1.0.0";

const PUSHED: Rule = SPEC.must(
    "identify/push",
    "a peer opens a stream, sends an Identify message and closes; the other updates what it knows",
);
const PARTIAL: Rule = SPEC.must(
    "identify/push",
    "missing fields are ignored: updates may be partial",
);
const HARMLESS: Rule = SPEC.practice(
    "identify/push",
    "what a peer says of itself is not to be trusted, and never harms more than its own connection",
);
const TAKEN: &str = "the node still answers on the same connection";
const ENDED: &str = "the node still answers, on this connection or a new one";

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "identify/push/whole",
        "a whole message is taken",
        PUSHED,
        Need::Streams,
        ["an Identify message with all fields", TAKEN],
        |b| Box::pin(taken(b, |keys| pb::delimited(&whole(keys)))),
    ),
    case(
        "identify/push/protocols",
        "a message with protocols alone is taken",
        PARTIAL,
        Need::Streams,
        ["an Identify message with two protocols", TAKEN],
        |b| {
            Box::pin(taken(b, |_| {
                let two = [
                    pb::bytes(field::PROTOCOL, b"/a/1"),
                    pb::bytes(field::PROTOCOL, b"/b/1"),
                ];
                pb::delimited(&two.concat())
            }))
        },
    ),
    case(
        "identify/push/addresses",
        "a message with addresses alone is taken",
        PARTIAL,
        Need::Streams,
        ["an Identify message with one address", TAKEN],
        |b| {
            Box::pin(taken(b, |_| {
                pb::delimited(&pb::bytes(field::ADDRESS, &ADDRESS))
            }))
        },
    ),
    case(
        "identify/push/empty",
        "an empty message is taken",
        PARTIAL,
        Need::Streams,
        ["an Identify message without a field", TAKEN],
        |b| Box::pin(taken(b, |_| pb::delimited(&[]))),
    ),
    case(
        "identify/push/unknown-field",
        "an unknown field is passed over",
        PUSHED,
        Need::Streams,
        ["an Identify message with a field 99", TAKEN],
        |b| {
            Box::pin(taken(b, |keys| {
                pb::delimited(&[whole(keys), pb::bytes(99, b"?")].concat())
            }))
        },
    ),
    case(
        "identify/push/bad-address",
        "an address that is none is passed over",
        HARMLESS,
        Need::Streams,
        ["an Identify message with an address of bytes ff", TAKEN],
        |b| {
            Box::pin(taken(b, |_| {
                let two = [
                    pb::bytes(field::ADDRESS, &[0xff; 9]),
                    pb::bytes(field::ADDRESS, &ADDRESS),
                ];
                pb::delimited(&two.concat())
            }))
        },
    ),
    case(
        "identify/push/not-text",
        "a protocol that is not UTF-8 harms nothing",
        HARMLESS,
        Need::Streams,
        ["an Identify message with a protocol of bytes ff", ENDED],
        |b| {
            Box::pin(harmless(b, |_| {
                pb::delimited(&pb::bytes(field::PROTOCOL, &[0xff; 9]))
            }))
        },
    ),
    case(
        "identify/push/other-key",
        "another peer's key harms nothing",
        HARMLESS,
        Need::Streams,
        ["an Identify message with a key that is not ours", ENDED],
        |b| {
            Box::pin(harmless(b, |_| {
                pb::delimited(&whole(&Keypair::generate_ed25519()))
            }))
        },
    ),
    case(
        "identify/push/other-record",
        "another peer's signed record harms nothing",
        HARMLESS,
        Need::Streams,
        [
            "an Identify message with the signed record of another peer",
            ENDED,
        ],
        |b| {
            Box::pin(harmless(b, |_| {
                let record = super::record::sealed(&Keypair::generate_ed25519());
                pb::delimited(&pb::bytes(field::RECORD, &record))
            }))
        },
    ),
    case(
        "identify/push/not-protobuf",
        "bytes that are no protobuf harm nothing",
        HARMLESS,
        Need::Streams,
        ["a message of 64 bytes ff", ENDED],
        |b| Box::pin(harmless(b, |_| pb::delimited(&[0xff; 64]))),
    ),
    case(
        "identify/push/cut-off",
        "a message that is cut off harms nothing",
        HARMLESS,
        Need::Streams,
        ["a length of 100 and ten bytes", ENDED],
        |b| Box::pin(harmless(b, |_| [vec![100], vec![7; 10]].concat())),
    ),
    case(
        "identify/push/huge-length",
        "a length of 2^40 harms nothing",
        HARMLESS,
        Need::Streams,
        ["a length of 2^40 and ten bytes", ENDED],
        |b| Box::pin(harmless(b, |_| [pb::varint(1 << 40), vec![7; 10]].concat())),
    ),
    case(
        "identify/push/long-agent",
        "an agent of 100 KiB harms nothing",
        HARMLESS,
        Need::Streams,
        ["an Identify message with an agentVersion of 100 KiB", ENDED],
        |b| {
            Box::pin(harmless(b, |_| {
                pb::delimited(&pb::bytes(field::AGENT, &[b'x'; 102_400]))
            }))
        },
    ),
    case(
        "identify/push/many-protocols",
        "two thousand protocols harm nothing",
        HARMLESS,
        Need::Streams,
        ["an Identify message with 2,000 protocols", ENDED],
        |b| {
            Box::pin(harmless(b, |_| {
                let one = |at| pb::bytes(field::PROTOCOL, format!("/p2pspec/{at}").as_bytes());
                pb::delimited(&(0..2000).flat_map(one).collect::<Vec<_>>())
            }))
        },
    ),
    case(
        "identify/push/twenty-messages",
        "twenty messages in one push harm nothing",
        HARMLESS,
        Need::Streams,
        ["a whole Identify message twenty times, then the end", ENDED],
        |b| Box::pin(harmless(b, |keys| pb::delimited(&whole(keys)).repeat(20))),
    ),
    case(
        "identify/push/megabyte",
        "a message of 1 MiB harms nothing",
        HARMLESS,
        Need::Streams,
        ["an Identify message of addresses, 1 MiB", ENDED],
        |b| {
            Box::pin(harmless(b, |_| {
                let one = pb::bytes(field::ADDRESS, &ADDRESS);
                pb::delimited(&one.repeat(1024 * 1024 / one.len()))
            }))
        },
    ),
];

/// `/ip4/192.0.2.1/tcp/4001`.
const ADDRESS: [u8; 8] = [4, 192, 0, 2, 1, 6, 0x0f, 0xa1];

fn whole(keys: &Keypair) -> Vec<u8> {
    [
        pb::bytes(field::KEY, &keys.public().encode_protobuf()),
        pb::bytes(field::ADDRESS, &ADDRESS),
        pb::bytes(field::PROTOCOL, b"/ipfs/ping/1.0.0"),
        pb::bytes(field::OBSERVED, &ADDRESS),
        pb::bytes(field::VERSION, b"ipfs/0.1.0"),
        pb::bytes(field::AGENT, b"p2pspec"),
    ]
    .concat()
}

/// Pushes; skips where nobody takes pushes.
async fn push(bench: &Bench, message: fn(&Keypair) -> Vec<u8>) -> Step<Connection> {
    let mut connection = bench.connection().await?;
    ping(&mut connection).await?;
    let id = connection.open().await?;
    let mut stream = connection.stream(id);
    stream.send(&multistream::propose(&[PUSH])).await?;
    multistream::read_header(&mut stream).await?;
    match multistream::read(&mut stream).await?.as_str() {
        PUSH => {}
        "na" => return Err(Stop::Skip("the node takes no pushes".to_owned())),
        other => return fail(format!("the answer is {other:?}")),
    }
    let message = message(&bench.keypair);
    // The node may refuse in the middle of a long message.
    if stream.send(&message).await.is_ok() {
        connection.finish(id).await?;
    }
    Ok(connection)
}

async fn taken(bench: Bench, message: fn(&Keypair) -> Vec<u8>) -> Step<String> {
    let mut connection = push(&bench, message).await?;
    ping(&mut connection).await?;
    ask(&mut connection).await?;
    Ok("taken".to_owned())
}

async fn harmless(bench: Bench, message: fn(&Keypair) -> Vec<u8>) -> Step<String> {
    let mut connection = push(&bench, message).await?;
    if ping(&mut connection).await.is_ok() {
        return Ok("the connection goes on".to_owned());
    }
    ping(&mut bench.connection().await?).await?;
    Ok("the connection was closed; a new one is served".to_owned())
}

/// For records: signs what is to be signed.
pub(super) fn signed(keys: &Keypair, bytes: &[u8]) -> Vec<u8> {
    noise::sign(keys, bytes).unwrap_or_default()
}
