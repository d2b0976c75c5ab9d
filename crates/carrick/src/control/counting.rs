//! What the control task counts for the metrics.

use std::sync::Arc;

use carrick_swarm::{ConnectionId, Event, Notice};

use super::Control;
use crate::connection::Shared;

impl Control {
    /// Counts what users are told of, under go-libp2p's names where it has one.
    pub(super) fn count(&self, notice: &Notice) {
        let metrics = &self.node.metrics;
        let name = match notice {
            Notice::Connected {
                connection,
                is_first,
                ..
            } => {
                let _ = self.find(*connection).map(|to| self.count_opened(to));
                if *is_first {
                    metrics.event(CONNECTEDNESS);
                }
                "ConnectionOpened"
            }
            Notice::ConnectionClosed { connection, .. } => {
                let _ = self.find(*connection).map(|to| self.count_closed(to));
                "ConnectionClosed"
            }
            Notice::Disconnected { .. } => CONNECTEDNESS,
            Notice::Identified { .. } => "EvtPeerIdentificationCompleted",
            Notice::Listening { .. } => "Listening",
            Notice::ListenerClosed { .. } => "ListenerClosed",
            Notice::ExternalAddress { .. } => "ExternalAddress",
            Notice::ExternalAddressExpired { .. } => "ExternalAddressExpired",
            Notice::AddressesChanged => {
                metrics.push_triggered("addresses_updated");
                "EvtLocalAddressesUpdated"
            }
            Notice::Disfavoured { .. } => "Disfavoured",
            Notice::Banned { .. } => "Banned",
            Notice::Unbanned { .. } => "Unbanned",
            Notice::DialFailed { .. } => "DialFailed",
            Notice::LimitReached { .. } => "LimitReached",
        };
        metrics.event(name);
    }

    /// We accept more, or fewer, protocols.
    pub(super) fn protocols_changed(&mut self) {
        self.node.metrics.push_triggered("protocols_updated");
        self.event(Event::ProtocolsChanged);
    }

    fn count_opened(&self, to: &Shared) {
        let direction = to.direction;
        to.tally
            .opened(direction, &to.address, &to.summary, &to.key);
        let now = self.swarm.held(&to.peer, direction);
        let before = now.saturating_sub(1);
        self.node.metrics.peer_connections(direction, before, now);
    }

    fn count_closed(&self, to: &Shared) {
        to.tally.closed(to.direction, &to.address, &to.summary);
        let now = self.swarm.held(&to.peer, to.direction);
        let before = now + 1;
        self.node
            .metrics
            .peer_connections(to.direction, before, now);
    }

    fn find(&self, connection: ConnectionId) -> Option<&Arc<Shared>> {
        self.connections.get(&connection)
    }
}

/// A peer is connected, or no longer.
const CONNECTEDNESS: &str = "EvtPeerConnectednessChanged";
