//! WebSocket under libp2p: `libp2p/specs websockets/README.md`, and of RFC 6455 what a server has to do.

mod wrong;

use crate::{
    bench::NOISE,
    case::{Bench, Case, Document, Need, Rule, Step, case, ensure, fail},
    speak::{
        channel::{Channel, Talk},
        multistream,
        websocket::{Frame, Frames, KEY, UPGRADE, accept_key, frame, opcode},
    },
};

pub(super) use wrong::CASES as WRONG;

const SPEC: Document = Document("libp2p/specs websockets/README.md");
const RFC: Document = Document("RFC 6455");

const UPGRADED: Rule = RFC.must(
    "4.2.2. Sending the Server's Opening Handshake",
    "a valid request is answered with 101 and the fields that prove it was understood",
);
const REQUEST: Rule = RFC.must(
    "4.2.1. Reading the Client's Opening Handshake",
    "a request that lacks something, or says something else, is no upgrade",
);
const FRAGMENTS: Rule = RFC.must(
    "5.4. Fragmentation",
    "a message is one frame, or several that are continued up to FIN",
);
const PINGS: Rule = RFC.must(
    "5.5.2. Ping",
    "a ping is answered with a pong of the same bytes",
);
const STREAM: Rule = SPEC.practice(
    "Stream Multiplexing",
    "what is in the messages is a stream of bytes, and where they end means nothing",
);
const NO_UPGRADE: &str = "another status than 101, or a close";

pub(super) const CASES: &[Case] = &[
    case(
        "websocket/upgrade/status",
        "an upgrade is answered with 101",
        UPGRADED,
        Need::WebSocket,
        ["the right request", "101"],
        |b| Box::pin(upgrade(b, |_| Ok(()))),
    ),
    case(
        "websocket/upgrade/accept",
        "the answer proves that the key was read",
        UPGRADED,
        Need::WebSocket,
        ["the right request", "the accept value of the key"],
        |b| {
            Box::pin(upgrade(b, |response| {
                header(response, "sec-websocket-accept", &accept_key())
            }))
        },
    ),
    case(
        "websocket/upgrade/headers",
        "the answer says that it upgrades, and to what",
        UPGRADED,
        Need::WebSocket,
        [
            "the right request",
            "Upgrade: websocket and Connection: Upgrade",
        ],
        |b| {
            Box::pin(upgrade(b, |response| {
                header(response, "upgrade", "websocket")?;
                header(response, "connection", "upgrade")
            }))
        },
    ),
    case(
        "websocket/upgrade/no-protocol",
        "no subprotocol is chosen that was not offered",
        RFC.must(
            "4.2.2. Sending the Server's Opening Handshake",
            "a subprotocol is one of the client's, or none",
        ),
        Need::WebSocket,
        [
            "the right request, without a subprotocol",
            "none in the answer",
        ],
        |b| {
            Box::pin(upgrade(b, |response| {
                let chosen = response.header("sec-websocket-protocol");
                ensure(chosen.is_none(), || format!("{chosen:?}"))
            }))
        },
    ),
    case(
        "websocket/upgrade/case",
        "header names and values are read whatever their case",
        REQUEST,
        Need::WebSocket,
        [
            "the request with names in capitals and WebSocket in mixed case",
            "101",
        ],
        |b| Box::pin(shouted(b)),
    ),
    case(
        "websocket/upgrade/pieces",
        "a request may come in any pieces",
        STREAM,
        Need::WebSocket,
        ["the request, ten bytes a packet", "101"],
        |b| Box::pin(pieces(b)),
    ),
    case(
        "websocket/upgrade/no-key",
        "a request without a key is no upgrade",
        REQUEST,
        Need::WebSocket,
        ["the request without Sec-WebSocket-Key", NO_UPGRADE],
        |b| {
            Box::pin(no_upgrade(
                b,
                "GET / HTTP/1.1",
                &[UPGRADE[0], UPGRADE[1], UPGRADE[3]],
            ))
        },
    ),
    case(
        "websocket/upgrade/version",
        "another version is no upgrade",
        RFC.must(
            "4.2.2. Sending the Server's Opening Handshake",
            "a version that is not understood aborts the handshake",
        ),
        Need::WebSocket,
        ["Sec-WebSocket-Version: 7", NO_UPGRADE],
        |b| {
            Box::pin(no_upgrade(
                b,
                "GET / HTTP/1.1",
                &[
                    UPGRADE[0],
                    UPGRADE[1],
                    UPGRADE[2],
                    ("Sec-WebSocket-Version", "7"),
                ],
            ))
        },
    ),
    case(
        "websocket/upgrade/other-protocol",
        "an upgrade to something else is none",
        REQUEST,
        Need::WebSocket,
        ["Upgrade: h2c", NO_UPGRADE],
        |b| {
            Box::pin(no_upgrade(
                b,
                "GET / HTTP/1.1",
                &[("Upgrade", "h2c"), UPGRADE[1], UPGRADE[2], UPGRADE[3]],
            ))
        },
    ),
    case(
        "websocket/upgrade/post",
        "a POST is no upgrade",
        RFC.must(
            "4.2.1. Reading the Client's Opening Handshake",
            "the request is a GET",
        ),
        Need::WebSocket,
        ["POST instead of GET", NO_UPGRADE],
        |b| Box::pin(no_upgrade(b, "POST / HTTP/1.1", &UPGRADE)),
    ),
    case(
        "websocket/upgrade/plain-http",
        "a request that asks for no upgrade gets none",
        REQUEST,
        Need::WebSocket,
        ["a plain GET", NO_UPGRADE],
        |b| Box::pin(no_upgrade(b, "GET / HTTP/1.1", &[])),
    ),
    case(
        "websocket/upgrade/not-http",
        "what is not HTTP is no upgrade",
        REQUEST,
        Need::WebSocket,
        [
            "multistream's header instead of a request, and an empty line",
            NO_UPGRADE,
        ],
        |b| Box::pin(not_http(b)),
    ),
    case(
        "websocket/frames/binary",
        "the node sends binary frames",
        SPEC.practice("Stream Multiplexing", "libp2p's bytes are not text"),
        Need::WebSocket,
        [
            "a negotiation",
            "frames of opcode 2, or their continuations",
        ],
        |b| Box::pin(binary(b)),
    ),
    case(
        "websocket/frames/not-masked",
        "the server does not mask",
        RFC.must(
            "5.1. Overview",
            "a server does not mask the frames that it sends",
        ),
        Need::WebSocket,
        ["a negotiation", "frames without a mask"],
        |b| Box::pin(unmasked(b)),
    ),
    case(
        "websocket/frames/one-byte",
        "messages may be a byte each",
        STREAM,
        Need::WebSocket,
        ["a negotiation, a byte a message", "agreement"],
        |b| Box::pin(bytewise(b)),
    ),
    case(
        "websocket/frames/together",
        "several messages may come in one packet",
        STREAM,
        Need::WebSocket,
        [
            "header and proposal as two messages in one packet",
            "agreement",
        ],
        |b| {
            Box::pin(works(b, |proposal| {
                let (first, second) = proposal.split_at(20);
                [frame(opcode::BINARY, first), frame(opcode::BINARY, second)].concat()
            }))
        },
    ),
    case(
        "websocket/frames/fragmented",
        "a message may come in fragments",
        FRAGMENTS,
        Need::WebSocket,
        ["a negotiation as one message of three frames", "agreement"],
        |b| {
            Box::pin(works(b, |proposal| {
                [
                    part(opcode::BINARY, &proposal[..5]),
                    part(opcode::CONTINUATION, &proposal[5..9]),
                    frame(opcode::CONTINUATION, &proposal[9..]),
                ]
                .concat()
            }))
        },
    ),
    case(
        "websocket/frames/ping-in-fragments",
        "a ping may come between fragments",
        FRAGMENTS,
        Need::WebSocket,
        [
            "a message of two frames with a ping between them",
            "agreement",
        ],
        |b| {
            Box::pin(works(b, |proposal| {
                [
                    part(opcode::BINARY, &proposal[..5]),
                    frame(opcode::PING, b"between"),
                    frame(opcode::CONTINUATION, &proposal[5..]),
                ]
                .concat()
            }))
        },
    ),
    case(
        "websocket/frames/empty",
        "an empty message is no byte",
        STREAM,
        Need::WebSocket,
        ["an empty message, then a negotiation", "agreement"],
        |b| {
            Box::pin(works(b, |proposal| {
                [frame(opcode::BINARY, &[]), frame(opcode::BINARY, proposal)].concat()
            }))
        },
    ),
    case(
        "websocket/frames/pong-unasked",
        "a pong that nobody asked for is ignored",
        RFC.must("5.5.3. Pong", "an unsolicited pong needs no answer"),
        Need::WebSocket,
        ["a pong, then a negotiation", "agreement"],
        |b| {
            Box::pin(works(b, |proposal| {
                [
                    frame(opcode::PONG, b"unasked"),
                    frame(opcode::BINARY, proposal),
                ]
                .concat()
            }))
        },
    ),
    case(
        "websocket/ping",
        "a ping is answered",
        PINGS,
        Need::WebSocket,
        ["a ping of seven bytes", "a pong of the same bytes"],
        |b| Box::pin(ping(b, b"p2pspec")),
    ),
    case(
        "websocket/ping-empty",
        "an empty ping is answered",
        PINGS,
        Need::WebSocket,
        ["a ping without bytes", "a pong without bytes"],
        |b| Box::pin(ping(b, b"")),
    ),
    case(
        "websocket/ping-longest",
        "a ping of 125 bytes is answered",
        PINGS,
        Need::WebSocket,
        ["a ping of 125 bytes", "a pong of the same bytes"],
        |b| Box::pin(ping(b, &[7; 125])),
    ),
    case(
        "websocket/close",
        "a close frame is answered by one, or by the end",
        RFC.must(
            "5.5.1. Close",
            "who receives a close frame sends one, and the connection ends",
        ),
        Need::WebSocket,
        ["a close frame with 1000", "a close frame or the end"],
        |b| Box::pin(fails(b, frame(opcode::CLOSE, &[3, 232]))),
    ),
];

/// A masked frame without FIN.
fn part(opcode: u8, body: &[u8]) -> Vec<u8> {
    Frame {
        first: opcode,
        masked: true,
        body,
    }
    .encode()
}

type Response = crate::speak::websocket::Response;

fn header(response: &Response, name: &str, wanted: &str) -> Step<()> {
    let said = response.header(name).unwrap_or_default();
    let exact = name == "sec-websocket-accept";
    let same = if exact {
        said == wanted
    } else {
        said.eq_ignore_ascii_case(wanted)
    };
    ensure(same, || format!("{name}: {said:?}"))
}

async fn upgrade(bench: Bench, look: fn(&Response) -> Step<()>) -> Step<String> {
    let mut frames = Frames::new(Box::new(bench.socket().await?));
    bench.stage("upgrading to WebSocket");
    look(&frames.upgrade().await?)?;
    Ok("101".to_owned())
}

async fn shouted(bench: Bench) -> Step<String> {
    let mut frames = Frames::new(Box::new(bench.socket().await?));
    let headers = [
        ("UPGRADE", "WebSocket"),
        ("CONNECTION", "keep-alive, Upgrade"),
        ("SEC-WEBSOCKET-KEY", KEY),
        ("SEC-WEBSOCKET-VERSION", "13"),
    ];
    let response = frames.request("GET / HTTP/1.1", &headers).await?;
    ensure(response.status == 101, || {
        format!("status {}", response.status)
    })?;
    Ok("101".to_owned())
}

async fn pieces(bench: Bench) -> Step<String> {
    let mut frames = Frames::new(Box::new(bench.socket().await?));
    let mut text = "GET / HTTP/1.1\r\nHost: localhost\r\n".to_owned();
    for (name, value) in UPGRADE {
        text += &format!("{name}: {value}\r\n");
    }
    for piece in format!("{text}\r\n").as_bytes().chunks(10) {
        frames.send_raw(piece).await?;
    }
    let response = frames.response().await?;
    ensure(response.status == 101, || {
        format!("status {}", response.status)
    })?;
    Ok("101".to_owned())
}

async fn no_upgrade(bench: Bench, line: &str, headers: &[(&str, &str)]) -> Step<String> {
    Frames::new(Box::new(bench.socket().await?))
        .upgrade()
        .await?;
    let mut frames = Frames::new(Box::new(bench.socket().await?));
    bench.stage("waiting for a refusal");
    match frames.request(line, headers).await {
        Ok(response) if response.status == 101 => fail("101"),
        Ok(response) => Ok(format!("status {}", response.status)),
        Err(_) => Ok("closed".to_owned()),
    }
}

async fn not_http(bench: Bench) -> Step<String> {
    Frames::new(Box::new(bench.socket().await?))
        .upgrade()
        .await?;
    let mut frames = Frames::new(Box::new(bench.socket().await?));
    bench.stage("waiting for a refusal");
    frames
        .send_raw(&[&multistream::propose(&[NOISE])[..], b"\r\n\r\n"].concat())
        .await?;
    match frames.response().await {
        Ok(response) if response.status == 101 => fail("101"),
        Ok(response) => Ok(format!("status {}", response.status)),
        Err(_) => Ok("closed".to_owned()),
    }
}

async fn agreed(bench: &Bench) -> Step<Channel> {
    bench.agreed(bench.security()).await
}

async fn binary(bench: Bench) -> Step<String> {
    let mut channel = agreed(&bench).await?;
    let opcodes = channel
        .frames()
        .map(|frames| frames.opcodes.clone())
        .unwrap_or_default();
    let fine = [opcode::BINARY, opcode::CONTINUATION];
    ensure(opcodes.iter().all(|opcode| fine.contains(opcode)), || {
        format!("opcodes {opcodes:?}")
    })?;
    Ok(format!("opcodes {opcodes:?}"))
}

async fn unmasked(bench: Bench) -> Step<String> {
    let mut channel = agreed(&bench).await?;
    let masked = channel.frames().is_some_and(|frames| frames.masked);
    ensure(!masked, || "a masked frame came".to_owned())?;
    Ok("none was masked".to_owned())
}

async fn answered(bench: &Bench, channel: &mut Channel) -> Step<String> {
    multistream::read_header(channel).await?;
    multistream::expect(channel, bench.security()).await?;
    Ok("agreed".to_owned())
}

async fn bytewise(bench: Bench) -> Step<String> {
    let mut channel = bench.pipe().await?;
    for byte in multistream::propose(&[bench.security()]) {
        channel.send(&[byte]).await?;
    }
    answered(&bench, &mut channel).await
}

async fn raw(channel: &mut Channel, bytes: &[u8]) -> Step<()> {
    match channel.frames() {
        Some(frames) => Ok(frames.send_raw(bytes).await?),
        None => fail("not a WebSocket"),
    }
}

async fn works(bench: Bench, frames: fn(&[u8]) -> Vec<u8>) -> Step<String> {
    let mut channel = bench.pipe().await?;
    let bytes = frames(&multistream::propose(&[bench.security()]));
    raw(&mut channel, &bytes).await?;
    answered(&bench, &mut channel).await
}

async fn ping(bench: Bench, body: &'static [u8]) -> Step<String> {
    let mut channel = agreed(&bench).await?;
    raw(&mut channel, &frame(opcode::PING, body)).await?;
    bench.stage("waiting for a pong");
    while channel
        .frames()
        .is_some_and(|frames| frames.pongs.is_empty())
    {
        ensure(channel.fill().await?, || "the peer closed".to_owned())?;
    }
    let pong = channel
        .frames()
        .and_then(|frames| frames.pongs.pop())
        .unwrap_or_default();
    ensure(pong == body, || format!("a pong of {} bytes", pong.len()))?;
    Ok("answered".to_owned())
}

/// These bytes must end the connection, on which something was agreed before.
async fn fails(bench: Bench, bytes: Vec<u8>) -> Step<String> {
    let mut channel = agreed(&bench).await?;
    raw(&mut channel, &bytes).await?;
    bench.stage("waiting for a close");
    let closed = channel.closed().await?;
    let code = channel.frames().and_then(|frames| frames.close_code);
    Ok(code.map_or(closed, |code| format!("close frame with {code}")))
}
