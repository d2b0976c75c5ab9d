//! WebSocket addresses: `/ip4|ip6/…/tcp/…`, then `/ws`, `/wss`, `/tls/ws` or `/tls/sni/<name>/ws`, then `/http-path/…` or
//! nothing.

use std::net::{IpAddr, SocketAddr};

use multiaddr::{Multiaddr, Protocol};

use super::upgrade::encode_path;

/// What a WebSocket address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WsAddress {
    pub(super) socket: SocketAddr,
    /// Whether TLS runs around the WebSocket, and for whom.
    pub(super) tls: Option<ServerName>,
    /// The path in a request, escaped; `None` where the address has none.
    path: Option<String>,
    /// What stands behind the port.
    suffix: Multiaddr,
}

/// Whose certificate a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerName {
    /// The address's IP.
    Ip,
    Sni(String),
}

impl WsAddress {
    pub(super) fn parse(address: &Multiaddr) -> Option<Self> {
        let mut parts = address.iter().peekable();
        let ip = match parts.next()? {
            Protocol::Ip4(ip) => IpAddr::V4(ip),
            Protocol::Ip6(ip) => IpAddr::V6(ip),
            _ => return None,
        };
        let Protocol::Tcp(port) = parts.next()? else {
            return None;
        };
        let suffix = address.iter().skip(2).collect();
        let (tls, path) = match parts.next()? {
            Protocol::Ws(path) => (None, path),
            Protocol::Wss(path) => (Some(ServerName::Ip), path),
            Protocol::Tls => {
                let name = match parts.peek()? {
                    Protocol::Sni(name) => ServerName::Sni(name.clone().into_owned()),
                    _ => ServerName::Ip,
                };
                if name != ServerName::Ip {
                    parts.next();
                }
                match parts.next()? {
                    Protocol::Ws(path) => (Some(name), path),
                    _ => return None,
                }
            }
            _ => return None,
        };
        let path = match (parts.next(), parts.next()) {
            (None, None) if path == "/" => None,
            (None, None) => Some(encode_path(&path)),
            (Some(Protocol::HttpPath(path)), None) => Some(encode_path(&path)),
            _ => return None,
        };
        Some(Self {
            socket: SocketAddr::new(ip, port),
            tls,
            path,
            suffix,
        })
    }

    /// The path that is asked for, or that alone is served.
    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// What the `Host` line says.
    pub(super) fn host(&self) -> String {
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let host = match (&self.tls, self.socket.ip()) {
            (Some(ServerName::Sni(name)), _) => name.clone(),
            (_, IpAddr::V4(ip)) => ip.to_string(),
            (_, IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        match self.socket.port() {
            port if port == usual => host,
            port => format!("{host}:{port}"),
        }
    }

    /// This kind of address at another TCP address.
    pub(super) fn at(&self, mut tcp: Multiaddr) -> Multiaddr {
        self.suffix.iter().for_each(|part| tcp.push(part));
        tcp
    }
}

#[cfg(test)]
mod tests;
