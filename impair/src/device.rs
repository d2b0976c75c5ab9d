//! A TUN device in a namespace: opened here and moved there, where it goes on working. It has no offloading, so the kernel
//! computes every checksum before we see a packet and checks it when we hand one in.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use tun_rs::{DeviceBuilder, SyncDevice};

/// Opens a device of this name in the namespace, with the address out of a /24.
pub(crate) fn open(
    name: &str,
    namespace: &str,
    address: Ipv4Addr,
    mtu: u16,
) -> Result<SyncDevice, String> {
    if !Path::new(DEVICE).exists() {
        return Err(format!(
            "{DEVICE} is missing: load the kernel's module (modprobe tun), or give it to the container (--device {DEVICE})"
        ));
    }
    let builder = DeviceBuilder::new().name(name).inherit_enable_state();
    let device = builder.build_sync().map_err(|error| {
        format!("cannot open {DEVICE}: {error}; that needs root (CAP_NET_ADMIN)")
    })?;
    ip(&format!("link set {name} netns {namespace}"))?;
    // Else the kernel's own messages would be packets with numbers.
    ip(&format!(
        "netns exec {namespace} sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1"
    ))?;
    // What comes for this side's loopback address, and what goes out from there, is no mistake.
    ip(&format!(
        "netns exec {namespace} sysctl -qw net.ipv4.conf.{name}.route_localnet=1"
    ))?;
    ip(&format!(
        "-n {namespace} address add {address}/24 dev {name}"
    ))?;
    ip(&format!(
        "-n {namespace} link set {name} mtu {mtu} txqueuelen {QUEUE} up"
    ))?;
    Ok(device)
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output
        .map_err(|error| format!("cannot run `ip`: {error} (Debian: apt-get install iproute2)"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("`ip {words}` failed: {}", why.trim()))
}

const DEVICE: &str = "/dev/net/tun";
/// Packets that wait in the kernel for us.
const QUEUE: usize = 10_000;
