//! DER (X.690), as far as keys and certificates need it: tags of one byte, definite and minimal lengths below 64 KiB.

pub(crate) const BOOLEAN: u8 = 1;
pub(crate) const INTEGER: u8 = 2;
pub(crate) const BIT_STRING: u8 = 3;
pub(crate) const OCTET_STRING: u8 = 4;
pub(crate) const OBJECT_ID: u8 = 6;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Takes one value with this tag off the front.
pub(crate) fn value<'a>(buf: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (len, rest) = match **buf {
        [t, len @ 0..=0x7f, ref rest @ ..] if t == tag => (usize::from(len), rest),
        [t, 0x81, len @ 0x80..=0xff, ref rest @ ..] if t == tag => (usize::from(len), rest),
        [t, 0x82, high @ 1..=0xff, low, ref rest @ ..] if t == tag => {
            (usize::from(high) << 8 | usize::from(low), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(len)?;
    *buf = rest;
    Some(value)
}

/// As [`value`], but with tag and length before it.
pub(crate) fn whole<'a>(buf: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let all = *buf;
    value(buf, tag)?;
    all.get(..all.len() - buf.len())
}

/// Takes an integer above zero; DER puts a zero byte before a high bit and nowhere else.
pub(crate) fn uint<'a>(buf: &mut &'a [u8]) -> Option<&'a [u8]> {
    match value(buf, INTEGER)? {
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Some(rest),
        number @ [1..=0x7f, ..] => Some(number),
        _ => None,
    }
}

/// Takes a bit string of whole bytes.
pub(crate) fn bits<'a>(buf: &mut &'a [u8]) -> Option<&'a [u8]> {
    match value(buf, BIT_STRING)? {
        [0, bytes @ ..] => Some(bytes),
        _ => None,
    }
}

/// Puts tag and length before a value; `None` if it is 64 KiB or longer.
pub(crate) fn encode(tag: u8, value: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(value.len()).ok()?.to_be_bytes();
    let mut out = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(value);
    Some(out)
}
