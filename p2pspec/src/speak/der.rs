//! As much of DER as certificates are made of.

/// A value with its tag and length.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![tag];
    match body.len() {
        short @ 0..=127 => out.push(short as u8),
        long @ 128..=255 => out.extend([0x81, long as u8]),
        longer => {
            out.push(0x82);
            out.extend((longer as u16).to_be_bytes());
        }
    }
    out.extend(body);
    out
}

pub(crate) const BOOLEAN: u8 = 1;
pub(crate) const INTEGER: u8 = 2;
pub(crate) const BIT_STRING: u8 = 3;
pub(crate) const OCTET_STRING: u8 = 4;
pub(crate) const OID: u8 = 6;
pub(crate) const UTF8: u8 = 12;
pub(crate) const TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// A value as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) body: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

/// Takes a value from the front.
pub(crate) fn take<'a>(input: &mut &'a [u8]) -> Option<Value<'a>> {
    let all = *input;
    let (tag, rest) = all.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (digits, after) = rest.split_at_checked(length & 0x7f)?;
        length = digits
            .iter()
            .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = after;
    }
    let (body, after) = rest.split_at_checked(length)?;
    *input = after;
    Some(Value {
        tag: *tag,
        body,
        whole: &all[..all.len() - after.len()],
    })
}

/// The values within one.
pub(crate) fn inside(mut body: &[u8]) -> Option<Vec<Value<'_>>> {
    let mut values = Vec::new();
    while !body.is_empty() {
        values.push(take(&mut body)?);
    }
    Some(values)
}
