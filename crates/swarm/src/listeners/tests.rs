//! Observed addresses: one voice per connection, one per network.

use super::*;

fn parse(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn observe(listeners: &mut Listeners, id: u64, remote: &str, at: &str) -> Option<Multiaddr> {
    let belief = listeners.observe(ConnectionId(id), &parse(remote), &parse(at), 2);
    belief.gained
}

const OURS: &str = "/ip4/9.9.9.9/tcp/1";

#[test]
fn a_connection_that_changes_its_mind_counts_once() {
    let mut listeners = Listeners::default();
    for n in 0..100 {
        let at = format!("/ip4/9.9.9.{n}/tcp/1");
        assert_eq!(observe(&mut listeners, 1, "/ip4/1.1.1.1/tcp/1", &at), None);
    }
    assert_eq!(
        (listeners.observers.len(), listeners.observed.len()),
        (1, 1)
    );
    assert_eq!(
        observe(
            &mut listeners,
            2,
            "/ip4/1.1.2.1/tcp/1",
            "/ip4/9.9.9.0/tcp/1"
        ),
        None
    );
    assert!(
        observe(
            &mut listeners,
            1,
            "/ip4/1.1.1.1/tcp/1",
            "/ip4/9.9.9.0/tcp/1"
        )
        .is_some()
    );
}

#[test]
fn what_this_machine_says_of_itself_or_what_a_relay_shows_is_not_counted() {
    let mut listeners = Listeners::default();
    let relayed = format!(
        "{OURS}/p2p/{}/p2p-circuit",
        libp2p_identity::PeerId::random()
    );
    let cases = [
        ("/ip4/127.0.0.1/tcp/1", OURS),
        ("/memory/1", OURS),
        ("/ip4/1.1.1.1/tcp/1", "/ip4/127.0.0.1/tcp/1"),
        ("/ip4/1.1.1.1/tcp/1", &relayed),
        // Who has come over TCP has not dialed UDP.
        ("/ip4/1.1.1.1/tcp/1", "/ip4/9.9.9.9/udp/1/quic-v1"),
        ("/ip4/1.1.1.1/udp/1/quic-v1", OURS),
    ];
    for (id, (remote, at)) in cases.into_iter().enumerate() {
        assert_eq!(observe(&mut listeners, id as u64, remote, at), None);
    }
    assert!(listeners.observers.is_empty() && listeners.observed.is_empty());
}

#[test]
fn where_we_listen_anyway_is_not_news() {
    let mut listeners = Listeners::default();
    assert!(listeners.open(parse(OURS)));
    assert!(!listeners.open(parse(OURS)));
    for id in 1..4 {
        let remote = format!("/ip4/1.1.{id}.1/tcp/1");
        assert_eq!(observe(&mut listeners, id, &remote, OURS), None);
    }
    assert_eq!(listeners.external().count(), 0);
}

#[test]
fn a_witness_that_changes_its_mind_takes_its_voice_along() {
    let mut listeners = Listeners::default();
    observe(&mut listeners, 1, "/ip4/1.1.1.1/tcp/1", OURS);
    observe(&mut listeners, 2, "/ip4/1.1.1.2/tcp/1", OURS);
    assert!(observe(&mut listeners, 3, "/ip4/1.1.2.1/tcp/1", OURS).is_some());
    let again = |listeners: &mut Listeners, id, remote: &str, at: &str| {
        listeners.observe(ConnectionId(id), &parse(remote), &parse(at), 2)
    };
    let same = again(&mut listeners, 3, "/ip4/1.1.2.1/tcp/1", OURS);
    assert_eq!(same, Belief::default());
    // Another of its network still says so.
    assert_eq!(listeners.forget(ConnectionId(1), 2), Belief::default());
    let other = again(
        &mut listeners,
        3,
        "/ip4/1.1.2.1/tcp/1",
        "/ip4/9.9.9.8/tcp/1",
    );
    assert_eq!(other.lost, Some(parse(OURS)));
    listeners.forget(ConnectionId(2), 2);
    listeners.forget(ConnectionId(3), 2);
    assert!(listeners.observers.is_empty() && listeners.observed.is_empty());
    assert!(listeners.external.is_empty());
}

#[test]
fn many_lies_do_not_drown_what_more_networks_vouch_for() {
    let mut listeners = Listeners::default();
    let mut id = 0;
    let mut voices = |at: &str, networks: u64| {
        for _ in 0..networks {
            id += 1;
            let remote = format!("/ip4/1.{}.{}.1/tcp/1", id / 256, id % 256);
            observe(&mut listeners, id, &remote, at);
        }
    };
    for lie in 0..20 {
        voices(&format!("/ip4/6.6.6.{lie}/tcp/1"), 2);
    }
    voices(OURS, 3);
    let told = listeners.told();
    assert_eq!((told.len(), &told[0]), (8, &parse(OURS)));
}
