//! The node under test: its addresses, and what each of them offers.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

use crate::{case::Need, listener::Listener};

/// How an address is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// WebSocket on TCP, without TLS around it.
    WebSocket,
    /// QUIC version 1.
    Quic,
}

/// What may be negotiated at an address. QUIC has all of it built in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// `/noise`.
    pub noise: bool,
    /// `/tls/1.0.0`.
    pub tls: bool,
    /// `/yamux/1.0.0`, in whichever security there is.
    pub yamux: bool,
    /// `/mplex/6.7.0`, in whichever security there is.
    pub mplex: bool,
}

impl Offers {
    /// All of it.
    pub const ALL: Self = Self {
        noise: true,
        tls: true,
        yamux: true,
        mplex: true,
    };
}

impl fmt::Display for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.noise, "noise"),
            (self.tls, "tls"),
            (self.yamux, "yamux"),
            (self.mplex, "mplex"),
        ];
        let offered = all.iter().filter(|(is_offered, _)| *is_offered);
        let names: Vec<_> = offered.map(|(_, name)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

/// One address.
#[derive(Clone, Debug)]
pub struct Place {
    /// As it was given.
    pub text: String,
    /// How it is dialed.
    pub transport: Transport,
    /// Where.
    pub socket: SocketAddr,
    /// Whom one should meet there.
    pub peer: PeerId,
    /// What was found there.
    pub offers: Offers,
    /// The program that listens there, and which of its addresses this is, if it was started here.
    pub listener: Option<(Arc<Listener>, usize)>,
}

impl Place {
    /// Reads `/ip4/…/tcp/…[/ws]/p2p/…` or `/ip4/…/udp/…/quic-v1/p2p/…`; names are looked up.
    pub async fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text}: {why}");
        let address: Multiaddr = text.parse().map_err(|error| format!("{text}: {error}"))?;
        let (mut host, mut port, mut transport, mut peer) = (None, None, None, None);
        for protocol in &address {
            match protocol {
                Protocol::Ip4(ip) => host = Some(IpAddr::from(ip).to_string()),
                Protocol::Ip6(ip) => host = Some(IpAddr::from(ip).to_string()),
                Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => {
                    host = Some(name.into_owned());
                }
                Protocol::Tcp(number) => (port, transport) = (Some(number), Some(Transport::Tcp)),
                Protocol::Udp(number) => port = Some(number),
                Protocol::Ws(path) if path == "/" => transport = Some(Transport::WebSocket),
                Protocol::QuicV1 => transport = Some(Transport::Quic),
                Protocol::P2p(id) => peer = Some(id),
                _ => return Err(wrong("only TCP, /ws and /quic-v1 are dialed")),
            }
        }
        let (Some(host), Some(port), Some(transport)) = (host, port, transport) else {
            return Err(wrong("no host, port or transport"));
        };
        let Some(peer) = peer else {
            return Err(wrong("the peer id is missing: /p2p/… at the end"));
        };
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let mut found = found.map_err(|error| format!("{text}: {error}"))?;
        Ok(Self {
            text: text.to_owned(),
            transport,
            socket: found
                .next()
                .ok_or_else(|| wrong("the name has no address"))?,
            peer,
            offers: Offers::default(),
            listener: None,
        })
    }

    /// Where it is now: a program that was started here, and anew, has other ports and perhaps another identity.
    pub(crate) async fn now(&self) -> Result<Self, String> {
        let Some((listener, index)) = &self.listener else {
            return Ok(self.clone());
        };
        let process = listener.process().await?;
        let now = process.place(*index).unwrap_or(self);
        Ok(Self {
            socket: now.socket,
            peer: now.peer,
            ..self.clone()
        })
    }

    fn meets(&self, need: Need) -> bool {
        let (offers, tcp) = (self.offers, self.transport == Transport::Tcp);
        let pipe = self.transport != Transport::Quic;
        match need {
            Need::Pipe => pipe,
            Need::Noise => tcp && offers.noise,
            Need::Tls => tcp && offers.tls,
            Need::Yamux => pipe && offers.noise && offers.yamux,
            Need::Mplex => pipe && offers.noise && offers.mplex,
            Need::Streams => {
                !pipe || (offers.noise || offers.tls) && (offers.yamux || offers.mplex)
            }
            Need::WebSocket => self.transport == Transport::WebSocket,
            Need::Quic => !pipe,
        }
    }
}

/// All addresses: of one node, or of several nodes of one stack that are configured differently.
#[derive(Clone, Debug)]
pub struct Target {
    /// At least one.
    pub places: Vec<Place>,
}

impl Target {
    /// How often listeners that were started here were started anew.
    pub(crate) fn restarts(&self) -> usize {
        let first = self
            .places
            .iter()
            .filter_map(|place| match &place.listener {
                Some((listener, 0)) => Some(listener.restarts()),
                _ => None,
            });
        first.sum()
    }

    /// The first address that will do, TCP before others.
    pub fn place(&self, need: Need) -> Option<&Place> {
        let order = [Transport::Tcp, Transport::WebSocket, Transport::Quic];
        let of = |transport| self.places.iter().filter(move |p| p.transport == transport);
        let mut places = order.into_iter().flat_map(of);
        places.find(|place| place.meets(need))
    }
}
