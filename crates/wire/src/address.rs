//! Multiaddrs of peers and users, addressing/README.md. Stricter than `multiaddr`: bounded, one
//! binary form per address, and a text form that means the same address.

use multiaddr::{Multiaddr, Protocol};

use crate::{DecodeError, peer_id};

pub mod unix;

/// Longest address, in bytes, binary or text.
pub const LEN_MAX: usize = 1024;
/// Most components of an address.
pub const COMPONENTS_MAX: usize = 32;

/// Reads the binary form.
///
/// # Errors
/// Above the limits, empty, an unknown component, a value that ends early, a second form of an
/// address that has a shorter one, a name that is empty or would read as more than one component.
pub fn decode(buf: &[u8]) -> Result<Multiaddr, DecodeError> {
    DecodeError::check_max("address", buf.len(), LEN_MAX)?;
    let address = Multiaddr::try_from(buf.to_vec()).map_err(|_| MALFORMED)?;
    check(&address)?;
    // Paths of `unix` are the one value whose text may not parse again: with slashes it is not our form.
    let same = address
        .to_string()
        .parse()
        .is_ok_and(|parsed: Multiaddr| parsed == address);
    if same { Ok(address) } else { Err(MALFORMED) }
}

/// Reads the text form. Peer ids may be CIDs, `/ipfs/` is the old name of `/p2p/`.
///
/// # Errors
/// As [`decode`].
pub fn parse(text: &str) -> Result<Multiaddr, DecodeError> {
    DecodeError::check_max("address", text.len(), LEN_MAX)?;
    let text = unix::fold(text);
    let mut parts = text
        .strip_prefix('/')
        .ok_or(MALFORMED)?
        .split('/')
        .peekable();
    let mut address = Multiaddr::empty();
    while let Some(&part) = parts.peek() {
        address.push(match part {
            "p2p" | "ipfs" => Protocol::P2p(peer_id::parse(parts.nth(1).ok_or(MALFORMED)?)?),
            _ => Protocol::from_str_parts(&mut parts).map_err(|_| MALFORMED)?,
        });
    }
    check(&address)?;
    Ok(address)
}

fn check(address: &Multiaddr) -> Result<(), DecodeError> {
    DecodeError::check_max(
        "components of an address",
        address.iter().count(),
        COMPONENTS_MAX,
    )?;
    let text = address.to_string();
    // Either form may be the longer one: percent signs in paths, base 32 in names.
    DecodeError::check_max("address", text.len().max(address.len()), LEN_MAX)?;
    let whole = !text.is_empty() && !text.ends_with('/') && !text.contains("//");
    let peers = address
        .iter()
        .all(|p| !matches!(p, Protocol::P2p(peer) if !peer_id::is_valid(&peer)));
    let canonical = address.iter().collect::<Multiaddr>() == *address;
    if whole && peers && canonical && !text.contains(char::is_control) {
        Ok(())
    } else {
        Err(MALFORMED)
    }
}

const MALFORMED: DecodeError = DecodeError::Malformed("address is not a valid multiaddr");

#[cfg(test)]
mod tests;
