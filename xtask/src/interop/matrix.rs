//! Which cells there are: every stack of protocols with every pair of programs, and what is checked in each.

use super::cell::Cell;
use super::peers::Peer;
use std::fmt;
use std::str::FromStr;

/// What both sides of a cell are told to offer, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    pub(crate) transport: &'static str,
    /// Absent where the transport brings its own.
    pub(crate) inside: Option<Inside>,
    pub(crate) key_type: &'static str,
    pub(crate) ip: &'static str,
}

/// Security and muxer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inside {
    pub(crate) security: &'static str,
    pub(crate) muxer: &'static str,
}

impl Stack {
    /// The options of the programs' command line.
    pub(crate) fn options(&self) -> Vec<&'static str> {
        let mut options = vec!["--transport", self.transport];
        if let Some(Inside { security, muxer }) = self.inside {
            options.extend(["--security", security, "--muxer", muxer]);
        }
        options.extend(["--key-type", self.key_type, "--ip", self.ip]);
        options
    }

    /// Further options of a listener on WSS.
    pub(crate) fn listener_files(&self) -> &'static [&'static str] {
        match self.transport {
            "wss" => &["--tls-cert", CERTIFICATE, "--tls-key", KEY],
            _ => &[],
        }
    }

    /// The address that the dialer is given for what a listener prints, which is `/tls/ws` or `/wss`. In one row Carrick
    /// dials a name.
    pub(crate) fn dialed(&self, printed: String, dialer: &str) -> String {
        if (self.transport, self.inside, dialer) != ("wss", Some(TLS), "carrick") {
            return printed;
        }
        let named = "/tls/sni/localhost/ws/p2p/";
        printed
            .replace("/tls/ws/p2p/", named)
            .replace("/wss/p2p/", named)
    }

    /// Further options of a dialer on WSS.
    pub(crate) fn dialer_files(&self) -> &'static [&'static str] {
        match self.transport {
            "wss" => &["--tls-ca", AUTHORITY],
            _ => &[],
        }
    }
}

/// Where `interop-carrick certificates` writes what WSS needs, anew in each run.
pub(crate) const CERTIFICATES: &str = "interop/.build/certificates";
const CERTIFICATE: &str = "interop/.build/certificates/cert.pem";
const KEY: &str = "interop/.build/certificates/key.pem";
const AUTHORITY: &str = "interop/.build/certificates/ca.pem";

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.transport)?;
        if let Some(Inside { security, muxer }) = self.inside {
            write!(f, " {security} {muxer}")?;
        }
        if self.key_type != KEY_TYPE {
            write!(f, " {}", self.key_type)?;
        }
        if self.ip != IP {
            f.write_str(" ipv6")?;
        }
        Ok(())
    }
}

/// A word of `--only`. Words of one kind are alternatives; every kind that is there must fit.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    kind: Kind,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Peer,
    Transport,
    Security,
    Muxer,
    /// The rows of another key type, and those of IPv6.
    Rows,
}

impl FromStr for Word {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let kind = match name {
            "go" | "rust" | "js" | "py" => Kind::Peer,
            "tcp" | "ws" | "wss" | "quic-v1" => Kind::Transport,
            "noise" | "tls" => Kind::Security,
            "yamux" | "mplex" => Kind::Muxer,
            KEYS | IPV6 => Kind::Rows,
            _ => return Err("a peer, a transport, a security, a muxer, `keys` or `ipv6`"),
        };
        let name = name.to_owned();
        Ok(Self { kind, name })
    }
}

/// Whether `--only` leaves this peer in.
pub(crate) fn wants(only: &[Word], peer: &str) -> bool {
    allows(only, Kind::Peer, Some(peer))
}

fn allows(only: &[Word], kind: Kind, value: Option<&str>) -> bool {
    let mut words = only.iter().filter(|word| word.kind == kind).peekable();
    words.peek().is_none() || words.any(|word| Some(word.name.as_str()) == value)
}

/// Carrick against itself, then each peer, both ways, on each stack. `full`: as many bytes as the peers bear.
pub(crate) fn cells(carrick: &Peer, foreign: &[Peer], only: &[Word], full: bool) -> Vec<Cell> {
    let pairs = foreign
        .iter()
        .flat_map(|peer| [(carrick, peer), (peer, carrick)]);
    let pairs: Vec<_> = [(carrick, carrick)].into_iter().chain(pairs).collect();
    let mut cells = vec![];
    for stack in stacks().iter().filter(|stack| fits(stack, only)) {
        for &(dialer, listener) in &pairs {
            cells.push(Cell {
                dialer: dialer.clone(),
                listener: listener.clone(),
                stack: stack.clone(),
                checks: checks(stack, [dialer, listener]),
                bulk_bytes: bulk_bytes([dialer, listener], full),
                road: None,
            });
        }
    }
    cells
}

/// The rows of the matrix, in order.
fn stacks() -> Vec<Stack> {
    let plain = |transport, inside| Stack {
        transport,
        inside,
        key_type: KEY_TYPE,
        ip: IP,
    };
    let mut all = vec![];
    for transport in ["tcp", "ws"] {
        for security in ["noise", "tls"] {
            for muxer in ["yamux", "mplex"] {
                all.push(plain(transport, Some(Inside { security, muxer })));
            }
        }
    }
    all.extend([NOISE, TLS].map(|inside| plain("wss", Some(inside))));
    all.push(plain("quic-v1", None));
    for inside in [NOISE, TLS] {
        for key_type in ["rsa", "secp256k1", "ecdsa"] {
            let stack = plain("tcp", Some(inside));
            all.push(Stack { key_type, ..stack });
        }
    }
    for (transport, inside) in [("tcp", Some(NOISE)), ("quic-v1", None)] {
        let stack = plain(transport, inside);
        all.push(Stack { ip: "6", ..stack });
    }
    all
}

fn fits(stack: &Stack, only: &[Word]) -> bool {
    let rows = match (stack.key_type, stack.ip) {
        (KEY_TYPE, IP) => None,
        (KEY_TYPE, _) => Some(IPV6),
        _ => Some(KEYS),
    };
    let security = stack.inside.map(|inside| inside.security);
    let muxer = stack.inside.map(|inside| inside.muxer);
    allows(only, Kind::Transport, Some(stack.transport))
        && allows(only, Kind::Security, security)
        && allows(only, Kind::Muxer, muxer)
        && allows(only, Kind::Rows, rows)
}

/// A key or an address family can go wrong while connecting; the rest does not know of it. Many connections and many bytes
/// are for one row of each transport.
fn checks(stack: &Stack, pair: [&Peer; 2]) -> Vec<&'static str> {
    if stack.key_type != KEY_TYPE || stack.ip != IP {
        return SHORT.to_vec();
    }
    let mut checks = match stack.inside {
        None | Some(NOISE) => CHECKS.to_vec(),
        Some(_) => CHECKS[..BASIC].to_vec(),
    };
    if pair.iter().all(|peer| REQUESTERS.contains(&peer.name)) {
        checks.extend(REQUESTS);
    }
    checks
}

/// What goes each way: 1 GiB, or 64 MiB; less with the slowest of stacks.
fn bulk_bytes(pair: [&Peer; 2], full: bool) -> u64 {
    let with = |name: &str| pair.iter().any(|peer| peer.name == name);
    match (with("py"), with("js"), full) {
        (true, _, true) => 64 * MIB,
        (true, _, false) => 4 * MIB,
        (_, true, false) => 16 * MIB,
        (_, _, false) => 64 * MIB,
        (_, _, true) => 1024 * MIB,
    }
}

/// The checks that a dialer answers for, in order.
pub(crate) const CHECKS: [&str; 12] = [
    "connect",
    "identify",
    "ping",
    "echo",
    "sequential",
    "concurrent",
    "half-close",
    "unsupported",
    "reset",
    "wrong-peer",
    "connections",
    "bulk",
];
/// How many of them every row of the default key type and address family has.
pub(crate) const BASIC: usize = 10;
/// Requests are for the stacks whose programs have them: the others are not asked.
pub(crate) const REQUESTS: [&str; 2] = ["request-cbor", "request-json"];
const REQUESTERS: [&str; 2] = ["carrick", "rust"];
const SHORT: [&str; 5] = ["connect", "identify", "ping", "echo", "wrong-peer"];

pub(crate) const NOISE: Inside = Inside {
    security: "noise",
    muxer: "yamux",
};
pub(crate) const TLS: Inside = Inside {
    security: "tls",
    muxer: "yamux",
};
pub(crate) const KEY_TYPE: &str = "ed25519";
pub(crate) const IP: &str = "4";
const KEYS: &str = "keys";
const IPV6: &str = "ipv6";
const MIB: u64 = 1 << 20;

#[cfg(test)]
mod tests;
