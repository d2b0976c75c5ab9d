//! The table: a block per row, a line per stack.

use std::fmt::Write;

use crate::{
    Options,
    measure::Sample,
    plan::{BASE, Row, Stack},
};

pub(crate) fn heading(options: &Options) -> String {
    let rounds = options.rounds();
    let quick = if options.quick {
        " A quick look: do not quote these figures."
    } else {
        ""
    };
    format!(
        "{rounds} round(s), stacks in turn; median [lowest–highest].{quick}\n\
         × {BASE}: how many times better than rust-libp2p (above 1 is better), from each round's own pair.\n\
         × last: the same against the last stack of the block, which is the row's limit or reference.\n\
         CPU: client and server together; ÷: how many times less than rust-libp2p's. Errors: streams lost or\n\
         operations failed, over all rounds; packets: lost. Faults and calls: page faults and system calls per MiB,\n\
         client | server. Slowest: the slowest stream's rate as a part of the fastest one's.\n\
         AEAD is the same cipher over the same socket with no framing above it. It has no muxer, so a stream is a\n\
         connection; where many streams share a muxer's connection, the limit is one connection with all bytes.\n\
         No limit shows who the client is; TCP and AEAD have no handshake at all. rust-libp2p resumes TLS sessions\n\
         where two nodes meet again; strangers cannot.\n\n\
         {:<25}{:>29}{:>20}{:>20}{:>9}{:>9}{:>20}{:>8}",
        "",
        "figure",
        format!("× {BASE}"),
        "× last",
        "p50 µs",
        "p99 µs",
        "CPU",
        "errors"
    )
}

pub(crate) fn block(row: &Row, stacks: &[&Stack], samples: &[Sample]) -> String {
    let mut out = format!("{} ({})\n", row.title, row.name);
    for stack in stacks {
        let line = Line::new(row, stack, samples);
        let text = line.text().unwrap_or_else(|| line.failure());
        writeln!(out, "  {:<23}{text}", stack.title).expect("a string takes everything");
    }
    out
}

/// All that was measured of one stack in one row.
pub(crate) struct Line<'a> {
    row: &'a Row,
    own: Vec<&'a Sample>,
    all: &'a [Sample],
}

impl<'a> Line<'a> {
    pub(crate) fn new(row: &'a Row, stack: &Stack, all: &'a [Sample]) -> Self {
        let of_stack = |sample: &&Sample| sample.row == row.name && sample.stack == stack.name;
        Self {
            row,
            own: all.iter().filter(of_stack).collect(),
            all,
        }
    }

    /// The median of the row's figure.
    pub(crate) fn figure(&self) -> Option<f64> {
        Some(self.spread(self.row.figure.key)?.median)
    }

    /// How many times better than another stack, with the pairs of each round.
    pub(crate) fn against(&self, other: &str) -> Option<Spread> {
        let figure = self.row.figure;
        if figure.is_ratio {
            return None;
        }
        self.ratio(other, figure.key, figure.more_is_better)
    }

    fn ratio(&self, other: &str, key: &str, more_is_better: bool) -> Option<Spread> {
        let pairs = self.own.iter().filter_map(|own| {
            let mut all = self.all.iter();
            let base =
                all.find(|base| (base.row, base.stack, base.round) == (own.row, other, own.round))?;
            let (own, base) = (own.number(key)?, base.number(key)?);
            Some(if more_is_better {
                own / base
            } else {
                base / own
            })
        });
        Spread::of(pairs)
    }

    fn spread(&self, key: &str) -> Option<Spread> {
        Spread::of(self.own.iter().filter_map(|sample| sample.number(key)))
    }

    fn cell(&self, key: &str) -> String {
        self.spread(key)
            .map_or_else(String::new, |spread| digits(spread.median))
    }

    fn text(&self) -> Option<String> {
        let figure = self.row.figure;
        let value = self.spread(figure.key)?.show(digits);
        let value = format!("{value} {}", figure.unit);
        let ratio = |other: &str| {
            let ratio = self.against(other);
            ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.show(two))
        };
        let (base, last) = (ratio(BASE), ratio(self.row.reference()));
        let (p50, p99) = (self.cell("p50_us"), self.cell("p99_us"));
        let (cpu, errors, notes) = (self.cpu(), self.errors(), self.notes());
        Some(format!(
            "{value:>29}{base:>20}{last:>20}{p50:>9}{p99:>9}{cpu:>20}{errors:>8}{notes}"
        ))
    }

    fn cpu(&self) -> String {
        let figure = self.row.figure;
        let cpu = self.cell(figure.cpu_key);
        if cpu.is_empty() {
            return cpu;
        }
        let less = self.ratio(BASE, figure.cpu_key, false);
        let less = less.map_or_else(String::new, |less| format!(" ÷{}", two(less.median)));
        format!("{cpu} {}{less}", figure.cpu_unit)
    }

    fn errors(&self) -> String {
        if let Some(lost) = self.spread("lost_percent") {
            return format!("{:.1} %", lost.median);
        }
        let failed = self.own.iter().filter(|sample| sample.result.is_err());
        let lost = self.own.iter().filter_map(|own| own.number("errors"));
        (failed.count() as f64 + lost.sum::<f64>()).to_string()
    }

    /// What only some rows have.
    fn notes(&self) -> String {
        let mut notes = String::new();
        for (name, keys) in NOTES {
            let cells: Vec<_> = keys.iter().map(|key| self.cell(key)).collect();
            if cells.iter().all(|cell| !cell.is_empty()) {
                write!(notes, "  {name} {}", cells.join(" | ")).expect("a string takes everything");
            }
        }
        notes
    }

    fn failure(&self) -> String {
        let errors = |sample: &&Sample| {
            sample
                .result
                .as_ref()
                .err()
                .map(|error| format!("{error:#}"))
        };
        let reason = self.own.iter().find_map(errors);
        format!(
            "failed: {}",
            reason.unwrap_or_else(|| "no figure".to_owned())
        )
    }
}

const NOTES: &[(&str, &[&str])] = &[
    ("slowest", &["slowest_part"]),
    (
        "faults",
        &["client_faults_per_mib", "server_faults_per_mib"],
    ),
    ("calls", &["client_calls_per_mib", "server_calls_per_mib"]),
    ("ramp ms", &["ramp_ms"]),
    ("MB/s stalled | not", &["mb_s", "alone_mb_s"]),
    ("p50, p99 alone", &["p50_alone_us", "p99_alone_us"]),
    ("bulk MB/s", &["bulk_mb_s"]),
    ("s before it, MB/s with that", &["prepare_s", "whole_mb_s"]),
];

pub(crate) struct Spread {
    pub(crate) median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let upper = values.len() / 2;
        let lower = (values.len() - 1) / 2;
        Some(Self {
            median: f64::midpoint(values[lower], values[upper]),
            low,
            high,
        })
    }

    fn show(&self, number: impl Fn(f64) -> String) -> String {
        if self.low == self.high {
            return number(self.median);
        }
        format!(
            "{} [{}–{}]",
            number(self.median),
            number(self.low),
            number(self.high)
        )
    }
}

/// Three digits or the whole number.
pub(crate) fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => two(value),
    }
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests;
