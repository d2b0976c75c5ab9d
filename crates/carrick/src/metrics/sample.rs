//! Figures that are asked for when somebody wants them: how the node stands, and what its machines have counted.

use std::{borrow::Cow, fmt};

use carrick_swarm::Spread;
use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::MetricType,
};

/// One metric, with a row for each of its label sets.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: Kind,
    pub(crate) rows: Vec<Row>,
}

/// Labels, none of them a peer's word, and a value.
pub(crate) type Row = (Vec<(&'static str, Cow<'static, str>)>, Value);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Count(u64),
    Share(f64),
    Spread(Spread),
}

impl Set {
    pub(crate) fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Counter, name, help)
    }

    pub(crate) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Gauge, name, help)
    }

    pub(crate) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Histogram, name, help)
    }

    fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        let rows = Vec::new();
        Self {
            name,
            help,
            kind,
            rows,
        }
    }

    /// With one more row.
    pub(crate) fn row<const N: usize>(
        mut self,
        labels: [(&'static str, &'static str); N],
        value: impl Into<Value>,
    ) -> Self {
        let labels = labels.map(|(name, value)| (name, Cow::Borrowed(value)));
        self.rows.push((labels.into(), value.into()));
        self
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut encoder = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (labels, value) in &self.rows {
            if labels.is_empty() {
                self.write(*value, &mut encoder)?;
            } else {
                self.write(*value, &mut encoder.encode_family(labels)?)?;
            }
        }
        Ok(())
    }

    fn write(&self, value: Value, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match (value, self.kind) {
            (Value::Count(count), Kind::Counter) => {
                encoder.encode_counter::<[(&str, &str); 0], _, f64>(&count, None)
            }
            (Value::Count(count), _) => encoder.encode_gauge(&(count as f64)),
            (Value::Share(share), _) => encoder.encode_gauge(&share),
            (Value::Spread(spread), _) => {
                let bounds = Spread::BOUNDS_MS.map(|millis| millis as f64 / 1000.0);
                let bounds = bounds.into_iter().chain([f64::INFINITY]);
                let buckets: Vec<_> = bounds.zip(spread.counts).collect();
                let (sum, count) = (spread.sum.as_secs_f64(), spread.counts.iter().sum());
                encoder.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
            }
        }
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl From<f64> for Value {
    fn from(share: f64) -> Self {
        Self::Share(share)
    }
}

impl From<Spread> for Value {
    fn from(spread: Spread) -> Self {
        Self::Spread(spread)
    }
}
