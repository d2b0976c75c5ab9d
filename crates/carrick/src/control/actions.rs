//! Does what the swarm wants: dials, lookups, answers, closes, and what users are told.

use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

use carrick_swarm::{
    Action, AttemptId, CloseReason, ConnectionId, DialError, Event, LookupId, Query, WaiterId,
};
use carrick_wire::{Multiaddr, PeerId};
use tokio::time::timeout;
use tracing::debug;

use super::{Control, caught};
use crate::{
    AttemptError, Connection,
    connection::{Link, Shared},
    core::Core,
    dial, identify,
    message::Message,
    resolve,
};

impl Control {
    /// Does what the swarm wants.
    pub(super) fn act(&mut self) {
        while let Some(action) = self.swarm.poll_action() {
            match action {
                Action::Dial {
                    attempt,
                    address,
                    expected,
                } => self.dial(attempt, address, expected),
                Action::Abort { attempt } => {
                    if let Some(dial) = self.dials.remove(&attempt) {
                        dial.abort();
                    }
                }
                Action::LookUp { lookup, query } => self.look_up(lookup, query),
                Action::AbortLookUp { lookup } => {
                    if let Some(lookup) = self.lookups.remove(&lookup) {
                        lookup.abort();
                    }
                }
                Action::Resolve { waiter, result } => self.resolve(waiter, result),
                Action::Close { connection, reason } => self.close_connection(connection, reason),
                Action::CloseIdle { connection, reason } => self.close_idle(connection, reason),
                Action::Keep { connection, keep } => {
                    if let Some(shared) = self.connections.get(&connection) {
                        shared.set_kept(keep);
                    }
                }
                Action::Identify { connection } => self.identify(connection),
                Action::PushIdentify { connection } => self.spawn_on(connection, identify::push),
                Action::Prefer { peer, connection } => self.prefer(peer, connection),
                Action::Save => self.save(),
                Action::Notice(notice) => self.notice(notice),
            }
        }
    }

    fn dial(&mut self, attempt: AttemptId, address: Multiaddr, expected: Option<PeerId>) {
        let node = self.node.clone();
        let begun = Instant::now();
        let dial = async move {
            let dial = dial::dial(&node, attempt, address.clone(), expected);
            let dialed = caught(dial).await.unwrap_or(Err(AttemptError::Aborted));
            match &dialed {
                Ok(session) => node.metrics.upgraded(&address, &session.summary, begun),
                Err(error) => node.metrics.dial_failed(&address, error),
            }
            let result = dialed.map(Box::new);
            node.send(Message::Dialed {
                attempt,
                address,
                result,
            })
            .await;
        };
        self.dials.insert(attempt, self.tasks.spawn(dial));
    }

    fn look_up(&mut self, lookup: LookupId, query: Query) {
        let node = self.node.clone();
        let ask = async move {
            let answer = caught(resolve::ask(&*node.resolver, query)).await;
            let result = answer.unwrap_or_else(|| Err("the resolver panicked".to_owned()));
            node.send(Message::LookedUp { lookup, result }).await;
        };
        self.lookups.insert(lookup, self.tasks.spawn(ask));
    }

    fn resolve(&mut self, waiter: WaiterId, result: Result<ConnectionId, DialError>) {
        let Some(reply) = self.waiters.remove(&waiter) else {
            return;
        };
        // From here on it is held: it cannot become idle before the waiter has opened its stream.
        let connection = result.and_then(|id| {
            let shared = self.connections.get(&id).ok_or(DialError::Closed)?;
            Ok(Connection::new(shared.clone()))
        });
        // Whoever dropped its future has no use for the outcome.
        let _ = reply.send(connection);
    }

    fn close_connection(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(shared) = self.connections.get(&connection) else {
            return;
        };
        debug!(peer = %shared.peer, %reason, "closing a connection");
        if reason == CloseReason::Trimmed {
            // It is in use, and nobody's fault: what is open may finish.
            self.spawn_on(connection, drain);
        } else if matches!(
            reason,
            CloseReason::Banned | CloseReason::Rejected | CloseReason::Misbehaved
        ) {
            shared.expel(reason);
        } else {
            shared.close(reason);
        }
    }

    fn close_idle(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(shared) = self.connections.get(&connection) else {
            return;
        };
        let now = Instant::now();
        if shared.close_idle(now, reason) {
            return debug!(peer = %shared.peer, %reason, "closing a connection");
        }
        // It is in use since it was last asked: it stays.
        if reason == CloseReason::Duplicate {
            self.duplicates.insert(connection, false);
        }
        let held = shared.is_held();
        let spared = Event::Spared { connection, held };
        self.swarm.handle_event(now, spared);
    }

    /// Soon; over QUIC at once: py-libp2p may lose the answer that it waits for when a stream of ours comes meanwhile.
    fn identify(&mut self, connection: ConnectionId) {
        let link = self.connections.get(&connection).map(|shared| &shared.link);
        match link {
            Some(Link::Quic(_)) => self.spawn_on(connection, identify::ask),
            _ => self.to_identify.push(Instant::now(), connection),
        }
    }

    pub(super) fn spawn_on<F>(
        &self,
        connection: ConnectionId,
        run: impl FnOnce(Arc<Core>, Arc<Shared>) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(shared) = self.connections.get(&connection) {
            tokio::spawn(run(self.node.clone(), shared.clone()));
        }
    }

    fn prefer(&mut self, peer: PeerId, connection: Option<ConnectionId>) {
        let shared = connection.and_then(|id| self.connections.get(&id).cloned());
        let mut peers = self
            .node
            .peers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match shared {
            Some(shared) => drop(peers.insert(peer, shared)),
            None => drop(peers.remove(&peer)),
        }
        drop(peers);
    }
}

/// Ends a connection that is in use.
async fn drain(node: Arc<Core>, shared: Arc<Shared>) {
    // Whoever has not finished in time loses its stream.
    let _ = timeout(node.config.drain_timeout, shared.drain()).await;
    shared.close(CloseReason::Trimmed);
}
