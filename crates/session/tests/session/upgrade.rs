//! The upgrade end to end: which muxer, how many round trips, and what happens when somebody fails.

use std::time::Duration;

use carrick_session::{Config, Event, NegotiateError, Read, Role, SecureError, UpgradeError};
use carrick_wire::ProtocolId;

use crate::{
    pair::{DIALER, LISTENER, MPLEX, YAMUX},
    sessions::{SECURES, Secure, Sessions, Setup, Side},
};

const NOBODYS: ProtocolId = ProtocolId::from_static("/nobody/1.0.0");

fn setups(early: [&[ProtocolId]; 2], muxers: [&[ProtocolId]; 2]) -> [Setup; 2] {
    [
        Setup::new(1, early[0], muxers[0]),
        Setup::new(2, early[1], muxers[1]),
    ]
}

fn both_yamux() -> [Setup; 2] {
    setups([&[YAMUX]; 2], [&[YAMUX]; 2])
}

/// One stream echoes through both sessions.
fn echo(sessions: &mut Sessions) {
    let now = sessions.now;
    let ours = sessions.sides[DIALER].mux().open().unwrap();
    sessions.sides[DIALER]
        .mux()
        .write(ours, b"head ", b"hello")
        .unwrap();
    sessions.sides[DIALER].mux().finish(ours).unwrap();
    sessions.pump();
    let Some(Event::Incoming(theirs)) = sessions.sides[LISTENER].mux().poll_event() else {
        panic!("no stream came in")
    };
    let listener = sessions.sides[LISTENER].mux();
    let Ok(Read::Data(heard)) = listener.read(now, theirs) else {
        panic!("no data")
    };
    assert_eq!(heard, "head hello");
    assert_eq!(listener.read(now, theirs), Ok(Read::End));
    listener.write(theirs, b"", &heard).unwrap();
    listener.finish(theirs).unwrap();
    sessions.pump();
    let dialer = sessions.sides[DIALER].mux();
    assert_eq!(dialer.read(now, ours), Ok(Read::Data(heard)));
    assert_eq!(dialer.read(now, ours), Ok(Read::End));
}

/// Upgrades over each security.
fn check(setups: &[Setup; 2], muxer: &ProtocolId, early: bool, round_trips: [u32; 2]) {
    for secure in SECURES {
        let setups = setups.clone().map(|setup| setup.secured_by(&[secure]));
        check_one(secure, &setups, muxer, early, round_trips);
    }
}

/// Upgrades in chunks of several sizes; checks the muxer, how it was agreed on and the dialer's and listener's waits.
fn check_one(
    secure: Secure,
    setups: &[Setup; 2],
    muxer: &ProtocolId,
    early: bool,
    round_trips: [u32; 2],
) {
    for chunk in [usize::MAX, 1, 7, 100] {
        let [dialer, listener] = setups;
        let mut sessions = Sessions::new(dialer, listener);
        sessions.chunk = chunk;
        sessions.pump();
        for side in [DIALER, LISTENER] {
            let upgraded = sessions.sides[side].up();
            assert_eq!(upgraded.peer, setups[1 - side].peer());
            assert_eq!(upgraded.key, setups[1 - side].keypair.public());
            let summary = &upgraded.summary;
            assert_eq!((&summary.muxer, summary.early_muxer), (muxer, early));
            assert_eq!(summary.security.as_str(), secure.protocol());
            if chunk == usize::MAX {
                assert_eq!(summary.round_trips, round_trips[side], "side {side}");
            }
        }
        echo(&mut sessions);
    }
}

#[test]
fn a_muxer_agreed_on_within_the_handshake_costs_the_dialer_one_round_trip() {
    check(&both_yamux(), &YAMUX, true, [1, 1]);
}

#[test]
fn of_several_muxers_the_dialers_first_choice_wins() {
    let choice = |ours: &[ProtocolId], theirs: &[ProtocolId], muxer: &ProtocolId| {
        check(&setups([ours, theirs], [ours, theirs]), muxer, true, [1, 1]);
        check(
            &setups([&[], &[]], [ours, theirs]),
            muxer,
            false,
            if ours[0] == *muxer { [2, 1] } else { [3, 2] },
        );
    };
    choice(&[YAMUX, MPLEX], &[MPLEX, YAMUX], &YAMUX);
    choice(&[MPLEX, YAMUX], &[YAMUX, MPLEX], &MPLEX);
    choice(&[NOBODYS, MPLEX], &[YAMUX, MPLEX], &MPLEX);
}

#[test]
fn without_muxers_in_the_handshake_of_both_multistream_select_decides() {
    let offered = [YAMUX, MPLEX];
    let lists: [&[ProtocolId]; 2] = [&offered; 2];
    for early in [[&[][..], &[YAMUX]], [&[YAMUX], &[]], [&[], &[]]] {
        check(&setups(early, lists), &YAMUX, false, [2, 1]);
    }
}

#[test]
fn a_single_muxer_is_proposed_with_its_first_frames_behind_it() {
    for muxer in [YAMUX, MPLEX] {
        let only = [muxer.clone()];
        check(
            &setups([&[], &[]], [&only, &[YAMUX, MPLEX]]),
            &muxer,
            false,
            [1, 1],
        );
        // Streams opened before the answer came are there once it has.
        let [dialer, listener] = setups([&[], &[]], [&only, &[YAMUX, MPLEX]]);
        let mut sessions = Sessions::new(&dialer, &listener);
        sessions.send(DIALER);
        while sessions.deliver(LISTENER) {}
        while sessions.deliver(DIALER) {}
        let key = sessions.sides[DIALER].mux().open().unwrap();
        sessions.sides[DIALER]
            .mux()
            .write(key, b"", b"early bird")
            .unwrap();
        sessions.send(DIALER);
        sessions.pump();
        assert!(matches!(
            sessions.sides[LISTENER].mux().poll_event(),
            Some(Event::Incoming(_))
        ));
        echo(&mut sessions);
    }
}

#[test]
fn a_refused_optimistic_muxer_fails_the_connection_and_its_data_reach_nobody() {
    let [dialer, listener] = setups([&[], &[]], [&[MPLEX], &[YAMUX]]);
    let mut sessions = Sessions::new(&dialer, &listener);
    sessions.send(DIALER);
    while sessions.deliver(LISTENER) {}
    while sessions.deliver(DIALER) {}
    let key = sessions.sides[DIALER].mux().open().unwrap();
    sessions.sides[DIALER]
        .mux()
        .write(key, b"", b"early bird")
        .unwrap();
    sessions.pump();
    assert!(
        sessions.sides[DIALER]
            .error()
            .to_string()
            .contains("refused the muxer")
    );
    assert!(!matches!(sessions.sides[LISTENER], Side::Up(_)));
}

#[test]
fn without_a_muxer_in_common_the_upgrade_fails() {
    let [dialer, listener] = setups([&[YAMUX], &[MPLEX]], [&[YAMUX], &[MPLEX]]);
    let mut sessions = Sessions::new(&dialer, &listener);
    sessions.pump();
    assert_eq!(sessions.secure_error(DIALER), &SecureError::NoCommonMuxer);
    assert_eq!(sessions.secure_error(LISTENER), &SecureError::NoCommonMuxer);

    // TLS has a word for "decide later", so there the refusal comes from multistream-select.
    let lists: [&[ProtocolId]; 2] = [&[YAMUX, NOBODYS], &[MPLEX]];
    let [dialer, listener] = setups(lists, lists).map(|setup| setup.secured_by(&[Secure::Tls]));
    let mut sessions = Sessions::new(&dialer, &listener);
    sessions.pump();
    let refused = NegotiateError::Unsupported(vec![YAMUX, NOBODYS]);
    assert_eq!(
        sessions.sides[DIALER].error(),
        &UpgradeError::Muxer(refused)
    );

    let [dialer, listener] = setups([&[], &[]], [&[YAMUX, NOBODYS], &[MPLEX]]);
    let mut sessions = Sessions::new(&dialer, &listener);
    sessions.pump();
    let refused = NegotiateError::Unsupported(vec![YAMUX, NOBODYS]);
    assert_eq!(
        sessions.sides[DIALER].error(),
        &UpgradeError::Muxer(refused)
    );
}

#[test]
fn an_end_without_any_muxer_fails_and_does_not_panic() {
    for muxers in [[&[][..], &[YAMUX]], [&[YAMUX], &[]], [&[], &[]]] {
        let [dialer, listener] = setups([&[], &[]], muxers);
        let mut sessions = Sessions::new(&dialer, &listener);
        sessions.pump();
        assert!(
            sessions
                .sides
                .iter()
                .all(|side| !matches!(side, Side::Up(up) if up.summary.round_trips > 1))
        );
    }
}

#[test]
fn the_wrong_peer_is_found_out_before_it_learns_who_we_are() {
    let [mut dialer, listener] = both_yamux();
    let expected = Setup::new(3, &[], &[]).peer();
    dialer.expected = Some(expected);
    let mut sessions = Sessions::new(&dialer, &listener);
    sessions.pump();
    let found = listener.peer();
    assert_eq!(
        sessions.secure_error(DIALER),
        &SecureError::WrongPeer { expected, found }
    );
    // The listener waits for a third message that never comes, and then sees the pipe close.
    let Side::Upgrading(upgrade) = &sessions.sides[LISTENER] else {
        panic!()
    };
    assert_eq!(
        upgrade.closed(),
        UpgradeError::Closed("the Noise handshake")
    );
    assert_eq!(
        sessions.wire[DIALER].len(),
        20 + 8 + 2 + 32,
        "header, proposal, ephemeral key"
    );

    dialer.expected = Some(listener.peer());
    check(&[dialer, listener], &YAMUX, true, [1, 1]);
}

#[test]
fn with_tls_the_dialer_tells_the_wrong_peer_that_it_is_not_wanted_and_shows_no_certificate() {
    let [mut dialer, listener] = both_yamux().map(|setup| setup.secured_by(&[Secure::Tls]));
    let expected = Setup::new(3, &[], &[]).peer();
    dialer.expected = Some(expected);
    let mut sessions = Sessions::new(&dialer, &listener);
    sessions.pump();
    let found = listener.peer();
    assert_eq!(
        sessions.secure_error(DIALER),
        &SecureError::WrongPeer { expected, found }
    );
    assert!(matches!(
        sessions.secure_error(LISTENER),
        SecureError::Alert(_)
    ));
    let mut dialer = Sessions::new(&dialer, &listener);
    dialer.send(DIALER);
    let more = sessions.wire[DIALER].len() - dialer.wire[DIALER].len();
    assert!(more < 40, "{more} bytes after the hello: an alert");
}

#[test]
fn a_listener_takes_any_security_it_has_and_a_dialer_proposes_its_first() {
    let (noise, tls) = (Secure::Noise, Secure::Tls);
    for [ours, theirs] in [[[noise, tls], [tls, noise]], [[tls, noise], [noise, tls]]] {
        let [dialer, listener] = both_yamux();
        let setups = [dialer.secured_by(&ours), listener.secured_by(&theirs)];
        check_one(ours[0], &setups, &YAMUX, true, [1, 1]);
    }
    for [ours, theirs] in [[noise, tls], [tls, noise]] {
        let [dialer, listener] = both_yamux();
        let dialer = dialer.secured_by(&[ours, theirs]);
        let mut sessions = Sessions::new(&dialer, &listener.secured_by(&[theirs]));
        sessions.pump();
        let refused = ProtocolId::new(ours.protocol()).unwrap();
        assert_eq!(
            sessions.sides[DIALER].error(),
            &UpgradeError::Security(NegotiateError::Unsupported(vec![refused]))
        );
    }
}

/// What each side sends in a whole upgrade over `secure`, or a little less: TLS signatures differ in length.
fn whole(secure: Secure, setups: &[Setup; 2]) -> [usize; 2] {
    let mut sessions = Sessions::new(&setups[0], &setups[1]);
    sessions.pump();
    let slack = if secure == Secure::Tls { 16 } else { 0 };
    sessions.wire.map(|wire| wire.len() - slack)
}

#[test]
fn a_silent_peer_times_out_and_the_error_names_the_stage() {
    for (secure, step, handshake) in [
        (Secure::Noise, 1, "the Noise handshake"),
        (Secure::Tls, 31, "the TLS handshake"),
    ] {
        let setups =
            setups([&[], &[]], [&[YAMUX, MPLEX]; 2]).map(|setup| setup.secured_by(&[secure]));
        let mut stages = [vec![], vec![]];
        let whole = whole(secure, &setups);
        for side in [DIALER, LISTENER] {
            let all = whole[1 - side];
            for heard in (0..all).step_by(step).chain([all - 1]) {
                stages[side].push(silent_after(&setups, side, heard));
            }
            stages[side].dedup();
            assert_eq!(
                stages[side],
                ["security negotiation", handshake, "muxer negotiation"]
            );
        }
    }
}

/// The stage in which `side` times out when the other falls silent after so many bytes.
fn silent_after(setups: &[Setup; 2], side: usize, heard: usize) -> &'static str {
    let mut sessions = Sessions::new(&setups[0], &setups[1]);
    sessions.chunk = 1;
    let mut left = heard;
    loop {
        sessions.send(DIALER);
        sessions.send(LISTENER);
        let moved = left > 0 && sessions.deliver(side);
        left -= usize::from(moved);
        if !sessions.deliver(1 - side) && !moved {
            break;
        }
    }
    let Side::Upgrading(upgrade) = &sessions.sides[side] else {
        panic!("up after {heard} bytes")
    };
    let deadline = upgrade.poll_timeout();
    assert_eq!(deadline, sessions.now + Config::default().upgrade_timeout);
    assert_eq!(
        upgrade.handle_timeout(deadline - Duration::from_nanos(1)),
        Ok(())
    );
    let Err(UpgradeError::TimedOut(stage)) = upgrade.handle_timeout(deadline) else {
        panic!("not timed out")
    };
    assert_eq!(upgrade.closed(), UpgradeError::Closed(stage));
    stage
}

#[test]
fn a_changed_byte_is_never_accepted() {
    for (secure, step) in [(Secure::Noise, 1), (Secure::Tls, 17)] {
        let mut setups =
            setups([&[], &[]], [&[YAMUX, MPLEX]; 2]).map(|setup| setup.secured_by(&[secure]));
        setups[DIALER].expected = Some(setups[LISTENER].peer());
        let whole = whole(secure, &setups);
        for side in [DIALER, LISTENER] {
            for changed in (0..whole[1 - side]).step_by(step) {
                check_changed(secure, &setups, side, changed);
            }
        }
    }
}

/// One byte on its way to `side` is changed.
fn check_changed(secure: Secure, setups: &[Setup; 2], side: usize, changed: usize) {
    let mut sessions = Sessions::new(&setups[0], &setups[1]);
    sessions.chunk = 1;
    let mut heard = 0;
    loop {
        sessions.send(DIALER);
        sessions.send(LISTENER);
        let moved = !sessions.inbox[side].is_empty();
        if moved {
            sessions.inbox[side][0] ^= u8::from(heard == changed);
            heard += 1;
            sessions.deliver(side);
        }
        if !sessions.deliver(1 - side) && !moved {
            break;
        }
    }
    let up = matches!(sessions.sides[side], Side::Up(_));
    let sent = &sessions.wire[1 - side];
    assert!(
        !up || secure == Secure::Tls && is_in_a_head(sent, changed),
        "byte {changed} to {side}"
    );
}

/// Whether this is the type or the version of a TLS record, which the handshake does not authenticate.
fn is_in_a_head(sent: &[u8], at: usize) -> bool {
    let mut head = b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n".len();
    while head + 5 <= at {
        head += 5 + usize::from(u16::from_be_bytes([sent[head + 3], sent[head + 4]]));
    }
    (head..head + 3).contains(&at)
}

#[test]
fn data_behind_the_last_handshake_message_reach_the_muxer() {
    let [dialer, listener] = both_yamux();
    let mut sessions = Sessions::new(&dialer, &listener);
    sessions.send(DIALER);
    while sessions.deliver(LISTENER) {}
    while sessions.deliver(DIALER) {}
    // The third message and the first frames arrive in one piece.
    let key = sessions.sides[DIALER].mux().open().unwrap();
    sessions.sides[DIALER]
        .mux()
        .write(key, b"", b"at once")
        .unwrap();
    sessions.send(DIALER);
    sessions.deliver(LISTENER);
    let now = sessions.now;
    let listener = sessions.sides[LISTENER].mux();
    let Some(Event::Incoming(key)) = listener.poll_event() else {
        panic!("no stream")
    };
    assert_eq!(listener.read(now, key), Ok(Read::Data("at once".into())));
}

#[test]
fn a_listener_that_speaks_something_else_fails_the_upgrade_at_once() {
    let [dialer, _] = both_yamux();
    let now = crate::pair::epoch();
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nwhat?"
            [..],
        b"\x13/multistream/9.9.9\n",
        b"\x00",
        b"\xff\xff\x7f",
    ] {
        let mut upgrade = dialer.upgrade(Role::Dialer, now);
        let result = upgrade.recv(now, answer);
        assert!(
            matches!(result, Err(UpgradeError::Security(_))),
            "{answer:?}: {result:?}"
        );
    }
    let mut upgrade = dialer.upgrade(Role::Dialer, now);
    let refused = upgrade.recv(now, b"\x13/multistream/1.0.0\n\x03na\n");
    let noise = ProtocolId::from_static("/noise");
    assert_eq!(
        refused,
        Err(UpgradeError::Security(NegotiateError::Unsupported(vec![
            noise
        ])))
    );
}
