//! Listeners: bound, announced, ended.

use std::sync::PoisonError;

use carrick_swarm::Event;
use carrick_wire::Multiaddr;
use tokio::sync::oneshot;

use super::Control;
use crate::{
    ListenError, dial,
    message::{Listening, Message},
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
            let addresses = match &listening {
                Listening::Pipes(listener, _) => listener.addresses(),
                Listening::Quic(listener, _) => listener.addresses().to_vec(),
            };
            self.set_addresses(|all| all.extend_from_slice(&addresses));
            for address in addresses.clone() {
                self.event(Event::Listening { address });
            }
            let (node, bound) = (self.node.clone(), addresses.clone());
            self.tasks.spawn(async move {
                dial::accept_all(&node, listening).await;
                node.send(Message::ListenerEnded { addresses: bound }).await;
            });
            addresses
        });
        // Whoever dropped its future still gets its listener.
        let _ = reply.send(outcome);
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
