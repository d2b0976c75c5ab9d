//! The control plane alone: connections come, say who they are, and go, while others stay.

use crate::identify::address;
use carrick_protocols::identify::Info;
use carrick_swarm::{
    Action, AttemptId, Behaviour, Config, ConnectionId, DialOptions, Event, Origin, Swarm, Tag,
    WaiterId, Watermarks,
};
use carrick_wire::{Multiaddr, PeerId, Protocol, ProtocolId};
use std::{hint::black_box, net::Ipv4Addr, time::Instant};

/// More than any case has.
const CONNECTIONS_MAX: usize = 20_000;

struct Node {
    swarm: Swarm,
    now: Instant,
    ids: u64,
    info: Info,
}

impl Node {
    /// A swarm with so many peers, each of which dialed it and has said who it is.
    fn among(idle: usize) -> Self {
        let config = Config {
            connections_inbound_max: CONNECTIONS_MAX,
            // Somebody comes again and again.
            connection_burst_per_ip: CONNECTIONS_MAX,
            inbound_watermarks: Some(Watermarks {
                low: CONNECTIONS_MAX,
                high: CONNECTIONS_MAX,
            }),
            ..Config::default()
        };
        let mut node = Self {
            swarm: Swarm::new(config, peer(0)),
            now: Instant::now(),
            ids: 0,
            info: Info {
                listen_addresses: vec![address("/ip4/192.0.2.1/tcp/4001")],
                protocols: ["/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/echo/1.0.0"]
                    .map(ProtocolId::from_static)
                    .to_vec(),
                agent: Some("carrick/0.1.0".to_owned()),
                ..Info::default()
            },
        };
        for nth in 1..=idle {
            node.arrive(nth);
        }
        node
    }

    /// A command, and the shell's usual questions after it.
    fn command(&mut self, command: impl FnOnce(&mut Swarm, Instant)) {
        command(&mut self.swarm, self.now);
        self.settle();
    }

    /// One event, and the shell's usual questions after it; gives the attempt that was asked for, if one was.
    fn event(&mut self, event: Event) -> Option<AttemptId> {
        self.swarm.handle_event(self.now, event);
        self.settle()
    }

    fn settle(&mut self) -> Option<AttemptId> {
        let mut asked = None;
        while let Some(action) = self.swarm.poll_action() {
            if let Action::Dial { attempt, .. } = &action {
                asked = Some(*attempt);
            }
            black_box(action);
        }
        black_box(self.swarm.poll_timeout());
        asked
    }

    fn arrive(&mut self, nth: usize) -> ConnectionId {
        let pending = self.swarm.admit(self.now, &place(nth), true);
        let pending = pending.expect("there is room");
        self.established(nth, Origin::Pending(pending))
    }

    fn dial(&mut self, nth: usize) -> ConnectionId {
        let asked = self.event(Event::Connect {
            waiter: WaiterId(self.ids),
            peer: Some(peer(nth)),
            addresses: vec![place(nth)],
            options: DialOptions::default(),
        });
        let attempt = asked.expect("the address is dialed at once");
        self.established(nth, Origin::Attempt(attempt))
    }

    fn established(&mut self, nth: usize, origin: Origin) -> ConnectionId {
        self.ids += 1;
        let connection = ConnectionId(self.ids);
        self.event(Event::Established {
            connection,
            peer: peer(nth),
            address: place(nth),
            origin,
        });
        let info = self.info.clone();
        self.event(Event::Identified { connection, info });
        connection
    }
}

/// Somebody, of whom there is one for each number; neighbours in number are none in order.
fn peer(nth: usize) -> PeerId {
    let mut bytes = vec![0x12, 0x20];
    let mut state = nth as u64;
    for _ in 0..4 {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    PeerId::from_bytes(&bytes).expect("a SHA-256 multihash")
}

/// Where that peer is.
fn place(nth: usize) -> Multiaddr {
    let [_, _, a, b] = u32::try_from(nth).expect("few peers").to_be_bytes();
    Multiaddr::empty()
        .with(Protocol::Ip4(Ipv4Addr::new(11, 1, a, b)))
        .with(Protocol::Tcp(4001))
}

/// The one that comes and goes.
const GUEST: usize = 30_000;

/// A peer dials us, is identified and goes.
pub(crate) fn inbound(idle: usize, times: usize) {
    let mut node = Node::among(idle);
    for _ in 0..times {
        let connection = node.arrive(GUEST);
        node.event(Event::Closed { connection });
    }
}

/// We dial a peer, it is identified and goes.
pub(crate) fn outbound(idle: usize, times: usize) {
    let mut node = Node::among(idle);
    for _ in 0..times {
        let connection = node.dial(GUEST);
        node.event(Event::Closed { connection });
    }
}

/// Somebody who is connected, whatever else is.
const HOST: usize = 20_000;

/// An event of somebody who is connected, among others.
fn events(idle: usize, times: usize, mut event: impl FnMut(&mut Node, ConnectionId)) {
    let mut node = Node::among(idle);
    let connection = node.arrive(HOST);
    for _ in 0..times {
        event(&mut node, connection);
    }
}

/// A connected peer says again who it is.
pub(crate) fn identified(idle: usize, times: usize) {
    events(idle, times, |node, connection| {
        let info = node.info.clone();
        node.event(Event::Identified { connection, info });
    });
}

/// A connection has its first stream, and loses its last.
pub(crate) fn idle(idle: usize, times: usize) {
    events(idle, times, |node, connection| {
        for idle in [false, true] {
            node.event(Event::Idle { connection, idle });
        }
    });
}

/// A peer does something that counts.
pub(crate) fn behaves(idle: usize, times: usize) {
    events(idle, times, |node, _| {
        node.command(|swarm, now| {
            swarm.record_behaviour(now, peer(HOST), Behaviour::Useful, "count");
        });
    });
}

/// A peer gets a tag and loses it.
pub(crate) fn tags(idle: usize, times: usize) {
    events(idle, times, |node, _| {
        node.command(|swarm, now| {
            let tagged = swarm.tag(now, peer(HOST), "count", Tag::fixed(1));
            assert!(tagged.is_ok() && swarm.untag(&peer(HOST), "count"));
        });
    });
}

/// There are not too many connections.
pub(crate) fn trims(idle: usize, times: usize) {
    events(idle, times, |node, _| node.command(Swarm::trim));
}
