//! Listeners: bound, announced, ended.

use std::sync::PoisonError;

use carrick_swarm::Event;
use carrick_wire::Multiaddr;
use tokio::sync::oneshot;

use super::Control;
use crate::{
    ListenError,
    connection::Shared,
    dial,
    message::{Change, Listening, Message},
    watch,
};

impl Control {
    pub(super) fn listen(
        &mut self,
        address: Multiaddr,
        reply: oneshot::Sender<Result<Vec<Multiaddr>, ListenError>>,
    ) {
        let node = self.node.clone();
        self.tasks.spawn(async move {
            let result = dial::listen(&node, address).await;
            node.send(Message::Bound { result, reply }).await;
        });
    }

    pub(super) fn bound(
        &mut self,
        result: Result<Listening, ListenError>,
        reply: oneshot::Sender<Result<Vec<Multiaddr>, ListenError>>,
    ) {
        let outcome = result.map(|listening| {
            let addresses = listening.addresses();
            self.set_addresses(|all| all.extend_from_slice(&addresses));
            for address in addresses.clone() {
                self.event(Event::Listening { address });
            }
            let (node, bound) = (self.node.clone(), addresses.clone());
            self.tasks.spawn(async move {
                let addresses = dial::accept_all(&node, listening, bound).await;
                node.send(Message::ListenerEnded { addresses }).await;
            });
            addresses
        });
        // Whoever dropped its future still gets its listener.
        let _ = reply.send(outcome);
    }

    /// A wildcard stands for other addresses than before.
    pub(super) fn relisten(&mut self, before: &[Multiaddr], now: Vec<Multiaddr>) {
        let gone = before.iter().filter(|address| !now.contains(address));
        self.listener_ended(gone.cloned().collect());
        let new: Vec<_> = now
            .into_iter()
            .filter(|address| !before.contains(address))
            .collect();
        self.set_addresses(|all| all.extend_from_slice(&new));
        for address in new {
            self.event(Event::Listening { address });
        }
    }

    /// Something has changed around the node. Connections that this may have cut are asked for a sign of life.
    // The one walk over all connections: it follows what happens to the machine, and no peer can cause it.
    pub(super) fn around(&mut self, change: Change) {
        self.event(Event::NetworkChanged);
        self.node.network.send_replace(());
        let doubtful = |shared: &Shared| match &change {
            Change::Woke => true,
            Change::Addresses(gone) => {
                let local = shared.local_ip();
                !gone.is_empty() && local.is_none_or(|local| gone.contains(&local))
            }
        };
        for shared in self.connections.values().filter(|shared| doubtful(shared)) {
            self.spawn_on(shared.id, watch::probe);
        }
    }

    pub(super) fn listener_ended(&mut self, addresses: Vec<Multiaddr>) {
        self.set_addresses(|all| all.retain(|address| !addresses.contains(address)));
        for address in addresses {
            self.event(Event::ListenerClosed { address });
        }
    }

    fn set_addresses(&self, change: impl FnOnce(&mut Vec<Multiaddr>)) {
        let addresses = self.node.addresses.write();
        let mut addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        change(&mut addresses.listening);
    }
}
