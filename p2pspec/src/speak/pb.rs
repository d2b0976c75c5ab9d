//! Varints and protobuf fields, written by hand so that they can be written wrong.

use crate::case::{Step, fail};

/// The varint of `value`.
pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A field of bytes or text.
pub(crate) fn bytes(number: u64, value: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), delimited(value)].concat()
}

/// A field that is a number.
pub(crate) fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// Its length, then it.
pub(crate) fn delimited(value: &[u8]) -> Vec<u8> {
    [varint(value.len() as u64), value.to_vec()].concat()
}

/// A field as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) value: Value,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Field {
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match &self.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number(_) => None,
        }
    }
}

/// Takes a varint from the front.
pub(crate) fn take_varint(input: &mut &[u8]) -> Step<u64> {
    let mut value = 0;
    for shift in 0..9 {
        let Some((first, rest)) = input.split_first() else {
            return fail("a varint is cut off");
        };
        *input = rest;
        value |= u64::from(first & 0x7f) << (7 * shift);
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    fail("a varint is longer than 9 bytes")
}

/// All fields of a message.
pub(crate) fn fields(mut input: &[u8]) -> Step<Vec<Field>> {
    let mut fields = Vec::new();
    while !input.is_empty() {
        let tag = take_varint(&mut input)?;
        let value = match tag & 7 {
            0 => Value::Number(take_varint(&mut input)?),
            2 => {
                let length = usize::try_from(take_varint(&mut input)?).unwrap_or(usize::MAX);
                let Some((value, rest)) = input.split_at_checked(length) else {
                    return fail("a protobuf field is cut off");
                };
                input = rest;
                Value::Bytes(value.to_vec())
            }
            other => return fail(format!("a protobuf field of wire type {other}")),
        };
        fields.push(Field {
            number: tag >> 3,
            value,
        });
    }
    Ok(fields)
}

/// The values of the fields with this number.
pub(crate) fn all(fields: &[Field], number: u64) -> Vec<&[u8]> {
    let these = fields.iter().filter(|field| field.number == number);
    these.filter_map(Field::bytes).collect()
}
