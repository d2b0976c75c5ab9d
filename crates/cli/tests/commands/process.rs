//! Runs the binary, with a deadline on everything that is waited for.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

/// Everything here takes milliseconds; a loaded machine may need a little longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    /// The lines of stdout, of a process that must have succeeded.
    pub(crate) fn lines(&self) -> Vec<String> {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        let text = String::from_utf8(self.stdout.clone()).expect("stdout is text");
        text.lines().map(str::to_owned).collect()
    }

    /// The JSON objects of stdout, of a process that must have succeeded.
    pub(crate) fn objects(&self) -> Vec<serde_json::Value> {
        let parse = |line: &String| serde_json::from_str(line).expect("each line is JSON");
        self.lines().iter().map(parse).collect()
    }

    /// The one line on stderr of a process that must have failed without a result; `wanted` must all be in it.
    #[track_caller]
    pub(crate) fn refused(&self, wanted: &[&str]) {
        assert_ne!(self.code, Some(0), "{self:?}");
        assert!(self.code.is_some(), "killed: {self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        for text in wanted {
            assert!(self.stderr.contains(text), "no {text:?} in {}", self.stderr);
        }
    }
}

/// Runs the binary with these arguments and no input.
pub(crate) fn carrick(args: &[&str]) -> Finished {
    carrick_with(args, b"")
}

/// Runs the binary with these arguments and this input.
pub(crate) fn carrick_with(args: &[&str], input: &[u8]) -> Finished {
    let mut child = spawn(args);
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    // A process that refuses its arguments does not read.
    thread::spawn(move || stdin.write_all(&input).ok());
    finish(child)
}

/// Runs this command, with no input.
pub(crate) fn run(command: &mut Command) -> Finished {
    let command = command.env_remove("RUST_LOG").stdin(Stdio::null());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    finish(child.expect("the command runs"))
}

fn finish(mut child: Child) -> Finished {
    let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
    let (Ok(stdout), Ok(stderr)) = (stdout.recv_timeout(DEADLINE), stderr.recv_timeout(DEADLINE))
    else {
        child.kill().expect("the process can be killed");
        panic!("the process did not end in time");
    };
    Finished {
        code: child.wait().expect("the process has ended").code(),
        stdout,
        stderr: String::from_utf8(stderr).expect("stderr is text"),
    }
}

pub(crate) fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).expect("the pipe is readable");
        sender.send(all)
    });
    receiver
}

pub(crate) fn spawn(args: &[&str]) -> Child {
    let mut command = command(CARRICK, args);
    command.spawn().expect("the binary runs")
}

fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The binary.
pub(crate) const CARRICK: &str = env!("CARGO_BIN_EXE_carrick");

/// A running command that says on stdout, or else on stderr, when it is ready.
pub(crate) struct Running {
    child: Option<Child>,
    /// Its lines up to that one.
    pub(crate) told: Vec<String>,
    rest: Receiver<String>,
}

impl Running {
    /// Starts `program` and waits for a line of stdout with this beginning.
    pub(crate) fn start(program: &str, args: &[&str], ready: &'static str) -> Self {
        let mut child = command(program, args).spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("stdout is a pipe");
        drop(child.stdin.take());
        Self::watch(child, stdout, ready)
    }

    /// As [`start`](Self::start), but stderr is read; what it gets on stdin is all there is.
    pub(crate) fn start_with(args: &[&str], input: &[u8], ready: &'static str) -> Self {
        let mut child = spawn(args);
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin.write_all(input).expect("a few bytes fit into a pipe");
        drop(stdin);
        Self::watch(child, stderr, ready)
    }

    fn watch(child: Child, pipe: impl Read + Send + 'static, ready: &'static str) -> Self {
        let (sender, rest) = sync_channel(1024);
        thread::spawn(move || {
            let lines = BufReader::new(pipe).lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
        });
        let mut running = Self {
            child: Some(child),
            told: Vec::new(),
            rest,
        };
        while !running
            .told
            .last()
            .is_some_and(|line| line.starts_with(ready))
        {
            let line = running.line();
            running.told.push(line);
        }
        running
    }

    /// Its next line.
    pub(crate) fn line(&self) -> String {
        self.rest.recv_timeout(DEADLINE).expect("a line in time")
    }

    /// The rest of the first line with this beginning.
    pub(crate) fn after(&self, beginning: &str) -> &str {
        let found = self
            .told
            .iter()
            .find_map(|line| line.strip_prefix(beginning));
        found.unwrap_or_else(|| panic!("no {beginning:?} in {:?}", self.told))
    }

    pub(crate) fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it is there until it ends");
        let kill = format!("kill -{name} {}", child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status();
        assert!(killed.expect("there is a shell").success());
    }

    /// Waits until it ends, and gives its exit code and what else it has written to stdout, if that was not read.
    pub(crate) fn wait(mut self) -> (Option<i32>, Vec<u8>) {
        let mut child = self.child.take().expect("it is there until it ends");
        let stdout = child.stdout.take().map(collect);
        let stdout = stdout.map(|stdout| stdout.recv_timeout(DEADLINE));
        let Ok(stdout) = stdout.unwrap_or_else(|| Ok(Vec::new())) else {
            child.kill().expect("the process can be killed");
            panic!("the process did not end in time");
        };
        (child.wait().expect("the process has ended").code(), stdout)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().expect("the process can be killed");
            child.wait().expect("the process has ended");
        }
    }
}

/// A running `carrick listen`, or `carrick daemon`.
pub(crate) struct Listener {
    child: Option<Child>,
    /// What it printed first, without the word before it.
    pub(crate) address: String,
    /// Where it serves its metrics, if it was told to.
    pub(crate) metrics: String,
    /// All that it has printed at first.
    pub(crate) lines: Vec<String>,
}

impl Listener {
    pub(crate) fn start(args: &[&str]) -> Self {
        let lines = if args.contains(&"--metrics") { 2 } else { 1 };
        Self::start_as("listen", args, lines)
    }

    /// As [`start`](Self::start), and waits until it has printed so many lines.
    pub(crate) fn start_as(command: &str, args: &[&str], lines: usize) -> Self {
        let mut child = spawn(&[&[command], args].concat());
        let (sender, receiver) = sync_channel(1);
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        thread::spawn(move || {
            let mut text = String::new();
            for _ in 0..lines {
                stdout.read_line(&mut text).expect("stdout is text");
            }
            sender.send((text, stdout))
        });
        let text = receiver.recv_timeout(DEADLINE);
        let mut listener = Self {
            child: Some(child),
            address: String::new(),
            metrics: String::new(),
            lines: Vec::new(),
        };
        let (text, stdout) = text.expect("it listens in time");
        listener.lines = text.lines().map(str::to_owned).collect();
        let (address, metrics) = text.split_once('\n').expect("it has printed a line");
        let address = address.strip_prefix("listening ");
        address
            .expect("the first line is an address")
            .clone_into(&mut listener.address);
        let metrics = metrics.trim_end().strip_prefix("metrics ");
        metrics.unwrap_or("").clone_into(&mut listener.metrics);
        if let Some(child) = &mut listener.child {
            child.stdout = Some(stdout.into_inner());
        }
        listener
    }

    pub(crate) fn peer(&self) -> &str {
        let id = self.address.rsplit_once("/p2p/").map(|(_, id)| id);
        id.expect("the address names the peer")
    }

    /// Waits until it ends.
    pub(crate) fn wait(mut self) -> Finished {
        finish(self.child.take().expect("it is there until it ends"))
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn terminate(mut self) -> Finished {
        let child = self.child.take().expect("it is there until it ends");
        let kill = format!("kill -TERM {}", child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status();
        assert!(killed.expect("there is a shell").success());
        finish(child)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().expect("the process can be killed");
            child.wait().expect("the process has ended");
        }
    }
}

/// An empty folder for one test.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

/// A folder that is not there yet, with a path short enough for the sockets in it.
pub(crate) fn place(test: &str) -> PathBuf {
    let place = std::env::temp_dir().join(format!("carrick-{}-{test}", std::process::id()));
    let _ = std::fs::remove_dir_all(&place);
    place
}
