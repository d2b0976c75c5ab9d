//! Who is connected to a server, and the tasks that talk to them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use carrick_wire::PeerId;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::{
    budget::Budget,
    conversation::{Terms, converse},
    frames::ServerError,
    inbound::{Inbound, Origin},
    options::ServerOptions,
    sender::Sender,
};
use crate::{core::Core, transport::Pipe};

/// Somebody at the door.
pub(super) struct Arrival {
    pub(super) origin: Origin,
    pub(super) pipe: Pipe,
    /// The node that has brought a peer.
    pub(super) node: Option<Arc<Core>>,
}

/// Who is connected to a [`Server`](super::Server), for its service.
#[derive(Debug)]
pub struct Connections {
    protocol: Arc<str>,
    options: Arc<ServerOptions>,
    inbox: Sender<Inbound>,
    tasks: JoinSet<Result<(), ServerError>>,
    all: HashMap<Id, Connected>,
    /// What each peer may have waiting, and in how many streams.
    budgets: HashMap<PeerId, (Budget, usize)>,
    refused: u64,
    is_stopped: bool,
}

#[derive(Debug)]
struct Connected {
    origin: Origin,
    abort: AbortHandle,
}

impl Connections {
    pub(super) fn new(protocol: Arc<str>, options: ServerOptions, inbox: Sender<Inbound>) -> Self {
        Self {
            protocol,
            options: Arc::new(options),
            inbox,
            tasks: JoinSet::new(),
            all: HashMap::new(),
            budgets: HashMap::new(),
            refused: 0,
            is_stopped: false,
        }
    }

    /// How many there are; streams of one peer count each.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Who is connected, in no order; a peer once for each of its streams.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.all.values().map(|connected| &connected.origin)
    }

    /// How many connections were refused, for the limit or by the service.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Ends all connections of somebody, and cancels what is under way in them.
    pub fn close(&mut self, origin: &Origin) {
        let theirs = self
            .all
            .values()
            .filter(|connected| connected.origin == *origin);
        theirs.for_each(|connected| connected.abort.abort());
    }

    /// Ends the server, once the service has returned from where it is.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    pub(super) fn check_room(&self) -> Result<(), ServerError> {
        let max = self.options.connections_max;
        if self.all.len() < max {
            Ok(())
        } else {
            Err(ServerError::TooManyConnections { max })
        }
    }

    pub(super) fn count_refusal(&mut self) {
        self.refused += 1;
    }

    pub(super) fn begin(&mut self, arrival: Arrival) {
        let terms = Terms {
            origin: arrival.origin.clone(),
            node: arrival.node,
            protocol: self.protocol.clone(),
            options: self.options.clone(),
            budget: self.budget(&arrival.origin),
            inbox: self.inbox.clone(),
        };
        let abort = self.tasks.spawn(converse(arrival.pipe, terms));
        let connected = Connected {
            origin: arrival.origin,
            abort: abort.clone(),
        };
        self.all.insert(abort.id(), connected);
    }

    /// All streams of a peer have one budget.
    fn budget(&mut self, origin: &Origin) -> Budget {
        let budget = || Budget::new(self.options.waiting_bytes_max);
        let Origin::Peer(peer) = origin else {
            return budget();
        };
        let (budget, streams) = self.budgets.entry(*peer).or_insert_with(|| (budget(), 0));
        *streams += 1;
        budget.clone()
    }

    /// The next one that ends, why, and who it was; `None`: there is none. Cancel-safe.
    pub(super) async fn next_end(&mut self) -> Option<(Origin, Result<(), ServerError>)> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let connected = self.all.remove(&id)?;
        if let Origin::Peer(peer) = connected.origin
            && let Entry::Occupied(mut entry) = self.budgets.entry(peer)
        {
            entry.get_mut().1 -= 1;
            if entry.get().1 == 0 {
                entry.remove();
            }
        }
        // Whoever was closed by us has made no error.
        let outcome = ended.map_or(Ok(()), |(_, outcome)| outcome);
        Some((connected.origin, outcome))
    }
}
