//! Chunking changes nothing, and random use of two muxers behaves like two byte queues per stream.

use bytes::Bytes;
use carrick_session::{
    Code, Config,
    negotiate::{Dialer, Listener, Request},
};
use carrick_wire::ProtocolId;
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    model::Model,
    pair::{DIALER, LISTENER, MPLEX, Pair, YAMUX},
    sessions::{SECURES, Sessions, Setup},
};

/// Cuts `bytes` at the given places.
fn pieces(bytes: &[u8], cuts: &[Index]) -> Vec<Bytes> {
    let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|ends| Bytes::copy_from_slice(&bytes[ends[0]..ends[1]]))
        .collect()
}

/// What a listening muxer makes of `input` in these pieces: events, what each stream reads, answers, verdict.
fn observe(muxer: &ProtocolId, input: Vec<Bytes>) -> impl PartialEq + std::fmt::Debug {
    let mut pair = Pair::new(muxer, &Config::default());
    let now = pair.now;
    let end = pair.listener();
    let verdict = input
        .into_iter()
        .try_for_each(|piece| end.mux.recv(now, piece));
    end.drain_events();
    let events = end.events.clone();
    let keys = std::mem::take(&mut end.incoming);
    let read = keys.into_iter().map(|key| {
        let (bytes, end) = end.read_all(now, key);
        (bytes, format!("{end:?}"))
    });
    let read: Vec<_> = read.collect();
    pair.listener().keeps_wire = true;
    pair.turn();
    let wire = std::mem::take(&mut pair.listener().wire);
    (events, read, wire, format!("{verdict:?}"))
}

/// Frames of a dialer that uses its muxer at random.
fn frames(muxer: &ProtocolId, ops: &[(u8, u8, u16)]) -> Vec<u8> {
    let mut pair = Pair::new(muxer, &Config::default());
    pair.dialer().keeps_wire = true;
    let now = pair.now;
    let mut keys = Vec::new();
    for &(op, which, len) in ops {
        let end = pair.dialer();
        let key = keys.get(usize::from(which) % keys.len().max(1)).copied();
        match (op % 8, key) {
            (0 | 1, _) | (_, None) => keys.extend(end.mux.open()),
            (2..=4, Some(key)) => {
                let _ = end.mux.write(key, b"", &vec![op; usize::from(len)]);
            }
            (5, Some(key)) => drop(end.mux.finish(key)),
            (6, Some(key)) => end.mux.reset(key, Code(len.into())),
            (_, Some(key)) => {
                end.mux.release(now, key);
                keys.retain(|other| *other != key);
            }
        }
    }
    pair.turn();
    std::mem::take(&mut pair.dialer().wire)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_chunking_of_a_muxers_input_gives_the_same(
        ops in vec((0..8_u8, any::<u8>(), 0..5000_u16), 1..60),
        garbage in vec(any::<u8>(), 0..40),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        for muxer in [YAMUX, MPLEX] {
            let mut input = frames(&muxer, &ops);
            input.extend_from_slice(&garbage);
            let whole = observe(&muxer, vec![Bytes::copy_from_slice(&input)]);
            prop_assert_eq!(&whole, &observe(&muxer, pieces(&input, &cuts)));
            let bytes = input.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
            prop_assert_eq!(&whole, &observe(&muxer, bytes));
        }
    }

    #[test]
    fn any_chunking_of_a_negotiation_gives_the_same(
        proposals in vec(0..4_usize, 1..6),
        rest in vec(any::<u8>(), 0..20),
        cuts in vec(any::<Index>(), 0..10),
    ) {
        let ids = ["/a", "/b/1.0.0", "/c", "/supported"].map(ProtocolId::from_static);
        let proposed: Vec<_> = proposals.iter().map(|i| ids[*i].clone()).collect();
        // Each dialer proposes one, so that the next bytes do not depend on an answer.
        let mut input = Vec::new();
        for (i, id) in proposed.iter().enumerate() {
            let mut bytes = Vec::new();
            Dialer::new(vec![id.clone()]).poll_transmit(&mut bytes);
            input.extend_from_slice(if i == 0 { &bytes } else { &bytes[20..] });
        }
        input.extend_from_slice(&rest);
        let run = |pieces: Vec<Bytes>| {
            let mut listener = Listener::new();
            let (mut asked, mut used, mut out) = (vec![], 0, vec![]);
            let mut verdict = Ok(());
            'pieces: for piece in pieces {
                let mut at = 0;
                while at < piece.len() && listener.outcome().is_none() {
                    match listener.recv(&piece[at..]) {
                        Ok((n, request)) => {
                            at += n;
                            used += n;
                            match &request {
                                Some(Request::Protocol(id)) if *id == ids[3] => listener.accept(),
                                Some(Request::Protocol(_)) => listener.refuse(),
                                Some(Request::List) => listener.list(ids.to_vec()),
                                None => {}
                            }
                            asked.extend(request);
                        }
                        Err(error) => {
                            verdict = Err(error);
                            break 'pieces;
                        }
                    }
                }
            }
            listener.poll_transmit(&mut out);
            (asked, listener.outcome().cloned(), out, verdict.is_ok().then_some(used), verdict)
        };
        let whole = run(vec![Bytes::copy_from_slice(&input)]);
        prop_assert_eq!(&whole, &run(pieces(&input, &cuts)));

        // The listener's answers, read back by a dialer of all proposals.
        let dial = |pieces: Vec<Bytes>| {
            let mut dialer = Dialer::new(proposed.clone());
            let mut used = 0;
            for piece in pieces {
                match dialer.recv(&piece) {
                    Ok(n) => used += n,
                    Err(error) => return (None, Some(error), None),
                }
            }
            (dialer.outcome().cloned(), None, Some(used))
        };
        let mut answers = whole.2;
        answers.extend_from_slice(&rest);
        prop_assert_eq!(dial(vec![Bytes::copy_from_slice(&answers)]), dial(pieces(&answers, &cuts)));
    }

    #[test]
    fn random_use_of_two_muxers_keeps_every_promise(
        ops in vec((0..2_usize, 0..16_u8, any::<usize>(), 0..5000_usize), 1..150),
        chunk in prop_oneof![1..20_usize, Just(65519)],
        buffer in prop_oneof![Just(500_usize), Just(256 << 10)],
    ) {
        let config = Config { send_buffer_max: buffer, outbound_streams_max: 8, ..Config::default() };
        for muxer in [YAMUX, MPLEX] {
            let mut model = Model::new(Pair::new(&muxer, &config), chunk);
            ops.iter().for_each(|(end, op, which, len)| model.apply(*end, *op, *which, *len));
            model.close();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn any_chunking_of_an_upgrade_gives_the_same(
        early in any::<[bool; 2]>(),
        both in any::<[bool; 2]>(),
        tls in any::<bool>(),
        chunks in vec(1..200_usize, 1..50),
    ) {
        let muxers = |both| if both { vec![YAMUX, MPLEX] } else { vec![YAMUX] };
        let setup = |i: usize| {
            let offered = muxers(both[i]);
            let inlined = if early[i] { &offered[..1] } else { &[] };
            Setup::new([1, 2][i], inlined, &offered).secured_by(&SECURES[usize::from(tls)..])
        };
        let run = |chunks: &[usize]| {
            let mut sessions = Sessions::new(&setup(0), &setup(1));
            let mut next = chunks.iter().cycle();
            loop {
                sessions.send(DIALER);
                sessions.send(LISTENER);
                sessions.chunk = *next.next().unwrap();
                if !sessions.deliver(LISTENER) && !sessions.deliver(DIALER) {
                    break;
                }
            }
            let muxers = [DIALER, LISTENER].map(|side| sessions.sides[side].up().summary.muxer.clone());
            // TLS uses chance of its own.
            (muxers, (!tls).then_some(sessions.wire))
        };
        prop_assert_eq!(run(&chunks), run(&[usize::MAX]));
    }
}
