//! A voice sender: fifty packets a second, each 20 ms of sound, and what became of them on the way.
//!
//! ```text
//! cargo run -p carrick --example voice                     speaker and listener in one process, for three seconds
//! cargo run -p carrick --example voice -- listen           a listener; prints its address
//! cargo run -p carrick --example voice -- ADDRESS          a speaker, from another machine
//! ```
//!
//! A packet that is late is worthless, so nothing is sent again. The listener tells loss and jitter (RFC 3550 §6.4.1) from the
//! number and the time in each packet, and answers once a second with a report, from which the speaker has the round trip.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use carrick::{Node, Packets, PacketsError};
use tokio::time::{MissedTickBehavior, interval, timeout};

const VOICE: &str = "/voice-example/1.0.0";
/// 20 ms of 8 kHz sound, a byte each.
const SOUND: [u8; 160] = [0; 160];
const FRAME: Duration = Duration::from_millis(20);
const FRAMES_A_SECOND: u32 = 50;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some("listen") => {
            let node = listener("/ip4/0.0.0.0/udp/0/quic-v1").await?;
            for address in node.addresses() {
                println!("{address}");
            }
            tokio::signal::ctrl_c().await?;
        }
        Some(address) => speak(address, u32::MAX).await?,
        None => {
            let node = listener("/ip4/127.0.0.1/udp/0/quic-v1").await?;
            speak(&node.address().to_string(), 3 * FRAMES_A_SECOND).await?;
        }
    }
    Ok(())
}

async fn listener(address: &str) -> Result<Node, Box<dyn Error>> {
    let builder = Node::builder().handle_packets(VOICE, listen);
    Ok(builder.listen(address)?.spawn().await?)
}

/// Receives one speaker's packets, and reports once a second.
async fn listen(packets: Packets) -> Result<(), PacketsError> {
    let begun = Instant::now();
    let (mut received, mut last, mut jitter) = (0u32, None, 0.0);
    loop {
        let packet = packets.recv().await?;
        let Some((number, sent)) = read(&packet) else {
            continue;
        };
        received += 1;
        // The clocks differ by a constant, which the difference of two packets does not have.
        let transit = micros(begun) as f64 - sent as f64;
        if let Some(before) = last.replace(transit) {
            jitter += ((transit - before).abs() - jitter) / 16.0;
        }
        if number % FRAMES_A_SECOND == FRAMES_A_SECOND - 1 {
            let report = [number, received, jitter as u32].map(u32::to_be_bytes);
            packets.send([report.as_flattened(), &sent.to_be_bytes()].concat())?;
        }
    }
}

/// Speaks so many packets, and prints the listener's reports.
async fn speak(address: &str, count: u32) -> Result<(), Box<dyn Error>> {
    let node = Node::spawn().await?;
    let packets = node.packets(address, VOICE).await?;
    println!("speaking to {}", packets.peer());
    let begun = Instant::now();
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while number < count {
        tokio::select! {
            _ = frames.tick() => {
                let head = [&number.to_be_bytes()[..], &micros(begun).to_be_bytes()].concat();
                packets.send([&head[..], &SOUND].concat())?;
                number += 1;
            }
            report = packets.recv() => print(&report?, begun),
        }
    }
    // The last report, unless that is lost, too.
    if let Ok(report) = timeout(Duration::from_secs(1), packets.recv()).await {
        print(&report?, begun);
    }
    let stats = packets.stats();
    println!("{} sent, {} not even sent", stats.sent, stats.dropped_send);
    node.close().await;
    Ok(())
}

fn print(report: &[u8], begun: Instant) {
    let Some((head, sent)) = report.split_first_chunk::<12>() else {
        return;
    };
    let [number, received, jitter] = [0, 4, 8].map(|at| {
        head[at..at + 4]
            .iter()
            .fold(0, |n, b| n << 8 | u32::from(*b))
    });
    let Some(sent) = sent.first_chunk().map(|sent| u64::from_be_bytes(*sent)) else {
        return;
    };
    let lost = (number + 1).saturating_sub(received);
    let loss = 100.0 * f64::from(lost) / f64::from(number + 1);
    let rtt = Duration::from_micros(micros(begun).saturating_sub(sent));
    println!("packet {number}: {loss:.1} % lost, jitter {jitter} µs, round trip {rtt:?}");
}

fn read(packet: &[u8]) -> Option<(u32, u64)> {
    let (number, rest) = packet.split_first_chunk()?;
    Some((
        u32::from_be_bytes(*number),
        u64::from_be_bytes(*rest.first_chunk()?),
    ))
}

fn micros(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}
