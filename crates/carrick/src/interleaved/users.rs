//! Who keeps a connection: users come and go while it drains, is closed for being idle, or is lost; under many schedules.

use std::{sync::Arc, time::Instant};

use carrick_session::{Config, Layout, Mux, Role, Summary};
use carrick_swarm::{CloseReason, ConnectionId, Direction};
use carrick_wire::{Keypair, Multiaddr, ProtocolId};
use shuttle::{future::block_on, thread};
use tokio::sync::mpsc;

use super::many_orders;
use crate::{
    ConnectionError,
    connection::{Link, Origin, Shared, muxed::Muxed},
    metrics::Tally,
    quotas::{Quotas, Share},
};

/// A connection without its tasks.
fn connection(keypair: &Keypair) -> Arc<Shared> {
    let yamux = ProtocolId::from_static("/yamux/1.0.0");
    let plain = Layout {
        head: 0,
        body_max: 65_519,
        tail: 0,
    };
    let config = Config::default();
    let mux = Mux::new(&yamux, Role::Dialer, &config, plain, Instant::now(), None);
    let link = Link::Muxed(Muxed::new(mux.expect("it is known"), None));
    let (hurry, _) = mpsc::channel(1);
    let address = Multiaddr::empty();
    let origin = Origin {
        id: ConnectionId(1),
        peer: keypair.public().to_peer_id(),
        key: keypair.public(),
        summary: Summary {
            security: yamux.clone(),
            muxer: yamux,
            early_muxer: false,
            round_trips: 0,
        },
        tally: Tally::new(&Arc::default(), &address),
        address,
        direction: Direction::Outbound,
        outbound_max: 1,
        hurry,
        negotiation_timeout: config.upgrade_timeout,
        share: Share::new(Quotas::new(&crate::Config::default(), Box::new(|_| {}))),
    };
    Arc::new(Shared::new(origin, link))
}

#[test]
fn a_drain_ends_with_the_last_stream_or_with_the_connection() {
    for is_lost in [false, true] {
        let keypair = Keypair::generate_ed25519();
        let name = if is_lost {
            "connection: a drain, and the connection is lost"
        } else {
            "connection: a drain, and three streams go"
        };
        many_orders(name, move || {
            let shared = connection(&keypair);
            let users: Vec<_> = (0..3)
                .map(|_| {
                    shared.hold_stream();
                    let shared = shared.clone();
                    thread::spawn(move || {
                        // Those of a connection that is lost may stay for as long as they like.
                        if !is_lost {
                            shared.unhold_stream();
                        }
                    })
                })
                .collect();
            let losing = shared.clone();
            let losing = thread::spawn(move || {
                if is_lost {
                    losing.lose(ConnectionError::TimedOut);
                }
            });
            block_on(shared.drain());
            users
                .into_iter()
                .chain([losing])
                .for_each(|user| user.join().expect("nothing panics"));
        });
    }
}

#[test]
fn nobody_becomes_a_user_of_a_connection_while_it_is_closed_for_being_idle() {
    let keypair = Keypair::generate_ed25519();
    many_orders("connection: idle, and a user comes", move || {
        let shared = connection(&keypair);
        let now = Instant::now();
        let coming = shared.clone();
        let coming = thread::spawn(move || {
            coming.hold_stream();
            let found_open = coming.is_open();
            // Held and open: from here on it is not idle.
            assert!(!found_open || !coming.close_idle(Instant::now(), CloseReason::Idle));
            assert_eq!(coming.is_open(), found_open);
            coming.unhold_stream();
        });
        shared.close_idle(now, CloseReason::Idle);
        coming.join().expect("nothing panics");
        assert!(shared.idle_since().is_some());
    });
}

#[test]
fn the_first_reason_for_the_end_counts() {
    let keypair = Keypair::generate_ed25519();
    many_orders("connection: three ends at once", move || {
        let shared = connection(&keypair);
        let ends = [
            ConnectionError::TimedOut,
            ConnectionError::ClosedByPeer,
            ConnectionError::Closed,
        ]
        .map(|error| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.lose(error);
                shared.lost().expect("it is over")
            })
        });
        shared.close(CloseReason::Requested);
        let heard = ends.map(|end| end.join().expect("nothing panics"));
        let first = shared.lost().expect("it is over");
        assert!(heard.iter().all(|heard| *heard == first));
        assert!(!shared.is_open());
    });
}
