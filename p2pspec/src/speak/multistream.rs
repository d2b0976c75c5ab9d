//! multistream-select's messages, and the exchange of them over anything that carries bytes.

use std::io;

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
    take(from).await?
}

/// The same; none when the other side has ended, whatever kind of end that is.
pub(crate) async fn read_or_end(from: &mut impl Talk) -> Step<Option<String>> {
    match take(from).await {
        Ok(said) => said.map(Some),
        Err(_) => Ok(None),
    }
}

/// The outer error is the channel's, the inner one that of what was said.
async fn take(from: &mut impl Talk) -> io::Result<Step<String>> {
    let mut prefix = from.take(1).await?;
    while prefix.last().is_some_and(|byte| byte & 0x80 != 0) && prefix.len() < 9 {
        prefix.extend(from.take(1).await?);
    }
    match length(&prefix) {
        Ok(length) => Ok(text(from.take(length).await?)),
        Err(wrong) => Ok(Err(wrong)),
    }
}

fn length(prefix: &[u8]) -> Step<usize> {
    let length = pb::take_varint(&mut &prefix[..])?;
    ensure(pb::varint(length) == prefix, || {
        format!("the length of a multistream message is not minimal: {prefix:02x?}")
    })?;
    ensure((1..=64 * 1024).contains(&length), || {
        format!("a multistream message of {length} bytes")
    })?;
    Ok(length as usize)
}

fn text(mut body: Vec<u8>) -> Step<String> {
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
