//! multistream-select's messages, and the exchange of them over anything that carries bytes.

use super::{channel::Talk, pb};
use crate::case::{Step, ensure, fail};

pub(crate) const HEADER: &str = "/multistream/1.0.0";

/// A message: its length with the newline, the text, the newline.
pub(crate) fn message(text: &str) -> Vec<u8> {
    raw(format!("{text}\n").as_bytes())
}

/// A message whose body is taken as it is.
pub(crate) fn raw(body: &[u8]) -> Vec<u8> {
    pb::delimited(body)
}

/// The header, then these.
pub(crate) fn propose(protocols: &[&str]) -> Vec<u8> {
    let mut out = message(HEADER);
    for protocol in protocols {
        out.extend(message(protocol));
    }
    out
}

/// Reads one message; without its newline.
pub(crate) async fn read(from: &mut impl Talk) -> Step<String> {
    let mut prefix = Vec::new();
    loop {
        let byte = from.take(1).await?[0];
        prefix.push(byte);
        if byte & 0x80 == 0 {
            break;
        }
        ensure(prefix.len() < 9, || {
            "the length of a multistream message takes more than 9 bytes".to_owned()
        })?;
    }
    let length = pb::take_varint(&mut &prefix[..])?;
    ensure(pb::varint(length) == prefix, || {
        format!("the length of a multistream message is not minimal: {prefix:02x?}")
    })?;
    ensure((1..=64 * 1024).contains(&length), || {
        format!("a multistream message of {length} bytes")
    })?;
    let mut body = from.take(length as usize).await?;
    ensure(body.pop() == Some(b'\n'), || {
        "a multistream message without a newline at its end".to_owned()
    })?;
    String::from_utf8(body).or_else(|_| fail("a multistream message that is not UTF-8"))
}

/// Reads the header.
pub(crate) async fn read_header(from: &mut impl Talk) -> Step<()> {
    expect(from, HEADER).await
}

/// Reads one message, which must be this.
pub(crate) async fn expect(from: &mut impl Talk, wanted: &str) -> Step<()> {
    let said = read(from).await?;
    ensure(said == wanted, || {
        format!("the answer is {said:?} where it should be {wanted:?}")
    })
}

/// Agrees on a protocol, as one should.
pub(crate) async fn agree(with: &mut impl Talk, protocol: &str) -> Step<()> {
    with.send(&propose(&[protocol])).await?;
    read_header(with).await?;
    expect(with, protocol).await
}
