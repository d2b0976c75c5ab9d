//! Two network namespaces with a bad road between them. Both, and the program that is the road, are gone when this is dropped,
//! and when this process ends in the middle.

use crate::interop::process::{Line, Process};
use serde_json::Value;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The dialer's namespace, the listener's, and the road.
pub(super) struct Ground {
    pub(super) dialer: String,
    pub(super) listener: String,
    road: Option<Process>,
    caretaker: Child,
}

/// Where the listener's loopback address is found from the dialer's side.
pub(super) const LISTENER: &str = "9.0.0.2";

impl Ground {
    /// Makes both, and the road with these options of `carrick-impair`.
    pub(super) fn new(impair: &Path, options: &[String]) -> Result<Self, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let id = std::process::id();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("carrick-faults-{id}-{number}-{side}");
        let mut ground = Self {
            dialer: name('a'),
            listener: name('b'),
            road: None,
            caretaker: caretaker([&name('a'), &name('b')])?,
        };
        for namespace in [&ground.dialer, &ground.listener] {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        let mut command = Command::new(impair);
        command
            .args(["--a", &ground.dialer, "--b", &ground.listener])
            .args(["--b-loopback", "--json"])
            .args(options);
        let mut road = Process::start(&mut command)?;
        if road.line(Instant::now() + READY_MAX) != Line::Text("ready".to_owned()) {
            road.stop();
            return Err(format!("the road does not open: {}", road.last_words()));
        }
        ground.road = Some(road);
        Ok(ground)
    }

    /// What keeps this machine from having namespaces and devices, before anything is built.
    pub(super) fn possible() -> Result<(), String> {
        if !Path::new("/dev/net/tun").exists() {
            return Err("/dev/net/tun is missing: load the kernel's module (modprobe tun), or give it to the container (--device /dev/net/tun)".to_owned());
        }
        namespaces_possible()
    }

    /// A command for the road.
    pub(super) fn say(&mut self, command: &str) -> Result<(), String> {
        self.road.as_mut().ok_or("there is no road")?.say(command)
    }

    /// Closes the road; what became of the packets.
    pub(super) fn summary(&mut self) -> Option<Value> {
        let mut road = self.road.take()?;
        road.hush();
        match road.line(Instant::now() + READY_MAX) {
            Line::Text(line) => serde_json::from_str(&line).ok(),
            Line::End | Line::Late => None,
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        drop(self.road.take());
        drop(self.caretaker.stdin.take());
        let _ = self.caretaker.wait();
    }
}

/// What keeps us from having namespaces, before anything is built.
pub(crate) fn namespaces_possible() -> Result<(), String> {
    let probe = format!("carrick-probe-{}", std::process::id());
    ip(&["netns", "add", &probe]).map_err(|error| {
        format!("{error}\nnetwork namespaces are made by root (CAP_SYS_ADMIN and CAP_NET_ADMIN); a container needs --privileged")
    })?;
    ip(&["netns", "delete", &probe])
}

/// A shell that waits for the end of its stdin, which is ours at the latest, however that comes; then it takes the namespaces
/// away, and who is in them.
fn caretaker(namespaces: [&str; 2]) -> Result<Child, String> {
    let mut command = Command::new("sh");
    command
        .args(["-c", CARETAKER, "caretaker"])
        .args(namespaces);
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C is not for it.
    let child = quiet.stdin(Stdio::piped()).process_group(0).spawn();
    child.map_err(|error| crate::steps::cannot_run(&command, &error))
}

const CARETAKER: &str =
    r#"read -r _; for n; do kill -KILL $(ip netns pids "$n"); ip netns delete "$n"; done"#;

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output();
    let output = output
        .map_err(|error| format!("cannot run `ip`: {error} (Debian: apt-get install iproute2)"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("`ip {}` failed: {}", words.join(" "), why.trim()))
}

/// Opening or closing takes a moment; on a busy machine several.
const READY_MAX: Duration = Duration::from_secs(30);
