//! Stands in for metrics in a build without them: nothing is counted, and nothing takes room.

use std::{sync::Arc, time::Instant};

use carrick_protocols::identify;
use carrick_session::Summary;
use carrick_swarm::{AttemptError, Direction};
use carrick_wire::{Multiaddr, ProtocolId, PublicKey};

use crate::carried::Carried;

#[derive(Debug, Default)]
pub(crate) struct Metrics;

impl Metrics {
    pub(crate) fn dial_failed(&self, _: &Multiaddr, _: &AttemptError) {}

    pub(crate) fn upgraded(&self, _: &Multiaddr, _: &Summary, _: Instant) {}

    pub(crate) fn traffic(&self, _: Carried) -> &Traffic {
        &Traffic
    }

    pub(crate) fn peer_connections(&self, _: Direction, _: usize, _: usize) {}

    pub(crate) fn identify_sent(&self, _: bool) {}

    pub(crate) fn identify_received(&self, _: bool, _: &identify::Info) {}

    pub(crate) fn push_triggered(&self, _: &'static str) {}

    pub(crate) fn event(&self, _: &'static str) {}
}

#[derive(Clone, Debug)]
pub(crate) struct Traffic;

impl Traffic {
    pub(crate) fn received(&self, _: usize) {}

    pub(crate) fn sent(&self, _: usize) {}
}

#[derive(Debug)]
pub(crate) struct StreamTally;

#[derive(Debug)]
pub(crate) struct Tally;

impl Tally {
    pub(crate) fn new(_: &Arc<Metrics>, _: &Multiaddr) -> Self {
        Self
    }

    pub(crate) fn opened(&self, _: Direction, _: &Multiaddr, _: &Summary, _: &PublicKey) {}

    pub(crate) fn closed(&self, _: Direction, _: &Multiaddr, _: &Summary) {}

    pub(crate) fn traffic(&self) -> &Traffic {
        &Traffic
    }

    pub(crate) fn stream(&self, _: Direction, _: Option<&ProtocolId>) -> StreamTally {
        StreamTally
    }

    pub(crate) fn negotiated(&self, _: &mut StreamTally, _: &ProtocolId) {}
}
