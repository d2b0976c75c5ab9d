//! The steps of the tour. Each does one thing, checks that it happened, and reports what it measured.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use carrick::{
    AttemptError, Code, Connection, ConnectionError, DialError, Direction, Events, Keypair,
    Multiaddr, Node, NodeEvent, OpenError, Protocol, Stream, StreamError,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Barrier, Mutex, watch},
    task::JoinSet,
};

use super::report::{Fact, Fault};
use crate::output::texts;

/// Two nodes. Alice dials, bob listens.
pub(super) struct Tour {
    alice: Node,
    bob: Node,
    bob_events: Mutex<Events>,
    /// Echo streams that bob serves right now.
    serving: watch::Sender<usize>,
}

type Step<T = ()> = Result<(T, Fact), Fault>;

impl Tour {
    pub(super) async fn start() -> Step<Self> {
        let serving = watch::Sender::new(0);
        let counter = serving.clone();
        let bob = Node::builder()
            .handle(ECHO, move |stream| serve_echo(stream, counter.clone()))
            .handle(RESET, serve_reset)
            .agent("demo-bob/1.0")
            .listen("/ip4/127.0.0.1/tcp/0")?
            .spawn()
            .await?;
        let alice = Node::builder().agent("demo-alice/1.0").spawn().await?;
        let at = bob.address();
        check(alice.id() != bob.id(), "both nodes have one identity")?;
        check(
            !at.to_string().contains("/tcp/0/"),
            "bob's address has no port",
        )?;
        let fact = Fact {
            lines: vec![
                format!("alice is {}", alice.id()),
                format!("bob is   {}", bob.id()),
                format!("bob listens on {}", without_peer(&at)),
            ],
            json: json!({"alice": alice.id().to_string(), "bob": bob.id().to_string(), "listening": at.to_string()}),
        };
        let bob_events = Mutex::new(bob.events());
        let tour = Self {
            alice,
            bob,
            bob_events,
            serving,
        };
        Ok((tour, fact))
    }

    pub(super) async fn dial(&self) -> Step<Connection> {
        let connection = self.alice.dial(self.bob.address()).await?;
        check(
            connection.peer() == self.bob.id() && connection.direction() == Direction::Outbound,
            "alice is not connected to bob",
        )?;
        self.bob_hears(
            |event| matches!(event, NodeEvent::Connected { peer, .. } if *peer == self.alice.id()),
        )
        .await?;
        let theirs = self.bob.dial(self.alice.id()).await?;
        check(
            theirs.direction() == Direction::Inbound,
            "bob has dialed as well",
        )?;
        let fact = Fact {
            lines: vec![
                format!("alice dialed bob at {}", connection.address()),
                format!("bob sees her at {}", theirs.address()),
            ],
            json: json!({"dialed": connection.address().to_string(), "seen_from": theirs.address().to_string()}),
        };
        Ok((connection, fact))
    }

    pub(super) async fn negotiation(&self, connection: &Connection) -> Step {
        let summary = connection.summary();
        check(
            connection.key().to_peer_id() == self.bob.id(),
            "the proven key is not bob's",
        )?;
        check(
            summary.security.as_str() == "/noise" && summary.muxer.as_str() == "/yamux/1.0.0",
            "something else than Noise and yamux was negotiated",
        )?;
        check(
            summary.early_muxer,
            "the muxer was not agreed on within the handshake",
        )?;
        let fact = Fact {
            lines: vec![
                format!(
                    "{}, and {} agreed on within its handshake",
                    summary.security, summary.muxer
                ),
                format!(
                    "{} round trip{} after the TCP connection, then streams",
                    summary.round_trips,
                    if summary.round_trips == 1 { "" } else { "s" }
                ),
                format!("bob has proven his {} key", connection.key_type()),
            ],
            json: json!({
                "security": summary.security.as_str(),
                "muxer": summary.muxer.as_str(),
                "early_muxer": summary.early_muxer,
                "round_trips": summary.round_trips,
                "key_type": connection.key_type(),
            }),
        };
        Ok(((), fact))
    }

    pub(super) async fn identify(&self, connection: &Connection) -> Step {
        let info = connection.info().await.ok_or("bob did not say who he is")?;
        let agent = info.agent.clone().unwrap_or_default();
        let seen = self.bob.dial(self.alice.id()).await?.address().clone();
        check(
            agent.starts_with("demo-bob/1.0"),
            "bob's agent is another one",
        )?;
        check(
            info.protocols.iter().any(|each| each.as_str() == ECHO),
            "bob does not mention the echo",
        )?;
        check(
            info.addresses.contains(&without_peer(&self.bob.address())),
            "bob does not mention his address",
        )?;
        check(
            info.observed_address.as_ref() == Some(&seen),
            "bob sees alice elsewhere",
        )?;
        let fact = Fact {
            lines: vec![
                format!("bob is {agent}, and alice is at {seen}, says bob"),
                format!("he speaks {}", texts(&info.protocols).join(" ")),
            ],
            json: json!({"agent": agent, "observed_address": seen.to_string(), "protocols": texts(&info.protocols)}),
        };
        Ok(((), fact))
    }

    pub(super) async fn ping(&self, connection: &Connection) -> Step {
        let mut rtts = Vec::new();
        for _ in 0..PINGS {
            rtts.push(connection.ping().await?);
        }
        rtts.sort();
        let micros = |rtt: Duration| rtt.as_secs_f64() * 1e6;
        let (least, median, most) = (rtts[0], rtts[PINGS / 2], rtts[PINGS - 1]);
        check(
            least > Duration::ZERO,
            "a round trip that takes no time is none",
        )?;
        let fact = Fact {
            lines: vec![format!(
                "{PINGS} round trips: {:.0} µs at best, {:.0} µs median, {:.0} µs at worst",
                micros(least),
                micros(median),
                micros(most)
            )],
            json: json!({"count": PINGS, "min_us": micros(least), "median_us": micros(median), "max_us": micros(most)}),
        };
        Ok(((), fact))
    }

    pub(super) async fn echo(&self, connection: &Connection) -> Step {
        let sent: Vec<u8> = (0..ECHO_LEN)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
            .collect();
        let stream = connection.open_stream(ECHO).await?;
        let begun = Instant::now();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let up = async {
            writer.write_all(&sent).await?;
            writer.shutdown().await
        };
        let mut back = Vec::with_capacity(sent.len());
        let mut answer = (&mut reader).take(sent.len() as u64 + 1);
        let down = answer.read_to_end(&mut back);
        tokio::try_join!(up, down)?;
        let took = begun.elapsed();
        let (ours, theirs) = (hash(&sent), hash(&back));
        check(
            back.len() == sent.len() && ours == theirs,
            &format!("{} bytes came back, hash {theirs} for {ours}", back.len()),
        )?;
        let rate = mib_per_second(sent.len(), took);
        let fact = Fact {
            lines: vec![
                format!(
                    "{} bytes to bob and back, {rate:.0} MiB/s each way",
                    sent.len()
                ),
                format!("SHA-256 of both: {}…", &ours[..32]),
            ],
            json: json!({"bytes": sent.len(), "sha256": ours, "mib_per_s": rate}),
        };
        Ok(((), fact))
    }

    pub(super) async fn streams(&self, connection: &Connection) -> Step {
        let begun = Instant::now();
        let gate = Arc::new(Barrier::new(STREAMS + 1));
        let mut tasks = JoinSet::new();
        for number in 0..STREAMS {
            tasks.spawn(echo_and_wait(connection.clone(), number, gate.clone()));
        }
        // All have their answer and none has finished: both ends hold every stream.
        let together = tokio::select! {
            _ = gate.wait() => Ok(()),
            Some(ended) = tasks.join_next() => Err(ended),
        };
        if let Err(ended) = together {
            ended??;
            return Err("a stream ended before the others were open".into());
        }
        // What an earlier step has used may still be counted, at either end, until both have noted its end.
        let open = connection.streams();
        check(
            open >= STREAMS,
            &format!("alice holds {open} streams, not {STREAMS}"),
        )?;
        let mut serving = self.serving.subscribe();
        serving.wait_for(|served| *served == STREAMS).await?;
        gate.wait().await;
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let took = begun.elapsed();
        let rate = STREAMS as f64 / took.as_secs_f64();
        let fact = Fact {
            lines: vec![
                format!("{STREAMS} open at once on this one connection, an answer on each"),
                format!("opened, used and finished: {rate:.0} streams/s"),
            ],
            json: json!({"count": STREAMS, "open_at_once": STREAMS, "streams_per_s": rate}),
        };
        Ok(((), fact))
    }

    pub(super) async fn refusal(&self, connection: &Connection) -> Step {
        let error = refused(connection.open_stream("/nothing/1.0.0").await)?;
        check(
            matches!(&error, OpenError::Unsupported { peer, .. } if *peer == self.bob.id()),
            &format!("refused, but with: {error}"),
        )?;
        // The connection must not suffer.
        connection.ping().await?;
        Ok(((), told("asked bob for /nothing/1.0.0", &error)))
    }

    pub(super) async fn wrong_peer(&self) -> Step {
        let stranger = Keypair::generate_ed25519().public().to_peer_id();
        let address = without_peer(&self.bob.address()).with(Protocol::P2p(stranger));
        let error = refused(self.alice.dial(address).await)?;
        let OpenError::Dial(DialError::Failed { attempts, .. }) = &error else {
            return Err(format!("failed, but with: {error}").into());
        };
        let wanted = AttemptError::WrongPeer {
            expected: stranger,
            found: self.bob.id(),
        };
        check(
            attempts.iter().any(|(_, each)| *each == wanted),
            &format!("failed, but with: {error}"),
        )?;
        let fact = Fact {
            lines: vec![
                "dialed a stranger at bob's address; the error names both:".to_owned(),
                format!("expected {stranger}"),
                format!("found    {}", self.bob.id()),
            ],
            json: json!({"expected": stranger.to_string(), "found": self.bob.id().to_string(), "message": error.to_string()}),
        };
        Ok(((), fact))
    }

    pub(super) async fn reset(&self, connection: &Connection) -> Step {
        let mut stream = connection.open_stream(RESET).await?;
        stream.write_all(b"?").await?;
        let error = match stream.read_chunk().await {
            Err(error) => error,
            Ok(None) => return Err("bob's reset looks like a clean end".into()),
            Ok(Some(_)) => return Err("bob answered instead of resetting".into()),
        };
        check(
            error == StreamError::Reset(RESET_CODE),
            &format!("failed, but with: {error}"),
        )?;
        Ok((
            (),
            told("bob resets a stream; alice reads no end but", &error),
        ))
    }

    pub(super) async fn close(&self, connection: Connection) -> Step {
        let theirs = self.bob.dial(self.alice.id()).await?;
        connection.close().await;
        self.bob_hears(
            |event| matches!(event, NodeEvent::Disconnected { peer } if *peer == self.alice.id()),
        )
        .await?;
        let reason = theirs.lost().ok_or("bob's connection is not over")?;
        check(
            reason == ConnectionError::ClosedByPeer,
            &format!("bob's connection ended with: {reason}"),
        )?;
        drop(theirs);
        let address = self.bob.address();
        self.alice.close().await;
        self.bob.close().await;
        let again = Node::spawn().await?;
        let gone = refused(again.dial(address).await)?;
        again.close().await;
        let fact = Fact {
            lines: vec![
                format!("alice closed; bob's side: {reason}"),
                "both nodes are down, and nobody listens at bob's address".to_owned(),
            ],
            json: json!({"reason": reason.to_string(), "afterwards": gone.to_string()}),
        };
        Ok(((), fact))
    }

    /// Waits until bob's node tells what is wanted.
    async fn bob_hears(&self, wanted: impl Fn(&NodeEvent) -> bool) -> Result<(), Fault> {
        let mut events = self.bob_events.lock().await;
        while let Some(event) = events.next().await {
            if wanted(&event) {
                return Ok(());
            }
        }
        Err("bob's node is gone".into())
    }
}

async fn serve_echo(mut stream: Stream, serving: watch::Sender<usize>) -> Result<(), StreamError> {
    serving.send_modify(|streams| *streams += 1);
    let echoed = stream.echo().await;
    serving.send_modify(|streams| *streams -= 1);
    echoed
}

async fn serve_reset(mut stream: Stream) -> Result<(), StreamError> {
    stream.read_chunk().await?;
    stream.reset(RESET_CODE);
    Ok(())
}

/// One of many streams: gets its number back, waits for all others twice, then finishes.
async fn echo_and_wait(
    connection: Connection,
    number: usize,
    gate: Arc<Barrier>,
) -> Result<(), Fault> {
    let mut stream = connection.open_stream(ECHO).await?;
    let (sent, mut back) = (number.to_be_bytes(), [0; size_of::<usize>()]);
    stream.write_all(&sent).await?;
    stream.read_exact(&mut back).await?;
    check(back == sent, "a stream got another one's bytes")?;
    gate.wait().await;
    gate.wait().await;
    stream.finish().await?;
    check(
        stream.read_chunk().await?.is_none(),
        "a stream got more than it sent",
    )
}

/// The error that must come.
fn refused<T>(outcome: Result<T, OpenError>) -> Result<OpenError, Fault> {
    outcome
        .err()
        .ok_or_else(|| "it worked, and must not".into())
}

/// A failure that is the step's purpose.
fn told(what: &str, error: &dyn std::error::Error) -> Fact {
    let text = error.to_string();
    Fact {
        lines: vec![format!("{what}:"), format!("“{text}”")],
        json: json!({"message": text}),
    }
}

fn check(holds: bool, otherwise: &str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .filter(|part| !matches!(part, Protocol::P2p(_)))
        .collect()
}

fn hash(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn mib_per_second(bytes: usize, took: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / took.as_secs_f64()
}

const ECHO: &str = "/echo/1.0.0";
const RESET: &str = "/demo/reset/1.0.0";
const RESET_CODE: Code = Code(42);
const PINGS: usize = 11;
const ECHO_LEN: usize = 1 << 20;
const STREAMS: usize = 1000;
