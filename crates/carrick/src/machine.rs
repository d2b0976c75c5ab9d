//! What the machine has, and which limits that makes. Where it does not say, little is assumed.

use std::{fs, sync::OnceLock};

/// What there is for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Bytes.
    pub(crate) memory: u64,
    /// File descriptors.
    pub(crate) descriptors: u64,
}

/// Limits that depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) memory: u64,
    pub(crate) memory_per_peer: u64,
    pub(crate) descriptors: usize,
    pub(crate) inbound: usize,
    pub(crate) outbound: usize,
    pub(crate) pending: usize,
    pub(crate) dials: usize,
    pub(crate) streams: usize,
    pub(crate) negotiations: usize,
}

impl Machine {
    /// This one; looked at once.
    pub(crate) fn this() -> Self {
        static THIS: OnceLock<Machine> = OnceLock::new();
        *THIS.get_or_init(|| Self {
            memory: memory().unwrap_or(MEMORY_ASSUMED),
            descriptors: descriptors().unwrap_or(DESCRIPTORS_ASSUMED),
        })
    }

    /// An eighth of the memory and half of the descriptors are ours. Of that memory three tenths are enough for all
    /// connections; so many descriptors stay free for listeners, and so much of them for dials, as is left here.
    pub(crate) fn scale(self) -> Scale {
        let memory = (self.memory / 8).clamp(MEMORY_MIN, MEMORY_MAX);
        let descriptors = usize::try_from(self.descriptors / 2)
            .unwrap_or(usize::MAX)
            .max(32);
        let by_memory = memory / 10 * 3 / CONNECTION_BYTES;
        let by_memory = usize::try_from(by_memory).unwrap_or(usize::MAX);
        let by_descriptors = (descriptors / 10 * 9).saturating_sub(LISTENERS);
        let (inbound, outbound) = split(by_memory.min(by_descriptors).min(CONNECTIONS_MAX));
        let streams = usize::try_from(memory / STREAM_BYTES).unwrap_or(usize::MAX);
        Scale {
            memory,
            memory_per_peer: (64 << 20).min(memory / 2),
            descriptors,
            inbound,
            outbound,
            pending: inbound.div_ceil(2).min(128),
            dials: outbound.div_ceil(2).min(128),
            streams: streams.clamp(1024, 65_536),
            negotiations: (8 * inbound).clamp(256, 8192),
        }
    }
}

/// What each connection is taken to cost: buffers while it is busy, and over QUIC what the peer may send at first.
pub(crate) const CONNECTION_BYTES: u64 = 128 << 10;

/// Two thirds for those who dial us, one for those whom we dial.
pub(crate) fn split(connections: usize) -> (usize, usize) {
    let outbound = (connections / 3).max(1);
    (connections.saturating_sub(outbound).max(1), outbound)
}

/// As many as an ordinary machine has.
const CONNECTIONS_MAX: usize = 512 + 256;
const MEMORY_MIN: u64 = 16 << 20;
const MEMORY_MAX: u64 = 4 << 30;
/// What a stream that nobody reads may hold is four times as much; not all of them are of that kind.
const STREAM_BYTES: u64 = 64 << 10;
/// Descriptors that listeners need.
const LISTENERS: usize = 16;
const MEMORY_ASSUMED: u64 = 2 << 30;
const DESCRIPTORS_ASSUMED: u64 = 256;

/// The machine's memory, or less where the process is confined to less.
fn memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| total(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let confined = files(&groups)
        .into_iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    let confined = confined.filter_map(|text| text.trim().parse().ok());
    machine.into_iter().chain(confined).min()
}

/// `MemTotal:       24731412 kB`
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files in which the groups that the process is in may say how much memory they have: its own and those around it.
fn files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            files.push(format!("{root}{path}/{file}"));
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => break,
            }
        }
    }
    files
}

/// `Max open files            1024                 524288               files`: what holds, and what it may be raised to.
fn descriptors() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
