//! The perf program of test-plans, which has a command line instead of an environment: one upload and one download, a
//! JSON object a second, and one at the end. Noise and yamux over TCP, or QUIC.

use std::{
    io::{Write, stdout},
    net::SocketAddr,
    time::Duration,
};

use carrick::perf::{self, Header, Progress};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    Error, Result,
    environment::{Muxer, Security, Stack, Transport},
    node, until_stopped,
};

/// As a command line: the perf program of libp2p/test-plans. Without arguments the environment decides, as in
/// libp2p/unified-testing (TRANSPORT=tcp …) and libp2p/test-plans (transport=tcp …).
#[derive(Debug, clap::Parser)]
#[command(name = "carrick-interop", after_help = EXAMPLES)]
pub(crate) struct Command {
    /// Serve until killed.
    #[arg(long)]
    run_server: bool,
    /// Where the server listens, with TCP and QUIC.
    #[arg(long, value_name = "IP:PORT")]
    server_address: SocketAddr,
    /// What the client dials with.
    #[arg(long, default_value = "tcp", value_parser = ["tcp", "quic-v1"])]
    transport: String,
    /// How much to send.
    #[arg(long, value_name = "N", default_value_t = 0)]
    upload_bytes: u64,
    /// How much to ask for.
    #[arg(long, value_name = "N", default_value_t = 0)]
    download_bytes: u64,
}

const EXAMPLES: &str = "\
Examples:
  carrick-interop --run-server --server-address 0.0.0.0:4001
  carrick-interop --server-address 192.0.2.1:4001 --transport tcp --upload-bytes 1073741824
  IS_DIALER=false TRANSPORT=tcp SECURE_CHANNEL=noise MUXER=yamux TEST_KEY=a1b2c3d4 REDIS_ADDR=redis:6379 carrick-interop";

impl Command {
    pub(crate) async fn run(self) -> Result {
        if self.run_server {
            self.serve().await
        } else {
            self.measure().await
        }
    }

    async fn serve(&self) -> Result {
        let (ip, port) = (self.server_address.ip(), self.server_address.port());
        let tcp = node::listener(stack(Transport::Tcp), ip, port).await?;
        for address in tcp.addresses() {
            println!("listening {address}");
        }
        // One port, two sockets: TCP's and UDP's.
        let quic = node::listener(stack(Transport::QuicV1), ip, port).await;
        match &quic {
            Ok(quic) => println!("listening {}", quic.address()),
            Err(error) => eprintln!("without QUIC: {error}"),
        }
        until_stopped().await?;
        Ok(())
    }

    /// The time begins with the connection, as the suite wants it.
    async fn measure(&self) -> Result {
        let (ip, port) = (self.server_address.ip(), self.server_address.port());
        let family = if ip.is_ipv4() { "ip4" } else { "ip6" };
        let (transport, address) = match self.transport.as_str() {
            "tcp" => (Transport::Tcp, format!("/{family}/{ip}/tcp/{port}")),
            _ => (
                Transport::QuicV1,
                format!("/{family}/{ip}/udp/{port}/quic-v1"),
            ),
        };
        let node = node::dialer(stack(transport)).await?;
        let begun = Instant::now();
        let progress = Progress::default();
        let work = async {
            let stream = node.open_stream(address.as_str(), perf::PROTOCOL).await?;
            let (up, down) = (self.upload_bytes, self.download_bytes);
            perf::run_on(stream, Header::Spec, up, down, &progress).await?;
            Ok::<_, Error>(())
        };
        let mut work = std::pin::pin!(work);
        let mut ticks = interval_at(begun + SECOND, SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = (begun, 0, 0);
        loop {
            tokio::select! {
                done = &mut work => {
                    done?;
                    break;
                }
                now = ticks.tick() => {
                    let (up, down) = (progress.uploaded(), progress.downloaded());
                    print("intermediary", now - last.0, up - last.1, down - last.2)?;
                    last = (now, up, down);
                }
            }
        }
        print(
            "final",
            begun.elapsed(),
            self.upload_bytes,
            self.download_bytes,
        )?;
        node.close().await;
        Ok(())
    }
}

fn print(kind: &str, time: Duration, up: u64, down: u64) -> Result {
    let seconds = time.as_secs_f64();
    let line =
        json!({"type": kind, "timeSeconds": seconds, "uploadBytes": up, "downloadBytes": down});
    // Whoever reads it may kill us at any moment.
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn stack(transport: Transport) -> Stack {
    let is_quic = transport == Transport::QuicV1;
    Stack {
        transport,
        security: (!is_quic).then_some(Security::Noise),
        muxer: (!is_quic).then_some(Muxer::Yamux),
    }
}

const SECOND: Duration = Duration::from_secs(1);
