//! Looks at a whole process: limits, agreement between swarm and shell, and what is left at the end.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use carrick_swarm::{Limit, Usage};

use super::Node;
use crate::{
    ground::{Ground, SECOND},
    laws::Law,
};

impl Node {
    pub(crate) fn audit(&mut self, ground: &mut Ground) {
        let host = self.host;
        for usage in self.swarm.limits(ground.now()) {
            let fits = usage.used.is_none_or(|used| used <= usage.max);
            ground.hold(Law::SwarmLimit, fits, || format!("h{host}: {usage:?}"));
        }
        let mut per_peer = BTreeMap::<_, usize>::new();
        for (id, connection) in &mut self.connections {
            let held = self.swarm.holds(*id);
            let open = connection.is_open();
            ground.hold(Law::SwarmHolds, held || !open, || {
                format!("h{host}: c{id} is not the swarm's")
            });
            if held && open {
                *per_peer.entry(connection.peer).or_default() += 1;
            }
            connection.audit(ground, &self.place);
        }
        for peer in self.swarm.peers() {
            for (id, _) in self.swarm.connections(peer) {
                let known = self.connections.contains_key(&id);
                ground.hold(Law::SwarmHolds, known, || {
                    format!("h{host}: c{id} is the swarm's alone")
                });
            }
        }
        let max = ground.config.swarm.connections_per_peer_max;
        for (peer, count) in per_peer {
            ground.hold(Law::PerPeerLimit, count <= max, || {
                format!("h{host}: {count} to {peer}")
            });
        }
        self.audit_waits(ground);
    }

    fn audit_waits(&self, ground: &mut Ground) {
        let (now, host) = (ground.nanos(), self.host);
        let dial_max = ground.config.swarm.dial_timeout.as_nanos() as u64;
        for (id, waiter) in &self.waiters {
            ground.hold(Law::AnswerInTime, waiter.asked + dial_max >= now, || {
                format!("h{host}: waiter {id} waits since {} ns", waiter.asked)
            });
        }
        let attempt_max = ground.config.swarm.attempt_timeout.as_nanos() as u64;
        for (id, dial) in &self.dials {
            ground.hold(Law::AttemptInTime, dial.begun + attempt_max >= now, || {
                format!("h{host}: attempt {id} since {} ns", dial.begun)
            });
        }
        let upgrade_max = ground.config.session.upgrade_timeout.as_nanos() as u64;
        for (id, upgrade) in &self.upgrades {
            let by = upgrade.begun + upgrade_max + SECOND;
            ground.hold(Law::UpgradeInTime, by >= now, || {
                format!("h{host}: upgrade {id} since {} ns", upgrade.begun)
            });
        }
        let (used, max) = (self.place.windows.used(), self.place.windows.max());
        ground.hold(Law::WindowsLent, used <= max, || format!("{used} bytes"));
        let excess = self.place.windows.excess.load(Ordering::Relaxed);
        ground.hold(Law::WindowsReturned, excess == 0, || {
            format!("h{host}: {excess} bytes too many")
        });
    }

    /// All have gone: nothing may be left.
    pub(crate) fn audit_end(&self, ground: &mut Ground) {
        let host = self.host;
        let left = self.connections.len();
        ground.hold(Law::LeftConnections, left == 0, || {
            format!("h{host}: {:?}", self.connections)
        });
        let left = self.upgrades.len() + self.dials.len();
        ground.hold(Law::LeftUpgrades, left == 0, || format!("h{host}: {left}"));
        let left = self.waiters.len();
        ground.hold(Law::LeftWaiters, left == 0, || format!("h{host}: {left}"));
        let used = self.place.windows.used();
        ground.hold(Law::LeftWindows, used == 0, || {
            format!("h{host}: {used} bytes")
        });
        let counted = |usage: &Usage| {
            matches!(
                usage.limit,
                Limit::ConnectionsInbound
                    | Limit::ConnectionsOutbound
                    | Limit::ConnectionsPending
                    | Limit::ConnectionsPerPeer
                    | Limit::ConnectionsPerIp
                    | Limit::ConnectionsPerSite
                    | Limit::Dials
                    | Limit::DialAddresses
                    | Limit::DialAttempts
            )
        };
        for usage in self.swarm.limits(ground.now()) {
            if counted(&usage) {
                ground.hold(Law::LeftSwarm, usage.used.unwrap_or(0) == 0, || {
                    format!("h{host}: {usage:?}")
                });
            }
        }
        let peers = self.swarm.peers().count();
        ground.hold(Law::LeftSwarm, peers == 0, || format!("h{host}: {peers}"));
    }
}
