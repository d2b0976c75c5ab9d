//! What the connections of one process share: which protocols it speaks, what it says of itself, and how far windows may
//! grow.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use carrick_protocols::{
    identify::{self, Own, Sealed},
    ping,
};
use carrick_session::WindowPool;
use carrick_swarm::ConnectionId;
use carrick_wire::{Keypair, Multiaddr, PeerId, ProtocolId};

use super::builtin;
use crate::conversation::{Conversation, Told};

/// Makes a conversation for each stream that a peer opens.
pub(crate) type Handler = Box<dyn FnMut() -> Box<dyn Conversation>>;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    User,
    Identify,
    Push,
    Ping,
}

pub(crate) struct Place {
    pub(crate) host: usize,
    pub(crate) peer: PeerId,
    keypair: Keypair,
    pub(crate) handlers: BTreeMap<ProtocolId, Handler>,
    /// What identify tells, once it was signed.
    sealed: Option<Sealed>,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) seq: u64,
    pub(crate) told: Vec<(ConnectionId, Told)>,
    pub(crate) windows: Arc<Pool>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Who wants a stream accepted.
pub(crate) struct Guest<'a> {
    pub(crate) peer: PeerId,
    pub(crate) address: &'a Multiaddr,
    /// Streams for identify that it has, and for pings.
    pub(crate) identifies: usize,
    pub(crate) pings: usize,
    pub(crate) may_push: bool,
}

/// What is accepted; `None` within: there is one stream of this kind too many.
pub(crate) type Accepted = Option<Option<(Kind, Box<dyn Conversation>)>>;

impl Place {
    pub(crate) fn new(host: usize, keypair: Keypair, windows_max: u64) -> Self {
        Self {
            host,
            peer: keypair.public().to_peer_id(),
            keypair,
            handlers: BTreeMap::new(),
            sealed: None,
            addresses: Vec::new(),
            seq: 0,
            told: Vec::new(),
            windows: Arc::new(Pool::new(windows_max)),
        }
    }

    pub(crate) fn handle(&mut self, protocol: ProtocolId, handler: Handler) {
        self.handlers.insert(protocol, handler);
        self.sealed = None;
    }

    pub(crate) fn protocols(&self) -> Vec<ProtocolId> {
        let own = [identify::PROTOCOL, identify::PUSH_PROTOCOL, ping::PROTOCOL];
        own.into_iter()
            .chain(self.handlers.keys().cloned())
            .collect()
    }

    pub(crate) fn set_addresses(&mut self, addresses: Vec<Multiaddr>, wall: Duration) {
        self.addresses = addresses;
        let millis = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        self.seq = millis.max(self.seq + 1);
        self.sealed = None;
    }

    /// What a peer is told who asks.
    pub(crate) fn identify(&mut self, remote: &Multiaddr) -> Vec<u8> {
        let own = || Own {
            protocol_version: "ipfs/0.1.0".to_owned(),
            agent: agent(self.host),
            listen_addresses: self.addresses.clone(),
            protocols: self.protocols(),
        };
        if self.sealed.is_none() {
            self.sealed = Some(own().seal(&self.keypair, self.seq));
        }
        let sealed = self.sealed.as_ref();
        sealed.map_or_else(Vec::new, |sealed| sealed.encode(Some(remote)))
    }

    /// A conversation for a stream of the peer's.
    pub(crate) fn accept(&mut self, protocol: &ProtocolId, guest: &Guest<'_>) -> Accepted {
        if *protocol == identify::PROTOCOL {
            let tell: Box<dyn Conversation> =
                Box::new(builtin::Tell::new(self.identify(guest.address)));
            let room = guest.identifies < identify::INBOUND_MAX;
            return Some(room.then_some((Kind::Identify, tell)));
        }
        if *protocol == identify::PUSH_PROTOCOL {
            let learn: Box<dyn Conversation> = Box::new(builtin::Learn::pushed(guest.peer));
            return Some(guest.may_push.then_some((Kind::Push, learn)));
        }
        if *protocol == ping::PROTOCOL {
            let echo: Box<dyn Conversation> = Box::new(builtin::Echo::default());
            let room = guest.pings < ping::INBOUND_MAX;
            return Some(room.then_some((Kind::Ping, echo)));
        }
        let handler = self.handlers.get_mut(protocol)?;
        Some(Some((Kind::User, handler())))
    }
}

pub(crate) fn agent(host: usize) -> String {
    format!("carrick/sim-{host}")
}

/// What the windows of one process grow into.
#[derive(Debug)]
pub(crate) struct Pool {
    max: u64,
    used: AtomicU64,
    /// More came back than was lent.
    pub(crate) excess: AtomicU64,
}

impl Pool {
    const fn new(max: u64) -> Self {
        Self {
            max,
            used: AtomicU64::new(0),
            excess: AtomicU64::new(0),
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) const fn max(&self) -> u64 {
        self.max
    }
}

impl WindowPool for Pool {
    fn take(&self, bytes: u32) -> bool {
        let used = self.used() + u64::from(bytes);
        let fits = used <= self.max;
        if fits {
            self.used.store(used, Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, bytes: u32) {
        let used = self.used();
        let left = used.saturating_sub(bytes.into());
        self.excess
            .fetch_add(u64::from(bytes) - (used - left), Ordering::Relaxed);
        self.used.store(left, Ordering::Relaxed);
    }
}
