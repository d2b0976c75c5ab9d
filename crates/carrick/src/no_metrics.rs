//! Stands in for metrics in a build without them: nothing is counted, and nothing takes room.

use std::{sync::Arc, time::Instant};

use carrick_session::Summary;
use carrick_swarm::{AttemptError, Direction};
use carrick_wire::{Multiaddr, PublicKey};

#[derive(Debug, Default)]
pub(crate) struct Metrics;

impl Metrics {
    pub(crate) fn dial_failed(&self, _: &Multiaddr, _: &AttemptError) {}

    pub(crate) fn upgraded(&self, _: &Multiaddr, _: &Summary, _: Instant) {}
}

#[derive(Debug)]
pub(crate) struct Tally;

impl Tally {
    pub(crate) fn new(_: &Arc<Metrics>, _: &Multiaddr) -> Self {
        Self
    }

    pub(crate) fn opened(&self, _: Direction, _: &Multiaddr, _: &Summary, _: &PublicKey) {}

    pub(crate) fn closed(&self, _: Direction, _: &Multiaddr, _: &Summary) {}

    pub(crate) fn received(&self, _: usize) {}

    pub(crate) fn sent(&self, _: usize) {}
}
