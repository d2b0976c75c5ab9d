//! Limits that are shared: how many requests are let in and how many go out, what a peer may use of the node's memory; under
//! many schedules. All of it is free again in the end, however requests end.

use std::{
    future::{Future, pending, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Instant,
};

use carrick_session::WindowPool;
use carrick_swarm::Limit;
use carrick_wire::{PeerId, ProtocolId};
use shuttle::{
    future::block_on,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    thread,
};

use super::many_orders;
use crate::{
    Config,
    quotas::{Quotas, Share},
    requesting::{
        gate::{Gate, Rule},
        lanes::{Lanes, NoTurn},
    },
};

fn quotas(config: impl FnOnce(&mut Config)) -> Arc<Quotas> {
    let mut of = Config::default();
    config(&mut of);
    Quotas::new(&of, Box::new(|_| {}))
}

#[test]
fn requests_take_turns_and_leave_nothing_behind() {
    let key = (PeerId::random(), ProtocolId::from_static("/x/1"));
    many_orders(
        "requests: four turns where two may run and one may wait",
        move || {
            let (lanes, quotas) = (Arc::new(Lanes::default()), quotas(|_| {}));
            let running = Arc::new(AtomicUsize::new(0));
            let requests: Vec<_> = (0..4)
                .map(|request| {
                    let (lanes, quotas, running, key) =
                        (lanes.clone(), quotas.clone(), running.clone(), key.clone());
                    thread::spawn(move || match request {
                        // Gives up before it has its turn.
                        0 => {
                            let mut turn = pin!(lanes.turn(key, (2, 1), &quotas, pending()));
                            let _ = turn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                        }
                        // Its peer is gone.
                        1 => {
                            let turn = block_on(lanes.turn(key, (2, 1), &quotas, ready(())));
                            if let Err(NoTurn::Limit(of)) = turn {
                                assert_eq!(of.limit, Limit::RequestsQueuedPerPeer);
                            }
                        }
                        _ => {
                            let turn = block_on(lanes.turn(key, (2, 1), &quotas, pending()));
                            if turn.is_ok() {
                                assert!(running.fetch_add(1, SeqCst) < 2);
                                running.fetch_sub(1, SeqCst);
                            }
                        }
                    })
                })
                .collect();
            requests
                .into_iter()
                .for_each(|request| request.join().expect("nothing panics"));
            assert_eq!(lanes.most(), (0, 0));
            assert!(lanes.is_empty());
        },
    );
}

#[test]
fn requests_that_are_let_in_count_until_they_are_over() {
    let peer = PeerId::random();
    many_orders(
        "requests: three come where there is room for two",
        move || {
            let rule = Rule {
                in_flight: 3,
                bytes: 10,
                rate: None,
            };
            let gate = Gate::new(rule, quotas(|_| {}));
            let now = Instant::now();
            let first = gate.enter(now, peer).expect("there is room");
            let requests: Vec<_> = (0..3)
                .map(|_| {
                    let gate = gate.clone();
                    thread::spawn(move || {
                        let Ok(mut entered) = gate.enter(now, peer) else {
                            return;
                        };
                        for _ in 0..2 {
                            let _ = entered.grow(4);
                            assert!(gate.most(Limit::RequestBytesPerPeer) <= 10);
                            assert!(gate.most(Limit::RequestsInboundPerPeer) <= 3);
                        }
                    })
                })
                .collect();
            requests
                .into_iter()
                .for_each(|request| request.join().expect("nothing panics"));
            assert_eq!(gate.most(Limit::RequestBytesPerPeer), 0);
            assert_eq!(gate.most(Limit::RequestsInboundPerPeer), 1);
            drop(first);
            assert_eq!(gate.most(Limit::RequestsInboundPerPeer), 0);
        },
    );
}

#[test]
fn windows_of_many_peers_never_grow_beyond_the_node_s_memory() {
    many_orders("quotas: windows of five peers grow and go", || {
        let quotas = quotas(|config| {
            config.memory_max = 1000;
            config.memory_per_peer_max = 500;
        });
        // Windows may have 600 in all; there is room for four of 50, and each of the five may find it.
        quotas.force(Limit::Memory, 400);
        let peers: Vec<_> = (0..5).map(|_| Share::new(quotas.clone())).collect();
        let windows: Vec<_> = peers
            .iter()
            .map(|peer| {
                let (peer, quotas) = (peer.clone(), quotas.clone());
                thread::spawn(move || {
                    let taken = peer.take(50);
                    assert!(quotas.used(Limit::Memory) <= 600);
                    assert!(!taken || peer.memory() == 50);
                    if taken {
                        peer.give_back(50);
                    }
                    assert_eq!(peer.memory(), 0);
                })
            })
            .collect();
        windows
            .into_iter()
            .for_each(|window| window.join().expect("nothing panics"));
        assert_eq!(quotas.used(Limit::Memory), 400);
    });
}

#[test]
fn streams_of_two_peers_keep_to_every_limit_and_give_all_back() {
    many_orders(
        "quotas: streams of two peers, two protocols' limits",
        || {
            let quotas = quotas(|config| {
                config.streams_inbound_max = 2;
                config.streams_inbound_per_peer_max = 1;
                config.streams_inbound_per_protocol_max = 2;
            });
            let peers = [Share::new(quotas.clone()), Share::new(quotas.clone())];
            let protocol = Arc::<AtomicU64>::default();
            let streams: Vec<_> = [0, 0, 1, 1]
                .map(|at: usize| {
                    let (peer, quotas, protocol) =
                        (peers[at].clone(), quotas.clone(), Arc::clone(&protocol));
                    thread::spawn(move || {
                        let stream = peer.stream(&protocol);
                        assert!(peer.streams() <= 1 && quotas.used(Limit::StreamsInbound) <= 2);
                        drop(stream);
                    })
                })
                .into();
            streams
                .into_iter()
                .for_each(|stream| stream.join().expect("nothing panics"));
            assert_eq!(quotas.used(Limit::StreamsInbound), 0);
            assert!(peers.iter().all(|peer| peer.streams() == 0));
            assert!(peers[0].stream(&protocol).is_ok());
        },
    );
}
