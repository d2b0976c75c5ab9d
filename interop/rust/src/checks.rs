//! What the dialer checks. `run` drives the swarm while a check works with streams.

use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt, future::join_all, future::try_join};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use sha2::{Digest, Sha256};

use crate::{
    CHECK_TIMEOUT,
    node::Node,
    requests,
    serve::{
        BULK, ECHO, HASH, LAST_OBSERVE, LAST_SOURCE, NOTHING, OBSERVE, RESET, SOURCE, send_bulk,
        source_bytes, was_reset,
    },
    transport::Options,
};

pub const CHECKS: [&str; 14] = [
    "connect",
    "identify",
    "ping",
    "echo",
    "sequential",
    "concurrent",
    "half-close",
    "unsupported",
    "reset",
    "wrong-peer",
    "connections",
    "bulk",
    "request-cbor",
    "request-json",
];
/// How many of them every stack has; the others are for those who have request-response, and run only when they are named.
pub const EVERYBODYS: usize = 12;

/// How long a check may take.
pub fn deadline(name: &str, options: &Options) -> Duration {
    match name {
        "connections" => 3 * CHECK_TIMEOUT,
        "bulk" => CHECK_TIMEOUT + Duration::from_secs(options.bulk_bytes >> 20),
        _ => CHECK_TIMEOUT,
    }
}

#[derive(Clone)]
pub enum Outcome {
    Passed(String),
    /// This pair of stacks cannot do it.
    Skip(String),
}

type Result<T> = std::result::Result<T, String>;

pub async fn run(
    name: &str,
    node: &mut Node,
    peer: PeerId,
    address: &Multiaddr,
    options: &Options,
) -> Result<Outcome> {
    match name {
        "identify" => return identify(node).await,
        "ping" => return ping(node).await,
        "wrong-peer" => return wrong_peer(node, address).await,
        "connections" => return connections(peer, address, options).await,
        "request-cbor" | "request-json" => return requests::check(name, node, peer).await,
        _ => {}
    }
    let remote = Remote {
        streams: node.streams.clone(),
        peer,
    };
    let check = async {
        match name {
            "echo" => remote.echo(1 << 20).await,
            "sequential" => remote.sequential().await,
            "concurrent" => remote.concurrent().await,
            "half-close" => remote.half_close().await,
            "unsupported" => remote.unsupported().await,
            "reset" => remote.reset(options).await,
            "bulk" => remote.bulk(options.bulk_bytes).await,
            _ => Err(format!("no such check: {name}")),
        }
    };
    tokio::select! {
        result = check => result,
        never = node.drive() => match never {},
    }
}

pub async fn connect(node: &mut Node, peer: PeerId, address: &Multiaddr) -> Result<Outcome> {
    node.dial(peer, address.clone()).await?;
    Ok(Outcome::Passed(address.to_string()))
}

async fn identify(node: &mut Node) -> Result<Outcome> {
    let info = loop {
        match node.identified.take() {
            Some(result) => break result?,
            None => node.step().await,
        }
    };
    if info.agent_version.is_empty() {
        return Err("no agent version".to_owned());
    }
    if !info.protocols.contains(&libp2p::ping::PROTOCOL_NAME) {
        return Err(format!(
            "ping is not among the protocols {:?}",
            info.protocols
        ));
    }
    Ok(Outcome::Passed(format!(
        "{}, {} protocols",
        info.agent_version,
        info.protocols.len()
    )))
}

async fn ping(node: &mut Node) -> Result<Outcome> {
    while node.pings.len() < 3 {
        node.step().await;
    }
    let trips: Result<Vec<_>> = node.pings.iter().take(3).cloned().collect();
    Ok(Outcome::Passed(
        trips?
            .iter()
            .map(|trip| format!("{trip:?}"))
            .collect::<Vec<_>>()
            .join(" "),
    ))
}

async fn wrong_peer(node: &mut Node, address: &Multiaddr) -> Result<Outcome> {
    match node.dial(PeerId::random(), address.clone()).await {
        Ok(()) => Err("the connection was made".to_owned()),
        Err(e) if e.contains("Unexpected peer ID") => Ok(Outcome::Passed(e)),
        Err(e) => Err(format!("the error names no mismatch: {e}")),
    }
}

/// A hundred connections in turn, with one echo on each.
async fn connections(peer: PeerId, address: &Multiaddr, options: &Options) -> Result<Outcome> {
    let mut node = Node::new(options)?;
    for i in 1..=100 {
        let once = async {
            node.dial(peer, address.clone()).await?;
            let remote = Remote {
                streams: node.streams.clone(),
                peer,
            };
            tokio::select! {
                result = remote.echo(100) => result?,
                never = node.drive() => match never {},
            };
            node.hang_up(peer).await
        };
        once.await
            .map_err(|e| format!("connection {i} of 100: {e}"))?;
    }
    Ok(Outcome::Passed("100 connections".to_owned()))
}

struct Remote {
    streams: Control,
    peer: PeerId,
}

impl Remote {
    async fn open(&self, protocol: StreamProtocol) -> std::result::Result<Stream, OpenStreamError> {
        self.streams.clone().open_stream(self.peer, protocol).await
    }

    /// Sends `data` in 64 KiB pieces, half-closes, and meanwhile reads to the end: at most `data.len()` or 64 bytes, and one more.
    async fn exchange(&self, protocol: StreamProtocol, data: &[u8]) -> Result<Vec<u8>> {
        let (reader, mut writer) = self.open(protocol).await.map_err(text)?.split();
        let mut got = Vec::new();
        let write = async {
            for piece in data.chunks(64 << 10) {
                writer
                    .write_all(piece)
                    .await
                    .map_err(|e| format!("write: {e}"))?;
                writer.flush().await.map_err(|e| format!("flush: {e}"))?;
            }
            writer.close().await.map_err(|e| format!("close: {e}"))
        };
        let mut reader = reader.take(data.len().max(64) as u64 + 1);
        let read = async {
            reader
                .read_to_end(&mut got)
                .await
                .map_err(|e| format!("read: {e}"))
        };
        try_join(write, read).await?;
        Ok(got)
    }

    async fn echo(&self, len: usize) -> Result<Outcome> {
        let data = bytes(len);
        let got = self.exchange(ECHO, &data).await?;
        if Sha256::digest(&got) != Sha256::digest(&data) {
            return Err(format!("{} other bytes came back", got.len()));
        }
        Ok(Outcome::Passed(format!("{len} bytes")))
    }

    async fn sequential(&self) -> Result<Outcome> {
        for i in 1..=50 {
            self.echo(100)
                .await
                .map_err(|e| format!("stream {i} of 50: {e}"))?;
        }
        Ok(Outcome::Passed("50 streams".to_owned()))
    }

    async fn concurrent(&self) -> Result<Outcome> {
        let results = join_all((0..100).map(|_| self.echo(1 << 10))).await;
        let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        match failures.first() {
            None => Ok(Outcome::Passed("100 streams".to_owned())),
            Some(first) => Err(format!(
                "{} of 100 streams failed, the first with: {first}",
                failures.len()
            )),
        }
    }

    async fn half_close(&self) -> Result<Outcome> {
        let data = bytes(100 << 10);
        let hash = self
            .exchange(HASH, &data)
            .await
            .map_err(|e| format!("hash: {e}"))?;
        if hash != Sha256::digest(&data).as_slice() {
            return Err(format!("hash: {} wrong bytes", hash.len()));
        }

        let mut stream = self.open(SOURCE).await.map_err(text)?;
        let mut got = Vec::new();
        stream
            .read_to_end(&mut got)
            .await
            .map_err(|e| format!("source: {e}"))?;
        if got != source_bytes() {
            return Err(format!("source: {} bytes, not those expected", got.len()));
        }
        stream
            .write_all(&bytes(1 << 10))
            .await
            .map_err(|e| format!("source: write after the remote's end: {e}"))?;
        stream
            .close()
            .await
            .map_err(|e| format!("source: close: {e}"))?;
        match self.ask(LAST_SOURCE).await?.as_str() {
            "1024" => Ok(Outcome::Passed("both directions".to_owned())),
            other => Err(format!("the listener counted {other:?}, not 1024")),
        }
    }

    async fn unsupported(&self) -> Result<Outcome> {
        let refused = match self.open(NOTHING).await {
            Ok(_) => return Err("the stream was opened".to_owned()),
            Err(e @ OpenStreamError::UnsupportedProtocol(_)) => e.to_string(),
            Err(e) => return Err(format!("another error: {e}")),
        };
        self.echo(100)
            .await
            .map_err(|e| format!("echo afterwards: {e}"))?;
        Ok(Outcome::Passed(refused))
    }

    /// Sends a lot, and then receives as much, with a hash at each end.
    async fn bulk(&self, len: u64) -> Result<Outcome> {
        let up = |e| format!("up: {e}");
        let mut stream = self.open(BULK).await.map_err(text)?;
        let start = Instant::now();
        stream.write_all(&len.to_be_bytes()).await.map_err(up)?;
        let sum = send_bulk(&mut stream, len).await.map_err(up)?;
        stream.close().await.map_err(up)?;
        let mut theirs = [0; 32];
        stream.read_exact(&mut theirs).await.map_err(up)?;
        if theirs != *sum {
            return Err("the listener has another hash of what went up".to_owned());
        }
        let up = start.elapsed();
        let start = Instant::now();
        let (mut hash, mut left, mut piece) = (Sha256::new(), len, vec![0; 256 << 10]);
        while left > 0 {
            let room = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match stream.read(&mut piece[..room]).await {
                Ok(0) => return Err(format!("down: an end {left} bytes too early")),
                Ok(n) => {
                    hash.update(&piece[..n]);
                    left -= n as u64;
                }
                Err(e) => return Err(format!("down with {left} bytes to go: {e}")),
            }
        }
        let mut theirs = Vec::new();
        stream
            .read_to_end(&mut theirs)
            .await
            .map_err(|e| format!("down: {e}"))?;
        if theirs != hash.finalize().as_slice() {
            return Err("down: another hash than the listener's".to_owned());
        }
        let mib = len >> 20;
        let speed = |took: Duration| mib as f64 / took.as_secs_f64();
        Ok(Outcome::Passed(format!(
            "{mib} MiB each way, up {:.0} MiB/s, down {:.0} MiB/s",
            speed(up),
            speed(start.elapsed())
        )))
    }

    async fn reset(&self, options: &Options) -> Result<Outcome> {
        let mut stream = self.open(OBSERVE).await.map_err(text)?;
        stream
            .write_all(&bytes(1 << 10))
            .await
            .map_err(|e| format!("observe: {e}"))?;
        stream.flush().await.map_err(|e| format!("observe: {e}"))?;
        drop(stream); // rust-libp2p's reset
        let saw = self.ask(LAST_OBSERVE).await?;
        let cannot = options.is_quic() && saw == "eof 1024";
        if saw != "reset" && saw != "indistinct" && !cannot {
            return Err(format!("the listener saw {saw:?}, not a reset"));
        }

        let mut stream = self.open(RESET).await.map_err(text)?;
        stream
            .write_all(&[1])
            .await
            .map_err(|e| format!("reset: {e}"))?;
        stream.flush().await.map_err(|e| format!("reset: {e}"))?;
        let how = match stream.read_to_end(&mut Vec::new()).await {
            Err(e) => e.to_string(),
            Ok(_) if was_reset(&mut stream, options.is_quic()).await => {
                "reads as an end, but a write then fails".to_owned()
            }
            Ok(_) if !cannot => return Err("the listener's reset is a clean end here".to_owned()),
            Ok(_) => String::new(),
        };
        if cannot {
            return Ok(Outcome::Skip(QUIC_NO_RESET.to_owned()));
        }
        if saw == "indistinct" {
            return Ok(Outcome::Skip(
                "the other side's stack cannot tell a reset from an end".to_owned(),
            ));
        }
        Ok(Outcome::Passed(format!("both directions: {how}")))
    }

    /// A question without a body.
    async fn ask(&self, protocol: StreamProtocol) -> Result<String> {
        let answer = self
            .exchange(protocol.clone(), &[])
            .await
            .map_err(|e| format!("{protocol}: {e}"))?;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }
}

const QUIC_NO_RESET: &str =
    "rust-libp2p has no call to reset a QUIC stream, and one that is dropped ends cleanly";

fn text(error: OpenStreamError) -> String {
    error.to_string()
}

/// Bytes that do not repeat at any power of two, so that a swapped or lost piece shows.
fn bytes(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}
