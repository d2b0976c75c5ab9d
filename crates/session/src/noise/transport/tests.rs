//! Sealed records: what authenticates, in which order, and for how long.

use super::*;

fn pair() -> (Sealer, Opener) {
    (Sealer::new(&[7; 32]), Opener::new(&[7; 32]))
}

fn seal(sealer: &mut Sealer, plain: &[u8]) -> BytesMut {
    let mut records = Records::new(Sealer::LAYOUT);
    records.push(plain);
    sealer.seal(&mut records).unwrap();
    BytesMut::from(records.as_slice())
}

fn open(opener: &mut Opener, wire: &[u8]) -> Result<Option<Bytes>, SecureError> {
    opener.open(&mut BytesMut::from(wire))
}

fn open_all(opener: &mut Opener, buf: &mut BytesMut) -> Result<Vec<Bytes>, SecureError> {
    std::iter::from_fn(|| opener.open(buf).transpose()).collect()
}

#[test]
fn the_largest_record_is_65535_bytes_and_more_is_split() {
    let (mut sealer, mut opener) = pair();
    for (len, records) in [
        (1, vec![1]),
        (65519, vec![65519]),
        (65520, vec![65519, 1]),
        (200_000, vec![65519, 65519, 65519, 3443]),
    ] {
        let plain: Vec<_> = (0..len).map(|i| (i % 251) as u8).collect();
        let mut wire = seal(&mut sealer, &plain);
        assert_eq!(wire.len(), len + records.len() * 18);
        let opened = open_all(&mut opener, &mut wire).unwrap();
        assert_eq!(opened.iter().map(Bytes::len).collect::<Vec<_>>(), records);
        assert_eq!(opened.concat(), plain);
        assert!(wire.is_empty());
    }
}

#[test]
fn records_open_in_place() {
    let (mut sealer, mut opener) = pair();
    let mut wire = seal(&mut sealer, b"where I lie");
    let at = wire.as_ptr();
    let opened = opener.open(&mut wire).unwrap().unwrap();
    assert_eq!(
        (opened.as_ref(), opened.as_ptr()),
        (&b"where I lie"[..], at.wrapping_add(2))
    );
}

#[test]
fn a_record_that_is_not_complete_waits() {
    let (mut sealer, mut opener) = pair();
    let wire = seal(&mut sealer, b"patience");
    for cut in 0..wire.len() {
        assert_eq!(opener.open(&mut BytesMut::from(&wire[..cut])), Ok(None));
    }
    assert_eq!(open(&mut opener, &wire), Ok(Some("patience".into())));
}

#[test]
fn a_record_too_short_for_its_tag_is_refused() {
    for len in 0..16_u8 {
        let mut wire = BytesMut::from(&[0, len][..]);
        wire.extend_from_slice(&vec![0; len.into()]);
        assert_eq!(pair().1.open(&mut wire), Err(SecureError::Record), "{len}");
    }
}

#[test]
fn an_empty_record_is_opened_and_empty() {
    let (sealer, mut opener) = pair();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let tag = sealer
        .0
        .key()
        .seal_in_place_separate_tag(nonce, Aad::empty(), &mut [])
        .unwrap();
    let mut wire = BytesMut::from(&[0, 16][..]);
    wire.extend_from_slice(tag.as_ref());
    assert_eq!(opener.open(&mut wire), Ok(Some(Bytes::new())));
}

#[test]
fn any_changed_bit_is_noticed_and_nothing_more_opens() {
    let (mut sealer, _) = pair();
    let wire = seal(&mut sealer, b"do not touch");
    let next = seal(&mut sealer, b"next");
    for bit in 16..wire.len() * 8 {
        let (_, mut opener) = pair();
        let mut changed = wire.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            opener.open(&mut changed),
            Err(SecureError::Record),
            "bit {bit}"
        );
        assert_eq!(
            open(&mut opener, &wire),
            Err(SecureError::Record),
            "not again"
        );
        assert!(open(&mut opener, &wire).is_err());
    }
    let (_, mut opener) = pair();
    assert!(open(&mut opener, &wire).is_ok() && open(&mut opener, &next).is_ok());
}

#[test]
fn replayed_and_reordered_records_are_refused() {
    let (mut sealer, mut opener) = pair();
    let [first, second] = [b"first", b"other"].map(|plain| seal(&mut sealer, plain));
    open(&mut opener, &first).unwrap();
    assert_eq!(
        open(&mut opener, &first),
        Err(SecureError::Record),
        "replayed"
    );
    let (_, mut opener) = pair();
    assert_eq!(
        open(&mut opener, &second),
        Err(SecureError::Record),
        "too early"
    );
}

#[test]
fn used_up_nonces_end_the_connection_on_both_sides() {
    let (mut sealer, mut opener) = pair();
    sealer.0.nonce = u64::MAX - 2;
    opener.0.nonce = u64::MAX - 2;
    for _ in 0..2 {
        let mut wire = seal(&mut sealer, b"almost");
        assert_eq!(opener.open(&mut wire), Ok(Some("almost".into())));
    }
    for _ in 0..3 {
        let mut records = Records::new(Sealer::LAYOUT);
        records.push(b"too many");
        assert_eq!(sealer.seal(&mut records), Err(SecureError::NoncesExhausted));
        let mut wire = BytesMut::from(&[0, 16][..]);
        wire.extend_from_slice(&[0; 16]);
        assert_eq!(opener.open(&mut wire), Err(SecureError::NoncesExhausted));
    }
}
