//! `libp2p/specs identify/README.md`: what the node says of itself, and what it takes from us.

mod push;
mod record;

use multiaddr::{Multiaddr, Protocol};

use crate::{
    bench::{PING, ping},
    case::{Bench, Case, Document, Need, Rule, Step, Stop, case, ensure, fail},
    speak::{
        channel::Talk,
        connection::Connection,
        multistream,
        pb::{self, Field},
    },
};

pub(super) use push::CASES as PUSH;
pub(super) use record::CASES as RECORD;

const SPEC: Document = Document("libp2p/specs identify/README.md");
const ID: &str = "/ipfs/id/1.0.0";

const MESSAGE: Rule = SPEC.must(
    "identify",
    "the peer answers with its Identify message and closes the stream",
);
const KEY: Rule = SPEC.must(
    "publicKey",
    "the key is the peer's, as peer ids are made of it",
);

/// Numbers of the Identify message's fields.
mod field {
    pub(super) const KEY: u64 = 1;
    pub(super) const ADDRESS: u64 = 2;
    pub(super) const PROTOCOL: u64 = 3;
    pub(super) const OBSERVED: u64 = 4;
    pub(super) const VERSION: u64 = 5;
    pub(super) const AGENT: u64 = 6;
    pub(super) const RECORD: u64 = 8;
}

pub(super) const CASES: &[Case] = &[
    case(
        "identify/message",
        "the node says who it is, and closes",
        MESSAGE,
        Need::Streams,
        ["/ipfs/id/1.0.0", "a message, and the end of the stream"],
        |b| Box::pin(looked(b, |_, _| Ok("a message".to_owned()))),
    ),
    case(
        "identify/one-message",
        "the message has its length before it",
        SPEC.practice(
            "identify",
            "the message is length-delimited, and goes in one or a few parts",
        ),
        Need::Streams,
        [
            "/ipfs/id/1.0.0",
            "whole messages, and nothing behind the last",
        ],
        |b| Box::pin(looked(b, |said, _| Ok(format!("{} parts", said.parts)))),
    ),
    case(
        "identify/size",
        "the message is not too long for its readers",
        SPEC.practice(
            "The Identify Message",
            "rust-libp2p reads 4 KiB, go-libp2p 8 KiB a part",
        ),
        Need::Streams,
        ["/ipfs/id/1.0.0", "4 KiB at most in each part"],
        |b| {
            Box::pin(looked(b, |said, _| {
                ensure(said.longest <= 4096, || format!("{} bytes", said.longest))?;
                Ok(format!("{} bytes", said.longest))
            }))
        },
    ),
    case(
        "identify/key",
        "the key is that of the connection",
        KEY,
        Need::Streams,
        ["/ipfs/id/1.0.0", "publicKey, of which the peer id is made"],
        |b| Box::pin(named(b)),
    ),
    case(
        "identify/addresses",
        "listen addresses are multiaddresses",
        SPEC.must("listenAddrs", "these are multiaddresses, in binary"),
        Need::Streams,
        ["/ipfs/id/1.0.0", "listenAddrs that can be decoded"],
        |b| {
            Box::pin(looked(b, |said, _| {
                let all = addresses(said, field::ADDRESS)?;
                Ok(format!("{} addresses", all.len()))
            }))
        },
    ),
    case(
        "identify/observed-ip",
        "the observed address has the IP address that we come from",
        SPEC.must(
            "observedAddr",
            "this is the connection's source address as the peer sees it",
        ),
        Need::Streams,
        ["/ipfs/id/1.0.0", "our own IP address in observedAddr"],
        |b| Box::pin(looked(b, |said, bench| observed(said, bench, false))),
    ),
    case(
        "identify/observed-port",
        "the observed address has the port that we come from",
        SPEC.must("observedAddr", "over TCP it has the form /ip4/…/tcp/…"),
        Need::Streams,
        ["/ipfs/id/1.0.0", "our own port in observedAddr"],
        |b| Box::pin(looked(b, |said, bench| observed(said, bench, true))),
    ),
    case(
        "identify/protocols",
        "ping, which is served, is among the protocols",
        SPEC.must(
            "protocols",
            "this is a list of the protocols that the peer supports",
        ),
        Need::Streams,
        ["/ipfs/id/1.0.0", "/ipfs/ping/1.0.0 in protocols"],
        |b| {
            Box::pin(looked(b, |said, _| {
                let all = protocols(said);
                ensure(all.iter().any(|each| each == PING), || format!("{all:?}"))?;
                Ok(format!("{} protocols", all.len()))
            }))
        },
    ),
    case(
        "identify/protocols-served",
        "what is advertised can be had",
        SPEC.should(
            "protocols",
            "only protocols whose inbound streams are welcome are advertised",
        ),
        Need::Streams,
        [
            "each advertised protocol, on a stream of its own",
            "agreement",
        ],
        |b| Box::pin(served(b)),
    ),
    case(
        "identify/version",
        "the protocol version is told",
        SPEC.should("protocolVersion", "optional, but recommended"),
        Need::Streams,
        ["/ipfs/id/1.0.0", "protocolVersion, in UTF-8"],
        |b| Box::pin(looked(b, |said, _| text(said, field::VERSION))),
    ),
    case(
        "identify/agent",
        "the agent is told",
        SPEC.practice("agentVersion", "a free text, usually name/version"),
        Need::Streams,
        ["/ipfs/id/1.0.0", "agentVersion, in UTF-8"],
        |b| Box::pin(looked(b, |said, _| text(said, field::AGENT))),
    ),
    case(
        "identify/unknown-fields",
        "the message has no fields that nobody knows",
        SPEC.practice(
            "The Identify Message",
            "the fields are 1 to 6, and 8 for the signed record",
        ),
        Need::Streams,
        ["/ipfs/id/1.0.0", "fields 1 to 6 and 8"],
        |b| {
            Box::pin(looked(b, |said, _| {
                let odd = said.fields.iter().map(|field| field.number);
                let odd: Vec<u64> = odd.filter(|number| !matches!(number, 1..=6 | 8)).collect();
                ensure(odd.is_empty(), || format!("{odd:?}"))?;
                Ok("none".to_owned())
            }))
        },
    ),
    case(
        "identify/again",
        "the node says it as often as it is asked",
        MESSAGE,
        Need::Streams,
        [
            "/ipfs/id/1.0.0 three times on one connection",
            "the same key three times",
        ],
        |b| Box::pin(again(b)),
    ),
    case(
        "identify/with-data",
        "what we say on the stream means nothing",
        SPEC.practice(
            "identify",
            "the peer that is identified speaks, and nobody else",
        ),
        Need::Streams,
        ["/ipfs/id/1.0.0 and 100 bytes behind it", "the message"],
        |b| Box::pin(talkative(b)),
    ),
    case(
        "identify/ended",
        "our end before the answer does not prevent it",
        MESSAGE,
        Need::Streams,
        ["/ipfs/id/1.0.0 and the end of our side", "the message"],
        |b| Box::pin(ended(b)),
    ),
    case(
        "identify/reset",
        "a reset instead of listening harms nothing",
        MESSAGE,
        Need::Streams,
        ["/ipfs/id/1.0.0 and a reset, then a ping", "the ping's echo"],
        |b| Box::pin(reset(b)),
    ),
];

/// What the node said.
struct Said {
    fields: Vec<Field>,
    parts: usize,
    longest: usize,
}

fn parse(bytes: &[u8]) -> Step<Said> {
    let mut said = Said {
        fields: Vec::new(),
        parts: 0,
        longest: 0,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = pb::take_varint(&mut rest)? as usize;
        let Some((part, after)) = rest.split_at_checked(length) else {
            return fail(format!("a message of {length} bytes is cut off"));
        };
        said.fields.extend(pb::fields(part)?);
        said.longest = said.longest.max(length);
        (said.parts, rest) = (said.parts + 1, after);
    }
    ensure(said.parts > 0, || "no message came".to_owned())?;
    Ok(said)
}

async fn ask(connection: &mut Connection) -> Step<Said> {
    let id = connection.open().await?;
    multistream::agree(&mut connection.stream(id), ID).await?;
    connection.finish(id).await?;
    let (bytes, clean) = connection.read_to_end(id).await?;
    ensure(clean, || "the stream was reset".to_owned())?;
    parse(&bytes)
}

async fn looked(bench: Bench, look: fn(&Said, &Bench) -> Step<String>) -> Step<String> {
    let mut connection = bench.connection().await?;
    let said = ask(&mut connection).await?;
    look(&said, &bench)
}

/// The agent, for the report.
pub(crate) async fn agent(bench: Bench) -> Step<String> {
    looked(bench, |said, _| text(said, field::AGENT)).await
}

pub(super) async fn named(bench: Bench) -> Step<String> {
    looked(bench, |said, bench| {
        let keys = pb::all(&said.fields, field::KEY);
        let Some(key) = keys.last() else {
            return fail("there is no publicKey");
        };
        let Ok(key) = libp2p_identity::PublicKey::try_decode_protobuf(key) else {
            return fail("publicKey cannot be decoded");
        };
        let (is, named) = (key.to_peer_id(), bench.place.peer);
        ensure(is == named, || format!("{is} where {named} is connected"))?;
        Ok(is.to_string())
    })
    .await
}

fn addresses(said: &Said, number: u64) -> Step<Vec<Multiaddr>> {
    let mut all = Vec::new();
    for bytes in pb::all(&said.fields, number) {
        match Multiaddr::try_from(bytes.to_vec()) {
            Ok(address) => all.push(address),
            Err(error) => return fail(format!("{bytes:02x?}: {error}")),
        }
    }
    Ok(all)
}

fn observed(said: &Said, bench: &Bench, port: bool) -> Step<String> {
    let all = addresses(said, field::OBSERVED)?;
    let Some(address) = all.last() else {
        return fail("there is no observedAddr");
    };
    let Some(ours) = bench.local() else {
        return Err(Stop::Skip(
            "this transport does not tell our own address".to_owned(),
        ));
    };
    let same = address.iter().any(|protocol| match protocol {
        Protocol::Ip4(ip) if !port => ours.ip() == ip,
        Protocol::Ip6(ip) if !port => ours.ip() == ip,
        Protocol::Tcp(number) | Protocol::Udp(number) if port => ours.port() == number,
        _ => false,
    });
    ensure(same, || format!("{address}, where we are {ours}"))?;
    Ok(address.to_string())
}

fn protocols(said: &Said) -> Vec<String> {
    let names = pb::all(&said.fields, field::PROTOCOL).into_iter();
    names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

fn text(said: &Said, number: u64) -> Step<String> {
    match pb::all(&said.fields, number).last() {
        Some(bytes) if !bytes.is_empty() => {
            String::from_utf8(bytes.to_vec()).or_else(|_| fail("not UTF-8"))
        }
        _ => fail("it is not there"),
    }
}

async fn served(bench: Bench) -> Step<String> {
    let mut connection = bench.connection().await?;
    let said = ask(&mut connection).await?;
    let all = protocols(&said);
    for protocol in all.iter().take(SERVED_MAX) {
        let id = connection.open().await?;
        multistream::agree(&mut connection.stream(id), protocol).await?;
        connection.reset(id).await?;
    }
    Ok(format!("{} protocols", all.len()))
}

const SERVED_MAX: usize = 64;

async fn again(bench: Bench) -> Step<String> {
    let mut connection = bench.connection().await?;
    let mut keys = Vec::new();
    for _ in 0..3 {
        let said = ask(&mut connection).await?;
        keys.push(pb::all(&said.fields, field::KEY).concat());
    }
    ensure(keys.windows(2).all(|two| two[0] == two[1]), || {
        "the key changed".to_owned()
    })?;
    Ok("three times".to_owned())
}

async fn talkative(bench: Bench) -> Step<String> {
    let mut connection = bench.connection().await?;
    let id = connection.open().await?;
    multistream::agree(&mut connection.stream(id), ID).await?;
    // The node may have closed its reading side already.
    let _ = connection.stream(id).send(&[7; 100]).await;
    let (bytes, _) = connection.read_to_end(id).await?;
    parse(&bytes)?;
    ping(&mut connection).await?;
    Ok("a message".to_owned())
}

/// A stream on which identify was proposed, and nobody has read the answer.
async fn proposed(bench: &Bench) -> Step<(Connection, u32)> {
    let mut connection = bench.connection().await?;
    let id = connection.open().await?;
    let proposal = multistream::propose(&[ID]);
    connection.stream(id).send(&proposal).await?;
    Ok((connection, id))
}

async fn ended(bench: Bench) -> Step<String> {
    let (mut connection, id) = proposed(&bench).await?;
    connection.finish(id).await?;
    let mut stream = connection.stream(id);
    multistream::read_header(&mut stream).await?;
    multistream::expect(&mut stream, ID).await?;
    let (bytes, _) = connection.read_to_end(id).await?;
    parse(&bytes)?;
    Ok("a message".to_owned())
}

async fn reset(bench: Bench) -> Step<String> {
    let (mut connection, id) = proposed(&bench).await?;
    connection.reset(id).await?;
    ping(&mut connection).await?;
    Ok("another stream echoes".to_owned())
}
