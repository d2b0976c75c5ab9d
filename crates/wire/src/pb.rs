//! A look at the top level of a protobuf message, before prost allocates anything for it.
//! In: bytes of a peer. Out: its fields, borrowed. Groups are refused: nobody sends them.

use crate::DecodeError;

/// A field's value; the fixed-width kinds only need to be stepped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields in the order of their bytes; ends after the first error.
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Checks the size of `buf` first; `what` names the message in errors.
    pub(crate) fn of(
        what: &'static str,
        buf: &'a [u8],
        len_max: usize,
    ) -> Result<Self, DecodeError> {
        DecodeError::check_max(what, buf.len(), len_max)?;
        Ok(Self { what, rest: buf })
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), DecodeError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3)
            .ok()
            .filter(|number| *number > 0)
            .ok_or(DecodeError::Malformed(
                "protobuf field number is out of range",
            ))?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.bytes(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            5 => self.bytes(4).map(|_| Value::Fixed)?,
            _ => {
                return Err(DecodeError::Malformed(
                    "protobuf wire type is not supported",
                ));
            }
        };
        Ok((number, value))
    }

    // Protobuf allows ten bytes and forms that are not minimal, unlike the unsigned-varint spec.
    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for i in 0..10 {
            let (&byte, rest) = self
                .rest
                .split_first()
                .ok_or(DecodeError::Truncated(self.what))?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint("is longer than 10 bytes"))
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated(self.what))?;
        self.rest = rest;
        Ok(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Decodes with prost what [`Fields`] has already looked at.
pub(crate) fn decode<M: prost::Message + Default>(
    buf: &[u8],
    malformed: &'static str,
) -> Result<M, DecodeError> {
    M::decode(buf).map_err(|_| DecodeError::Malformed(malformed))
}

#[cfg(test)]
mod tests;
