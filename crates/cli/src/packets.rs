//! `carrick packets`: numbered packets to a peer that echoes them; how many were lost, how long the others took.

use std::{collections::BTreeMap, time::Duration};

use carrick::{Multiaddr, PacketStats, Packets, PacketsError, PacketsOptions};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{address, failure::Failure, listen::ECHO_PACKETS, network::Network, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick packets /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3Koo…             a hundred packets, fifty a second
  carrick packets /ip4/192.0.2.1/udp/4001/quic-v1/p2p/12D3Koo… --json      {\"sent\":100,\"received\":99,\"lost\":1,…}

`carrick listen` echoes them. Packets are QUIC datagrams: they are lost where the network loses them.
Exit code 0 if any packet came back.")]
pub(crate) struct Args {
    /// The peer, a multiaddr ending in /p2p/<peer-id>.
    #[arg(value_name = "ADDR", value_parser = address::peer)]
    address: Multiaddr,
    /// How many packets.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// Bytes of each packet.
    #[arg(long, value_name = "BYTES", default_value_t = 160, value_parser = clap::value_parser!(u16).range(NUMBER_LEN as i64..))]
    size: u16,
    /// From one packet to the next, milliseconds; 0: as fast as the path takes them.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    interval_ms: u64,
    /// Where there are no datagrams, send the packets on a stream instead of failing.
    #[arg(long)]
    fallback_to_stream: bool,
    #[command(flatten)]
    network: Network,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let node = args.network.builder()?.spawn().await?;
    let options = PacketsOptions {
        fallback_to_stream: args.fallback_to_stream,
    };
    let opening = node.packets_with(&args.address, ECHO_PACKETS, options);
    let packets = opening.await?;
    let mut tally = Tally::default();
    let exchanged = tokio::select! {
        exchanged = exchange(args, &packets, &mut tally) => exchanged,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    exchanged?;
    let stats = packets.stats();
    let (max, reliable) = (packets.max_payload(), packets.is_reliable());
    if args.json {
        let object = tally.object(args.size, max, reliable, stats);
        output::result(&object.to_string())?;
    } else {
        if reliable {
            output::note(
                "there are no datagrams to this peer: the packets went on a stream, where none is lost",
            );
        }
        for line in tally.lines(max, stats) {
            output::result(&line)?;
        }
    }
    packets.close();
    drop(packets);
    node.close().await;
    if tally.rtts.is_empty() {
        return Err(Failure::new(
            format!("none of {} packets came back", tally.sent),
            format!(
                "check with `carrick id ADDR` that the peer speaks /dg/1, and serves {ECHO_PACKETS}"
            ),
        ));
    }
    Ok(())
}

/// Sends at the given pace and receives what comes back, until everything has, or nothing more can be hoped for.
async fn exchange(args: &Args, packets: &Packets, tally: &mut Tally) -> Result<(), PacketsError> {
    let mut pace = interval(Duration::from_millis(args.interval_ms).max(PACE_MIN));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while tally.sent < args.count {
        tokio::select! {
            biased;
            packet = packets.recv() => tally.receive(&packet?, Instant::now()),
            _ = pace.tick(), if args.interval_ms > 0 => tally.send(packets, args.size)?,
            ready = packets.ready(), if args.interval_ms == 0 => {
                ready?;
                tally.send(packets, args.size)?;
            }
        }
    }
    let deadline = Instant::now() + LAST_WAIT;
    while !tally.open.is_empty() && Instant::now() < deadline {
        tokio::select! {
            packet = packets.recv() => tally.receive(&packet?, Instant::now()),
            () = sleep_until(deadline) => {}
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    /// Packets that have not come back yet, and when they left.
    open: BTreeMap<u64, Instant>,
    /// Microseconds.
    rtts: Vec<u32>,
    latest: u64,
    reordered: u64,
    strange: u64,
}

impl Tally {
    fn send(&mut self, packets: &Packets, size: u16) -> Result<(), PacketsError> {
        self.sent += 1;
        let mut packet = self.sent.to_be_bytes().to_vec();
        packet.resize(usize::from(size), 0);
        self.open.insert(self.sent, Instant::now());
        packets.send(packet)?;
        Ok(())
    }

    fn receive(&mut self, packet: &[u8], now: Instant) {
        let number = packet
            .first_chunk()
            .map(|number| u64::from_be_bytes(*number));
        let Some((number, left)) = number.and_then(|number| self.open.remove_entry(&number)) else {
            self.strange += 1;
            return;
        };
        if number < self.latest {
            self.reordered += 1;
        }
        self.latest = self.latest.max(number);
        let micros = (now - left).as_micros();
        self.rtts.push(u32::try_from(micros).unwrap_or(u32::MAX));
    }

    fn lost(&self) -> u64 {
        self.sent - self.rtts.len() as u64
    }

    /// Least, median, and what 99 of 100 do not exceed, in microseconds.
    fn quantiles(&self) -> Option<[u32; 3]> {
        let mut sorted = self.rtts.clone();
        sorted.sort_unstable();
        let at = |part: f64| {
            let rank = (sorted.len() as f64 * part).ceil() as usize;
            sorted.get(rank.max(1) - 1).copied()
        };
        Some([at(0.0)?, at(0.5)?, at(0.99)?])
    }

    fn object(&self, size: u16, max: usize, reliable: bool, stats: PacketStats) -> Value {
        let rtt = self
            .quantiles()
            .map(|[min, median, p99]| json!({"min": min, "median": median, "p99": p99}));
        json!({
            "sent": self.sent,
            "received": self.rtts.len(),
            "lost": self.lost(),
            "loss": self.lost() as f64 / self.sent.max(1) as f64,
            "unsent": stats.dropped_send,
            "unread": stats.dropped_recv,
            "reordered": self.reordered,
            "strange": self.strange,
            "rtt_us": rtt,
            "size": size,
            "max_payload": max,
            "reliable": reliable,
        })
    }

    fn lines(&self, max: usize, stats: PacketStats) -> Vec<String> {
        let (sent, lost) = (self.sent, self.lost());
        let loss = 100.0 * lost as f64 / sent.max(1) as f64;
        let mut lines = vec![format!(
            "{sent} sent, {} came back, {lost} lost ({loss:.1} %), {} reordered",
            self.rtts.len(),
            self.reordered
        )];
        if let Some([min, median, p99]) = self.quantiles() {
            let millis = |micros: u32| format!("{:.3}", f64::from(micros) / 1000.0);
            let (min, median, p99) = (millis(min), millis(median), millis(p99));
            lines.push(format!("rtt min/median/p99 {min}/{median}/{p99} ms"));
        }
        if stats.dropped_send + stats.dropped_recv > 0 {
            lines.push(format!(
                "of the lost, {} never left this machine and {} came but were not read in time",
                stats.dropped_send, stats.dropped_recv
            ));
        }
        lines.push(format!("a packet may have up to {max} bytes"));
        lines
    }
}

/// Bytes of a packet's number.
const NUMBER_LEN: usize = 8;
/// An interval must be longer than nothing.
const PACE_MIN: Duration = Duration::from_micros(1);
/// How long the last packets are waited for.
const LAST_WAIT: Duration = Duration::from_secs(1);
