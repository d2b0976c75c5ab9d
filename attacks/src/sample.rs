//! What the kernel says of a process: memory, files, time, and the connections its namespace has opened.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// One look at a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Resident memory, KiB.
    pub(crate) rss_kib: u64,
    /// Open file descriptors.
    pub(crate) files: u64,
    /// Processor time used so far.
    pub(crate) busy: Duration,
}

impl Sample {
    /// Looks at the process `pid`.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name before the last parenthesis may hold anything; user and system time are the 12th and 13th after it.
        let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Self {
            rss_kib: value(&status, "VmRSS:").unwrap_or_default(),
            files: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
            busy: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
        })
    }
}

/// TCP connections that the namespace of the process has tried to open.
pub(crate) fn dialed(pid: u32) -> io::Result<u64> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/snmp"))?;
    let mut tcp = table.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (tcp.next().unwrap_or(""), tcp.next().unwrap_or(""));
    let mut pairs = names.split(' ').zip(values.split(' '));
    let opens = pairs.find(|(name, _)| *name == "ActiveOpens");
    opens
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| io::Error::other("no ActiveOpens in /proc/net/snmp"))
}

/// The largest of what was seen, while this lives.
pub(crate) struct Peak {
    rss_kib: Arc<AtomicU64>,
    files: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Peak {
    /// Looks every 20 ms.
    pub(crate) fn of(pid: u32) -> Self {
        let (rss_kib, files) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (rss, fds) = (rss_kib.clone(), files.clone());
        let task = tokio::spawn(async move {
            while let Ok(sample) = Sample::of(pid) {
                rss.fetch_max(sample.rss_kib, Ordering::Relaxed);
                fds.fetch_max(sample.files, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self {
            rss_kib,
            files,
            task,
        }
    }

    /// What it was.
    pub(crate) fn sample(&self) -> Sample {
        Sample {
            rss_kib: self.rss_kib.load(Ordering::Relaxed),
            files: self.files.load(Ordering::Relaxed),
            busy: Duration::ZERO,
        }
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn value(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Linux's USER_HZ, the same on every machine that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;
