//! The victim: `carrick listen`, or another stack's node, in its namespace; what it prints, and whether it has panicked.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    time::{Instant, timeout, timeout_at},
};

use crate::ground::{Ground, Side, VICTIM_V4, VICTIM_V6};

/// A running victim.
pub(crate) struct Victim {
    child: Child,
    heeds_signals: bool,
    pub(crate) pid: u32,
    pub(crate) said: Arc<Said>,
}

/// What a victim wrote to stderr.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) lines: AtomicU64,
    pub(crate) panics: AtomicU64,
    /// Lines with a control character: words of a peer that nobody has escaped.
    pub(crate) raw: AtomicU64,
    /// The longest line, bytes.
    pub(crate) longest: AtomicU64,
}

impl Victim {
    /// Starts the command `line`, whose program must listen where [`addresses`] says. It stops by SIGTERM if it
    /// `heeds_signals`, and otherwise when its stdin ends.
    pub(crate) async fn start(
        ground: &Ground,
        line: &[String],
        files_max: u64,
        heeds_signals: bool,
    ) -> Result<Self, String> {
        let (program, args) = line.split_first().ok_or("no program")?;
        let program = Path::new(program);
        let mut command = ground.process(Side::Victim, false, files_max, program);
        command.args(args).args(addresses());
        let mut child = spawn(command.stderr(Stdio::piped()))?;
        let pid = child.id().ok_or("the victim has already ended")?;
        let said = Arc::<Said>::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen_to(stderr, said.clone()));
        }
        let stdout = child.stdout.take().ok_or("the victim has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let deadline = Instant::now() + START_TIMEOUT;
        let mut awaited = addresses().len();
        while awaited > 0 {
            match timeout_at(deadline, lines.next_line()).await {
                Ok(Ok(Some(line))) => awaited -= usize::from(line.starts_with("listening ")),
                other => return Err(format!("the victim does not listen: {other:?}")),
            }
        }
        // Nobody who writes more there must wait for us.
        tokio::spawn(async move { while matches!(lines.next_line().await, Ok(Some(_))) {} });
        Ok(Self {
            child,
            heeds_signals,
            pid,
            said,
        })
    }

    /// Asks it to stop; how long that took, or that it did not.
    pub(crate) async fn stop(mut self) -> Result<Duration, String> {
        let since = Instant::now();
        if self.heeds_signals {
            signal(self.pid, "TERM").await?;
        }
        drop(self.child.stdin.take());
        let ended = timeout(STOP_TIMEOUT, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(since.elapsed()),
            Ok(Ok(status)) => Err(format!("the victim ended with {status}")),
            Ok(Err(error)) => Err(format!("the victim cannot be waited for: {error}")),
            Err(_) => Err("the victim does not stop".to_owned()),
        }
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// Where every victim listens: TCP in both families, QUIC and WebSocket.
pub(crate) fn addresses() -> [String; 4] {
    [
        format!("/ip4/{VICTIM_V4}/tcp/{TCP_PORT}"),
        format!("/ip6/{VICTIM_V6}/tcp/{TCP_PORT}"),
        format!("/ip4/{VICTIM_V4}/tcp/{WS_PORT}/ws"),
        format!("/ip4/{VICTIM_V4}/udp/{TCP_PORT}/quic-v1"),
    ]
}

/// Starts a process whose stdin and stdout are ours.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, String> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {command:?}: {error}"))
}

/// Sends a signal, by the program of that name: what calls the kernel itself is `unsafe`.
pub(crate) async fn signal(pid: u32, name: &str) -> Result<(), String> {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .await;
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("kill -{name} {pid}: {other:?}")),
    }
}

async fn listen_to(stderr: impl AsyncRead + Unpin, said: Arc<Said>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        said.lines.fetch_add(1, Ordering::Relaxed);
        said.longest.fetch_max(text.len() as u64, Ordering::Relaxed);
        if text.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
            said.raw.fetch_add(1, Ordering::Relaxed);
        }
        let text = String::from_utf8_lossy(text);
        if text.contains("panicked at") {
            said.panics.fetch_add(1, Ordering::Relaxed);
            eprintln!("attacks: the victim says: {text}");
        }
        line.clear();
    }
}

pub(crate) const TCP_PORT: u16 = 4001;
pub(crate) const WS_PORT: u16 = 4002;
/// A bound for what hangs: some stacks load for long on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(40);
/// Open streams get 5 s, and the rest must not take longer than that again.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
