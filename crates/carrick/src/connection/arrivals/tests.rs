//! Who begins, who waits and who is refused, one after the other.

use std::{sync::Arc, time::Instant};

use carrick_session::{Config, Layout, Mux, Role};
use carrick_swarm::{Limit, LimitReached};
use carrick_wire::ProtocolId;
use futures::FutureExt;

use super::{Arrival, Arrivals, Newcomer};
use crate::{
    connection::Channel,
    quotas::{Permit, Quotas},
};

/// So many streams.
fn newcomers(count: usize) -> Vec<Newcomer> {
    let (yamux, now) = (ProtocolId::from_static("/yamux/1.0.0"), Instant::now());
    let config = Config::default();
    let layout = Layout {
        head: 0,
        body_max: 65_536,
        tail: 0,
    };
    let mux = Mux::new(&yamux, Role::Dialer, &config, layout, now, None);
    let mut mux = mux.expect("it is known");
    let mut open = || Newcomer {
        channel: Channel::Muxed(mux.open().expect("there are few")),
        since: Instant::now(),
    };
    (0..count).map(|_| open()).collect()
}

fn index(newcomer: &Newcomer) -> usize {
    match &newcomer.channel {
        Channel::Muxed(key) => key.index(),
        Channel::Quic(_) => unreachable!("there is none"),
    }
}

fn quotas(negotiations_max: usize) -> Arc<Quotas> {
    let config = crate::Config {
        negotiations_max,
        ..crate::Config::default()
    };
    Quotas::new(&config, Box::new(|_| {}))
}

/// Who is called now, and with what; it does not begin.
fn called(arrivals: &Arrivals, quotas: &Arc<Quotas>) -> Option<(usize, Result<Permit, Limit>)> {
    let called = arrivals.call(quotas).now_or_never().flatten()?;
    Some((index(&called.0), called.1.map_err(|reached| reached.limit)))
}

#[test]
fn nobody_overtakes_those_in_line_and_an_empty_line_is_forgotten() {
    let (arrivals, quotas) = (Arrivals::new(2), quotas(100));
    let mut newcomers = newcomers(6).into_iter();
    let mut arrive = || arrivals.arrive(newcomers.next().expect("there are enough"), &quotas);
    let (Arrival::Begins(first, place), Arrival::Begins(_, other)) = (arrive(), arrive()) else {
        panic!("there is room for two");
    };
    assert_eq!((index(&first), arrivals.negotiating()), (0, 2));
    assert!(matches!(arrive(), Arrival::Waits { is_first: true }));
    assert!(matches!(arrive(), Arrival::Waits { is_first: false }));
    assert!(called(&arrivals, &quotas).is_none());
    drop((place, other));
    arrivals.leave();
    arrivals.leave();
    // Though there is a place.
    assert!(matches!(arrive(), Arrival::Waits { is_first: false }));
    let both = [called(&arrivals, &quotas), called(&arrivals, &quotas)];
    assert!(matches!(both, [Some((2, Ok(_))), Some((3, Ok(_)))]));
    assert!(called(&arrivals, &quotas).is_none());
    drop(both);
    arrivals.leave();
    arrivals.leave();
    assert!(matches!(called(&arrivals, &quotas), Some((4, Ok(_)))));
    let end = arrivals.call(&quotas).now_or_never();
    assert!(end.expect("ready").is_none());
    assert!(matches!(arrive(), Arrival::Begins(..)));
    assert_eq!(
        quotas
            .usage(Limit::NegotiationsPerConnection, None)
            .expect("ours")
            .peak,
        2
    );
}

#[test]
fn the_last_quarter_is_for_connections_that_have_none() {
    let quotas = quotas(8);
    let connections = [(); 4].map(|()| Arrivals::new(6));
    let mut newcomers = newcomers(12).into_iter();
    let mut arrive = |at: usize| {
        let newcomer = newcomers.next().expect("there are enough");
        connections[at].arrive(newcomer, &quotas)
    };
    let begun = [(); 6].map(|()| arrive(0));
    assert!(begun.iter().all(|one| matches!(one, Arrival::Begins(..))));
    let second = arrive(1);
    assert!(matches!(second, Arrival::Begins(..)));
    // It has one.
    assert!(matches!(arrive(1), Arrival::Waits { is_first: true }));
    let third = arrive(2);
    assert!(matches!(third, Arrival::Begins(..)));
    assert!(matches!(
        arrive(3),
        Arrival::Refused(
            _,
            LimitReached {
                limit: Limit::Negotiations,
                max: 8
            }
        )
    ));
    // Whoever waits is called when one of its own has ended, whatever the others do.
    drop(third);
    connections[2].leave();
    assert!(called(&connections[1], &quotas).is_none());
    drop(second);
    connections[1].leave();
    let called = called(&connections[1], &quotas);
    assert!(matches!(called, Some((_, Ok(_)))));
    drop((begun, called));
    assert_eq!(quotas.used(Limit::Negotiations), 0);
}
