//! The dialer's checks, in the order in which they run.

use std::time::Duration;

use aws_lc_rs::digest;
use carrick::{
    AttemptError, Code, Connection, DialError, Keypair, Node, OpenError, Protocol, StreamError,
};
use futures::future::join_all;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    ECHO, Error, HASH, LAST, LAST_SOURCE, OBSERVE, Options, RESET, Result, SOURCE, SOURCE_LEN,
    STREAM_MAX, bulk, report, requests,
};

/// What came of a check that did not fail.
pub(crate) enum Verdict {
    Passed(String),
    Skipped(String),
}

const NAMES: [&str; 12] = [
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
];
/// For stacks that have request-response; they run only when they are named.
const REQUESTS: [&str; 2] = ["request-cbor", "request-json"];
/// Bounds for what hangs, not for what is slow: a busy machine must not meet them.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);
/// For all but the checks with a deadline of their own.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(180);
const CONNECTIONS: usize = 100;
const PIECE: usize = 64 << 10;

/// Runs the checks and reports each; false when one failed.
pub(crate) async fn run(address: &str, options: &Options) -> Result<bool> {
    let named = REQUESTS.into_iter().filter(|name| options.names(name));
    let names = NAMES.into_iter().filter(|name| options.asks(name));
    let names: Vec<_> = names.chain(named).collect();
    let own = names
        .iter()
        .map(|name| limit(name, options) - CHECK_TIMEOUT * options.slow);
    let deadline = PROGRAM_TIMEOUT * options.slow + own.sum::<Duration>();
    timeout(deadline, run_all(address, options, &names))
        .await
        .unwrap_or_else(|_| Err(format!("not done after {} s", deadline.as_secs()).into()))
}

/// How long a check may take.
fn limit(name: &str, options: &Options) -> Duration {
    let limit = match name {
        "connections" => 3 * CHECK_TIMEOUT,
        "bulk" => CHECK_TIMEOUT + Duration::from_secs(options.bulk_bytes >> 20),
        _ => CHECK_TIMEOUT,
    };
    limit * options.slow
}

async fn run_all(address: &str, options: &Options, names: &[&str]) -> Result<bool> {
    let node = options.builder()?.spawn().await?;
    let mut good = true;
    let connection = match timeout(CHECK_TIMEOUT * options.slow, node.dial(address)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            report("connect", &Err(error.into()));
            return Ok(false);
        }
        Err(_) => {
            report("connect", &Err("timed out".into()));
            return Ok(false);
        }
    };
    for name in names {
        let check = async {
            match *name {
                "connect" => connect(&connection),
                "identify" => identify(&connection).await,
                "ping" => ping(&connection).await,
                "echo" => echo(&connection).await,
                "sequential" => sequential(&connection).await,
                "concurrent" => concurrent(&connection).await,
                "half-close" => half_close(&connection).await,
                "unsupported" => unsupported(&connection).await,
                "reset" => reset(&connection).await,
                "wrong-peer" => wrong_peer(&connection, options).await,
                "connections" => connections(address, options).await,
                "request-cbor" | "request-json" => {
                    requests::check(name, &node, connection.peer()).await
                }
                _ => bulk::check(&connection, options.bulk_bytes).await,
            }
        };
        let limit = limit(name, options);
        let outcome = timeout(limit, check)
            .await
            .unwrap_or_else(|_| Err(format!("timed out after {} s", limit.as_secs()).into()));
        good &= outcome.is_ok();
        report(name, &outcome);
    }
    connection.close().await;
    node.close().await;
    Ok(good)
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

pub(crate) fn passed(detail: impl Into<String>) -> Result<Verdict> {
    Ok(Verdict::Passed(detail.into()))
}

fn connect(connection: &Connection) -> Result<Verdict> {
    let summary = connection.summary();
    passed(format!(
        "{} {}{}, {} round trip(s)",
        summary.security,
        summary.muxer,
        if summary.early_muxer {
            " within the handshake"
        } else {
            ""
        },
        summary.round_trips
    ))
}

async fn identify(connection: &Connection) -> Result<Verdict> {
    let info = connection
        .info()
        .await
        .ok_or("the peer did not identify itself")?;
    let agent = info.agent.clone().ok_or("no agent version")?;
    if !info
        .protocols
        .iter()
        .any(|protocol| protocol.as_str() == "/ipfs/ping/1.0.0")
    {
        return Err("the protocol list lacks ping".into());
    }
    passed(format!("{agent}, {} protocols", info.protocols.len()))
}

async fn ping(connection: &Connection) -> Result<Verdict> {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        fastest = fastest.min(connection.ping().await?);
    }
    passed(format!("{} µs", fastest.as_micros()))
}

/// Sends `bytes` in pieces and reads them back at the same time.
async fn echo_bytes(connection: &Connection, bytes: &[u8]) -> Result {
    let stream = connection.open_stream(ECHO).await?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        for piece in bytes.chunks(PIECE) {
            writer.write_all(piece).await?;
        }
        writer.shutdown().await
    };
    let mut back = Vec::with_capacity(bytes.len());
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut back);
    tokio::try_join!(write, read)?;
    if sha256(&back) != sha256(bytes) {
        return Err(format!("{} bytes came back for {}", back.len(), bytes.len()).into());
    }
    Ok(())
}

async fn echo(connection: &Connection) -> Result<Verdict> {
    echo_bytes(connection, &pattern(1 << 20)).await?;
    passed("1048576 bytes")
}

async fn sequential(connection: &Connection) -> Result<Verdict> {
    for _ in 0..50 {
        echo_bytes(connection, &pattern(100)).await?;
    }
    passed("50 streams")
}

async fn concurrent(connection: &Connection) -> Result<Verdict> {
    let bytes = pattern(1024);
    // All of them end before the next check, whatever becomes of the first.
    let ended = join_all((0..100).map(|_| echo_bytes(connection, &bytes))).await;
    let failed: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
    match failed.first() {
        None => passed("100 streams"),
        Some(first) => {
            Err(format!("{} of 100 streams failed, the first: {first}", failed.len()).into())
        }
    }
}

async fn half_close(connection: &Connection) -> Result<Verdict> {
    let bytes = pattern(100 << 10);
    let mut stream = connection.open_stream(HASH).await?;
    stream.write_all(&bytes).await?;
    stream.finish().await?;
    if stream.read_to_end(STREAM_MAX).await? != sha256(&bytes) {
        return Err("the hash is wrong".into());
    }
    let mut stream = connection.open_stream(SOURCE).await?;
    if stream.read_to_end(STREAM_MAX).await? != pattern(SOURCE_LEN) {
        return Err("the source's bytes are wrong".into());
    }
    stream.write_all(&pattern(1024)).await?;
    stream.finish().await?;
    let count = ask(connection, LAST_SOURCE).await?;
    if count != "1024" {
        return Err(
            format!("after its end the listener read {count:?} instead of 1024 bytes").into(),
        );
    }
    passed("both ways")
}

async fn ask(connection: &Connection, protocol: &str) -> Result<String> {
    let mut stream = connection.open_stream(protocol).await?;
    match stream.finish().await {
        // Over QUIC, whoever has answered already may have gone without waiting for our end.
        Ok(()) | Err(StreamError::Reset(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let answer = stream.read_to_end(1024).await?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

async fn unsupported(connection: &Connection) -> Result<Verdict> {
    match connection.open_stream("/interop/nothing/1.0.0").await {
        Err(error @ OpenError::Unsupported { .. }) => {
            echo_bytes(connection, &pattern(100)).await?;
            passed(error.to_string())
        }
        Err(error) => Err(format!("refused with another error: {error}").into()),
        Ok(_) => Err("a stream was opened".into()),
    }
}

async fn reset(connection: &Connection) -> Result<Verdict> {
    let mut stream = connection.open_stream(RESET).await?;
    stream.write_all(b"x").await?;
    let seen = match stream.read_chunk().await {
        Err(error @ StreamError::Reset(_)) => error.to_string(),
        other => return Err(format!("the listener's reset looks like {other:?}").into()),
    };
    let mut stream = connection.open_stream(OBSERVE).await?;
    stream.write_all(&pattern(1024)).await?;
    // A reset would overtake a negotiation that is still open.
    stream.confirm().await?;
    stream.reset(Code(9));
    match ask(connection, LAST).await?.as_str() {
        "reset" => passed(format!("both ways; here: {seen}")),
        "indistinct" => Ok(Verdict::Skipped(
            "the other side's stack cannot tell a reset from an end".to_owned(),
        )),
        other => Err(format!("our reset looks like {other:?} to the listener").into()),
    }
}

/// A hundred connections in turn, with one echo on each.
async fn connections(address: &str, options: &Options) -> Result<Verdict> {
    let node = options.builder()?.spawn().await?;
    for number in 1..=CONNECTIONS {
        let once = async {
            let connection = node.dial(address).await?;
            echo_bytes(&connection, &pattern(100)).await?;
            connection.close().await;
            Ok(())
        };
        once.await
            .map_err(|error: Error| format!("connection {number} of {CONNECTIONS}: {error}"))?;
    }
    node.close().await;
    passed(format!("{CONNECTIONS} connections"))
}

async fn wrong_peer(connection: &Connection, options: &Options) -> Result<Verdict> {
    let node: Node = options.builder()?.spawn().await?;
    let other = Keypair::generate_ed25519().public().to_peer_id();
    let mut address = connection.address().clone();
    if let Some(Protocol::P2p(_)) = address.iter().last() {
        address.pop();
    }
    match node.dial(address.with(Protocol::P2p(other))).await {
        Err(OpenError::Dial(error @ DialError::Failed { .. })) if names_both(&error) => {
            passed(error.to_string())
        }
        Err(error) => Err(format!("failed with another error: {error}").into()),
        Ok(_) => Err("the wrong peer was accepted".into()),
    }
}

fn names_both(error: &DialError) -> bool {
    let DialError::Failed { attempts, .. } = error else {
        return false;
    };
    attempts
        .iter()
        .any(|(_, error)| matches!(error, AttemptError::WrongPeer { .. }))
}
