//! One scene: a listener, a load on it over a bad road, and what is done to them meanwhile. What must hold in every scene: each
//! request ends with the same bytes or with an error, and soon.

use super::Programs;
use super::ground::{Ground, LISTENER};
use crate::interop::process::{Line, Process};
use serde_json::Value;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// What is played.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) row: u64,
    pub(super) name: String,
    pub(super) transport: &'static str,
    /// Options of the road.
    pub(super) road: String,
    /// Options of the load.
    pub(super) load: String,
    /// What is done, and how long after the one before.
    pub(super) acts: Vec<(Duration, Act)>,
    pub(super) must: Must,
}

/// Something done while the load runs.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A command for the road.
    Road(String),
    Freeze(Side),
    Thaw(Side),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Dialer,
    Listener,
}

/// What must hold beyond what always must.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Must {
    /// No request fails, and no connection is lost.
    pub(super) survive: bool,
    /// Some request fails: otherwise the fault was none.
    pub(super) notice: bool,
    /// How long a connection's answers may be missing, for 95 % of the connections.
    pub(super) gap_max: Option<Duration>,
    /// The dialer itself stands still: its requests may end late.
    pub(super) frozen: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// What is wrong; empty if nothing is.
    pub(super) wrong: Vec<String>,
    /// Share of requests answered with the same bytes.
    pub(super) done: f64,
    /// The longest that a connection was without answers, seconds; of 95 % of the connections.
    pub(super) gap: f64,
    pub(super) detail: String,
}

impl Scene {
    /// Plays it.
    pub(super) fn play(&self, programs: &Programs) -> Outcome {
        match self.report(programs) {
            Ok((report, road)) => self.judge(&report, &road),
            Err(why) => Outcome {
                wrong: vec![why],
                done: 0.0,
                gap: 0.0,
                detail: String::new(),
            },
        }
    }

    fn report(&self, programs: &Programs) -> Result<(Value, Value), String> {
        let mut ground = Ground::new(&programs.impair, &words(&self.road))?;
        let start = |namespace: &str, args: &[String]| {
            let mut command = programs.carrick.within(namespace).command();
            command.args(args).args(["--transport", self.transport]);
            Process::start(&mut command)
        };
        let listen = words("listen --peers-per-ip 10000");
        let listener = start(&ground.listener, &listen)?;
        let address = match listener.line(Instant::now() + START_MAX) {
            Line::Text(line) => line
                .trim_start_matches("listening ")
                .replace("127.0.0.1", LISTENER),
            _ => {
                return Err(format!(
                    "the listener does not listen: {}",
                    listener.last_words()
                ));
            }
        };
        let load = words(&format!(
            "load {address} {} --patience {PATIENCE_S}",
            self.load
        ));
        let mut load = start(&ground.dialer, &load)?;
        if load.line(Instant::now() + START_MAX) != Line::Text("connected".to_owned()) {
            load.stop();
            return Err(format!("the load does not start: {}", load.last_words()));
        }
        for (after, act) in &self.acts {
            if load.line(Instant::now() + *after) != Line::Late {
                return Err(format!(
                    "the load ended before its time: {}",
                    load.last_words()
                ));
            }
            match act {
                Act::Road(command) => ground.say(command)?,
                Act::Freeze(Side::Dialer) => load.freeze(),
                Act::Freeze(Side::Listener) => listener.freeze(),
                Act::Thaw(Side::Dialer) => load.thaw(),
                Act::Thaw(Side::Listener) => listener.thaw(),
            }
        }
        let report = match load.line(Instant::now() + LOAD_MAX) {
            Line::Text(line) => serde_json::from_str(&line)
                .map_err(|error| format!("not a report: {error}: {line}"))?,
            Line::End => return Err(format!("the load died: {}", load.last_words())),
            Line::Late => return Err("the load does not end".to_owned()),
        };
        for (who, process) in [("dialer", &load), ("listener", &listener)] {
            let log = process.log();
            if let Some(line) = log.iter().find(|line| line.contains("panicked")) {
                return Err(format!("the {who} panicked: {line}"));
            }
        }
        Ok((report, ground.summary().unwrap_or_default()))
    }

    fn judge(&self, report: &Value, road: &Value) -> Outcome {
        let count = |name: &str| report[name].as_u64().unwrap_or_default();
        let seconds = |name: &str| report[name].as_f64().unwrap_or(f64::MAX);
        let (requests, done, failed) = (count("requests"), count("done"), count("failed"));
        let longest = seconds("longest_done_s").max(seconds("longest_failed_s"));
        let mut gaps: Vec<_> = list(report, "gaps_s").collect();
        gaps.sort_by(f64::total_cmp);
        let gap = gaps.get((gaps.len() * 95).div_ceil(100).max(1) - 1);
        let gap = gap.copied().unwrap_or(f64::MAX);
        let mut wrong = vec![];
        let mut hold = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        let other = count("wrong");
        hold(other == 0, format!("{other} answers with other bytes"));
        let hung = count("hung");
        hold(
            hung == 0,
            format!("{hung} requests without answer or error for {PATIENCE_S} s"),
        );
        hold(done > 0, "no request was answered".to_owned());
        let late = longest > END_MAX.as_secs_f64() && !self.must.frozen;
        hold(!late, format!("a request took {longest:.1} s to end"));
        let connections: f64 = list(report, "connections").sum();
        let lost = connections as usize > gaps.len();
        if self.must.survive {
            hold(failed == 0, format!("{failed} requests failed"));
            hold(!lost, "a connection was lost".to_owned());
        }
        if self.must.notice {
            hold(failed > 0 || lost, "the fault was not noticed".to_owned());
        }
        if let Some(max) = self.must.gap_max {
            let held = gap <= max.as_secs_f64();
            hold(
                held,
                format!("{gap:.1} s without answers, more than {}", max.as_secs()),
            );
        }
        let mut detail = format!(
            "{done} of {requests} answered, {failed} failed, longest {longest:.1} s, silent {gap:.1} s, {connections} connection(s) of {} node(s)",
            gaps.len()
        );
        let _ = write!(
            detail,
            "; errors {}; road {}",
            report["errors"],
            short(road)
        );
        Outcome {
            wrong,
            done: done as f64 / requests.max(1) as f64,
            gap,
            detail,
        }
    }
}

/// The road's counters that are not 0.
fn short(road: &Value) -> String {
    let ways = ["a_to_b", "b_to_a"].map(|way| {
        let counters = road[way].as_object().into_iter().flatten();
        let some = counters.filter(|(name, count)| *name != "bytes" && count.as_u64() != Some(0));
        some.map(|(name, count)| format!("{name} {count}"))
            .collect::<Vec<_>>()
            .join(", ")
    });
    ways.join(" ⇄ ")
}

fn list(report: &Value, name: &str) -> impl Iterator<Item = f64> {
    let numbers = report[name].as_array().into_iter().flatten();
    numbers.map(|number| number.as_f64().unwrap_or(f64::MAX))
}

pub(super) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// A request ends within this, with its answer or an error.
const END_MAX: Duration = Duration::from_secs(30);
/// After this a request is said to hang: so much later that it is seen how late an error comes.
const PATIENCE_S: u64 = 75;
const START_MAX: Duration = Duration::from_secs(60);
/// Longer than any load.
const LOAD_MAX: Duration = Duration::from_secs(400);

#[cfg(test)]
mod tests;
