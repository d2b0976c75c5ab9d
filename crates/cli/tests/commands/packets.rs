//! `carrick packets` against `carrick listen`, also over a link that loses some.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::process::{Listener, carrick};

const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const TCP: &str = "/ip4/127.0.0.1/tcp/0";

#[test]
fn packets_come_back_and_are_counted() {
    let listener = Listener::start(&[QUIC]);
    let args = [
        "packets",
        &listener.address,
        "-n",
        "20",
        "--interval-ms",
        "1",
    ];
    let report = &carrick(&[&args[..], &["--json"]].concat()).objects()[0];
    for (name, value) in [("sent", 20), ("received", 20), ("lost", 0), ("size", 160)] {
        assert_eq!(report[name], value, "{report}");
    }
    assert_eq!(report["reliable"], false);
    assert!(report["max_payload"].as_u64() > Some(1100), "{report}");
    let rtt = ["min", "median", "p99"].map(|name| report["rtt_us"][name].as_u64());
    assert!(rtt[0] > Some(0) && rtt.is_sorted(), "{report}");

    let lines = carrick(&args).lines();
    assert!(
        lines[0].starts_with("20 sent, 20 came back, 0 lost (0.0 %)"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("rtt min/median/p99 "), "{lines:?}");
}

#[test]
fn what_the_link_loses_is_reported_as_lost_and_nothing_else() {
    let listener = Listener::start(&[QUIC]);
    let link = LossyLink::to(&listener);
    let args = ["-n", "300", "--size", "800", "--interval-ms", "2", "--json"];
    let report = &carrick(&[&["packets", &link.address], &args[..]].concat()).objects()[0];
    let lost = link.lost.load(Ordering::Relaxed);
    assert!(lost > 20, "the link loses some: {lost}");
    assert_eq!(report["sent"], 300);
    assert_eq!(report["lost"], lost, "{report}");
    assert_eq!(report["received"], 300 - lost);
    assert_eq!(report["unsent"], 0);
    assert_eq!(report["loss"], lost as f64 / 300.0);
}

#[test]
fn without_datagrams_there_is_an_error_or_a_stream_that_says_so() {
    let listener = Listener::start(&[TCP]);
    let args = [
        "packets",
        &listener.address,
        "-n",
        "5",
        "--interval-ms",
        "0",
    ];
    carrick(&args).refused(&["no datagrams", "quic-v1", "fallback"]);
    let with = [&args[..], &["--fallback-to-stream", "--json"]].concat();
    let report = &carrick(&with).objects()[0];
    assert_eq!(report["reliable"], true);
    assert_eq!(report["received"], 5);
}

#[test]
fn packets_that_are_too_large_are_refused() {
    let listener = Listener::start(&[QUIC]);
    carrick(&["packets", &listener.address, "--size", "60000"])
        .refused(&["60000 bytes", "smaller --size"]);
}

/// A UDP link that loses every packet of a certain size to which a fixed sequence of dice says so, on their way to the
/// listener.
struct LossyLink {
    address: String,
    lost: Arc<AtomicU64>,
}

impl LossyLink {
    fn to(listener: &Listener) -> Self {
        let mut parts = listener.address.split('/');
        let port = parts.nth(4).expect("a port");
        let near = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let far = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        far.connect(format!("127.0.0.1:{port}")).expect("loopback");
        let own = near.local_addr().expect("it is bound").port().to_string();
        let lost = Arc::new(AtomicU64::new(0));
        let (there, back) = (near.try_clone(), far.try_clone());
        let (count, back) = (lost.clone(), back.expect("a socket"));
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        // The threads end with the test's process.
        thread::spawn(move || {
            let (mut packet, mut dice, mut dialer) = ([0; 2048], 38_575_048u64, None);
            while let Ok((len, from)) = near.recv_from(&mut packet) {
                if dialer.replace(from).is_none() {
                    sender.send(from).expect("the other thread waits");
                }
                // Only what carries a packet of 800 bytes is this large, and nothing that QUIC would send again. The dice
                // are thrown for those alone: how many others there are depends on how busy the machine is.
                let rolls = (810..900).contains(&len);
                if rolls {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                }
                if rolls && (dice >> 40).is_multiple_of(10) {
                    count.fetch_add(1, Ordering::Relaxed);
                } else {
                    let _ = far.send(&packet[..len]);
                }
            }
        });
        let there = there.expect("a socket");
        thread::spawn(move || {
            let dialer = receiver.recv_timeout(Duration::from_secs(60));
            let (mut packet, dialer) = ([0; 2048], dialer.expect("somebody dials"));
            while let Ok(len) = back.recv(&mut packet) {
                let _ = there.send_to(&packet[..len], dialer);
            }
        });
        let address = listener.address.replace(port, &own);
        Self { address, lost }
    }
}
