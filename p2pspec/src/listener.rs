//! A program under test that is started here, and started anew when a case has ended it, so that such a case is found out and
//! costs the others nothing.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{self, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, mpsc};

use crate::target::Place;

/// See the module. Its processes end with it.
#[derive(Debug)]
pub struct Listener {
    command: String,
    /// Held by each case on it: in common, or alone.
    turns: Arc<RwLock<()>>,
    /// Whether one of its processes has ended of itself: from then on, one case at a time.
    fragile: AtomicBool,
    restarts: AtomicUsize,
    process: sync::Mutex<Arc<Process>>,
}

/// A case's right to talk to a listener.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Beside others.
    Shared { _guard: OwnedRwLockReadGuard<()> },
    /// And nobody else.
    Alone { _guard: OwnedRwLockWriteGuard<()> },
}

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Mutex<Child>,
    places: Vec<Place>,
    ended: Mutex<Option<(Instant, String)>>,
}

impl Listener {
    /// Starts a command of the shell that prints the addresses at which it listens: as many as it names, as in
    /// `node --listen /ip4/127.0.0.1/tcp/0`, and at least one. An error when it ends, or is silent for too long, before that.
    pub async fn start(command: &str) -> Result<(Arc<Self>, Vec<Place>), String> {
        let process = Process::start(command).await?;
        let listener = Arc::new(Self {
            command: command.to_owned(),
            turns: Arc::default(),
            fragile: AtomicBool::new(false),
            restarts: AtomicUsize::new(0),
            process: sync::Mutex::new(process.clone()),
        });
        let of = |(index, place): (usize, &Place)| Place {
            listener: Some((listener.clone(), index)),
            ..place.clone()
        };
        let places = process.places.iter().enumerate().map(of).collect();
        Ok((listener, places))
    }

    /// Waits until nobody is in the way.
    pub(crate) async fn turn(&self, alone: bool) -> Turn {
        if !alone && !self.fragile.load(Ordering::Relaxed) {
            let guard = self.turns.clone().read_owned().await;
            if !self.fragile.load(Ordering::Relaxed) {
                return Turn::Shared { _guard: guard };
            }
        }
        Turn::Alone {
            _guard: self.turns.clone().write_owned().await,
        }
    }

    /// The process, a new one if the last has ended.
    pub(crate) async fn process(&self) -> Result<Arc<Process>, String> {
        let mut process = self.process.lock().await;
        if process.ended().is_some() {
            self.fragile.store(true, Ordering::Relaxed);
            self.restarts.fetch_add(1, Ordering::Relaxed);
            *process = Process::start(&self.command).await?;
        }
        Ok(process.clone())
    }

    /// Ends a process that does not answer anybody any more; the next one who asks for it has a new one.
    pub(crate) async fn give_up(&self) {
        let process = self.process.lock().await;
        let mut child = process.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    pub(crate) fn restarts(&self) -> usize {
        self.restarts.load(Ordering::Relaxed)
    }
}

impl Process {
    async fn start(command: &str) -> Result<Arc<Self>, String> {
        let told = |why: &str| format!("`{command}` {why}");
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| told(&format!("cannot be started: {error}")))?;
        let (tell, mut lines) = mpsc::channel(LINES_MAX);
        if let Some(stdout) = child.stdout.take() {
            // Read to its end even when nobody listens: a full pipe would stop the program.
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let _ = tell.try_send(line);
                }
            });
        }
        let mut process = Self {
            child: Mutex::new(child),
            places: Vec::new(),
            ended: Mutex::default(),
        };
        let words = command.split([' ', '\'', '"']);
        let count = words.filter(|word| word.starts_with("/ip")).count().max(1);
        let late = tokio::time::Instant::now() + START_TIMEOUT;
        while process.places.len() < count {
            match tokio::time::timeout_at(late, lines.recv()).await {
                Ok(Some(line)) => {
                    if let Some(address) = address(&line) {
                        process.places.push(Place::parse(address).await?);
                    }
                }
                Ok(None) => return Err(told("ended before it had printed its addresses")),
                Err(_) => {
                    return Err(told(&format!(
                        "printed no address with /p2p/ within {START_TIMEOUT:?}"
                    )));
                }
            }
        }
        let process = Arc::new(process);
        tokio::spawn(watch(Arc::downgrade(&process)));
        Ok(process)
    }

    /// Where it listens.
    pub(crate) fn place(&self, index: usize) -> Option<&Place> {
        self.places.get(index)
    }

    /// When and how it ended, if it did.
    pub(crate) fn ended(&self) -> Option<(Instant, String)> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            if let Ok(Some(status)) = child.try_wait() {
                *ended = Some((Instant::now(), status.to_string()));
            }
        }
        ended.clone()
    }
}

/// Notes when it ends.
async fn watch(process: std::sync::Weak<Process>) {
    while process
        .upgrade()
        .is_some_and(|process| process.ended().is_none())
    {
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The multiaddress in a line, whatever is around it.
fn address(line: &str) -> Option<&str> {
    let mut words = line.split([' ', '\t', '"', '\'', ',']);
    words.find(|word| word.starts_with('/') && word.contains("/p2p/"))
}

const START_TIMEOUT: Duration = Duration::from_secs(60);
const WATCH_EVERY: Duration = Duration::from_millis(50);
const LINES_MAX: usize = 64;
