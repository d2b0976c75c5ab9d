//! What a row of figures does over time: a straight line through it, and how its end compares with its beginning.

use std::time::Duration;

/// Figures, each with its time.
pub(super) type Series = Vec<(Duration, f64)>;

/// By how much it rises in an hour, by least squares; NaN if there are fewer than three, or one is NaN.
pub(super) fn slope_per_hour(series: &Series) -> f64 {
    let points = series
        .iter()
        .map(|(at, value)| (at.as_secs_f64() / 3600.0, *value));
    let points: Vec<_> = points.collect();
    if points.len() < 3 || points.iter().any(|(_, value)| value.is_nan()) {
        return f64::NAN;
    }
    let count = points.len() as f64;
    let mean_at = points.iter().map(|(at, _)| at).sum::<f64>() / count;
    let mean = points.iter().map(|(_, value)| value).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
    let along = points
        .iter()
        .map(|(at, value)| (at - mean_at) * (value - mean));
    along.sum::<f64>() / spread
}

/// The median of the last third beside that of the first, as a share of it: 0.1 is a tenth more.
pub(super) fn drift(series: &Series) -> f64 {
    let third = series.len() / 3;
    let values = |part: &[(Duration, f64)]| part.iter().map(|(_, value)| *value).collect();
    let first = median(values(&series[..third]));
    let last = median(values(&series[series.len() - third..]));
    last / first - 1.0
}

/// Lowest, median and highest, and the slope.
pub(super) fn summary(series: &Series) -> String {
    let values: Vec<_> = series.iter().map(|(_, value)| *value).collect();
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!(
        "{:>9.2} [{lowest:.2}–{highest:.2}]  {:+.2} an hour",
        median(values),
        slope_per_hour(series),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests;
