//! A child process whose every wait has a deadline, and that does not outlive its handle.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A running program: its stdout line by line, its stderr's last lines, its end.
pub(crate) struct Process {
    pid: u32,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    status: Receiver<ExitStatus>,
    ended: Option<ExitStatus>,
    log: Arc<Mutex<VecDeque<String>>>,
    /// Disconnects when stderr has been read to its end.
    log_end: Receiver<()>,
}

/// What the next line of stdout is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Text(String),
    End,
    Late,
}

impl Process {
    /// Starts `command` in a process group of its own, so that its children end with it.
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let io = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = io
            .process_group(0)
            .spawn()
            .map_err(|error| crate::steps::cannot_run(command, &error))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (to_lines, lines) = sync_channel(LINES_MAX);
        let (to_status, status) = sync_channel(1);
        let (reading_log, log_end) = sync_channel(1);
        let (pid, stdin) = (child.id(), child.stdin.take());
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            thread::spawn(move || each_line(stdout, |line| to_lines.send(line).is_ok()));
            let log = Arc::clone(&log);
            thread::spawn(move || {
                each_line(stderr, |line| remember(&log, line));
                drop(reading_log);
            });
        }
        thread::spawn(move || child.wait().map(|ended| to_status.send(ended)));
        Ok(Self {
            pid,
            stdin,
            lines,
            status,
            ended: None,
            log,
            log_end,
        })
    }

    /// The next line of stdout.
    pub(crate) fn line(&self, deadline: Instant) -> Line {
        match self.lines.recv_timeout(left(deadline)) {
            Ok(line) => Line::Text(line),
            Err(RecvTimeoutError::Disconnected) => Line::End,
            Err(RecvTimeoutError::Timeout) => Line::Late,
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Stops the whole group where it is.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Writes a line to its stdin.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("its stdin is closed")?;
        writeln!(stdin, "{line}").map_err(|error| format!("cannot say `{line}`: {error}"))
    }

    /// Closes its stdin, which asks it to end.
    pub(crate) fn hush(&mut self) {
        drop(self.stdin.take());
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} -- -{}", self.pid);
        let _ = Command::new("sh")
            .args(["-c", &kill])
            .stderr(Stdio::null())
            .status();
    }

    /// Its exit status, once it has one.
    pub(crate) fn ended(&mut self, deadline: Instant) -> Option<ExitStatus> {
        self.ended = self
            .ended
            .or_else(|| self.status.recv_timeout(left(deadline)).ok());
        self.ended
    }

    /// Lets it end: closes stdin, which is the sign to, and kills the whole group when that does not help.
    pub(crate) fn stop(&mut self) {
        drop(self.stdin.take());
        if self.ended(Instant::now() + GRACE).is_none() {
            self.signal("KILL");
            self.ended(Instant::now() + GRACE);
        }
    }

    /// The last line of stderr, for a message.
    pub(crate) fn last_words(&self) -> String {
        self.log()
            .pop()
            .unwrap_or_else(|| "nothing on stderr".to_owned())
    }

    /// The last lines of stderr: all of them up to the end, for a process that has ended.
    pub(crate) fn log(&self) -> Vec<String> {
        if self.ended.is_some() {
            let _ = self.log_end.recv_timeout(GRACE);
        }
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Stdout lines that wait for us before the child has to.
const LINES_MAX: usize = 1024;
/// Stderr lines kept for messages.
const LOG_MAX: usize = 12;
/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn each_line(pipe: impl Read, mut take: impl FnMut(String) -> bool) {
    for line in BufReader::new(pipe).split(b'\n') {
        let Ok(line) = line else { return };
        if !take(String::from_utf8_lossy(&line).trim_end().to_owned()) {
            return;
        }
    }
}

fn remember(log: &Mutex<VecDeque<String>>, line: String) -> bool {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.push_back(line);
    if log.len() > LOG_MAX {
        log.pop_front();
    }
    true
}

#[cfg(test)]
mod tests;
