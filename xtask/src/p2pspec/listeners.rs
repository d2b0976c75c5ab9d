//! A stack's listeners, one for each combination that a process of it can offer, and the cases run against them. A listener that
//! a case has killed is started anew, and what could not be asked of it any more is asked again.

use super::record::Results;
use crate::interop::peers::Peer;
use crate::interop::process::{Line, Process};
use crate::programs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A stack, and how its listeners are started.
pub(super) struct Stack {
    pub(super) name: &'static str,
    commands: Vec<Vec<String>>,
    peer: Peer,
}

impl Stack {
    /// One node for everything but mplex, which `carrick listen` does not offer.
    pub(super) fn carrick() -> Self {
        let program = |name| programs::release().join(name).display().to_string();
        let node = [
            &program("carrick"),
            "listen",
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/127.0.0.1/tcp/0/ws",
            "/ip4/127.0.0.1/udp/0/quic-v1",
        ];
        let mplex = [
            &program("interop-carrick"),
            "listen",
            "--transport",
            "tcp",
            "--security",
            "noise",
            "--muxer",
            "mplex",
        ];
        Self {
            name: "carrick",
            commands: [&node[..], &mplex[..]]
                .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
                .to_vec(),
            peer: Peer::new("carrick", &["env"]),
        }
    }

    pub(super) fn foreign(peer: Peer) -> Self {
        let commands = [
            "tcp --security noise --muxer yamux",
            "tcp --security tls --muxer yamux",
            "tcp --security noise --muxer mplex",
            "ws --security noise --muxer yamux",
            "quic-v1",
        ];
        let words = |line: &&str| {
            let line = format!("listen --transport {line}");
            line.split(' ').map(str::to_owned).collect()
        };
        Self {
            name: peer.name,
            commands: commands.iter().map(words).collect(),
            peer,
        }
    }

    /// All that start; a combination that the stack does not have ends at once.
    fn start(&self) -> Result<(Vec<Process>, Vec<String>), String> {
        let (mut processes, mut addresses) = (Vec::new(), Vec::new());
        for words in &self.commands {
            let process = Process::start(self.peer.command().args(words))?;
            let expected = words
                .iter()
                .filter(|word| word.starts_with('/') && word.contains("/0"))
                .count();
            let found = listening(&process, expected.max(1));
            addresses.extend(found);
            processes.push(process);
        }
        if addresses.is_empty() {
            return Err(format!("no listener of {} starts", self.name));
        }
        Ok((processes, addresses))
    }
}

fn listening(process: &Process, count: usize) -> Vec<String> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut found: Vec<String> = Vec::new();
    while found.len() < count {
        let Line::Text(line) = process.line(deadline) else {
            break;
        };
        let mut words = line.split([' ', '"']);
        let address = words.find(|word| word.starts_with('/') && word.contains("/p2p/"));
        found.extend(address.map(str::to_owned));
    }
    found
}

/// Runs every case; those that met a listener that was gone run again, one after another, so that each verdict is the case's own.
pub(super) fn test(stack: &Stack) -> Result<Results, String> {
    let mut results = round(stack, &[], 8)?;
    for _ in 0..ROUNDS_MAX {
        let lost = results.lost();
        if lost.is_empty() {
            break;
        }
        eprintln!(
            "xtask: {}: a listener has died; {} cases run again",
            stack.name,
            lost.len()
        );
        let again = round(stack, &lost, 1)?;
        results.take_over(again);
    }
    results.give_up();
    Ok(results)
}

fn round(stack: &Stack, only: &[String], jobs: usize) -> Result<Results, String> {
    let (mut processes, addresses) = stack.start()?;
    let mut command = Command::new(programs::release().join("p2pspec"));
    command
        .args(["--json", "--jobs", &jobs.to_string()])
        .args(addresses);
    if !only.is_empty() {
        command.args(["--only", &only.join(",")]);
    }
    let output = command
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run p2pspec: {error}"))?;
    processes.iter_mut().for_each(Process::stop);
    if output.status.code() == Some(2) {
        return Err(format!("p2pspec could not reach {}", stack.name));
    }
    Results::parse(&output.stdout)
}

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Each round settles one case at least.
const ROUNDS_MAX: usize = 12;
