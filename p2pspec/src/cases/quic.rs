//! QUIC under libp2p: `libp2p/specs quic/README.md`; its certificates are those of TLS, and its streams speak like any others.

mod limits;

use crate::{
    bench::{echo, ping},
    case::{Bench, Case, Document, Need, Rule, Step, case, ensure, fail},
    cases::{identify, multistream as negotiation, ping as pings},
    speak::{certificate, channel::Talk, connection::Connection, multistream, quic::Quic},
};
use quinn::VarInt;
use tokio::net::UdpSocket;

pub(super) use limits::CASES as LIMITS;

const SPEC: Document = Document("libp2p/specs quic/README.md");
const RFC: Document = Document("RFC 9000");
const CONNECTIONS: Document = Document("libp2p/specs connections/README.md");

const PROOF: Rule = SPEC.must(
    "Peer Authentication",
    "peers authenticate each other as libp2p's TLS does",
);
const STREAMS: Rule = CONNECTIONS.must(
    "Opening New Streams Over a Connection",
    "each new stream is negotiated by multistream-select",
);
const ABRUPT: Rule = RFC.must(
    "2.4. Operations on Streams",
    "a stream may be reset, or its reading stopped, without harm to others",
);

pub(super) const CASES: &[Case] = &[
    case(
        "quic/handshake",
        "the handshake leads to streams",
        SPEC.must("QUIC Versions", "/quic-v1 is the QUIC of RFC 9000"),
        Need::Quic,
        [
            "a handshake with ALPN libp2p, and a stream for ping",
            "its echo",
        ],
        |b| Box::pin(serves(b, None, vec!["libp2p"])),
    ),
    case(
        "quic/server-name",
        "a server name in the hello is ignored",
        Document("libp2p/specs tls/tls.md").must(
            "Future Extensibility",
            "servers ignore Server Name Indication",
        ),
        Need::Quic,
        ["a handshake with a server name", "a stream is served"],
        |b| Box::pin(serves(b, Some("example.com"), vec!["libp2p"])),
    ),
    case(
        "quic/alpn/other",
        "another application protocol is refused",
        SPEC.must(
            "ALPN",
            "libp2p is the application protocol; without agreement the handshake fails",
        ),
        Need::Quic,
        ["ALPN p2pspec alone", "no handshake"],
        |b| Box::pin(stranger(b, vec!["p2pspec"])),
    ),
    case(
        "quic/alpn/muxer-alone",
        "a muxer is no application protocol of QUIC",
        SPEC.must(
            "ALPN",
            "libp2p is the application protocol; without agreement the handshake fails",
        ),
        Need::Quic,
        ["ALPN /yamux/1.0.0 alone", "no handshake"],
        |b| Box::pin(stranger(b, vec!["/yamux/1.0.0"])),
    ),
    case(
        "quic/alpn/among-others",
        "libp2p is found among others",
        SPEC.must("ALPN", "libp2p is the application protocol"),
        Need::Quic,
        ["ALPN p2pspec, libp2p", "a stream is served"],
        |b| Box::pin(serves(b, None, vec!["p2pspec", "libp2p"])),
    ),
    case(
        "quic/peer/one-certificate",
        "the peer sends one certificate",
        PROOF,
        Need::Quic,
        ["a handshake", "a chain of one"],
        |b| {
            Box::pin(peer(b, |quic| {
                let count = quic.learned.chain().len();
                ensure(count == 1, || format!("{count} certificates"))
            }))
        },
    ),
    case(
        "quic/peer/identity",
        "the certificate proves the identity that was dialed",
        PROOF,
        Need::Quic,
        ["a handshake", "the peer id of the address"],
        |b| {
            Box::pin(peer(b, |quic| {
                certificate::read(&quic.learned.chain()[0])?
                    .identity()
                    .map(drop)
            }))
        },
    ),
    case(
        "quic/peer/self-signed",
        "the certificate is signed by its own key",
        PROOF,
        Need::Quic,
        ["a handshake", "a valid self-signature"],
        |b| {
            Box::pin(peer(b, |quic| {
                let valid = certificate::read(&quic.learned.chain()[0])?.is_self_signed();
                ensure(valid != Some(false), || {
                    "the self-signature is not valid".to_owned()
                })
            }))
        },
    ),
    case(
        "quic/peer/asks",
        "the server asks for the client's certificate",
        PROOF,
        Need::Quic,
        ["a handshake", "a request for our certificate"],
        |b| {
            Box::pin(peer(b, |quic| {
                ensure(quic.learned.asked(), || "it did not".to_owned())
            }))
        },
    ),
    case(
        "quic/streams/negotiated",
        "a stream begins with multistream-select",
        STREAMS,
        Need::Quic,
        ["header and /ipfs/ping/1.0.0", "header and echo"],
        |b| Box::pin(negotiation::together(b, negotiation::Place::Stream)),
    ),
    case(
        "quic/streams/header-alone",
        "the header is answered before anything is proposed",
        CONNECTIONS.practice(
            "multistream-select",
            "both sides may send the header at once",
        ),
        Need::Quic,
        [
            "the header, and the proposal only after the answer",
            "the header at once",
        ],
        |b| Box::pin(negotiation::apart(b, negotiation::Place::Stream)),
    ),
    case(
        "quic/streams/byte-by-byte",
        "a negotiation may come in any pieces",
        STREAMS,
        Need::Quic,
        ["header and proposal, a byte a write", "header and echo"],
        |b| Box::pin(negotiation::bytewise(b, negotiation::Place::Stream)),
    ),
    case(
        "quic/streams/unknown",
        "a protocol without a handler is not available",
        STREAMS,
        Need::Quic,
        ["a protocol that nobody has", "na"],
        |b| {
            Box::pin(negotiation::not_available(
                b,
                negotiation::Place::Stream,
                "/p2pspec/nobody/1.0.0",
            ))
        },
    ),
    case(
        "quic/streams/second-try",
        "another protocol may be proposed on the same stream",
        STREAMS,
        Need::Quic,
        ["an unknown protocol, then ping", "na, then the echo"],
        |b| Box::pin(negotiation::tries(b, negotiation::Place::Stream, 1, false)),
    ),
    case(
        "quic/streams/no-muxer",
        "there is no muxer within QUIC",
        STREAMS,
        Need::Quic,
        ["/yamux/1.0.0 on a stream", "na"],
        |b| {
            Box::pin(negotiation::not_available(
                b,
                negotiation::Place::Stream,
                "/yamux/1.0.0",
            ))
        },
    ),
    case(
        "quic/streams/no-security",
        "there is no security within QUIC",
        STREAMS,
        Need::Quic,
        ["/noise on a stream", "na"],
        |b| {
            Box::pin(negotiation::not_available(
                b,
                negotiation::Place::Stream,
                "/noise",
            ))
        },
    ),
    case(
        "quic/streams/ping",
        "one stream serves many pings",
        Document("libp2p/specs ping/ping.md").should("Protocol", "the listener loops"),
        Need::Quic,
        ["ten payloads", "ten echoes"],
        |b| Box::pin(pings::rounds(b, 10)),
    ),
    case(
        "quic/streams/half-close",
        "our end leaves the other direction open",
        RFC.must(
            "2.4. Operations on Streams",
            "each direction ends by itself",
        ),
        Need::Quic,
        [
            "a payload, and after its echo the end",
            "the end of the other side",
        ],
        |b| Box::pin(pings::end(b)),
    ),
    case(
        "quic/streams/identify",
        "identify is served",
        Document("libp2p/specs identify/README.md").must(
            "identify",
            "the peer answers with its Identify message and closes",
        ),
        Need::Quic,
        ["/ipfs/id/1.0.0", "a message that names the peer"],
        |b| Box::pin(identify::named(b)),
    ),
    case(
        "quic/streams/reset",
        "a reset harms no other stream",
        ABRUPT,
        Need::Quic,
        [
            "half a payload and a reset, then a new stream",
            "the new stream's echo",
        ],
        |b| Box::pin(pings::reset(b)),
    ),
    case(
        "quic/streams/stopped",
        "a stream that we stop reading harms no other",
        ABRUPT,
        Need::Quic,
        [
            "a payload and STOP_SENDING, then a new stream",
            "the new stream's echo",
        ],
        |b| Box::pin(stopped(b)),
    ),
    case(
        "quic/streams/twenty",
        "twenty streams are served at once",
        STREAMS,
        Need::Quic,
        ["twenty streams for an unknown protocol", "twenty times na"],
        |b| Box::pin(twenty(b)),
    ),
    case(
        "quic/streams/one-way",
        "a stream that goes one way harms nothing",
        RFC.practice(
            "2.1. Stream Types and Identifiers",
            "libp2p uses streams that go both ways",
        ),
        Need::Quic,
        [
            "a unidirectional stream, if it is allowed, then a stream for ping",
            "the ping's echo",
        ],
        |b| Box::pin(one_way(b)),
    ),
    case(
        "quic/packets/garbage",
        "packets that are none harm nothing",
        RFC.must(
            "5.2. Matching Packets to Connections",
            "packets that belong to no connection are discarded",
        ),
        Need::Quic,
        [
            "a hundred packets of random bytes, while a connection is open",
            "the connection's ping is echoed",
        ],
        |b| Box::pin(garbage(b)),
    ),
    case(
        "quic/packets/version",
        "an unknown version is answered with those that are spoken",
        RFC.must(
            "6.1. Sending Version Negotiation Packets",
            "a server that is offered an unknown version in a large enough packet names its own",
        ),
        Need::Quic,
        [
            "a long header of version 1a2a3a4a in 1,200 bytes",
            "Version Negotiation with 00000001 in it",
        ],
        |b| Box::pin(version(b)),
    ),
    case(
        "quic/packets/version-small",
        "a small packet of an unknown version is not answered",
        RFC.must(
            "6. Version Negotiation",
            "packets below the least size are dropped: an answer would be larger than the question",
        ),
        Need::Quic,
        ["the same in 40 bytes, then in 1,200", "one answer, not two"],
        |b| Box::pin(version_small(b)),
    ),
    case(
        "quic/close",
        "a closed connection makes room for another",
        RFC.must("10.2. Immediate Close", "a close ends one connection"),
        Need::Quic,
        ["five times: a connection, a ping, a close", "five echoes"],
        |b| Box::pin(again(b)),
    ),
];

async fn serves(
    bench: Bench,
    server_name: Option<&'static str>,
    alpn: Vec<&'static str>,
) -> Step<String> {
    let mut hello = bench.hello(alpn)?;
    hello.server_name = server_name;
    match bench.dial_quic(hello).await? {
        Ok(quic) => ping(&mut Connection::Quic(Box::new(quic))).await?,
        Err(error) => return fail(error),
    }
    Ok("served".to_owned())
}

/// First with the right ALPN, so that the refusal is of the other one.
async fn stranger(bench: Bench, alpn: Vec<&'static str>) -> Step<String> {
    bench.quic().await?;
    match bench.dial_quic(bench.hello(alpn)?).await? {
        Ok(_) => fail("the handshake succeeded"),
        Err(error) => Ok(error),
    }
}

async fn peer(bench: Bench, look: fn(&Quic) -> Step<()>) -> Step<String> {
    look(&bench.quic().await?)?;
    Ok("so it is".to_owned())
}

async fn stopped(bench: Bench) -> Step<String> {
    let (mut connection, id) = pings::stream(&bench).await?;
    connection.stream(id).send(&[7; 32]).await?;
    if let Connection::Quic(quic) = &mut connection {
        quic.stop(id, VarInt::from_u32(0))?;
    }
    ping(&mut connection).await?;
    Ok("another stream echoes".to_owned())
}

async fn twenty(bench: Bench) -> Step<String> {
    let mut connection = bench.connection().await?;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let id = connection.open().await?;
        connection
            .stream(id)
            .send(&multistream::propose(&["/p2pspec/nobody/1.0.0"]))
            .await?;
        ids.push(id);
    }
    for id in ids {
        let mut stream = connection.stream(id);
        multistream::read_header(&mut stream).await?;
        multistream::expect(&mut stream, "na").await?;
    }
    Ok("twenty".to_owned())
}

/// A node that allows no such stream cannot be sent one: then there is nothing to see.
async fn one_way(bench: Bench) -> Step<String> {
    let quic = bench.quic().await?;
    let opening = quic.connection.open_uni();
    let opened = tokio::time::timeout(std::time::Duration::from_millis(300), opening).await;
    let allowed = match opened {
        Ok(Ok(mut stream)) => {
            let _ = stream.write_all(b"one way").await;
            let _ = stream.finish();
            "allowed, and harmless"
        }
        _ => "not allowed",
    };
    ping(&mut Connection::Quic(Box::new(quic))).await?;
    Ok(allowed.to_owned())
}

async fn datagrams(bench: &Bench) -> Step<UdpSocket> {
    let here = if bench.place.socket.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(here).await?;
    socket.connect(bench.place.socket).await?;
    Ok(socket)
}

async fn garbage(bench: Bench) -> Step<String> {
    let (mut connection, id) = pings::stream(&bench).await?;
    let socket = datagrams(&bench).await?;
    for length in 0..100 {
        let bytes: Vec<u8> = (0..length * 12 + 1).map(|_| rand::random()).collect();
        socket.send(&bytes).await?;
    }
    echo(&mut connection.stream(id)).await?;
    Ok("echoed".to_owned())
}

/// A long header of a version that is reserved for this very purpose, with connection ids of eight bytes.
fn unknown_version(length: usize, id: u8) -> Vec<u8> {
    let mut packet = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    packet.extend([id; 8]);
    packet.push(8);
    packet.extend([id ^ 0xff; 8]);
    packet.resize(length, 0);
    packet
}

/// The answer's destination is our source id, whose last byte says which packet it answers.
async fn negotiation(socket: &UdpSocket) -> Step<(u8, Vec<[u8; 4]>)> {
    let mut packet = vec![0; 2048];
    let length = socket.recv(&mut packet).await?;
    packet.truncate(length);
    let zero = packet.get(1..5) == Some(&[0; 4]);
    ensure(length >= 27 && packet[0] & 0x80 != 0 && zero, || {
        "the answer is no Version Negotiation packet".to_owned()
    })?;
    let versions = packet[23..].chunks_exact(4);
    Ok((
        packet[13],
        versions
            .map(|four| [four[0], four[1], four[2], four[3]])
            .collect(),
    ))
}

async fn version(bench: Bench) -> Step<String> {
    let socket = datagrams(&bench).await?;
    socket.send(&unknown_version(1200, 1)).await?;
    bench.stage("waiting for a Version Negotiation packet");
    let (_, versions) = negotiation(&socket).await?;
    ensure(versions.contains(&[0, 0, 0, 1]), || {
        format!("{versions:02x?}")
    })?;
    Ok(format!("{versions:02x?}"))
}

async fn version_small(bench: Bench) -> Step<String> {
    let socket = datagrams(&bench).await?;
    socket.send(&unknown_version(40, 1)).await?;
    socket.send(&unknown_version(1200, 2)).await?;
    bench.stage("waiting for a Version Negotiation packet");
    let (answered, _) = negotiation(&socket).await?;
    ensure(answered == 2 ^ 0xff, || {
        "the small packet was answered".to_owned()
    })?;
    Ok("the large one alone was answered".to_owned())
}

async fn again(bench: Bench) -> Step<String> {
    for _ in 0..5 {
        ping(&mut bench.connection().await?).await?;
    }
    Ok("five".to_owned())
}
