//! `load ADDR`: nodes that ask the listener for echoes, and what became of every request: answered with the same bytes, failed with
//! an error and how soon, or neither. A bad network may fail a request; it may not keep it, nor change it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use carrick::{ConnectionId, Node};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{ECHO, Options, Result, checks::pattern};

/// What is asked, and for how long.
#[derive(Clone, Copy)]
struct Load {
    /// Nodes with an identity and a connection of their own.
    nodes: usize,
    /// Requests of a node at once.
    streams: usize,
    /// All requests together; the rest is not begun when the time is over.
    requests: usize,
    time: Duration,
    /// Of one request, and of its answer.
    bytes: usize,
    /// From an answer to the next request.
    pause: Duration,
    /// After this long without answer or error a request is counted as hung. Far above what any error may take.
    patience: Duration,
}

/// Runs the load, prints `connected` once every node has had an answer, and at last what became of it all.
pub(crate) async fn run(address: &str, words: Vec<String>) -> Result<bool> {
    let (load, rest) = Load::parse(words)?;
    let options = Options::parse(rest.into_iter())?;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let start = Instant::now();
    let mut nodes = vec![];
    for number in 0..load.nodes {
        nodes.push(Arc::new(options.builder()?.spawn().await?));
        lock(&tally).nodes.push(Seen::default());
        let first = ask(&nodes[number], address, &load, number).await;
        lock(&tally).note(number, start, start.elapsed(), first);
    }
    println!("connected");
    let begun = Instant::now();
    let mut askers = tokio::task::JoinSet::new();
    for (number, node) in nodes.iter().enumerate() {
        for _ in 0..load.streams {
            let (node, tally, address) = (node.clone(), tally.clone(), address.to_owned());
            askers.spawn(async move {
                while begun.elapsed() < load.time {
                    let Some(request) = lock(&tally).begin(load.requests) else {
                        break;
                    };
                    let asked = Instant::now();
                    let outcome = ask(&node, &address, &load, request).await;
                    let failed = outcome.is_err();
                    lock(&tally).note(number, begun, asked.elapsed(), outcome);
                    sleep(if failed {
                        load.pause.max(RETRY)
                    } else {
                        load.pause
                    })
                    .await;
                }
            });
        }
    }
    askers.join_all().await;
    let took = begun.elapsed();
    println!("{}", lock(&tally).describe(&load, took));
    for node in nodes {
        node.close().await;
    }
    Ok(true)
}

impl Load {
    /// The load's own options, and the others.
    fn parse(words: Vec<String>) -> Result<(Self, Vec<String>)> {
        let mut load = Self {
            nodes: 1,
            streams: 1,
            requests: usize::MAX,
            time: Duration::from_secs(86_400),
            bytes: 1024,
            pause: Duration::ZERO,
            patience: Duration::from_secs(60),
        };
        let mut rest = vec![];
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair[0]).into());
            };
            match name.as_str() {
                "--nodes" => load.nodes = value.parse()?,
                "--streams" => load.streams = value.parse()?,
                "--requests" => load.requests = value.parse()?,
                "--seconds" => load.time = Duration::from_secs(value.parse()?),
                "--request-bytes" => load.bytes = value.parse()?,
                "--pause-ms" => load.pause = Duration::from_millis(value.parse()?),
                "--patience" => load.patience = Duration::from_secs(value.parse()?),
                _ => rest.extend_from_slice(pair),
            }
        }
        Ok((load, rest))
    }
}

/// A request's end, unless it is an error.
enum Answer {
    Same(ConnectionId),
    /// Other bytes than were sent.
    Other,
    Hung,
}

/// One echo, on whatever connection there is.
async fn ask(node: &Node, address: &str, load: &Load, number: usize) -> Result<Answer> {
    let once = async {
        let connection = node.dial(address).await?;
        let mut sent = pattern(load.bytes);
        let head = sent.len().min(8);
        sent[..head].copy_from_slice(&(number as u64).to_be_bytes()[..head]);
        let mut stream = connection.open_stream(ECHO).await?;
        stream.write_all(&sent).await?;
        stream.finish().await?;
        let back = stream.read_to_end(load.bytes + 1).await?;
        Ok(if back == sent {
            Answer::Same(connection.id())
        } else {
            Answer::Other
        })
    };
    timeout(load.patience, once)
        .await
        .unwrap_or(Ok(Answer::Hung))
}

/// What became of all requests so far.
#[derive(Default)]
struct Tally {
    begun: usize,
    done: usize,
    wrong: usize,
    hung: usize,
    failed: usize,
    errors: BTreeMap<String, usize>,
    longest_done: Duration,
    longest_failed: Duration,
    nodes: Vec<Seen>,
}

/// What one node has seen.
#[derive(Default)]
struct Seen {
    connections: BTreeSet<ConnectionId>,
    last_done: Duration,
    longest_gap: Duration,
}

impl Tally {
    fn begin(&mut self, max: usize) -> Option<usize> {
        (self.begun < max).then(|| {
            self.begun += 1;
            self.begun
        })
    }

    fn note(&mut self, node: usize, begun: Instant, took: Duration, outcome: Result<Answer>) {
        match outcome {
            Ok(Answer::Same(connection)) => {
                self.done += 1;
                self.longest_done = self.longest_done.max(took);
                let seen = &mut self.nodes[node];
                seen.connections.insert(connection);
                let now = begun.elapsed();
                let gap = now.saturating_sub(seen.last_done);
                seen.longest_gap = seen.longest_gap.max(gap);
                seen.last_done = now;
            }
            Ok(Answer::Other) => self.wrong += 1,
            Ok(Answer::Hung) => self.hung += 1,
            Err(error) => {
                self.failed += 1;
                self.longest_failed = self.longest_failed.max(took);
                let text: String = error.to_string().chars().take(ERROR_MAX).collect();
                if self.errors.len() < ERRORS_MAX || self.errors.contains_key(&text) {
                    *self.errors.entry(text).or_default() += 1;
                }
            }
        }
    }

    fn describe(&self, load: &Load, took: Duration) -> Value {
        let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
        let connections = self.nodes.iter().map(|seen| seen.connections.len());
        // A node that has heard nothing since has a gap that has not ended.
        let gaps = self
            .nodes
            .iter()
            .map(|seen| seconds(seen.longest_gap.max(took.saturating_sub(seen.last_done))));
        json!({
            "requests": self.done + self.wrong + self.hung + self.failed,
            "done": self.done,
            "wrong": self.wrong,
            "hung": self.hung,
            "failed": self.failed,
            "errors": self.errors,
            "longest_done_s": seconds(self.longest_done),
            "longest_failed_s": seconds(self.longest_failed),
            "seconds": seconds(took),
            "bytes_per_s": (self.done * load.bytes) as f64 / took.as_secs_f64(),
            "connections": connections.collect::<Vec<_>>(),
            "gaps_s": gaps.collect::<Vec<_>>(),
        })
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From an error to the next request.
const RETRY: Duration = Duration::from_millis(200);
/// Of an error's text, and of different texts.
const ERROR_MAX: usize = 300;
const ERRORS_MAX: usize = 20;
