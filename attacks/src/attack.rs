//! The attacks: their names, what the victim may spend on each, and the role of one attacker, which prints what it saw as JSON.

mod bad_certificates;
mod bad_keys;
mod bad_words;
mod churn;
mod clock_jumps;
mod control;
mod crowd;
mod dial_amplification;
mod disks;
mod dns_recursion;
mod fd_exhaustion;
mod flood;
mod frame_fuzz;
mod half_open;
mod handshake_burn;
mod held;
mod hoarding;
mod identified;
mod identify_bomb;
mod idle_crowd;
mod impostor;
mod induced_reset;
mod last_ids;
mod log_flood;
mod negotiation_stall;
mod observed_lies;
mod ping_flood;
mod poisoned_store;
mod push_flood;
mod quic_amplification;
mod quic_flood;
mod quic_rubbish;
mod rapid_reset;
mod request_floods;
mod scripted;
mod slow_reader;
mod stalled_crowd;
mod stream_flood;
mod sybil;
mod tcp_flood;
mod tiny_frames;
mod websocket_bombs;
mod window_abuse;
mod zero_window;

pub(crate) use control::call;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use carrick::Config;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::ground::{FILES_MAX, VICTIM_V4, VICTIM_V6};
use crate::stack::Stack;
use crate::victim::{TCP_PORT, WS_PORT};

/// One attack, as the judge needs to know it.
pub(crate) struct Attack {
    /// As in the catalogue.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// Memory that the victim may take beyond what it had, MiB.
    pub(crate) rss_mib: u64,
    /// Files that it may open beyond those it had.
    pub(crate) files: u64,
    /// Files that it can open at all.
    pub(crate) files_max: u64,
    /// Memory that it has at all, MiB; the kernel kills it when it takes more.
    pub(crate) memory_mib: Option<u64>,
    /// Honest peers that may lose their connection.
    pub(crate) lost_max: u64,
    /// By how much honest peers may be slowed, when that is more than twice.
    pub(crate) slower_max: Duration,
    /// Whether the victim's clocks must be ours.
    pub(crate) clocks: bool,
    /// The victim's command, if it is Carrick's.
    pub(crate) command: &'static str,
    /// What the victim is started with, besides its addresses; `{scratch}` is the attack's own directory.
    pub(crate) args: &'static [&'static str],
    /// Why it says nothing of other stacks, where it does not.
    pub(crate) only_carrick: Option<&'static str>,
    /// The row of the scorecard that honest peers' time and losses and the victim's memory under it belong to.
    pub(crate) row: Option<u8>,
    pub(crate) run: fn(Arc<Scene>) -> BoxFuture<'static, io::Result<Outcome>>,
    /// Takes away the limit that answers the attack, where a configuration can: what the attacker judges must then be red.
    pub(crate) weaken: Option<fn(&mut Config)>,
}

/// An attack that needs nothing special.
pub(crate) const PLAIN: Attack = Attack {
    id: "",
    name: "",
    rss_mib: 64,
    files: 200,
    files_max: FILES_MAX,
    memory_mib: None,
    lost_max: 0,
    slower_max: Duration::from_millis(20),
    clocks: false,
    command: "listen",
    args: &[],
    only_carrick: None,
    row: None,
    run: |_| Box::pin(async { Ok(Outcome::default()) }),
    weaken: None,
};

/// All of them.
pub(crate) const ALL: &[Attack] = &[
    tcp_flood::ATTACK,
    half_open::ATTACK,
    negotiation_stall::ATTACK,
    impostor::ATTACK,
    fd_exhaustion::ATTACK,
    sybil::ATTACK,
    churn::ATTACK,
    identify_bomb::ATTACK,
    push_flood::ATTACK,
    poisoned_store::ATTACK,
    observed_lies::ATTACK,
    dial_amplification::ATTACK,
    clock_jumps::ATTACK,
    log_flood::ATTACK,
    stream_flood::ATTACK,
    rapid_reset::ATTACK,
    induced_reset::ATTACK,
    zero_window::ATTACK,
    window_abuse::ATTACK,
    tiny_frames::ATTACK,
    ping_flood::ATTACK,
    slow_reader::ATTACK,
    frame_fuzz::ATTACK,
    last_ids::ATTACK,
    handshake_burn::ATTACK,
    bad_words::ATTACK,
    quic_amplification::ATTACK,
    quic_flood::ATTACK,
    quic_rubbish::ATTACK,
    websocket_bombs::ATTACK,
    dns_recursion::ATTACK,
    control::EXPOSED,
    control::FORGED,
    control::ABUSED,
    disks::ATTACK,
    bad_keys::ATTACK,
    bad_certificates::ATTACK,
    hoarding::ATTACK,
    request_floods::ATTACK,
    stalled_crowd::ATTACK,
    idle_crowd::ATTACK,
];

/// What an attacker knows.
#[derive(clap::Args)]
pub(crate) struct Args {
    id: String,
    #[command(flatten)]
    scene: Scene,
}

/// The victim, and how much there is time for.
#[derive(clap::Args)]
pub(crate) struct Scene {
    /// The victim's process.
    #[arg(long)]
    pub(crate) pid: u32,
    /// The victim's namespace.
    #[arg(long)]
    pub(crate) namespace: String,
    /// The program that is attacked.
    #[arg(long)]
    pub(crate) carrick: PathBuf,
    /// The file that shifts the victim's wall clock.
    #[arg(long)]
    pub(crate) shift: Option<PathBuf>,
    /// The victim's stack.
    #[arg(long)]
    pub(crate) stack: Stack,
    /// A directory of the attack's own.
    #[arg(long)]
    pub(crate) scratch: PathBuf,
    /// Smaller numbers.
    #[arg(long)]
    pub(crate) quick: bool,
}

impl Scene {
    /// The victim's QUIC port.
    pub(crate) fn quic(&self) -> SocketAddr {
        self.tcp()
    }

    /// The victim's TCP port.
    pub(crate) fn tcp(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(VICTIM_V4), TCP_PORT)
    }

    /// The same over IPv6.
    pub(crate) fn tcp_v6(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(VICTIM_V6), TCP_PORT)
    }

    /// The victim's WebSocket port.
    pub(crate) fn ws(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(VICTIM_V4), WS_PORT)
    }

    /// `all`, or `few` when there is little time.
    pub(crate) fn scale(&self, all: u32, few: u32) -> u32 {
        if self.quick { few } else { all }
    }
}

/// What the attacker saw.
#[derive(Default)]
pub(crate) struct Outcome {
    /// How often it tried.
    pub(crate) tried: u64,
    /// How often it was refused.
    pub(crate) refused: u64,
    /// What it can judge itself.
    pub(crate) checks: Vec<Check>,
    /// What it has measured for the scorecard.
    pub(crate) figures: Vec<Figure>,
}

/// One figure of the scorecard.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Figure {
    /// The scorecard's row.
    pub(crate) row: u8,
    /// What is measured.
    pub(crate) figure: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// What it must be, for people.
    pub(crate) target: String,
    /// Whether it is.
    pub(crate) pass: bool,
}

impl Figure {
    /// A figure that must be `max` at most.
    pub(crate) fn at_most(row: u8, figure: &str, value: f64, unit: &str, max: f64) -> Self {
        Self {
            row,
            figure: figure.to_owned(),
            value,
            unit: unit.to_owned(),
            target: format!("<= {max}"),
            pass: value <= max,
        }
    }

    /// A figure that must be `min` at least.
    pub(crate) fn at_least(row: u8, figure: &str, value: f64, unit: &str, min: f64) -> Self {
        Self {
            target: format!(">= {min}"),
            pass: value >= min,
            ..Self::at_most(row, figure, value, unit, min)
        }
    }
}

/// One criterion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) holds: bool,
}

impl Check {
    /// `what` says the criterion and what was found.
    pub(crate) fn new(holds: bool, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { what, holds }
    }

    /// That `found` is at most `max`.
    pub(crate) fn at_most(what: &str, found: u64, max: u64) -> Self {
        Self::new(found <= max, format!("{what}: {found} of at most {max}"))
    }
}

impl Outcome {
    fn json(&self) -> Value {
        let checks = self.checks.iter();
        let checks = checks.map(|check| json!({"what": check.what, "holds": check.holds}));
        json!({
            "tried": self.tried,
            "refused": self.refused,
            "checks": checks.collect::<Vec<_>>(),
            "figures": self.figures,
        })
    }

    /// From what the attacker printed.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text.lines().last()?).ok()?;
        let checks = value["checks"].as_array()?.iter();
        let check = |check: &Value| {
            Some(Check::new(
                check["holds"].as_bool()?,
                check["what"].as_str()?,
            ))
        };
        Some(Self {
            tried: value["tried"].as_u64()?,
            refused: value["refused"].as_u64()?,
            checks: checks.map(check).collect::<Option<_>>()?,
            figures: serde_json::from_value(value["figures"].clone()).ok()?,
        })
    }
}

/// The attack of this name.
pub(crate) fn find(id: &str) -> Option<&'static Attack> {
    ALL.iter().find(|attack| attack.id.eq_ignore_ascii_case(id))
}

/// The role.
pub(crate) async fn run(args: Args) -> Result<(), String> {
    let attack = find(&args.id).ok_or("no such attack")?;
    let outcome = (attack.run)(Arc::new(args.scene)).await;
    let outcome = outcome.map_err(|error| format!("{}: {error}", attack.id))?;
    println!("{}", outcome.json());
    Ok(())
}
