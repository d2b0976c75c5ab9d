//! QUIC behind the handshake, and packets that belong to none: what a node must not be brought to.

use std::time::Duration;

use quinn::VarInt;
use tokio::time::timeout;

use super::{ABRUPT, RFC, datagrams};
use crate::{
    bench::{echo, ping},
    case::{Bench, Case, Document, Need, Step, case, ensure},
    cases::ping as pings,
    speak::{channel::Talk, connection::Connection},
};

const ECHO: &str = "the ping's echo";

pub(in crate::cases) const CASES: &[Case] = &[
    case(
        "quic/streams/limited",
        "streams that stay open are limited in number, and those that are open go on",
        RFC.practice(
            "4.6. Controlling Concurrency",
            "each side limits how many streams the other may have open",
        ),
        Need::Quic,
        [
            "a stream for ping, and as many more as are allowed, up to 5,000; then a payload",
            "fewer than 5,000 allowed, and the echo",
        ],
        |b| Box::pin(limited(b)),
    ),
    case(
        "quic/streams/empty",
        "a stream that ends without a word harms no other",
        ABRUPT,
        Need::Quic,
        ["twenty streams that end at once, then a ping", ECHO],
        |b| Box::pin(empty(b)),
    ),
    case(
        "quic/streams/reset-answered",
        "a stream that we reset is ended by the other side, too",
        RFC.practice(
            "2.4. Operations on Streams",
            "a reset ends one direction; who waits for more of it has no reason to keep the other",
        ),
        Need::Quic,
        [
            "half a payload for ping and a reset",
            "an end or a reset of the other direction",
        ],
        |b| Box::pin(reset_answered(b)),
    ),
    case(
        "quic/streams/largest-code",
        "an error code may be as large as a number can be",
        RFC.must(
            "20.2. Application Protocol Error Codes",
            "codes of streams are numbers of up to 62 bits",
        ),
        Need::Quic,
        [
            "a reset and STOP_SENDING with 2^62-1, then another stream for ping",
            ECHO,
        ],
        |b| Box::pin(largest_code(b)),
    ),
    case(
        "quic/streams/datagram",
        "a datagram harms nothing",
        Document("RFC 9221").practice(
            "3. Transport Parameter",
            "who does not allow datagrams is sent none; libp2p has no use for them",
        ),
        Need::Quic,
        ["a datagram, if they are allowed, then a ping", ECHO],
        |b| Box::pin(datagram(b)),
    ),
    case(
        "quic/packets/initial-small",
        "an Initial packet in a small datagram is not answered",
        RFC.must(
            "14.1. Initial Datagram Size",
            "a server discards an Initial packet in less than 1,200 bytes",
        ),
        Need::Quic,
        [
            "an Initial of version 1 in 100 bytes; then a connection with a ping",
            "the echo, and no answer to the packet",
        ],
        |b| Box::pin(unanswered(b, initial(), 0)),
    ),
    case(
        "quic/packets/stateless-reset",
        "a packet of a connection that is not there is not answered by a larger one",
        RFC.must(
            "10.3.3. Looping",
            "a stateless reset is smaller than the packet that it answers",
        ),
        Need::Quic,
        [
            "60 bytes with a short header; then a connection with a ping",
            "the echo, and an answer of less than 60 bytes or none",
        ],
        |b| Box::pin(unanswered(b, short(), 59)),
    ),
];

async fn limited(bench: Bench) -> Step<String> {
    let (mut connection, id) = pings::stream(&bench).await?;
    let mut kept = Vec::new();
    if let Connection::Quic(quic) = &connection {
        // Credit that is there is taken at once.
        while kept.len() < STREAMS
            && let Ok(Ok(stream)) = timeout(BLOCKED, quic.connection.open_bi()).await
        {
            kept.push(stream);
        }
    }
    echo(&mut connection.stream(id)).await?;
    let count = kept.len();
    ensure(count < STREAMS, || format!("{count} were allowed"))?;
    Ok(format!("{count} more were allowed"))
}

const STREAMS: usize = 5_000;
const BLOCKED: Duration = Duration::from_millis(500);

async fn empty(bench: Bench) -> Step<String> {
    let mut connection = bench.connection().await?;
    for _ in 0..20 {
        let id = connection.open().await?;
        connection.finish(id).await?;
    }
    ping(&mut connection).await?;
    Ok("echoed".to_owned())
}

async fn reset_answered(bench: Bench) -> Step<String> {
    let (mut connection, id) = pings::stream(&bench).await?;
    connection.stream(id).send(&[7; 16]).await?;
    if let Connection::Quic(quic) = &mut connection {
        quic.reset(id, VarInt::from_u32(7))?;
    }
    bench.stage("waiting for the other direction to end");
    let (rest, clean) = connection.read_to_end(id).await?;
    ensure(rest.is_empty(), || format!("{} bytes came", rest.len()))?;
    Ok(if clean { "ended" } else { "reset" }.to_owned())
}

async fn largest_code(bench: Bench) -> Step<String> {
    let (mut connection, id) = pings::stream(&bench).await?;
    connection.stream(id).send(&[7; 16]).await?;
    if let Connection::Quic(quic) = &mut connection {
        quic.reset(id, VarInt::MAX)?;
        quic.stop(id, VarInt::MAX)?;
    }
    ping(&mut connection).await?;
    Ok("another stream echoes".to_owned())
}

async fn datagram(bench: Bench) -> Step<String> {
    let quic = bench.quic().await?;
    let sent = quic.connection.send_datagram(b"p2pspec"[..].into());
    ping(&mut Connection::Quic(Box::new(quic))).await?;
    Ok(sent.map_or_else(|error| error.to_string(), |()| "harmless".to_owned()))
}

/// A whole connection afterwards leaves time for an answer; it comes from another port.
async fn unanswered(bench: Bench, packet: Vec<u8>, most: usize) -> Step<String> {
    let socket = datagrams(&bench).await?;
    socket.send(&packet).await?;
    ping(&mut bench.connection().await?).await?;
    let mut answer = vec![0; 2048];
    match socket.try_recv(&mut answer) {
        Ok(length) => {
            ensure(length <= most, || format!("an answer of {length} bytes"))?;
            Ok(format!("an answer of {length} bytes"))
        }
        Err(_) => Ok("no answer".to_owned()),
    }
}

/// Version 1, ids of eight bytes, no token; what follows is nothing that could be decrypted.
fn initial() -> Vec<u8> {
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend([7; 8]);
    packet.push(8);
    packet.extend([9; 8]);
    packet.extend([0, 0x40, 74]);
    packet.resize(100, 0x55);
    packet
}

fn short() -> Vec<u8> {
    let mut packet: Vec<u8> = (0..60).map(|_| rand::random()).collect();
    packet[0] = 0x40 | packet[0] & 0x3f;
    packet
}
