//! CPU time and memory of this process and of the server's, as the kernel counts them in `/proc`.

use std::{fs, time::Instant};

/// CPU time that both processes spend while it runs, and wall-clock time.
pub(crate) struct Meter {
    pub(crate) started: Instant,
    server: Option<u32>,
    cpu_before: Option<f64>,
}

impl Meter {
    /// Without the server's process id only the clock runs.
    pub(crate) fn start(server: Option<u32>) -> Self {
        Self {
            started: Instant::now(),
            server,
            cpu_before: cpu_s(server),
        }
    }

    pub(crate) fn cpu_s(&self) -> Option<f64> {
        Some(cpu_s(self.server)? - self.cpu_before?)
    }
}

/// Resident memory in KiB. `smaps_rollup` is exact, unlike the per-CPU counters behind `status`.
pub(crate) fn resident_kib(process: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_s(server: Option<u32>) -> Option<f64> {
    Some(process_cpu_s(server?)? + process_cpu_s(std::process::id())?)
}

fn process_cpu_s(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, so count behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(USER)? + ticks(SYSTEM)?) / TICKS_PER_S)
}

const USER: usize = 11;
const SYSTEM: usize = 12;
/// What Linux shows to programs, whatever the kernel's own clock.
const TICKS_PER_S: f64 = 100.0;
