//! A bad network on purpose: packets between two network namespaces go through here, and chance from a seed decides what
//! becomes of each. Prints `ready` when both devices are up, takes commands from stdin, ends when that ends, and then says
//! what it did.

mod device;
mod dice;
mod faults;
mod packet;
mod path;
mod script;
mod translation;
mod way;

use std::io::{BufRead, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tun_rs::SyncDevice;

use faults::Faults;
use path::{A, B, Path};
use translation::Translation;

/// Joins two network namespaces by a path that loses, delays, swaps, repeats and spoils packets
#[derive(Parser)]
#[command(name = "carrick-impair", after_help = COMMANDS)]
struct Options {
    /// The namespace of side A, which is behind a NAT when there is a rebinding
    #[arg(long, value_name = "NAME")]
    a: String,
    /// The namespace of side B
    #[arg(long, value_name = "NAME")]
    b: String,
    /// A's address, of a /24
    #[arg(long, default_value = "9.0.0.1", value_name = "IP")]
    a_address: Ipv4Addr,
    /// B's address
    #[arg(long, default_value = "9.0.0.2", value_name = "IP")]
    b_address: Ipv4Addr,
    /// What comes for B goes to 127.0.0.1 there: for programs that listen nowhere else
    #[arg(long)]
    b_loopback: bool,
    /// MTU of both devices
    #[arg(long, default_value_t = 1500)]
    device_mtu: u16,
    #[command(flatten)]
    faults: Faults,
    /// The same seed gives the same fate to the packet of the same number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A file of commands, one a line
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// The summary as JSON
    #[arg(long)]
    json: bool,
}

const COMMANDS: &str = "\
Commands, on stdin or in the script, `#` begins a comment:
  [at TIME] blackhole TIME [a|b]   everything vanishes, or what that side sends
  [at TIME] rebind [address]       A's NAT forgets: other ports, and another address
  [at TIME] NAME VALUE             any fault above, such as `loss 5%`, `mtu 1200`, `too-big on`
  [at TIME] report                 the summary so far, one line of JSON
TIME is since the start; without it a command counts at once. Ends when stdin does.";

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("carrick-impair: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What the threads share.
struct Shared {
    start: Instant,
    path: Mutex<Path>,
    /// Something may happen earlier than it seemed.
    changed: Condvar,
}

impl Shared {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Path, Duration) -> T) -> T {
        let mut path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut path, self.now());
        drop(path);
        self.changed.notify_one();
        done
    }
}

fn run(options: &Options) -> Result<(), String> {
    let id = std::process::id();
    let (a, b, mtu) = (options.a_address, options.b_address, options.device_mtu);
    let devices = [
        Arc::new(device::open(&format!("impa{id}"), &options.a, a, mtu)?),
        Arc::new(device::open(&format!("impb{id}"), &options.b, b, mtu)?),
    ];
    let translation = Translation::new(a, b, options.b_loopback);
    let path = Path::new(options.seed, options.faults.clone(), translation);
    let shared = Arc::new(Shared {
        start: Instant::now(),
        path: Mutex::new(path),
        changed: Condvar::new(),
    });
    if let Some(file) = &options.script {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        for line in text.lines() {
            obey(&shared, line)?;
        }
    }
    for (side, device) in [A, B].into_iter().zip(&devices) {
        let (shared, device) = (shared.clone(), device.clone());
        thread::spawn(move || read(&shared, side, &device));
    }
    let deliverer = shared.clone();
    thread::spawn(move || deliver(&deliverer, &devices));
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("cannot read commands: {error}"))?;
        if let Err(why) = obey(&shared, &line) {
            eprintln!("carrick-impair: {why}");
        }
    }
    let summary = shared.with(|path, _| path.summary());
    let text = if options.json {
        summary.to_string()
    } else {
        format!("{summary:#}")
    };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{text}").map_err(|error| format!("cannot write the summary: {error}"))
}

fn obey(shared: &Shared, line: &str) -> Result<(), String> {
    if let Some(line) = script::parse(line)? {
        shared.with(|path, now| path.command(now, line));
    }
    Ok(())
}

/// Takes what this side sends, until the device is gone.
fn read(shared: &Shared, side: usize, device: &SyncDevice) {
    let mut buffer = vec![0; PACKET_MAX];
    while let Ok(len) = device.recv(&mut buffer) {
        let packet = buffer[..len].to_vec();
        shared.with(|path, now| path.send(now, side, packet));
    }
}

/// Hands in what has arrived, when it has.
fn deliver(shared: &Shared, devices: &[Arc<SyncDevice>; 2]) {
    let mut path = shared.path.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = shared.now();
        if let Some((side, packet)) = path.arrived(now) {
            drop(path);
            // A packet that the kernel does not take is one more that is lost.
            let _ = devices[side].send(&packet);
            path = shared.path.lock().unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let wait = path.next().map_or(IDLE, |at| at.saturating_sub(now));
        let waited = shared.changed.wait_timeout(path, wait);
        path = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// The longest IP packet.
const PACKET_MAX: usize = 65_535;
/// How long nothing may happen without a look.
const IDLE: Duration = Duration::from_secs(60);
