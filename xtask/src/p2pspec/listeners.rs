//! A stack's listeners, one for each combination that a process of it can offer, and the cases run against them.

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

    /// Those that start; a combination that the stack does not have ends at once.
    fn listeners(&self) -> Result<Vec<String>, String> {
        let mut listeners = Vec::new();
        for words in &self.commands {
            let mut process = Process::start(self.peer.command().args(words))?;
            let listens = listens(&process);
            process.stop();
            if listens {
                listeners.push(format!("{} {}", self.peer.line(), words.join(" ")));
            }
        }
        if listeners.is_empty() {
            return Err(format!("no listener of {} starts", self.name));
        }
        Ok(listeners)
    }
}

fn listens(process: &Process) -> bool {
    let deadline = Instant::now() + START_TIMEOUT;
    while let Line::Text(line) = process.line(deadline) {
        if line.contains("/p2p/") {
            return true;
        }
    }
    false
}

/// Runs every case, p2pspec starting the listeners, and anew when a case has ended one.
pub(super) fn test(stack: &Stack) -> Result<Results, String> {
    let mut command = Command::new(programs::release().join("p2pspec"));
    command.args(["--json", "--jobs", "8", "--within", WITHIN_S]);
    for listener in stack.listeners()? {
        command.args(["--listener", &listener]);
    }
    let output = command
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run p2pspec: {error}"))?;
    if output.status.code() == Some(2) {
        return Err(format!("p2pspec could not reach {}", stack.name));
    }
    Results::parse(&output.stdout)
}

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// For one stack.
const WITHIN_S: &str = "600";
