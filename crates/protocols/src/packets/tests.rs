//! Flows: who gets which packet, what is held and for how long, what is dropped and counted, what ends a connection.

use super::*;

const HOLD: fn() -> Duration = || Duration::from_millis(100);

/// The listening side's flows of a connection whose dialer may have opened ten streams.
fn flows() -> Flows {
    with(Limits::default())
}

fn with(limits: Limits) -> Flows {
    let mut flows = Flows::new(limits, false);
    flows.allow_streams(10);
    flows
}

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn start() -> Instant {
    Instant::now()
}

fn datagram(id: u64, packet: &[u8]) -> Bytes {
    codec::encode(id, packet).into()
}

fn read_all(flows: &mut Flows, id: u64) -> Vec<Bytes> {
    std::iter::from_fn(|| flows.flow(id)?.read()).collect()
}

/// The dialer's stream of this number.
fn dialers(number: u64) -> u64 {
    number * 4
}

#[test]
fn each_flow_gets_its_packets_in_order() {
    let (mut flows, now) = (flows(), start());
    flows.open(now, dialers(0)).unwrap();
    flows.open(now, dialers(2)).unwrap();
    for (id, packet) in [(0, b"a"), (2, b"x"), (0, b"b"), (2, b"y")] {
        let came = flows.recv(now, HOLD, &datagram(dialers(id), packet));
        assert_eq!(came, Ok(Some(dialers(id))));
    }
    assert_eq!(flows.recv(now, HOLD, &datagram(0, b"")), Ok(Some(0)));
    assert_eq!(read_all(&mut flows, dialers(0)), [&b"a"[..], b"b", b""]);
    assert_eq!(read_all(&mut flows, dialers(2)), [&b"x"[..], b"y"]);
    assert_eq!(flows.flow(0).unwrap().stats().received, 3);
}

#[test]
fn packets_that_overtake_their_control_stream_are_held_for_a_while() {
    let (mut flows, now) = (flows(), start());
    for (id, packet) in [(0, &b"first"[..]), (1, b"other"), (0, b"second")] {
        let held = flows.recv(now, HOLD, &datagram(dialers(id), packet));
        assert_eq!(held, Ok(None));
    }
    let soon = now + HOLD() - Duration::from_nanos(1);
    flows.open(soon, dialers(0)).unwrap();
    assert_eq!(read_all(&mut flows, 0), [&b"first"[..], b"second"]);
    flows.open(now + HOLD(), dialers(1)).unwrap();
    assert!(read_all(&mut flows, dialers(1)).is_empty());
    assert_eq!(flows.strays(), 1);
}

#[test]
fn of_too_many_held_packets_the_oldest_are_dropped() {
    let limits = Limits {
        held_packets_max: 3,
        held_bytes_max: 10,
        ..Limits::default()
    };
    let (mut flows, now) = (with(limits), start());
    for (packet, strays) in [
        (&b"1"[..], 0),
        (b"2", 0),
        (b"3", 0),
        (b"4", 1),
        (b"12345678", 2),
        (b"12345678901", 3),
        (b"1234567890", 6),
    ] {
        assert_eq!(flows.recv(now, HOLD, &datagram(0, packet)), Ok(None));
        assert_eq!(flows.strays(), strays, "{packet:?}");
    }
    flows.open(now, 0).unwrap();
    assert_eq!(read_all(&mut flows, 0), [&b"1234567890"[..]]);
    // What was released makes room.
    assert_eq!(flows.recv(now, HOLD, &datagram(4, b"1234567890")), Ok(None));
    assert_eq!(flows.strays(), 6);
}

#[test]
fn a_datagram_that_is_too_short_is_a_violation() {
    for short in [&[][..], &[0x40], &[0x80, 0, 0], &[0xc0, 0, 0, 0, 0, 0, 0]] {
        let received = flows().recv(start(), HOLD, &Bytes::copy_from_slice(short));
        assert_eq!(received, Err(Violation::TooShort), "{short:?}");
    }
}

#[test]
fn a_control_stream_beyond_the_limit_of_streams_is_a_violation() {
    let (mut flows, now) = (flows(), start());
    let beyond = datagram(dialers(10), b"x");
    assert_eq!(flows.recv(now, HOLD, &datagram(dialers(9), b"x")), Ok(None));
    assert_eq!(flows.recv(now, HOLD, &beyond), Err(Violation::BeyondLimit));
    let largest = datagram(codec::ID_MAX & !3, b"x");
    assert_eq!(flows.recv(now, HOLD, &largest), Err(Violation::BeyondLimit));
    flows.allow_streams(11);
    assert_eq!(flows.recv(now, HOLD, &beyond), Ok(None));
    flows.allow_streams(0);
    assert_eq!(flows.recv(now, HOLD, &beyond), Ok(None));
}

#[test]
fn packets_for_streams_that_the_peer_cannot_have_opened_are_strays() {
    let (mut flows, now) = (flows(), start());
    // The listener's, and unidirectional ones of both, of any number.
    for id in [1, 2, 3, 4001, 4002, 4003] {
        assert_eq!(flows.recv(now, HOLD, &datagram(id, b"x")), Ok(None));
        flows.open(now, id).unwrap();
        assert!(read_all(&mut flows, id).is_empty());
    }
    assert_eq!(flows.strays(), 6);
}

#[test]
fn packets_of_a_flow_that_has_ended_are_dropped() {
    let (mut flows, now) = (flows(), start());
    flows.open(now, 0).unwrap();
    flows.recv(now, HOLD, &datagram(0, b"unread")).unwrap();
    assert_eq!(flows.send(0, b"unsent", |_| false), Some(None));
    assert!(flows.close(0).is_some() && flows.close(0).is_none());
    assert_eq!(flows.recv(now, HOLD, &datagram(0, b"late")), Ok(None));
    assert_eq!(flows.send(0, b"late", |_| true), None);
    assert_eq!(flows.poll_transmit(), None);
    assert_eq!((flows.strays(), flows.held.len()), (1, 0));
}

#[test]
fn there_are_no_more_flows_than_the_limit() {
    let (mut flows, now) = (
        with(Limits {
            flows_max: 2,
            ..Limits::default()
        }),
        start(),
    );
    flows.open(now, 0).unwrap();
    flows.open(now, 4).unwrap();
    assert_eq!(flows.open(now, 8), Err(TooManyFlows));
    flows.close(0);
    assert_eq!(flows.open(now, 8), Ok(()));
}

#[test]
fn a_reader_who_does_not_keep_up_loses_the_oldest() {
    let limits = Limits {
        recv_packets_max: 20,
        recv_bytes_max: 300,
        ..Limits::default()
    };
    let (mut flows, now) = (with(limits), start());
    flows.open(now, 0).unwrap();
    for number in 0..25u8 {
        flows.recv(now, HOLD, &datagram(0, &[number])).unwrap();
    }
    let stats = flows.flow(0).unwrap().stats();
    assert_eq!((stats.received, stats.dropped_recv), (25, 5));
    assert_eq!(flows.flow(0).unwrap().read().unwrap(), [5][..]);
    flows.recv(now, HOLD, &datagram(0, &[9; 290])).unwrap();
    // Ten bytes are left, so of the nineteen packets nine had to go.
    assert_eq!(flows.flow(0).unwrap().stats().dropped_recv, 5 + 9);
    flows.recv(now, HOLD, &datagram(0, &[9; 301])).unwrap();
    assert_eq!(flows.flow(0).unwrap().stats().dropped_recv, 5 + 10);
    assert_eq!(read_all(&mut flows, 0).len(), 11);
}

#[test]
fn what_has_no_room_is_queued_and_of_too_much_the_oldest_is_dropped() {
    let limits = Limits {
        send_packets_max: 3,
        ..Limits::default()
    };
    let (mut flows, now) = (with(limits), start());
    flows.open(now, 0).unwrap();
    assert_eq!(flows.send(0, b"0", |_| true), Some(Some(datagram(0, b"0"))));
    for packet in [b"1", b"2", b"3", b"4"] {
        assert_eq!(flows.send(0, packet, |_| false), Some(None));
    }
    // Nobody overtakes.
    assert_eq!(flows.send(0, b"5", |_| true), Some(None));
    let stats = flows.flow(0).unwrap().stats();
    assert_eq!((stats.sent, stats.dropped_send), (1, 2));
    for packet in [b"3", b"4", b"5"] {
        assert_eq!(flows.poll_transmit(), Some((0, datagram(0, packet))));
    }
    assert_eq!(flows.poll_transmit(), None);
    assert_eq!(flows.send(0, b"6", |_| true), Some(Some(datagram(0, b"6"))));
    flows.unsend(0);
    let stats = flows.flow(0).unwrap().stats();
    assert_eq!((stats.sent, stats.dropped_send), (4, 3));
}

#[test]
fn flows_take_turns() {
    let (mut flows, now) = (flows(), start());
    for id in [0, 4] {
        flows.open(now, id).unwrap();
        for packet in [b"1", b"2"] {
            flows.send(id, packet, |_| false);
        }
    }
    let order: Vec<_> = std::iter::from_fn(|| flows.poll_transmit()).collect();
    let order: Vec<_> = order.into_iter().map(|(id, _)| id).collect();
    assert_eq!(order, [0, 4, 0, 4]);
}

/// A small generator: the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn whatever_comes_every_packet_is_accounted_for_and_no_limit_is_exceeded() {
    for seed in 0..200 {
        check_random_run(seed);
    }
}

fn check_random_run(seed: u64) {
    let limits = Limits {
        send_packets_max: 4,
        send_bytes_max: 60,
        recv_packets_max: 10,
        recv_bytes_max: 100,
        held_packets_max: 5,
        held_bytes_max: 70,
        flows_max: 4,
    };
    let mut dice = Dice(seed);
    let (mut flows, mut now) = (with(limits.clone()), start());
    let (mut came, mut read, mut lost) = (0, 0, 0);
    for _ in 0..400 {
        let id = dice.roll(12);
        match dice.roll(8) {
            0 => drop(flows.open(now, id)),
            1 => {
                if let Some(mut flow) = flows.close(id) {
                    lost += flow.stats().dropped_recv;
                    while flow.read().is_some() {
                        lost += 1;
                    }
                }
            }
            2 => read += u64::from(flows.flow(id).is_some_and(|flow| flow.read().is_some())),
            3 => now += Duration::from_millis(dice.roll(60)),
            4 => drop(flows.send(id, &[0; 30], |_| dice.roll(2) == 0)),
            5 => drop(flows.poll_transmit()),
            _ => {
                let len = dice.roll(40) as usize;
                let mut bytes = vec![dice.roll(256) as u8; len];
                if dice.roll(4) > 0 {
                    bytes = codec::encode(id, &bytes);
                }
                came += u64::from(flows.recv(now, HOLD, &bytes.into()).is_ok());
            }
        }
        check_limits(&flows, &limits);
    }
    let queued: u64 = flows.flows.values().map(|f| f.incoming.len() as u64).sum();
    let dropped: u64 = flows.flows.values().map(|f| f.stats.dropped_recv).sum();
    let held = flows.held.len() as u64;
    let accounted = read + lost + queued + dropped + held + flows.strays();
    assert_eq!(came, accounted, "seed {seed}");
}

fn check_limits(flows: &Flows, limits: &Limits) {
    assert!(flows.held.len() <= limits.held_packets_max);
    let held: usize = flows.held.iter().map(|held| held.packet.len()).sum();
    assert!(held <= limits.held_bytes_max && held == flows.held_bytes);
    assert!(flows.flows.len() <= limits.flows_max && flows.ended.len() <= ENDED_MAX);
    for (id, flow) in &flows.flows {
        assert!(flow.incoming.len() <= limits.recv_packets_max);
        assert!(flow.outgoing.len() <= limits.send_packets_max);
        let turns = flows.turns.iter().filter(|turn| *turn == id).count();
        assert_eq!(turns, usize::from(flow.outgoing.len() > 0), "flow {id}");
    }
}
