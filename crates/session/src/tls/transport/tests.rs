//! Records after the handshake: RFC 8448's, our own, and what a peer may do wrong under good keys.

use proptest::prelude::*;

use super::*;
use crate::tls::forge::hex;

const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// What we seal, and who opens it; the dialer's opener is the second.
fn pair(suite: CipherSuite) -> [(Opener, Sealer); 2] {
    let (client, server) = ([1; 48], [2; 48]);
    [
        split(Role::Dialer, suite, &client, &server).unwrap(),
        split(Role::Listener, suite, &server, &client).unwrap(),
    ]
}

/// A listener's sealer and the dialer's opener.
fn downlink() -> (Sealer, Opener) {
    let [(opener, _), (_, sealer)] = pair(SUITES[0]);
    (sealer, opener)
}

fn seal(sealer: &mut Sealer, data: &[u8]) -> Vec<u8> {
    let mut records = Records::new(Sealer::LAYOUT);
    records.push(data);
    sealer.seal(&mut records).unwrap();
    records.as_slice().to_vec()
}

/// All data in `wire`, and what came of it.
fn open(opener: &mut Opener, wire: &[u8]) -> (Vec<u8>, Result<(), SecureError>) {
    let (mut buf, mut data) = (BytesMut::from(wire), Vec::new());
    loop {
        match opener.open(&mut buf) {
            Ok(Some(bytes)) => data.extend_from_slice(&bytes),
            Ok(None) => return (data, Ok(())),
            Err(error) => return (data, Err(error)),
        }
    }
}

/// The verdict over one record with this content under good keys.
fn verdict(kind: u8, content: &[u8]) -> Result<(), SecureError> {
    let (mut sealer, mut opener) = downlink();
    let wire = sealer.record(kind, content).unwrap();
    open(&mut opener, &wire).1
}

fn misbehaved(verdict: Result<(), SecureError>) -> bool {
    matches!(verdict, Err(SecureError::Misbehaved(_)))
}

/// A record whose inner part is `inner`, type and padding included.
fn raw_record(keys: &mut Keys, inner: &[u8]) -> Vec<u8> {
    let len = u16::try_from(inner.len() + TAG).unwrap().to_be_bytes();
    let head = [APPLICATION_DATA, 3, 3, len[0], len[1]];
    let nonce = keys.next_nonce().unwrap();
    let mut sealed = inner.to_vec();
    let aad = Aad::from(&head);
    keys.key
        .seal_in_place_append_tag(nonce, aad, &mut sealed)
        .unwrap();
    [&head[..], &sealed].concat()
}

const TICKET: &[u8] = &[4, 0, 0, 3, 1, 2, 3];
const ASKING: &[u8] = &[24, 0, 0, 1, 1];
const TELLING: &[u8] = &[24, 0, 0, 1, 0];

/// RFC 8448, section 3: the client's application secret and its first record.
#[test]
fn a_published_record_comes_out_byte_for_byte() {
    let secret = hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
    let record = hex(
        "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
    );
    let data: Vec<u8> = (0..50).collect();
    let (_, mut sealer) = split(Role::Dialer, SUITES[0], &secret, &secret).unwrap();
    assert_eq!(seal(&mut sealer, &data), record);
    let (mut opener, _) = split(Role::Listener, SUITES[0], &secret, &secret).unwrap();
    assert_eq!(open(&mut opener, &record), (data, Ok(())));
}

#[test]
fn data_of_any_length_go_through_every_cipher_both_ways() {
    for suite in SUITES {
        let [
            (mut at_dialer, mut from_dialer),
            (mut at_listener, mut from_listener),
        ] = pair(suite);
        for len in [
            1_usize, 2, 15, 16, 17, 1000, 16_383, 16_384, 16_385, 100_000,
        ] {
            let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let wire = seal(&mut from_dialer, &data);
            assert_eq!(open(&mut at_listener, &wire), (data.clone(), Ok(())));
            assert_eq!(wire.len(), len + len.div_ceil(16_384) * (5 + 1 + 16));
            let wire = seal(&mut from_listener, &data);
            assert_eq!(open(&mut at_dialer, &wire), (data, Ok(())));
        }
    }
    assert!(
        split(
            Role::Dialer,
            CipherSuite::TLS13_AES_128_CCM_SHA256,
            &[],
            &[]
        )
        .is_err()
    );
}

#[test]
fn opened_data_lie_where_they_arrived() {
    let (mut sealer, mut opener) = downlink();
    let mut buf = BytesMut::from(&seal(&mut sealer, &[7; 100])[..]);
    let at = buf.as_ptr();
    let data = opener.open(&mut buf).unwrap().unwrap();
    assert_eq!(data.as_ptr(), at.wrapping_add(HEAD));
}

#[test]
fn padding_is_stripped_and_empty_data_pass_unseen() {
    let (mut sealer, mut opener) = downlink();
    for (inner, data) in [
        (&b"padded\x17\0\0\0\0"[..], &b"padded"[..]),
        (b"zeros\0\0\x17\0", b"zeros\0\0"),
        (b"\x17", b""),
        (b"\x17\0\0\0", b""),
    ] {
        let wire = raw_record(&mut sealer.keys, inner);
        assert_eq!(open(&mut opener, &wire), (data.to_vec(), Ok(())));
    }
    // As much padding as a record can hold.
    let mut inner = vec![0; PLAIN_MAX + 1];
    inner[0] = APPLICATION_DATA;
    let wire = raw_record(&mut sealer.keys, &inner);
    assert_eq!(open(&mut opener, &wire), (vec![], Ok(())));
    for inner in [&b""[..], b"\0", &[0; 1000]] {
        let (mut sealer, mut opener) = downlink();
        let wire = raw_record(&mut sealer.keys, inner);
        assert!(misbehaved(open(&mut opener, &wire).1), "no type");
    }
}

#[test]
fn records_beyond_the_limits_are_refused() {
    let (mut sealer, mut opener) = downlink();
    let mut inner = vec![1; PLAIN_MAX + 2];
    inner[PLAIN_MAX + 1] = APPLICATION_DATA;
    let wire = raw_record(&mut sealer.keys, &inner);
    assert!(misbehaved(open(&mut opener, &wire).1), "plaintext");
    for (len, refused) in [
        (PLAIN_MAX + 256, false),
        (PLAIN_MAX + 257, true),
        (65_535, true),
    ] {
        let len = u16::try_from(len).unwrap().to_be_bytes();
        let (_, mut opener) = downlink();
        // Known from the head alone: nothing is waited for.
        let verdict = open(&mut opener, &[APPLICATION_DATA, 3, 3, len[0], len[1]]).1;
        assert_eq!(misbehaved(verdict), refused);
    }
    for len in 0..TAG {
        let (_, mut opener) = downlink();
        let wire = [&[APPLICATION_DATA, 3, 3, 0, len as u8][..], &vec![0; len]].concat();
        assert_eq!(open(&mut opener, &wire).1, Err(SecureError::Record));
    }
}

#[test]
fn any_changed_bit_of_a_record_is_refused_and_parts_wait_for_the_rest() {
    let (mut sealer, _) = downlink();
    let wire = seal(&mut sealer, b"data");
    for bit in 0..wire.len() * 8 {
        let (_, mut opener) = downlink();
        let mut changed = wire.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (data, verdict) = open(&mut opener, &changed);
        assert!(data.is_empty(), "bit {bit}");
        // A longer length waits for bytes that will not fit.
        assert!(verdict.is_err() || (24..40).contains(&bit), "bit {bit}");
    }
    for len in 0..wire.len() {
        let (_, mut opener) = downlink();
        assert_eq!(open(&mut opener, &wire[..len]), (vec![], Ok(())));
    }
}

#[test]
fn records_that_are_replayed_dropped_or_swapped_are_refused() {
    let records = || {
        let (mut sealer, opener) = downlink();
        (
            [b"1", b"2", b"3"].map(|data| seal(&mut sealer, data)),
            opener,
        )
    };
    for order in [[0, 0, 1], [0, 2, 1], [1, 2, 0]] {
        let (wire, mut opener) = records();
        let wire = order.map(|i| wire[i].clone()).concat();
        assert_eq!(open(&mut opener, &wire).1, Err(SecureError::Record));
    }
    // Our own, reflected.
    let [(mut opener, mut sealer), _] = pair(SUITES[0]);
    let wire = seal(&mut sealer, b"mine");
    assert_eq!(open(&mut opener, &wire).1, Err(SecureError::Record));
}

#[test]
fn what_is_not_sealed_is_refused() {
    for record in [
        &[20, 3, 3, 0, 1, 1][..],
        &[21, 3, 3, 0, 2, 1, 0],
        &[22, 3, 3, 0, 4, 0, 0, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
        &[24, 3, 3, 0, 1, 0],
        &[23, 2, 0, 0, 1, 0],
    ] {
        let (_, mut opener) = downlink();
        assert!(misbehaved(open(&mut opener, record).1), "{record:?}");
    }
    for kind in [0, 20, 24, 255] {
        assert!(verdict(kind, b"x").is_err(), "an inner type {kind}");
    }
}

#[test]
fn close_notify_ends_and_what_follows_is_dropped() {
    let (mut sealer, mut opener) = downlink();
    let mut wire = seal(&mut sealer, b"last words");
    let mut records = Records::new(Sealer::LAYOUT);
    sealer.close(&mut records).unwrap();
    wire.extend_from_slice(records.as_slice());
    wire.extend_from_slice(b"\0\0 garbage");
    assert!(!opener.ended());
    assert_eq!(open(&mut opener, &wire), (b"last words".to_vec(), Ok(())));
    assert!(opener.ended());
    assert_eq!(open(&mut opener, b"more"), (vec![], Ok(())));
}

#[test]
fn alerts_are_errors_except_a_cancellation() {
    assert_eq!(verdict(ALERT, &[1, USER_CANCELED]), Ok(()));
    assert_eq!(verdict(ALERT, &[2, 40]), Err(SecureError::Alert(40)));
    assert_eq!(verdict(ALERT, &[1, 46]), Err(SecureError::Alert(46)));
    for content in [&[][..], &[1], &[1, 0, 0]] {
        assert!(misbehaved(verdict(ALERT, content)), "{content:?}");
    }
}

#[test]
fn tickets_are_ignored_by_dialers_and_refused_by_listeners() {
    let (mut sealer, mut opener) = downlink();
    let tickets = [TICKET, TICKET].concat();
    let mut wire = sealer.record(HANDSHAKE, &tickets).unwrap();
    // Cut anywhere into records.
    for piece in tickets.chunks(3) {
        wire.extend(sealer.record(HANDSHAKE, piece).unwrap());
    }
    wire.extend(seal(&mut sealer, b"data"));
    assert_eq!(open(&mut opener, &wire), (b"data".to_vec(), Ok(())));

    let [(_, mut sealer), (mut opener, _)] = pair(SUITES[0]);
    let wire = sealer.record(HANDSHAKE, TICKET).unwrap();
    assert!(misbehaved(open(&mut opener, &wire).1));
}

#[test]
fn handshake_messages_out_of_place_are_refused() {
    for content in [
        &[][..],
        // A ClientHello, a CertificateRequest, a Finished.
        &[1, 0, 0, 0],
        &[13, 0, 0, 0],
        &[20, 0, 0, 0],
        // Key updates that are too long, too short, of no known kind, or not last.
        &[24, 0, 0, 2, 0, 0],
        &[24, 0, 0, 0],
        &[24, 0, 0, 1, 2],
        &[24, 0, 0, 1, 0, 4],
        // Longer than anything that we would wait for.
        &[4, 0, 0x40, 0],
        &[4, 0xff, 0xff, 0xff],
    ] {
        assert!(misbehaved(verdict(HANDSHAKE, content)), "{content:?}");
    }
    let (mut sealer, mut opener) = downlink();
    let mut wire = sealer.record(HANDSHAKE, &TICKET[..2]).unwrap();
    wire.extend(seal(&mut sealer, b"in between"));
    let (data, verdict) = open(&mut opener, &wire);
    assert!(data.is_empty() && misbehaved(verdict));
}

#[test]
fn records_without_data_are_counted_until_one_has_some() {
    for (kind, content) in [
        (APPLICATION_DATA, &[][..]),
        (HANDSHAKE, TICKET),
        (ALERT, &[1, 90]),
    ] {
        let (mut sealer, mut opener) = downlink();
        for _ in 0..3 {
            let mut wire = Vec::new();
            for _ in 0..FRUITLESS_MAX {
                wire.extend(sealer.record(kind, content).unwrap());
            }
            wire.extend(seal(&mut sealer, b"data"));
            assert_eq!(open(&mut opener, &wire), (b"data".to_vec(), Ok(())));
        }
        for _ in 0..FRUITLESS_MAX {
            let wire = sealer.record(kind, content).unwrap();
            assert_eq!(open(&mut opener, &wire), (vec![], Ok(())));
        }
        let wire = sealer.record(kind, content).unwrap();
        assert!(misbehaved(open(&mut opener, &wire).1));
    }
}

/// As a peer does: the message under the old keys, everything else under the next.
fn update(sealer: &mut Sealer, message: &[u8]) -> Vec<u8> {
    let wire = sealer.record(HANDSHAKE, message).unwrap();
    sealer.keys = sealer.keys.next();
    wire
}

#[test]
fn a_peer_may_change_its_keys_and_ask_for_a_change_of_ours() {
    for suite in SUITES {
        let [
            (mut at_dialer, mut from_dialer),
            (mut at_listener, mut from_listener),
        ] = pair(suite);
        // Many requests while we are silent are answered once.
        for message in [TELLING, ASKING, ASKING, TELLING] {
            let mut wire = update(&mut from_listener, message);
            wire.extend(seal(&mut from_listener, b"new keys"));
            assert_eq!(open(&mut at_dialer, &wire), (b"new keys".to_vec(), Ok(())));
        }
        let answer = seal(&mut from_dialer, b"answer");
        assert_eq!(answer.len(), (5 + 5 + 17) + (5 + 6 + 17));
        assert_eq!(
            open(&mut at_listener, &answer),
            (b"answer".to_vec(), Ok(()))
        );
        assert!(!at_listener.update_wanted.load(Ordering::Relaxed));
        let next = seal(&mut from_dialer, b"as before");
        assert_eq!(next.len(), 5 + 9 + 17);
        assert_eq!(
            open(&mut at_listener, &next),
            (b"as before".to_vec(), Ok(()))
        );
        // Under the old keys nothing is heard any more.
        let (_, mut stale) = split(Role::Dialer, suite, &[1; 48], &[2; 48]).unwrap();
        let stale = seal(&mut stale, b"stale");
        assert_eq!(open(&mut at_listener, &stale).1, Err(SecureError::Record));
    }
}

#[test]
fn our_keys_change_long_before_they_are_worn_out() {
    let (mut sealer, mut opener) = downlink();
    for keys in [&mut sealer.keys, &mut opener.keys] {
        keys.records = RECORDS_MAX - 1;
    }
    for (sealed_before, data) in [
        (RECORDS_MAX - 1, b"old"),
        (RECORDS_MAX, b"new"),
        (1, b"all"),
    ] {
        assert_eq!(sealer.keys.records, sealed_before);
        let wire = seal(&mut sealer, data);
        assert_eq!(open(&mut opener, &wire), (data.to_vec(), Ok(())));
    }
    assert_eq!((sealer.keys.records, opener.keys.records), (2, 2));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_of_any_records_gives_the_same(
        records in prop::collection::vec((0..8_u8, prop::collection::vec(any::<u8>(), 0..40)), 0..30),
        garbage in prop::collection::vec(any::<u8>(), 0..40),
        chunk in 1..60_usize,
    ) {
        let (mut sealer, _) = downlink();
        let mut wire = Vec::new();
        for (kind, content) in records {
            wire.extend(match kind {
                0..=3 => seal(&mut sealer, &[&content[..], b"."].concat()),
                4 => sealer.record(HANDSHAKE, TICKET).unwrap(),
                5 => update(&mut sealer, ASKING),
                6 => sealer.record(HANDSHAKE, &content).unwrap(),
                _ => sealer.record(content.first().copied().unwrap_or(1), &content).unwrap(),
            });
        }
        wire.extend_from_slice(&garbage);
        let (_, mut opener) = downlink();
        let whole = open(&mut opener, &wire);
        let (_, mut opener) = downlink();
        let (mut buf, mut data, mut verdict) = (BytesMut::new(), Vec::new(), Ok(()));
        for piece in wire.chunks(chunk) {
            buf.extend_from_slice(piece);
            while verdict.is_ok() {
                match opener.open(&mut buf) {
                    Ok(Some(bytes)) => data.extend_from_slice(&bytes),
                    Ok(None) => break,
                    Err(error) => verdict = Err(error),
                }
            }
        }
        prop_assert_eq!(whole, (data, verdict));
    }
}
