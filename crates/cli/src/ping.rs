//! `carrick ping`: round trips, one line each, and a summary for people.

use std::time::Duration;

use carrick::{Multiaddr, Node};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    address,
    failure::Failure,
    network, output,
    remote::{Instead, client::Client},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick ping /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… -n 10
  carrick ping /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… --json     {\"seq\":1,\"rtt_us\":312}

Exit code 0 if every ping was answered.")]
pub(crate) struct Args {
    /// The peer, a multiaddr ending in /p2p/<peer-id>.
    #[arg(value_name = "ADDR", value_parser = address::peer)]
    address: Multiaddr,
    /// How many pings.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// From one ping to the next, milliseconds.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    interval_ms: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: network::Network,
    #[command(flatten)]
    daemon: Instead,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let mut pinger = Pinger::start(args).await?;
    let mut tally = Tally::default();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut next = Instant::now();
    for seq in 1..=args.count {
        let round = async {
            sleep_until(next).await;
            pinger.ping(&args.address).await
        };
        let outcome = tokio::select! {
            _ = &mut interrupted => break,
            outcome = round => outcome,
        };
        next = Instant::now() + Duration::from_millis(args.interval_ms);
        output::result(&line(args.json, seq, &outcome))?;
        tally.count(&outcome);
    }
    if !args.json {
        output::result(&tally.summary())?;
    }
    if let Pinger::Own(node) = pinger {
        node.close().await;
    }
    if tally.sent > 0 && tally.received == tally.sent {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "{} of {} pings were not answered",
            tally.sent - tally.received,
            tally.sent
        ),
        "check that the peer is still running",
    ))
}

/// Who pings.
enum Pinger {
    Own(Node),
    Daemon(Client),
}

impl Pinger {
    /// Connects, so that the first ping is none of a connection's making.
    async fn start(args: &Args) -> Result<Self, Failure> {
        if let Some(client) = args.daemon.connect().await? {
            return Ok(Self::Daemon(client));
        }
        let node = args.network.builder()?.spawn().await?;
        let connection = node.dial(&args.address).await?;
        if !args.json {
            output::note(&format!(
                "connected to {} ({}, {})",
                args.address,
                connection.summary().security,
                connection.summary().muxer
            ));
        }
        Ok(Self::Own(node))
    }

    async fn ping(&mut self, address: &Multiaddr) -> Result<Duration, String> {
        match self {
            Self::Own(node) => node.ping(address).await.map_err(|error| error.to_string()),
            Self::Daemon(client) => {
                let params = json!({"target": address.to_string()});
                let answer = client.call("peers_ping", params).await;
                let answer = answer.map_err(|failure| failure.to_string())?;
                Ok(Duration::from_micros(
                    answer["rtt_us"].as_u64().unwrap_or_default(),
                ))
            }
        }
    }
}

fn line(json: bool, seq: u64, outcome: &Result<Duration, String>) -> String {
    match (json, outcome) {
        // By hand, for the order that the documentation shows.
        (true, Ok(rtt)) => format!(r#"{{"seq":{seq},"rtt_us":{}}}"#, rtt.as_micros()),
        (true, Err(error)) => json!({"seq": seq, "error": error}).to_string(),
        (false, Ok(rtt)) => format!("seq={seq} rtt={} ms", millis(*rtt)),
        (false, Err(error)) => format!("seq={seq} {}", output::plain(error)),
    }
}

#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    received: u64,
    least: Option<Duration>,
    most: Duration,
    total: Duration,
}

impl Tally {
    fn count(&mut self, outcome: &Result<Duration, String>) {
        self.sent += 1;
        if let Ok(rtt) = *outcome {
            self.received += 1;
            self.least = Some(self.least.map_or(rtt, |least| least.min(rtt)));
            self.most = self.most.max(rtt);
            self.total += rtt;
        }
    }

    fn summary(&self) -> String {
        let count = format!("{} sent, {} answered", self.sent, self.received);
        let Some(least) = self.least else {
            return count;
        };
        let mean = self.total.div_f64(self.received as f64);
        format!(
            "{count}; min/mean/max {}/{}/{} ms",
            millis(least),
            millis(mean),
            millis(self.most)
        )
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1000.0)
}
