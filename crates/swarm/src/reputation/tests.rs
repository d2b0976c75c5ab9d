//! Scores and bans on a clock of their own.

use super::*;

#[expect(
    clippy::disallowed_methods,
    reason = "a clock of a test needs some first instant"
)]
fn start() -> Instant {
    Instant::now()
}

fn peer(n: u64) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    let hash = libp2p_identity::Keypair::ed25519_from_bytes(bytes);
    hash.unwrap().public().to_peer_id()
}

const MINUTE: Duration = Duration::from_secs(60);

fn reputation() -> Reputation {
    Reputation::new(Config::default())
}

fn ban(subject: impl Into<Subject>, until: Option<SystemTime>) -> Ban {
    Ban {
        subject: subject.into(),
        until,
        reason: "a test".into(),
        repeats: 0,
        networks: Vec::new(),
    }
}

fn record(reputation: &mut Reputation, now: Instant, peer: PeerId, behaviour: Behaviour) -> Step {
    reputation.record(now, peer, behaviour, "test", true)
}

#[test]
fn a_score_halves_in_ten_minutes() {
    let (mut reputation, now, peer) = (reputation(), start(), peer(1));
    for behaviour in [Behaviour::Spam, Behaviour::Invalid, Behaviour::Slow] {
        record(&mut reputation, now, peer, behaviour);
    }
    for (minutes, expected) in [(0, -16.0), (10, -8.0), (20, -4.0), (60, -0.25)] {
        let score = reputation.score(now + minutes * MINUTE, &peer);
        assert!((score - expected).abs() < 0.001, "{minutes}: {score}");
    }
    // In steps it comes to the same.
    for minute in 1..=20 {
        reputation.record(now + minute * MINUTE, peer, Behaviour::Useful, "test", true);
        reputation.record(now + minute * MINUTE, peer, Behaviour::Slow, "test", true);
    }
    let score = reputation.score(now + 20 * MINUTE, &peer);
    assert!((score + 4.0).abs() < 0.001, "{score}");
}

#[test]
fn a_score_stays_within_100() {
    let (mut reputation, now, peer) = (reputation(), start(), peer(1));
    for _ in 0..200 {
        record(&mut reputation, now, peer, Behaviour::Useful);
    }
    assert_eq!(reputation.score(now, &peer), 100.0);
    for _ in 0..3 {
        record(&mut reputation, now, peer, Behaviour::Malicious);
    }
    assert_eq!(reputation.score(now, &peer), -100.0);
}

#[test]
fn the_points_are_those_that_are_promised() {
    let points = Behaviour::ALL.map(Behaviour::points);
    assert_eq!(points, [1, -1, -2, -5, -10, -20, -100]);
}

#[test]
fn nothing_moves_a_trusted_peer_by_more_than_2() {
    for behaviour in Behaviour::ALL {
        let (mut reputation, now, peer) = (reputation(), start(), peer(1));
        reputation.add_peer(peer, PeerClass::Trusted);
        assert_eq!(record(&mut reputation, now, peer, behaviour), Step::Nothing);
        assert!(reputation.score(now, &peer).abs() <= 2.0);
        reputation.ban(now, ban(peer, None));
        assert!(reputation.is_banned(&peer.into()), "it is not immune");
    }
}

#[test]
fn a_banned_peers_score_does_not_decay() {
    let (mut reputation, now, peer) = (reputation(), start(), peer(1));
    record(&mut reputation, now, peer, Behaviour::Spam);
    let until = reputation.wall(now) + 30 * MINUTE;
    reputation.ban(now, ban(peer, Some(until)));
    let end = now + 30 * MINUTE;
    assert_eq!(reputation.score(end, &peer), -10.0);
    assert_eq!(reputation.pop_ended(end), Some(peer.into()));
    assert_eq!(reputation.score(end, &peer), -10.0);
    assert_eq!(reputation.score(end + 10 * MINUTE, &peer), -5.0);
}

#[test]
fn scores_are_bounded_and_the_stalest_is_forgotten() {
    let config = Config {
        scores_max: 3,
        ..Config::default()
    };
    let (mut reputation, now) = (Reputation::new(config), start());
    for n in [1, 2, 3, 1] {
        record(&mut reputation, now, peer(n), Behaviour::Slow);
    }
    assert!((1..=3).all(|n| reputation.has_score(&peer(n))), "3 of 3");
    record(&mut reputation, now, peer(4), Behaviour::Slow);
    assert!(!reputation.has_score(&peer(2)), "4 of 3");
    assert_eq!(reputation.score(now, &peer(1)), -2.0);
    reputation.unban(&peer(1).into());
    record(&mut reputation, now, peer(5), Behaviour::Slow);
    assert!(reputation.has_score(&peer(3)), "there was room again");
}

#[test]
fn the_ranking_is_right_whenever_it_is_looked_at() {
    let (mut reputation, now) = (reputation(), start());
    // The later the event, the less has it decayed.
    let events = [
        (1, Behaviour::Spam, 0),
        (2, Behaviour::Slow, 0),
        (3, Behaviour::Useful, 0),
    ];
    let later = [
        (4, Behaviour::Spam, 5),
        (5, Behaviour::Useful, 5),
        (6, Behaviour::Slow, 30),
    ];
    for (n, behaviour, minute) in events.into_iter().chain(later) {
        record(&mut reputation, now + minute * MINUTE, peer(n), behaviour);
    }
    let at = now + 60 * MINUTE;
    let [good, bad] = reputation.ranking();
    let ranked: Vec<_> = good.chain(bad).copied().collect();
    let mut sorted = ranked.clone();
    sorted.sort_by(|a, b| reputation.score(at, b).total_cmp(&reputation.score(at, a)));
    assert_eq!(ranked, sorted);
    assert_eq!(ranked, [5, 3, 2, 6, 1, 4].map(peer));
}

#[test]
fn bans_double_to_a_bound_and_are_remembered_for_a_while() {
    let (mut reputation, mut now, peer) = (reputation(), start(), peer(1));
    let mut minutes = Vec::new();
    for _ in 0..8 {
        let (duration, repeats) = reputation.next_ban(peer);
        minutes.push(duration.as_secs() / 60);
        let until = reputation.wall(now) + duration;
        reputation.ban(
            now,
            Ban {
                repeats,
                ..ban(peer, Some(until))
            },
        );
        now += duration;
        assert_eq!(reputation.pop_ended(now), Some(peer.into()));
    }
    assert_eq!(minutes, [15, 30, 60, 120, 240, 480, 720, 720]);
    now += 12 * 60 * MINUTE;
    assert_eq!(reputation.pop_ended(now), None);
    assert_eq!(reputation.next_ban(peer).0, 15 * MINUTE, "forgotten");
    assert_eq!(reputation.export().count(), 0);
}

#[test]
fn six_banned_peers_close_an_address_or_a_64_to_all() {
    for (ip, neighbour, other) in [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
    ] {
        let [ip, neighbour, other] = [ip, neighbour, other].map(|ip| ip.parse().unwrap());
        let (mut reputation, now) = (reputation(), start());
        for n in 0..6 {
            assert!(!reputation.is_ip_banned(ip), "{n}");
            reputation.ban(now, ban(peer(n), None));
            reputation.seen(peer(n), ip);
            reputation.seen(peer(n), ip);
        }
        assert!(reputation.is_banned(&ip.into()));
        assert!(reputation.is_ip_banned(neighbour));
        assert!(!reputation.is_ip_banned(other));
        assert!(reputation.unban(&peer(3).into()));
        assert!(!reputation.is_ip_banned(ip), "one is forgiven");
    }
}

#[test]
fn a_network_is_banned_with_all_that_is_in_it() {
    let (mut reputation, now) = (reputation(), start());
    let subjects = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "10.1.0.0/16"];
    for subject in subjects {
        reputation.ban(now, ban(subject.parse::<Subject>().unwrap(), None));
    }
    let is_banned =
        |reputation: &Reputation, ip: &str| reputation.is_ip_banned(ip.parse().unwrap());
    for ip in [
        "10.255.0.1",
        "10.1.2.3",
        "192.0.2.1",
        "::ffff:10.0.0.1",
        "2001:db8:7::1",
    ] {
        assert!(is_banned(&reputation, ip), "{ip}");
    }
    for ip in ["11.0.0.1", "192.0.2.2", "2001:db9::1", "::1"] {
        assert!(!is_banned(&reputation, ip), "{ip}");
    }
    for (inner, banned) in [
        ("10.2.0.0/16", true),
        ("10.0.0.0/7", false),
        ("10.0.0.0/8", true),
    ] {
        assert_eq!(
            reputation.is_banned(&inner.parse().unwrap()),
            banned,
            "{inner}"
        );
    }
    assert!(reputation.unban(&"10.0.0.0/8".parse().unwrap()));
    assert!(!reputation.unban(&"10.0.0.0/8".parse().unwrap()));
    assert!(!is_banned(&reputation, "10.255.0.1") && is_banned(&reputation, "10.1.2.3"));
}

#[test]
fn bans_are_bounded_and_the_oldest_makes_room() {
    let config = Config {
        bans_max: 1000,
        ..Config::default()
    };
    let (mut reputation, now) = (Reputation::new(config), start());
    for n in 0..1000 {
        assert_eq!(reputation.ban(now, ban(peer(n), None)), []);
    }
    assert_eq!(reputation.bans().count(), 1000);
    assert_eq!(reputation.ban(now, ban(peer(1000), None)), [peer(0).into()]);
    assert_eq!(reputation.bans().count(), 1000);
    assert!(!reputation.is_banned(&peer(0).into()));
    reputation.unban(&peer(7).into());
    assert_eq!(
        reputation.ban(now, ban(peer(0), None)),
        [],
        "there was room again"
    );
}

#[test]
fn bans_that_peers_earn_make_room_before_those_of_the_user() {
    let config = Config {
        bans_max: 3,
        ..Config::default()
    };
    let (mut reputation, now) = (Reputation::new(config), start());
    let wall = SystemTime::UNIX_EPOCH + 1_000_000 * MINUTE;
    reputation.set_wall(now, wall);
    reputation.ban(now, ban(peer(0), None));
    reputation.ban(now, ban(peer(1), Some(wall + MINUTE)));
    for n in 2..1000 {
        let earned = Ban {
            repeats: 1,
            ..ban(peer(n), Some(wall + 15 * MINUTE))
        };
        let gone = reputation.ban(now, earned);
        let oldest = (n > 2).then(|| peer(n - 1).into());
        assert_eq!(gone, oldest.into_iter().collect::<Vec<_>>());
    }
    assert_eq!(
        reputation.ban(now, ban(peer(1000), None)),
        [peer(999).into()]
    );
    assert!(reputation.is_banned(&peer(0).into()) && reputation.is_banned(&peer(1).into()));
    assert_eq!(reputation.ban(now, ban(peer(1001), None)), [peer(0).into()]);
}

#[test]
fn bans_outlive_a_restart_and_end_by_the_wall_clock() {
    let (mut first, now) = (reputation(), start());
    let wall = SystemTime::UNIX_EPOCH + 1_000_000 * MINUTE;
    first.set_wall(now, wall);
    let kept = |n, minutes| ban(peer(n), Some(wall + minutes * MINUTE));
    first.ban(
        now,
        Ban {
            repeats: 2,
            ..kept(1, 15)
        },
    );
    first.ban(now, ban("10.0.0.0/8".parse::<Subject>().unwrap(), None));
    first.ban(now, kept(2, 60));
    for n in 3..9 {
        first.ban(now, ban(peer(n), None));
        first.seen(peer(n), "192.0.2.1".parse().unwrap());
    }
    let records: Vec<_> = first.export().cloned().collect();

    // Half an hour later, on another monotonic clock.
    let mut second = reputation();
    let now = now + 7777 * MINUTE;
    second.set_wall(now, wall + 30 * MINUTE);
    second.restore(now, records);
    assert!(!second.is_banned(&peer(1).into()), "over meanwhile");
    assert_eq!(second.next_ban(peer(1)).0, 60 * MINUTE, "but not forgotten");
    assert!(second.is_banned(&peer(2).into()));
    assert!(second.is_ip_banned("10.9.9.9".parse().unwrap()));
    assert!(second.is_ip_banned("192.0.2.1".parse().unwrap()));
    assert_eq!(second.pop_ended(now + 29 * MINUTE), None);
    // The wall clock is put forward.
    second.set_wall(now + 29 * MINUTE, wall + 61 * MINUTE);
    assert_eq!(second.pop_ended(now + 29 * MINUTE), Some(peer(2).into()));
    assert!(!second.is_banned(&peer(2).into()));
}

#[test]
fn a_ban_is_read_as_it_was_kept() {
    let until = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123);
    let networks = ["192.0.2.1/32", "2001:db8::/64"].map(|network| network.parse().unwrap());
    for until in [None, Some(until)] {
        for networks in [Vec::new(), networks.to_vec()] {
            for reason in ["", "spam (a \n b)"].map(str::to_owned) {
                let ban = Ban {
                    networks: networks.clone(),
                    repeats: 7,
                    reason,
                    ..ban(peer(1), until)
                };
                let kept = ban.encode();
                assert_eq!(Ban::decode(ban.subject, &kept), Some(ban));
            }
        }
    }
    for wrong in ["", "-", "- 1\n", "x 1 \n", "- -1 \n", "- 1 10.0.0.0/99\n"] {
        assert_eq!(
            Ban::decode(peer(1).into(), wrong.as_bytes()),
            None,
            "{wrong}"
        );
    }
    let far = format!("{} 1 \n", u64::MAX);
    assert!(Ban::decode(peer(1).into(), far.as_bytes()).is_some());
    assert_eq!(Ban::decode(peer(1).into(), b"- 1 \n\xff"), None);
}

#[test]
fn long_reasons_are_cut_at_a_character() {
    let (mut reputation, now) = (reputation(), start());
    let reason = "ä".repeat(1000);
    reputation.ban(
        now,
        Ban {
            reason,
            ..ban(peer(1), None)
        },
    );
    assert_eq!(reputation.bans().next().unwrap().reason.len(), 256);
}

#[test]
fn sources_are_bounded() {
    let (mut reputation, now) = (reputation(), start());
    let name = |n: usize| -> &'static str { Box::leak(format!("source {n}").into_boxed_str()) };
    for n in 0..100 {
        reputation.record(now, peer(1), Behaviour::Useful, name(n), false);
    }
    assert_eq!(reputation.recorded().count(), 65);
    let other = reputation
        .recorded()
        .find(|(source, ..)| *source == "other");
    assert_eq!(other, Some(("other", Behaviour::Useful, 36)));
}
