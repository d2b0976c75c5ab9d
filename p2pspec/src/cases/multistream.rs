//! multistream-select 1.0, in the three places where it is spoken: on a new connection, inside the security, and on each stream.

mod right;
mod wrong;

use crate::{
    bench::{NOISE, PING, YAMUX, ping},
    case::{Bench, Document, Step, Stop, ensure, fail},
    speak::{
        channel::{Channel, Talk},
        connection::Connection,
        multistream::{self, HEADER, message, propose},
        pb, yamux,
    },
};

const SPEC: Document = Document("multiformats/multistream-select README.md");
const CONNECTIONS: Document = Document("libp2p/specs connections/README.md");

pub(super) use right::CASES;
pub(super) use wrong::CASES as WRONG;

/// Where multistream-select is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a new connection: the security.
    Connection,
    /// Inside the security: the muxer.
    Muxer,
    /// On a new stream: what an application speaks.
    Stream,
}

/// Something on which nothing was negotiated yet, and what could be.
pub(super) struct Line {
    way: Way,
    pub(super) protocol: &'static str,
}

enum Way {
    Channel(Box<Channel>),
    Stream(Connection, u32),
}

impl Line {
    pub(super) async fn new(bench: &Bench, place: Place) -> Step<Self> {
        Ok(match place {
            Place::Connection => Self {
                way: Way::Channel(Box::new(bench.pipe().await?)),
                protocol: bench.security(),
            },
            Place::Muxer => Self {
                way: Way::Channel(Box::new(bench.noise().await?)),
                protocol: if bench.place.offers.yamux {
                    YAMUX
                } else {
                    crate::bench::MPLEX
                },
            },
            Place::Stream => {
                let mut connection = bench.connection().await?;
                let id = connection.open().await?;
                Self {
                    way: Way::Stream(connection, id),
                    protocol: PING,
                }
            }
        })
    }

    /// The streams' connection must have outlived what happened on one of them.
    pub(super) async fn survived(&mut self) -> Step<()> {
        match &mut self.way {
            Way::Channel(_) => Ok(()),
            Way::Stream(connection, _) => match ping(connection).await {
                Err(Stop::Fail(why)) => fail(format!("the connection did not outlive it: {why}")),
                other => other,
            },
        }
    }

    async fn finish(&mut self) -> Step<()> {
        match &mut self.way {
            Way::Channel(channel) => Ok(channel.finish().await?),
            Way::Stream(connection, id) => connection.finish(*id).await,
        }
    }
}

impl Talk for Line {
    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.way {
            Way::Channel(channel) => channel.send(bytes).await,
            Way::Stream(connection, id) => connection.stream(*id).send(bytes).await,
        }
    }

    async fn take(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        match &mut self.way {
            Way::Channel(channel) => channel.take(count).await,
            Way::Stream(connection, id) => connection.stream(*id).take(count).await,
        }
    }
}

pub(super) async fn together(bench: Bench, place: Place) -> Step<String> {
    let mut line = Line::new(&bench, place).await?;
    let protocol = line.protocol;
    multistream::agree(&mut line, protocol).await?;
    Ok(format!("{HEADER}, {protocol}"))
}

pub(super) async fn apart(bench: Bench, place: Place) -> Step<String> {
    let mut line = Line::new(&bench, place).await?;
    let protocol = line.protocol;
    line.send(&message(HEADER)).await?;
    bench.stage("waiting for the header, before any proposal");
    multistream::read_header(&mut line).await?;
    line.send(&message(protocol)).await?;
    multistream::expect(&mut line, protocol).await?;
    Ok("the header came before the proposal".to_owned())
}

pub(super) async fn bytewise(bench: Bench, place: Place) -> Step<String> {
    let mut line = Line::new(&bench, place).await?;
    let protocol = line.protocol;
    for byte in propose(&[protocol]) {
        line.send(&[byte]).await?;
    }
    multistream::read_header(&mut line).await?;
    multistream::expect(&mut line, protocol).await?;
    Ok(format!("{protocol} agreed"))
}

pub(super) async fn not_available(bench: Bench, place: Place, proposed: &str) -> Step<String> {
    let mut line = Line::new(&bench, place).await?;
    line.send(&propose(&[proposed])).await?;
    multistream::read_header(&mut line).await?;
    multistream::expect(&mut line, "na").await?;
    line.survived().await?;
    Ok("na".to_owned())
}

pub(super) async fn altered(bench: Bench, place: Place, alter: fn(&str) -> String) -> Step<String> {
    let protocol = match place {
        Place::Connection => bench.security(),
        Place::Muxer => YAMUX,
        Place::Stream => PING,
    };
    not_available(bench, place, &alter(protocol)).await
}

pub(super) async fn tries(bench: Bench, place: Place, count: usize, at_once: bool) -> Step<String> {
    let mut line = Line::new(&bench, place).await?;
    let protocol = line.protocol;
    let unknown = |at| format!("/p2pspec/nobody/{at}.0.0");
    line.send(&message(HEADER)).await?;
    if at_once {
        let names: Vec<_> = (0..count).map(unknown).collect();
        let names = names.iter().map(String::as_str).chain([protocol]);
        let all: Vec<_> = names.flat_map(message).collect();
        line.send(&all).await?;
        multistream::read_header(&mut line).await?;
        for _ in 0..count {
            multistream::expect(&mut line, "na").await?;
        }
    } else {
        for at in 0..count {
            line.send(&message(&unknown(at))).await?;
            if at == 0 {
                multistream::read_header(&mut line).await?;
            }
            multistream::expect(&mut line, "na").await?;
        }
        line.send(&message(protocol)).await?;
    }
    multistream::expect(&mut line, protocol).await?;
    Ok(format!("{count} na, then {protocol}"))
}

/// A list as js and old go send it, or na; then the negotiation goes on.
pub(super) async fn list(bench: Bench, place: Place) -> Step<String> {
    let mut line = Line::new(&bench, place).await?;
    let protocol = line.protocol;
    line.send(&propose(&["ls"])).await?;
    multistream::read_header(&mut line).await?;
    let mut said = Vec::new();
    loop {
        let byte = line.take(1).await?[0];
        said.push(byte);
        if byte & 0x80 == 0 || said.len() > 9 {
            break;
        }
    }
    let length = pb::take_varint(&mut &said[..])?;
    ensure((1..64 * 1024).contains(&length), || {
        format!("an answer of {length} bytes")
    })?;
    let body = line.take(length as usize).await?;
    let seen = if body == b"na\n" {
        "na".to_owned()
    } else {
        ensure(body.last() == Some(&b'\n'), || {
            "the list does not end with a newline".to_owned()
        })?;
        let count = listed(&body[..body.len() - 1])?;
        format!("a list of {count}")
    };
    line.send(&message(protocol)).await?;
    multistream::expect(&mut line, protocol).await?;
    Ok(format!("{seen}, then {protocol}"))
}

fn listed(mut body: &[u8]) -> Step<usize> {
    let mut count = 0;
    while !body.is_empty() {
        let length = pb::take_varint(&mut body)? as usize;
        let Some((entry, rest)) = body.split_at_checked(length) else {
            return fail("an entry of the list is cut off");
        };
        ensure(entry.last() == Some(&b'\n'), || {
            "an entry of the list has no newline".to_owned()
        })?;
        (count, body) = (count + 1, rest);
    }
    Ok(count)
}

pub(super) async fn noise_at_once(bench: Bench) -> Step<String> {
    let mut handshake = crate::speak::noise::Handshake::new(bench.pipe().await?);
    let first = handshake.first(&[]);
    let all = [propose(&[NOISE]), crate::speak::noise::frame(&first)].concat();
    handshake.channel.send(&all).await?;
    multistream::read_header(&mut handshake.channel).await?;
    multistream::expect(&mut handshake.channel, NOISE).await?;
    handshake.hear().await?;
    handshake.verify()?;
    Ok("message 2 came".to_owned())
}

pub(super) async fn yamux_at_once(bench: Bench) -> Step<String> {
    let mut channel = bench.noise().await?;
    let frame = yamux::head(yamux::PING, yamux::SYN, 0, 7);
    channel
        .send(&[propose(&[YAMUX]), frame.encode()].concat())
        .await?;
    multistream::read_header(&mut channel).await?;
    multistream::expect(&mut channel, YAMUX).await?;
    let mut session = yamux::Yamux::new(channel);
    let is = |frame: &yamux::Frame| frame.kind == yamux::PING && frame.has(yamux::ACK);
    let answer = session.wait("answer to the ping", is).await?;
    ensure(answer.length == 7, || {
        format!("the value is {}, not 7", answer.length)
    })?;
    Ok("the ping was answered".to_owned())
}

pub(super) async fn ping_at_once(bench: Bench) -> Step<String> {
    let mut line = Line::new(&bench, Place::Stream).await?;
    let payload: [u8; 32] = rand::random();
    line.send(&[&propose(&[PING])[..], &payload].concat())
        .await?;
    multistream::read_header(&mut line).await?;
    multistream::expect(&mut line, PING).await?;
    let echo = line.take(32).await?;
    ensure(echo == payload, || "the echo differs".to_owned())?;
    Ok("echoed".to_owned())
}

/// First it is shown that the node would have gone on.
pub(super) async fn ended(bench: Bench, place: Place) -> Step<String> {
    let mut control = Line::new(&bench, place).await?;
    let protocol = control.protocol;
    multistream::agree(&mut control, protocol).await?;
    let mut line = Line::new(&bench, place).await?;
    line.finish().await?;
    bench.stage("waiting for the other side to end, too");
    let heard = wrong::drain(&mut line).await;
    line.survived().await?;
    Ok(format!("ended after {} bytes", heard.len()))
}

pub(super) async fn interleaved(bench: Bench) -> Step<String> {
    let mut connection = bench.connection().await?;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(connection.open().await?);
    }
    for id in &ids {
        connection.stream(*id).send(&message(HEADER)).await?;
    }
    let name = |at: usize| {
        if at.is_multiple_of(2) {
            PING
        } else {
            "/p2pspec/nobody/1.0.0"
        }
    };
    for (at, id) in ids.iter().enumerate() {
        connection.stream(*id).send(&message(name(at))).await?;
    }
    for (at, id) in ids.iter().enumerate().rev() {
        let mut stream = connection.stream(*id);
        multistream::read_header(&mut stream).await?;
        let wanted = if at.is_multiple_of(2) { PING } else { "na" };
        multistream::expect(&mut stream, wanted).await?;
    }
    Ok("eight streams".to_owned())
}

pub(super) async fn beside_silence(bench: Bench) -> Step<String> {
    let mut connection = bench.connection().await?;
    connection.open().await?;
    let half = connection.open().await?;
    connection.stream(half).send(&message(HEADER)[..5]).await?;
    ping(&mut connection).await?;
    Ok("a ping beside a silent stream and half a header".to_owned())
}
