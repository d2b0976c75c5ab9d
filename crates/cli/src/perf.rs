//! `carrick perf`: one measurement with /perf/1.0.0, up and then down, with a progress bar where somebody watches.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use carrick::{
    Multiaddr,
    perf::{self, Header, Progress, Report},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{address, failure::Failure, network::Network, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick listen --perf                                                            on the other machine
  carrick perf /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… --upload-bytes 1GiB            how fast it goes up
  carrick perf /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… --download-bytes 1GiB --json   {\"type\":\"final\",\"timeSeconds\":2.1,…}

Sizes are bytes, or have a unit: kB, MB, GB, TB are powers of 1000; KiB, MiB, GiB, TiB are powers of 1024.
The names in the JSON objects are those of libp2p's own perf suite. A rate counts until the peer has everything.")]
pub(crate) struct Args {
    /// The peer, a multiaddr ending in /p2p/<peer-id>.
    #[arg(value_name = "ADDR", value_parser = address::peer)]
    address: Multiaddr,
    /// How much to send, such as 1048576 or 1GiB.
    #[arg(long, value_name = "N", default_value = "0", value_parser = bytes)]
    upload_bytes: u64,
    /// How much to ask for, once everything is sent.
    #[arg(long, value_name = "N", default_value = "0", value_parser = bytes)]
    download_bytes: u64,
    /// The header that the peer expects: the specification's, or the 16 bytes of some benchmark programs.
    #[arg(long, value_name = "FORM", default_value = "spec", value_parser = header)]
    header: Header,
    /// With --json: also an object a second, on how much moved in that second.
    #[arg(long, requires = "json")]
    intermediate: bool,
    #[command(flatten)]
    network: Network,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let node = args.network.builder()?.spawn().await?;
    let connection = node.dial(&args.address).await?;
    let mut stream = connection.open_stream(perf::PROTOCOL).await?;
    stream.confirm().await?;
    let progress = Progress::default();
    let mut watch = Watch::new(args);
    let (upload, download) = (args.upload_bytes, args.download_bytes);
    let measured = perf::run_on(stream, args.header, upload, download, &progress);
    let mut measured = std::pin::pin!(measured);
    let mut looks = interval_at(Instant::now() + watch.pace(), watch.pace());
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let report = loop {
        tokio::select! {
            report = &mut measured => break report?,
            now = looks.tick() => watch.look(now, &progress)?,
        }
    };
    watch.end();
    for line in lines(args.json, &report) {
        output::result(&line)?;
    }
    drop(connection);
    node.close().await;
    Ok(())
}

/// Who is told while it runs.
enum Watch {
    Bar(ProgressBar),
    Lines {
        since: Instant,
        uploaded: u64,
        downloaded: u64,
    },
    Nobody,
}

impl Watch {
    fn new(args: &Args) -> Self {
        if args.intermediate {
            return Self::Lines {
                since: Instant::now(),
                uploaded: 0,
                downloaded: 0,
            };
        }
        if !stderr().is_terminal() {
            return Self::Nobody;
        }
        let total = args.upload_bytes.saturating_add(args.download_bytes);
        let style = ProgressStyle::with_template(
            "{bar:32} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}",
        );
        let bar = ProgressBar::new(total);
        Self::Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    fn pace(&self) -> Duration {
        match self {
            Self::Bar(_) => Duration::from_millis(100),
            Self::Lines { .. } | Self::Nobody => Duration::from_secs(1),
        }
    }

    fn look(&mut self, now: Instant, progress: &Progress) -> Result<(), Failure> {
        let (up, down) = (progress.uploaded(), progress.downloaded());
        match self {
            Self::Bar(bar) => bar.set_position(up.saturating_add(down)),
            Self::Nobody => {}
            Self::Lines {
                since,
                uploaded,
                downloaded,
            } => {
                let object = json!({
                    "type": "intermediary",
                    "timeSeconds": (now - *since).as_secs_f64(),
                    "uploadBytes": up - *uploaded,
                    "downloadBytes": down - *downloaded,
                });
                (*since, *uploaded, *downloaded) = (now, up, down);
                output::result(&object.to_string())?;
            }
        }
        Ok(())
    }

    fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn lines(json: bool, report: &Report) -> Vec<String> {
    if json {
        return vec![
            json!({
                "type": "final",
                "timeSeconds": report.time.as_secs_f64(),
                "uploadBytes": report.upload_bytes,
                "downloadBytes": report.download_bytes,
                "uploadSeconds": report.upload_time.as_secs_f64(),
                "downloadSeconds": report.download_time.as_secs_f64(),
            })
            .to_string(),
        ];
    }
    let line = |way: &str, bytes: u64, time: Duration, rate: f64| {
        let (seconds, rate) = (time.as_secs_f64(), rate / 1e6);
        format!("{way:<10} {bytes} bytes in {seconds:.3} s: {rate:.1} MB/s")
    };
    let up = (report.upload_bytes, report.upload_time);
    let down = (report.download_bytes, report.download_time);
    vec![
        line("uploaded", up.0, up.1, report.upload_rate()),
        line("downloaded", down.0, down.1, report.download_rate()),
    ]
}

pub(crate) fn header(text: &str) -> Result<Header, String> {
    match text {
        "spec" => Ok(Header::Spec),
        "16" => Ok(Header::Sixteen),
        _ => Err("it is spec or 16".to_owned()),
    }
}

/// A number of bytes, with or without a unit.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (_, unit) = text.split_at(digits.len());
    let known = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (Ok(number), Some((_, factor))) = (digits.trim_end().parse::<u64>(), known) else {
        return Err("a size looks like 1048576, 100MB or 1GiB".to_owned());
    };
    let product = number.checked_mul(*factor);
    product.ok_or_else(|| format!("the most is {} bytes", u64::MAX))
}

const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];
