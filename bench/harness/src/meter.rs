//! CPU time, page faults and memory of this process and of the server's, as the kernel counts them in `/proc`.

use std::{fs, time::Instant};

/// CPU time that both processes spend while it runs, their page faults, and wall-clock time.
pub(crate) struct Meter {
    pub(crate) started: Instant,
    server: Option<u32>,
    before: Option<[Usage; 2]>,
}

impl Meter {
    /// Without the server's process id only the clock runs.
    pub(crate) fn start(server: Option<u32>) -> Self {
        Self {
            started: Instant::now(),
            server,
            before: usage(server),
        }
    }

    pub(crate) fn cpu_s(&self) -> Option<f64> {
        let cpu_s = |sides: [Usage; 2]| sides[0].cpu_s + sides[1].cpu_s;
        Some(cpu_s(usage(self.server)?) - cpu_s(self.before?))
    }

    /// The dialer's and the server's.
    pub(crate) fn page_faults(&self) -> Option<[f64; 2]> {
        let (before, now) = (self.before?, usage(self.server)?);
        Some([0, 1].map(|side| now[side].page_faults - before[side].page_faults))
    }
}

/// Resident memory in KiB. `smaps_rollup` is exact, unlike the per-CPU counters behind `status`.
pub(crate) fn resident_kib(process: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// CPU time that a process has spent so far.
pub fn cpu_s(process: u32) -> Option<f64> {
    Some(process_usage(process)?.cpu_s)
}

#[derive(Clone, Copy)]
struct Usage {
    cpu_s: f64,
    page_faults: f64,
}

fn usage(server: Option<u32>) -> Option<[Usage; 2]> {
    Some([process_usage(std::process::id())?, process_usage(server?)?])
}

fn process_usage(process: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, so count behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some(Usage {
        cpu_s: (number(USER)? + number(SYSTEM)?) / TICKS_PER_S,
        page_faults: number(MINOR_FAULTS)? + number(MAJOR_FAULTS)?,
    })
}

const MINOR_FAULTS: usize = 7;
const MAJOR_FAULTS: usize = 9;
const USER: usize = 11;
const SYSTEM: usize = 12;
/// What Linux shows to programs, whatever the kernel's own clock.
const TICKS_PER_S: f64 = 100.0;
