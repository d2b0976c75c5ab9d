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
         CPU: client and server together. Errors: streams lost or operations failed, over all rounds; packets: lost.\n\
         TCP, AEAD and rustls have no muxer: a stream is a connection. No limit shows who the client is; TCP and AEAD\n\
         have no handshake at all. rust-libp2p resumes TLS sessions where two nodes meet again; strangers cannot.\n\n\
         {:<22}{:>30}{:>22}{:>22}{:>11}{:>11}{:>14}{:>9}",
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
    let figure = row.figure;
    let mut out = format!("{} ({})\n", row.title, row.name);
    for stack in stacks {
        let own: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.stack == stack.name)
            .collect();
        let medium = |key: &str| Spread::of(own.iter().filter_map(|sample| sample.number(key)));
        let name = format!("  {}", stack.title);
        let Some(spread) = medium(figure.key) else {
            let error = own.iter().find_map(|sample| sample.result.as_ref().err());
            let reason = error.map_or_else(|| "no figure".to_owned(), |error| format!("{error:#}"));
            writeln!(out, "{name:<22}failed: {reason}").expect("a string takes everything");
            continue;
        };
        let against = |other: &str| {
            let pairs = own.iter().filter_map(|own| ratio(own, samples, row, other));
            let two = |value| format!("{value:.2}");
            Spread::of(pairs).map_or_else(|| "–".to_owned(), |ratio| ratio.show(two))
        };
        let (base, last) = (against(BASE), against(row.reference()));
        let cell = |key: &str| medium(key).map_or_else(String::new, |spread| digits(spread.median));
        let cpu = match cell(figure.cpu_key) {
            cpu if cpu.is_empty() => cpu,
            cpu => format!("{cpu} {}", figure.cpu_unit),
        };
        let failed = own.iter().filter(|sample| sample.result.is_err()).count() as f64;
        let errors = own
            .iter()
            .filter_map(|sample| sample.number("errors"))
            .sum::<f64>()
            + failed;
        let errors = medium("lost_percent").map_or_else(
            || errors.to_string(),
            |lost| format!("{:.1} %", lost.median),
        );
        let value = format!("{} {}", spread.show(digits), figure.unit);
        let (p50, p99) = (cell("p50_us"), cell("p99_us"));
        writeln!(
            out,
            "{name:<22}{value:>30}{base:>22}{last:>22}{p50:>11}{p99:>11}{cpu:>14}{errors:>9}"
        )
        .expect("a string takes everything");
    }
    out
}

/// Against another stack's sample of the same round: what slows a whole round down then cancels out.
fn ratio(sample: &Sample, samples: &[Sample], row: &Row, other: &str) -> Option<f64> {
    let base = samples
        .iter()
        .find(|base| base.stack == other && base.round == sample.round)?;
    let (own, base) = (sample.number(row.figure.key)?, base.number(row.figure.key)?);
    Some(if row.figure.more_is_better {
        own / base
    } else {
        base / own
    })
}

struct Spread {
    median: f64,
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
fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests;
