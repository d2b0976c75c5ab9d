//! `carrick demo`: the tour. Two nodes in this process talk over real sockets on loopback; every step is verified.

use crate::failure::Failure;
use report::Report;
use steps::Tour;

mod report;
mod steps;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick demo             one line or more per step, with what was measured
  carrick demo --json      one JSON object per step: {\"step\":\"ping\",\"ok\":true,…}

Exit code 0 only if every step did what it should.")]
pub(crate) struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let mut report = Report::new(args.json);
    report.title("Two nodes in this process, alice and bob, over TCP on loopback.")?;
    let tour = report.step("identities", Tour::start()).await?;
    let connection = report.step("dial", tour.dial()).await?;
    report
        .step("negotiation", tour.negotiation(&connection))
        .await?;
    report.step("identify", tour.identify(&connection)).await?;
    report.step("ping", tour.ping(&connection)).await?;
    report.step("echo", tour.echo(&connection)).await?;
    report.step("streams", tour.streams(&connection)).await?;
    report.step("refusal", tour.refusal(&connection)).await?;
    report.step("wrong peer", tour.wrong_peer()).await?;
    report.step("reset", tour.reset(&connection)).await?;
    report.step("close", tour.close(connection)).await?;
    report.end()
}
