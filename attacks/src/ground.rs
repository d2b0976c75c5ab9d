//! Two network namespaces and a cable between them: the victim's, and one whose processes may speak from any address of
//! three large nets. Both are gone when this is dropped, and when this process ends in the middle.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio::process::Command as Process;

/// The two namespaces.
pub(crate) struct Ground {
    victim: String,
    outside: String,
    caretaker: Child,
}

/// Where a process runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Alone with its addresses, on the first core.
    Victim,
    /// All others, on the last core.
    Outside,
}

/// The victim's addresses, as public as those of everybody else.
pub(crate) const VICTIM_V4: Ipv4Addr = Ipv4Addr::new(9, 0, 0, 1);
pub(crate) const VICTIM_V6: Ipv6Addr = Ipv6Addr::new(0x2a09, 0, 0, 0, 0, 0, 0, 1);
/// Files that any of the processes may have open, unless it is said otherwise.
pub(crate) const FILES_MAX: u64 = 16_384;

/// An address of 11.0.0.0/8, where the attackers live.
pub(crate) fn attacker(n: u32) -> IpAddr {
    Ipv4Addr::from(0x0b00_0001 + (n & 0x00ff_ffff)).into()
}

/// An attacker's address of which each is in another /24.
pub(crate) fn attacker_apart(n: u32) -> IpAddr {
    attacker((n << 8) & 0x00ff_ffff)
}

/// An honest peer's address, in 12.0.0.0/8, each in another /16.
pub(crate) fn honest(n: u8) -> IpAddr {
    Ipv4Addr::new(12, n, 0, 1).into()
}

/// An attacker's IPv6 address: `site` is its /48, `net` the byte up to its /56, `host` the rest.
pub(crate) fn attacker_v6(site: u16, net: u8, host: u16) -> IpAddr {
    Ipv6Addr::new(0x2a0b, 0, site, u16::from(net) << 8, 0, 0, 0, host).into()
}

impl Ground {
    /// Makes both. What is missing on this machine is the error.
    pub(crate) fn new() -> Result<Self, String> {
        for program in ["ip", "taskset", "prlimit", "nice"] {
            let path = std::env::var_os("PATH").unwrap_or_default();
            if !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
                return Err(format!(
                    "the program `{program}` is missing (Debian: apt-get install iproute2 util-linux)"
                ));
            }
        }
        let id = std::process::id();
        let (victim, outside) = (
            format!("carrick-victim-{id}"),
            format!("carrick-outside-{id}"),
        );
        let ground = Self {
            caretaker: caretaker([&victim, &outside])?,
            victim,
            outside,
        };
        let (victim, outside) = (&ground.victim, &ground.outside);
        ip(&format!("netns add {victim}")).map_err(|error| {
            format!(
                "{error}\nnetwork namespaces are made by root (CAP_SYS_ADMIN and CAP_NET_ADMIN)"
            )
        })?;
        ip(&format!("netns add {outside}"))?;
        ip(&format!(
            "link add cable netns {victim} type veth peer name cable netns {outside}"
        ))?;
        for line in [
            format!("-n {victim} address add {VICTIM_V4}/24 dev cable"),
            format!("-n {victim} address add {VICTIM_V6}/64 dev cable nodad"),
            format!("-n {outside} address add 9.0.0.2/24 dev cable"),
            format!("-n {outside} address add 2a09::2/64 dev cable nodad"),
            format!("-n {victim} link set lo up"),
            format!("-n {outside} link set lo up"),
            format!("-n {victim} link set cable up"),
            format!("-n {outside} link set cable up"),
            format!("-n {victim} route add default via 9.0.0.2"),
            format!("-n {victim} -6 route add default via 2a09::2"),
            format!("-n {outside} route add local 11.0.0.0/8 dev lo"),
            format!("-n {outside} route add local 12.0.0.0/8 dev lo"),
            // Whoever is dialed there refuses at once.
            format!("-n {outside} route add local 66.0.0.0/8 dev lo"),
            format!("-n {outside} route add local 10.0.0.0/8 dev lo"),
            format!("-n {outside} route add local 169.254.0.0/16 dev lo"),
            format!("-n {outside} route add local 192.168.0.0/16 dev lo"),
            format!("-n {outside} -6 route add local 2a0b::/16 dev lo"),
            format!("netns exec {outside} sysctl -qw net.ipv6.ip_nonlocal_bind=1"),
        ] {
            ip(&line)?;
        }
        Ok(ground)
    }

    /// The victim's namespace, by name.
    pub(crate) fn victim(&self) -> &str {
        &self.victim
    }

    /// The namespace of everybody else, by name.
    pub(crate) fn outside(&self) -> &str {
        &self.outside
    }

    /// `program` inside, with its process id, and gone when its handle is dropped. Outside, at a lower priority if `meek`.
    pub(crate) fn process(
        &self,
        side: Side,
        meek: bool,
        files_max: u64,
        program: &Path,
    ) -> Process {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (namespace, core) = match side {
            Side::Victim => (&self.victim, 0),
            Side::Outside => (&self.outside, cores - 1),
        };
        let mut process = Process::new("ip");
        process
            .args(["netns", "exec", namespace])
            .args(["nice", "-n", if meek { "10" } else { "0" }])
            .args(["taskset", "-c", &core.to_string()])
            .args(["prlimit", &format!("--nofile={files_max}:{files_max}")])
            .arg(program)
            .kill_on_drop(true);
        process
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        drop(self.caretaker.stdin.take());
        let _ = self.caretaker.wait();
    }
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
    child.map_err(|error| format!("cannot run `sh`: {error}"))
}

const CARETAKER: &str =
    r#"read -r _; for n; do kill -KILL $(ip netns pids "$n"); ip netns delete "$n"; done"#;

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.map_err(|error| format!("cannot run `ip`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("`ip {words}` failed: {}", why.trim()))
}
