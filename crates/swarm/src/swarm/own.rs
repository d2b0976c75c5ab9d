//! The swarm's addresses of its own, and telling peers of changes. Changes are told together, a moment later, and no faster
//! than others take pushes.

use std::time::Instant;

use carrick_protocols::identify::{PUSH_PROTOCOL, PushLimiter};
use multiaddr::Multiaddr;

use super::Swarm;
use crate::{
    addresses::split_peer,
    event::{Action, ConnectionId, Direction, Notice},
    listeners::Belief,
    timers::Timer,
};

impl Swarm {
    /// Where we listen.
    pub fn listen_addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        self.listeners.listening()
    }

    /// Where else others have reached us, as enough of them say.
    pub fn external_addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        self.listeners.external()
    }

    /// What others are told, the most useful first: what was announced, at most eight external addresses, where we listen.
    /// Who is told must leave out what is of no use to a peer: see [`crate::Scope`].
    pub fn told_addresses(&self) -> Vec<Multiaddr> {
        self.listeners.told()
    }

    /// The user says that we can be reached there. Nothing checks it.
    pub fn announce(&mut self, now: Instant, address: Multiaddr) {
        if self.listeners.announce(split_peer(address).0) {
            self.addresses_changed(now);
        }
    }

    /// Takes back what was announced; `false`: it was not.
    pub fn retract(&mut self, now: Instant, address: Multiaddr) -> bool {
        let known = self.listeners.retract(&split_peer(address).0);
        if known {
            self.addresses_changed(now);
        }
        known
    }

    /// Whether others are told of announced addresses only.
    pub fn announce_only(&mut self, now: Instant, only: bool) {
        if self.listeners.announce_only(only) {
            self.addresses_changed(now);
        }
    }

    pub(super) fn listening(&mut self, now: Instant, address: Multiaddr) {
        let (address, _) = split_peer(address);
        if self.listeners.open(address.clone()) {
            self.out.notice(Notice::Listening { address });
            self.addresses_changed(now);
        }
    }

    pub(super) fn listener_closed(&mut self, now: Instant, address: Multiaddr) {
        let (address, _) = split_peer(address);
        if self.listeners.close(&address) {
            self.out.notice(Notice::ListenerClosed { address });
            self.addresses_changed(now);
        }
    }

    /// A peer says where it sees us.
    pub(super) fn observed(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        direction: Direction,
        remote: &Multiaddr,
        observed: &Multiaddr,
    ) {
        let reused = self.config.tcp_port_reused;
        if direction == Direction::Inbound || self.listeners.shares_port(remote, reused) {
            let min = self.config.observers_min;
            let belief = self.listeners.observe(connection, remote, observed, min);
            self.believe(now, belief);
        }
    }

    pub(super) fn believe(&mut self, now: Instant, belief: Belief) {
        if belief == Belief::default() {
            return;
        }
        if let Some(address) = belief.lost {
            self.out.notice(Notice::ExternalAddressExpired { address });
        }
        if let Some(address) = belief.gained {
            self.out.notice(Notice::ExternalAddress { address });
        }
        self.addresses_changed(now);
    }

    fn addresses_changed(&mut self, now: Instant) {
        self.out.notice(Notice::AddressesChanged);
        self.schedule_push(now);
    }

    pub(super) fn schedule_push(&mut self, now: Instant) {
        let nobody = self.connections.preferred().next().is_none();
        if nobody || self.closed || self.out.timers.is_set(Timer::Push) {
            return;
        }
        let limiter = self.pushes.get_or_insert_with(|| PushLimiter::new(now));
        let at = (now + self.config.push_delay).max(limiter.next());
        self.out.timers.set(Timer::Push, at);
    }

    pub(super) fn push_identify(&mut self, now: Instant) {
        if !self
            .pushes
            .as_mut()
            .is_none_or(|limiter| limiter.allow(now))
        {
            return self.schedule_push(now);
        }
        for (peer, connection) in self.connections.preferred() {
            let protocols = self.peer_store.protocols(peer);
            if protocols.is_empty() || protocols.contains(&PUSH_PROTOCOL) {
                self.out.push(Action::PushIdentify { connection });
            }
        }
    }
}
