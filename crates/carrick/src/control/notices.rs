//! What the swarm notices, as the node's users, its log and its metrics are told.

use carrick_swarm::{ConnectionId, Notice};
use tracing::{debug, info};

use super::Control;
use crate::{NodeEvent, connection::Shared, pace::Pace};

impl Control {
    pub(super) fn notice(&self, notice: Notice) {
        self.count(&notice);
        self.log(&notice);
        if let Notice::Connected {
            peer,
            address,
            direction,
            is_first: true,
            ..
        } = &notice
        {
            self.tell(NodeEvent::Connected {
                peer: *peer,
                address: address.clone(),
                direction: *direction,
            });
        }
        self.told(notice)
            .into_iter()
            .for_each(|event| self.tell(event));
    }

    /// What users are told of it.
    fn told(&self, notice: Notice) -> Option<NodeEvent> {
        Some(match notice {
            Notice::Connected {
                peer,
                connection,
                address,
                direction,
                ..
            } => NodeEvent::ConnectionOpened {
                peer,
                connection,
                direction,
                address,
            },
            Notice::ConnectionClosed {
                peer,
                connection,
                direction,
                ..
            } => NodeEvent::ConnectionClosed {
                peer,
                connection,
                direction,
                reason: self.of(connection, Shared::end)?,
            },
            Notice::Disconnected { peer } => NodeEvent::Disconnected { peer },
            Notice::Identified {
                peer, connection, ..
            } => NodeEvent::Identified {
                peer,
                changes: self.of(connection, Shared::take_changes)?,
            },
            Notice::DialFailed { peer, error } => NodeEvent::DialFailed { peer, error },
            Notice::Disfavoured { .. } => return None,
            Notice::Banned {
                subject,
                until,
                reason,
            } => NodeEvent::Banned {
                subject,
                until,
                reason,
            },
            Notice::Unbanned { subject } => NodeEvent::Unbanned { subject },
            Notice::LimitReached { limit } => NodeEvent::LimitReached { limit },
            Notice::Listening { address } => NodeEvent::Listening { address },
            Notice::ListenerClosed { address } => NodeEvent::ListenerClosed { address },
            Notice::ExternalAddress { address } => NodeEvent::ExternalAddress { address },
            Notice::ExternalAddressExpired { address } => {
                NodeEvent::ExternalAddressExpired { address }
            }
            Notice::AddressesChanged => {
                self.node.update_addresses(&self.swarm);
                let addresses = self.swarm.told_addresses();
                NodeEvent::AddressesChanged { addresses }
            }
        })
    }

    fn of<T>(&self, connection: ConnectionId, what: impl FnOnce(&Shared) -> T) -> Option<T> {
        self.connections.get(&connection).map(|shared| what(shared))
    }

    /// For who operates the node; what a peer can cause, at a bounded pace.
    fn log(&self, notice: &Notice) {
        match notice {
            Notice::ConnectionClosed {
                peer, connection, ..
            } => {
                if let Some(reason) = self.of(*connection, Shared::end) {
                    debug!(%peer, %reason, "a connection was closed");
                }
            }
            Notice::Banned {
                subject,
                until,
                reason,
            } => {
                static PACE: Pace = Pace::new();
                if PACE.allows() {
                    info!(%subject, ?until, reason, "banned");
                }
            }
            Notice::Unbanned { subject } => {
                static PACE: Pace = Pace::new();
                if PACE.allows() {
                    info!(%subject, "not banned any more");
                }
            }
            Notice::Disfavoured {
                peer,
                behaviour,
                source,
            } => {
                static PACE: Pace = Pace::new();
                if PACE.allows() {
                    info!(%peer, behaviour = behaviour.name(), source, "a peer misbehaves");
                }
            }
            Notice::ExternalAddress { address } => {
                debug!(%address, "several peers see us at this address");
            }
            Notice::Connected { .. }
            | Notice::Disconnected { .. }
            | Notice::Identified { .. }
            | Notice::Listening { .. }
            | Notice::ListenerClosed { .. }
            | Notice::DialFailed { .. }
            | Notice::ExternalAddressExpired { .. }
            | Notice::AddressesChanged
            | Notice::LimitReached { .. } => {}
        }
    }

    fn tell(&self, event: NodeEvent) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}
