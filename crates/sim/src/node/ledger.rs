//! What was announced so far, held against the legal order of events.

use std::collections::BTreeMap;

use carrick_protocols::identify::Info;
use carrick_swarm::{ConnectionId, Notice};
use carrick_wire::PeerId;

use super::place::agent;
use crate::{
    ground::{Ground, host_at},
    laws::Law,
};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Announced and not ended, with the peer.
    open: BTreeMap<ConnectionId, PeerId>,
    next: u64,
}

impl Ledger {
    /// A notice of the swarm: is it the time for it?
    pub(crate) fn check(&mut self, host: usize, notice: &Notice, ground: &mut Ground) {
        let here = || format!("h{host}: {notice:?}");
        match notice {
            Notice::Connected {
                peer,
                connection,
                is_first,
                ..
            } => {
                let is_new = connection.0 >= self.next;
                self.next = connection.0 + 1;
                ground.hold(Law::ConnectedOnce, is_new, here);
                let alone = !self.open.values().any(|other| other == peer);
                ground.hold(Law::ConnectedFirst, alone == *is_first, here);
                self.open.insert(*connection, *peer);
            }
            Notice::Identified {
                peer, connection, ..
            } => {
                let within = self.open.get(connection) == Some(peer);
                ground.hold(Law::IdentifiedWithin, within, here);
            }
            Notice::ConnectionClosed {
                peer, connection, ..
            } => {
                let was = self.open.remove(connection);
                ground.hold(Law::ClosedOnce, was == Some(*peer), here);
            }
            Notice::Disconnected { peer } => {
                let last = !self.open.values().any(|other| other == peer);
                ground.hold(Law::DisconnectedLast, last, here);
            }
            Notice::Listening { .. }
            | Notice::ListenerClosed { .. }
            | Notice::ExternalAddress { .. }
            | Notice::LimitReached { .. }
            | Notice::ExternalAddressExpired { .. }
            | Notice::AddressesChanged
            | Notice::Disfavoured { .. }
            | Notice::Banned { .. }
            | Notice::Unbanned { .. }
            | Notice::DialFailed { .. } => {}
        }
    }

    /// What a peer says of itself: is it so?
    pub(crate) fn check_identity(
        &self,
        host: usize,
        peer: usize,
        info: &Info,
        ground: &mut Ground,
    ) {
        let there = ground.peers.get(peer).copied();
        let key = info.key.as_ref().map(|key| key.to_peer_id());
        ground.hold(Law::IdentifyIsTrue, key == there, || {
            format!("h{host}: {key:?} instead of {there:?}")
        });
        let is_agent = info.agent.as_deref() == Some(&agent(peer));
        ground.hold(Law::IdentifyAgent, is_agent, || format!("{:?}", info.agent));
        let own = |address| host_at(address) == Some(peer);
        let addresses = &info.listen_addresses;
        ground.hold(Law::IdentifyAddresses, addresses.iter().all(own), || {
            format!("h{peer} tells {addresses:?}")
        });
        let observed = info.observed_address.as_ref().map(host_at);
        ground.hold(Law::IdentifyObserved, observed == Some(Some(host)), || {
            format!("h{host}: {:?}", info.observed_address)
        });
    }
}
