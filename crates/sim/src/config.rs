//! What a world is like: its size, its faults, and the limits of its nodes. All of it can be drawn from a seed.

use std::time::Duration;

use crate::chance::Chance;

/// What a world is like.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many hosts.
    pub hosts: usize,
    /// Operations of the scenario: calls between hosts, and faults.
    pub operations: usize,
    /// Over how much virtual time they are spread.
    pub duration: Duration,
    /// Which faults there are, and how strong.
    pub faults: Faults,
    /// Limits and timings of every node's connections.
    pub session: carrick_session::Config,
    /// Limits and timings of every node's swarm.
    pub swarm: carrick_swarm::Config,
    /// Close a connection when no stream of it has lived for this long.
    pub idle_timeout: Option<Duration>,
    /// How often each node pings the peers it has dialed; `None`: never.
    pub ping_interval: Option<Duration>,
    /// Peers that each host keeps connected to, from the beginning.
    pub kept_peers: usize,
    /// Most bytes of one call, each way.
    pub call_bytes_max: u64,
    /// The muxers that nodes offer.
    pub muxers: Muxers,
    /// Breaks the simulation itself, to see that it is noticed.
    pub plant: Option<Plant>,
}

/// Which muxers nodes offer, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Muxers {
    /// Yamux, agreed on within the handshake.
    YamuxEarly,
    /// Yamux, proposed alone after the handshake.
    YamuxLate,
    /// Yamux or mplex, agreed on after the handshake.
    Both,
    /// Mplex.
    Mplex,
}

/// A bug that is planted, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The byte with this number, counted over the world, is lost between muxer and protocol.
    LoseByte(u64),
    /// It comes twice.
    RepeatByte(u64),
    /// This many events that say that a stream is readable are lost.
    LoseWakeups(u64),
    /// Streams are not given back when they are done.
    LeakStreams,
    /// The answer to a dial is forgotten.
    ForgetAnswer,
    /// Pipes give their bytes in the wrong order now and then.
    ReorderPipe,
}

/// How often of a thousand, or how much, of each fault. All are 0 in a calm world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Longest latency of a link, in microseconds.
    pub latency_max_us: u64,
    /// Most that a piece comes later than the latency, in microseconds.
    pub jitter_max_us: u64,
    /// Pieces of a thousand that are lost and sent again.
    pub loss: u64,
    /// Bytes that leave in one piece at most; 0: as they are written.
    pub piece_max: u64,
    /// Slowest bandwidth, bytes each second; 0: no limit.
    pub bandwidth_min: u64,
    /// What a pipe holds, bytes; 0: 256 KiB.
    pub buffer: u64,
    /// Pairs of hosts that are cut off from each other for a while. From here to `quarrels`: weights of operations, beside
    /// [`Self::CALLS`].
    pub partitions: u64,
    /// Hosts that are killed, or lose their power.
    pub crashes: u64,
    /// Hosts that stand still for a while.
    pub suspensions: u64,
    /// Wall clocks that are set.
    pub clock_jumps: u64,
    /// Pipes that are reset.
    pub resets: u64,
    /// Pipes of which one direction goes nowhere.
    pub holes: u64,
    /// Pipes on which a bit is turned.
    pub corruptions: u64,
    /// Links that become slow.
    pub slow_links: u64,
    /// Peers that a host disconnects or bans.
    pub quarrels: u64,
    /// Calls of a thousand whose reader is slow.
    pub slow_readers: u64,
    /// Calls of a thousand that are given up on the way.
    pub resets_by_users: u64,
}

impl Faults {
    /// Weight of a call among the operations.
    pub const CALLS: u64 = 1000;

    /// Links as on one network, and nothing that goes wrong.
    pub const LAN: Self = Self {
        latency_max_us: 5000,
        jitter_max_us: 500,
        ..Self::NONE
    };

    /// What happens in a long time.
    pub const YEAR: Self = Self {
        latency_max_us: 100_000,
        jitter_max_us: 10_000,
        partitions: 50,
        crashes: 50,
        suspensions: 20,
        clock_jumps: 20,
        resets: 20,
        holes: 20,
        corruptions: 20,
        quarrels: 20,
        ..Self::NONE
    };

    const NONE: Self = Self {
        latency_max_us: 0,
        jitter_max_us: 0,
        loss: 0,
        piece_max: 0,
        bandwidth_min: 0,
        buffer: 0,
        partitions: 0,
        crashes: 0,
        suspensions: 0,
        clock_jumps: 0,
        resets: 0,
        holes: 0,
        corruptions: 0,
        slow_links: 0,
        quarrels: 0,
        slow_readers: 0,
        resets_by_users: 0,
    };

    /// Whether nothing can go wrong.
    pub const fn is_calm(&self) -> bool {
        self.partitions
            + self.crashes
            + self.suspensions
            + self.resets
            + self.holes
            + self.corruptions
            + self.slow_links
            + self.quarrels
            + self.resets_by_users
            == 0
    }

    /// Each fault is on or off, and weak or strong, as the seed says; a tenth of all worlds is calm.
    pub fn draw(seed: u64) -> Self {
        let chance = &mut Chance::of(seed, 0xfa);
        let calm = chance.odds(100);
        let mut fault = |max: u64| {
            if chance.odds(500) {
                chance.magnitude(1, max)
            } else {
                0
            }
        };
        let network = Self {
            latency_max_us: fault(400_000),
            jitter_max_us: fault(100_000),
            loss: fault(50),
            piece_max: fault(16_384),
            bandwidth_min: fault(1000) * 20_000,
            buffer: fault(256) * 1024,
            slow_readers: fault(300),
            ..Self::default()
        };
        if calm {
            return network;
        }
        Self {
            partitions: fault(300),
            crashes: fault(300),
            suspensions: fault(150),
            clock_jumps: fault(100),
            resets: fault(300),
            holes: fault(200),
            corruptions: fault(200),
            slow_links: fault(100),
            quarrels: fault(100),
            resets_by_users: fault(200),
            ..network
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: 4,
            operations: 40,
            duration: Duration::from_secs(60),
            faults: Faults::default(),
            session: carrick_session::Config::default(),
            swarm: carrick_swarm::Config::default(),
            idle_timeout: Some(Duration::from_secs(60)),
            ping_interval: Some(Duration::from_secs(15)),
            kept_peers: 0,
            call_bytes_max: 1 << 18,
            muxers: Muxers::YamuxEarly,
            plant: None,
        }
    }
}

impl Config {
    /// A world of its own for each seed: size, faults, muxers and limits are drawn.
    pub fn draw(seed: u64, hosts: usize, operations: usize) -> Self {
        let chance = &mut Chance::of(seed, 0xc0);
        let faults = Faults::draw(seed);
        let mut config = Self {
            hosts: chance.between(2, hosts.max(2) as u64) as usize,
            operations: chance.between(1, operations.max(1) as u64) as usize,
            duration: Duration::from_secs(chance.magnitude(2, 300)),
            faults,
            call_bytes_max: chance.magnitude(1, 1 << 20),
            kept_peers: chance.below(3) as usize,
            muxers: *chance.pick(&[
                Muxers::YamuxEarly,
                Muxers::YamuxEarly,
                Muxers::YamuxLate,
                Muxers::Both,
                Muxers::Mplex,
            ]),
            ..Self::default()
        };
        if chance.odds(300) {
            config.idle_timeout = Some(Duration::from_secs(chance.between(1, 20)));
        }
        if chance.odds(300) {
            config.session.window_budget = chance.magnitude(1 << 16, 1 << 24) as u32;
            config.session.stream_window_max = chance.magnitude(1 << 18, 1 << 22) as u32;
        }
        if chance.odds(300) {
            config.session.send_buffer_max = chance.magnitude(1 << 12, 1 << 18) as usize;
        }
        if !faults.is_calm() && chance.odds(400) {
            config.session.inbound_streams_max = chance.between(2, 16) as usize;
            config.session.outbound_streams_max = chance.between(2, 16) as usize;
        }
        if !faults.is_calm() && chance.odds(300) {
            config.swarm.connections_per_peer_max = chance.between(1, 3) as usize;
            config.swarm.connections_inbound_max = chance.between(2, 8) as usize;
            config.swarm.connections_outbound_max = chance.between(2, 8) as usize;
            config.swarm.dials_max = chance.between(1, 4) as usize;
        }
        config
    }
}
