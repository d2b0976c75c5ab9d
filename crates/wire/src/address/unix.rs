//! Paths of `/unix/…` addresses. The path is one component, so its slashes are percent-encoded and the one in front is
//! left out: `/unix/tmp%2Fa.sock/p2p/12D3Koo…` is `/tmp/a.sock`. Binary and text hold the same.
//!
//! Go's text, `/unix/tmp/a.sock`, takes everything behind it as the path; it is understood, but a valid `/p2p/…` in it
//! ends the path.

use std::{borrow::Cow, fmt::Write as _};

use crate::peer_id;

/// The absolute path that a component stands for. `None`: it is empty, has no end, a NUL, or digits that are none.
pub fn decode(component: &str) -> Option<Vec<u8>> {
    let mut path = vec![b'/'];
    let mut rest = component.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let byte = match byte {
            b'%' => u8::try_from(digit()? << 4 | digit()?).ok()?,
            plain => plain,
        };
        // The slash in front may be written out, as JavaScript's addresses have it.
        if byte != b'/' || path.len() > 1 {
            path.push(byte);
        }
    }
    (!path.ends_with(b"/") && !path.contains(&0)).then_some(path)
}

/// The component of an absolute path.
pub fn encode(path: &[u8]) -> String {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let mut text = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The text of an address with a path in Go's form made one component. A path that is one already, and any other
/// address, stay as they are.
pub fn fold(text: &str) -> Cow<'_, str> {
    let Some(rest) = text.strip_prefix("/unix/") else {
        return Cow::Borrowed(text);
    };
    let names_peer = |at: usize, name: &str| {
        let id = rest.get(at + name.len()..).unwrap_or_default();
        peer_id::parse(id.split('/').next().unwrap_or_default()).is_ok()
    };
    let end = ["/p2p/", "/ipfs/"]
        .into_iter()
        .flat_map(|name| rest.match_indices(name))
        .filter(|(at, name)| names_peer(*at, name))
        .map(|(at, _)| at)
        .min();
    let (path, peer) = rest.split_at(end.unwrap_or(rest.len()));
    if path.contains('/') && !path.starts_with('/') && !path.ends_with('/') {
        Cow::Owned(format!("/unix/{}{peer}", encode(path.as_bytes())))
    } else {
        Cow::Borrowed(text)
    }
}
