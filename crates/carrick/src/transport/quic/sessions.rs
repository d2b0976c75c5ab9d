//! Peers that were met before: with the ticket of an earlier connection to the same peer, a handshake needs no certificates,
//! no signatures and fewer bytes.
//!
//! Sound, since who resumes has proven who he is in the handshake that the ticket comes from: only the two ends of that one
//! know the ticket's secret, and both must use it (with fresh keys besides: RFC 8446 §4.2.9, `psk_dhe_ke`). rustls keeps the
//! certificates of both ends with it. A peer's tickets are kept by themselves and offered to nobody else, a ticket serves
//! once, and nothing is sent before the handshake is done (no 0-RTT). Without an expected peer nothing is resumed.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use carrick_session::{TlsIdentity, tls::Refusal};
use carrick_wire::PeerId;
use quinn::{
    crypto::rustls::{NoInitialCipherSuite, QuicClientConfig},
    rustls::{
        ClientConfig, NamedGroup, ServerConfig,
        client::{
            ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
        },
        pki_types::ServerName,
        server::ServerSessionMemoryCache,
    },
};
use tokio::sync::Notify;

use super::ALPN;

/// What connections to one peer share.
pub(super) struct Towards {
    pub(super) crypto: Arc<QuicClientConfig>,
    pub(super) refusal: Refusal,
    pub(super) tickets: Option<Arc<Tickets>>,
}

/// The peers that were met last.
#[derive(Default)]
pub(super) struct Sessions {
    /// The one met last stands last.
    met: Mutex<VecDeque<(PeerId, Arc<Towards>)>>,
}

impl Sessions {
    /// For a connection to this peer.
    pub(super) fn towards(
        &self,
        tls: &TlsIdentity,
        expected: Option<PeerId>,
    ) -> Result<Arc<Towards>, NoInitialCipherSuite> {
        let met = self.met();
        if let Some((_, towards)) = met.iter().rev().find(|(peer, _)| Some(*peer) == expected) {
            return Ok(towards.clone());
        }
        drop(met);
        let (config, refusal, tickets) = client(tls, expected);
        Ok(Arc::new(Towards {
            crypto: Arc::new(QuicClientConfig::try_from(config)?),
            refusal,
            tickets,
        }))
    }

    /// The peer was met.
    pub(super) fn keep(&self, peer: PeerId, towards: Arc<Towards>) {
        let mut met = self.met();
        let before = met.iter().position(|(known, _)| *known == peer);
        // What others have kept meanwhile stays: it may have tickets.
        let kept = before.and_then(|at| met.remove(at));
        if kept.is_none() && met.len() >= PEERS_MAX {
            met.pop_front();
        }
        met.push_back(kept.unwrap_or((peer, towards)));
    }

    /// The handshake has failed: a refusal is told once only.
    pub(super) fn forget(&self, peer: PeerId) {
        self.met().retain(|(known, _)| *known != peer);
    }

    fn met(&self) -> MutexGuard<'_, VecDeque<(PeerId, Arc<Towards>)>> {
        // The list is whole whatever a panicking holder did.
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(
    tls: &TlsIdentity,
    expected: Option<PeerId>,
) -> (ClientConfig, Refusal, Option<Arc<Tickets>>) {
    let (mut config, refusal) = tls.client_config(expected, vec![ALPN.to_vec()]);
    let tickets = expected.map(|_| Arc::<Tickets>::default());
    if let Some(tickets) = &tickets {
        config.resumption = Resumption::store(tickets.clone());
    }
    (config, refusal, tickets)
}

/// For those who dial us.
pub(super) fn server(tls: &TlsIdentity) -> ServerConfig {
    let mut config = tls.server_config(vec![ALPN.to_vec()]);
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    config.send_tls13_tickets = 1;
    config
}

/// The newest tickets of one peer.
#[derive(Default)]
pub(crate) struct Tickets {
    all: Mutex<VecDeque<Tls13ClientSessionValue>>,
    came: Notify,
}

impl Tickets {
    /// Waits until there is one. Cancel-safe.
    pub(crate) async fn some(&self) {
        loop {
            // Made before the look: what comes right after it is not missed.
            let came = self.came.notified();
            if self.are_some() {
                return;
            }
            came.await;
        }
    }

    /// Whether there is one.
    pub(crate) fn are_some(&self) -> bool {
        !self.all().is_empty()
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Tls13ClientSessionValue>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut all = self.all();
        if all.len() >= TICKETS_MAX {
            all.pop_front();
        }
        all.push_back(ticket);
        drop(all);
        self.came.notify_waiters();
    }

    fn take_tls13_ticket(&self, _: &ServerName<'_>) -> Option<Tls13ClientSessionValue> {
        self.all().pop_back()
    }

    // Nothing is offered besides TLS 1.3 and its first key exchange, so there is nothing to remember of the others.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

/// Peers whose tickets we keep.
const PEERS_MAX: usize = 64;
/// Tickets of one peer: one for now, one for who dials twice at once. Each is less than 64 KiB, mostly 1 KiB.
const TICKETS_MAX: usize = 2;
/// Connections that those who dialed us may resume; about 1 KiB each. The oldest make room.
const SESSIONS_MAX: usize = 256;

#[cfg(test)]
mod tests;
