//! The scenes of rows 10, 11 and 13 of the scorecard, each over TCP, QUIC and WebSocket.

use super::scene::{Act, Must, Scene, Side};
use std::time::Duration;

/// All of them, or those that a minute is enough for.
pub(super) fn scenes(quick: bool) -> Vec<Scene> {
    if quick {
        let mut all = vec![loss("tcp", 5, 100, 200), loss("quic-v1", 5, 100, 200)];
        all.extend(["tcp", "quic-v1"].map(|transport| mixed(transport, 10)));
        all.extend([black_hole("quic-v1", 10), rebind("quic-v1", "rebind")]);
        all.extend([mtu("quic-v1"), rebind("tcp", "rebind")]);
        all.push(frozen("tcp", Side::Listener, 20, 10));
        return all;
    }
    let mut all = vec![];
    for transport in TRANSPORTS {
        for loss_percent in [1, 5, 20] {
            for rtt_ms in [0, 100, 300] {
                all.push(loss(transport, loss_percent, rtt_ms, 1000));
            }
        }
        let single = [
            ("reorder 25 %", "--reorder 25%"),
            ("duplicate 5 %", "--duplicate 5%"),
            ("corrupt 0.1 %", "--corrupt 0.1%"),
        ];
        all.extend(single.map(|(name, road)| bad(transport, name, road, Must::SURVIVE, 20)));
        all.push(mixed(transport, 20));
        all.push(spoiled(transport));
        all.push(black_hole(transport, 10));
        all.push(dead(transport));
        all.push(rebind(transport, "rebind"));
        all.push(rebind(transport, "rebind address"));
        all.push(mtu(transport));
        all.push(frozen(transport, Side::Listener, 60, 20));
        all.push(frozen(transport, Side::Dialer, 60, 20));
    }
    all
}

const TRANSPORTS: [&str; 3] = ["tcp", "quic-v1", "ws"];

impl Must {
    const SURVIVE: Self = Self {
        survive: true,
        notice: false,
        gap_max: None,
        frozen: false,
    };
}

/// Row 10: so many requests, twenty at once.
fn loss(transport: &'static str, percent: u32, rtt_ms: u32, requests: u32) -> Scene {
    Scene {
        row: 10,
        name: format!("loss {percent} %, {rtt_ms} ms"),
        transport,
        road: format!(
            "--loss {percent}% --delay {}ms --seed {}",
            rtt_ms / 2,
            percent + rtt_ms
        ),
        load: format!("--requests {requests} --streams 20 --request-bytes 256 --seconds 240"),
        acts: vec![],
        must: Must::default(),
    }
}

/// Row 11: a road that is bad all the time.
fn bad(transport: &'static str, name: &str, road: &str, must: Must, seconds: u32) -> Scene {
    Scene {
        row: 11,
        name: name.to_owned(),
        transport,
        road: format!("--delay 20ms {road}"),
        load: format!("--seconds {seconds} --streams 4 --pause-ms 20 --request-bytes 8000"),
        acts: vec![],
        must,
    }
}

fn mixed(transport: &'static str, seconds: u32) -> Scene {
    let road = "--reorder 25% --duplicate 5% --corrupt 0.1%";
    bad(
        transport,
        "reorder, duplicate, corrupt",
        road,
        Must::SURVIVE,
        seconds,
    )
}

/// Bytes change behind the checksums: only a cipher can tell. QUIC drops the packet, the others the connection.
fn spoiled(transport: &'static str) -> Scene {
    let must = Must {
        survive: transport == "quic-v1",
        notice: transport != "quic-v1",
        ..Must::default()
    };
    let road = "--corrupt 1% --fix-checksums";
    bad(
        transport,
        "corrupt 1 % with right checksums",
        road,
        must,
        20,
    )
}

/// Something happens five seconds after the start.
fn sudden(transport: &'static str, name: &str, command: &str, seconds: u32, must: Must) -> Scene {
    let mut scene = bad(transport, name, "", must, seconds);
    scene.load = format!("--seconds {seconds} --streams 2 --pause-ms 100");
    scene.acts = vec![(Duration::from_secs(5), Act::Road(command.to_owned()))];
    scene
}

fn black_hole(transport: &'static str, seconds: u32) -> Scene {
    // Probes are sent after twice the time each: the next one may come as long again after the end.
    let must = Must {
        gap_max: Some(Duration::from_secs(30)),
        ..Must::SURVIVE
    };
    let (name, command) = (
        format!("black hole of {seconds} s"),
        format!("blackhole {seconds}s"),
    );
    sudden(transport, &name, &command, 40, must)
}

/// A peer that is gone is known to be so within half a minute; when it is back, it is found.
fn dead(transport: &'static str) -> Scene {
    let must = Must {
        notice: true,
        gap_max: Some(Duration::from_secs(75)),
        ..Must::default()
    };
    sudden(transport, "peer gone for 60 s", "blackhole 60s", 90, must)
}

/// QUIC goes on from another address. TCP cannot: it has to say so and to dial again.
fn rebind(transport: &'static str, command: &str) -> Scene {
    let survives = transport == "quic-v1";
    let must = Must {
        survive: survives,
        notice: !survives,
        gap_max: Some(Duration::from_secs(if survives { 5 } else { 30 })),
        frozen: false,
    };
    sudden(transport, &format!("NAT {command}"), command, 20, must)
}

/// The path gets narrower. QUIC finds that out by itself, as far as it may go: 1,200 bytes in 1,228 (RFC 9000, section 14). TCP
/// needs a router that says so.
fn mtu(transport: &'static str) -> Scene {
    let (road, to) = match transport {
        "quic-v1" => ("--delay 20ms --mtu 1280", 1228),
        _ => ("--delay 20ms --mtu 1280 --too-big", 1200),
    };
    let name = format!("MTU 1280 to {to}");
    let mut scene = sudden(transport, &name, &format!("mtu {to}"), 20, Must::SURVIVE);
    scene.road = road.to_owned();
    scene.load += " --request-bytes 20000";
    scene
}

/// Row 13: a side stands still, with every connection that it has.
fn frozen(transport: &'static str, side: Side, seconds: u32, nodes: u32) -> Scene {
    let still = Duration::from_secs(seconds.into());
    let (before, after) = (Duration::from_secs(5), 20);
    Scene {
        row: 13,
        name: format!("{side:?} stopped for {seconds} s").to_lowercase(),
        transport,
        road: "--delay 20ms".to_owned(),
        load: format!(
            "--nodes {nodes} --pause-ms 500 --seconds {}",
            before.as_secs() + u64::from(seconds) + after
        ),
        acts: vec![(before, Act::Freeze(side)), (still, Act::Thaw(side))],
        must: Must {
            gap_max: Some(still + Duration::from_secs(10)),
            frozen: side == Side::Dialer,
            ..Must::default()
        },
    }
}
