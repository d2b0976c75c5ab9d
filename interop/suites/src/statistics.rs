//! What the perf suite prints of its samples: quartiles by linear interpolation, and Tukey's outliers.

use std::fmt::Write as _;

/// A summary of samples. Least and most are those that are no outliers.
#[derive(Debug, PartialEq)]
pub(crate) struct Statistics {
    min: f64,
    q1: f64,
    median: f64,
    q3: f64,
    max: f64,
    outliers: Vec<f64>,
    samples: Vec<f64>,
}

impl Statistics {
    /// `None`: there are no samples.
    pub(crate) fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let (first, last) = (*samples.first()?, *samples.last()?);
        let [q1, median, q3] = [0.25, 0.5, 0.75].map(|part| quantile(&samples, part));
        let reach = FENCE * (q3 - q1);
        let (inside, outliers): (Vec<f64>, Vec<f64>) = samples
            .iter()
            .partition(|sample| (q1 - reach..=q3 + reach).contains(*sample));
        Some(Self {
            min: inside.first().copied().unwrap_or(first),
            q1,
            median,
            q3,
            max: inside.last().copied().unwrap_or(last),
            outliers,
            samples,
        })
    }

    /// The block that the suite reads, with so many decimals.
    pub(crate) fn block(&self, name: &str, unit: &str, decimals: usize) -> String {
        let list = |values: &[f64]| {
            let values: Vec<_> = values
                .iter()
                .map(|value| format!("{value:.decimals$}"))
                .collect();
            format!("[{}]", values.join(", "))
        };
        let mut block = format!("{name}:\n  iterations: {}\n", self.samples.len());
        for (label, value) in [
            ("min", self.min),
            ("q1", self.q1),
            ("median", self.median),
            ("q3", self.q3),
            ("max", self.max),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(block, "  {label}: {value:.decimals$}");
        }
        let (outliers, samples) = (list(&self.outliers), list(&self.samples));
        block + &format!("  outliers: {outliers}\n  samples: {samples}\n  unit: {unit}\n")
    }
}

/// The value below which this part of the sorted samples lies.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let (below, weight) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] * (1.0 - weight) + sorted[above] * weight
}

/// Tukey's: so many times the middle half's width away is too far.
const FENCE: f64 = 1.5;

#[cfg(test)]
mod tests;
