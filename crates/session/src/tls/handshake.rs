//! One handshake over a pipe. `rustls` is fed record by record and never sees one that follows the handshake; the secrets
//! of those go to an opener and a sealer.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::BytesMut;
use carrick_wire::{PeerId, ProtocolId};
use rustls::{
    ClientConnection, Connection, KeyLog, ServerConfig,
    pki_types::ServerName,
    server::{Accepted, Acceptor},
};

use super::{Opener, Sealer, TlsIdentity, error, peer_key, record::next_len, transport};
use crate::{Proof, Role, SecureError};

/// The ALPN protocol that leaves the muxer to multistream-select.
const LIBP2P: &[u8] = b"libp2p";

/// What `rustls` wants to have room for when it reads.
const PART: usize = 4096;

/// Bytes of a dialer's hello, in records: four times the longest that is known, with keys for key exchanges of the next kind.
const HELLO_MAX: usize = 8 << 10;

/// One handshake in either role.
pub(crate) struct Handshake {
    role: Role,
    identity: Arc<TlsIdentity>,
    secrets: Arc<Secrets>,
    state: State,
    /// Bytes of the current record that are still to come.
    rest: usize,
    /// Bytes of records before the hello was complete.
    before_hello: usize,
    out: Vec<u8>,
}

enum State {
    /// A listener looks at the dialer's ALPN list before it decides.
    Accepting(Box<Acceptor>),
    Shaking(Box<Connection>),
    Over,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Handshake {
    /// `expected`: who was dialed, if that is known.
    pub(crate) fn new(
        role: Role,
        identity: Arc<TlsIdentity>,
        expected: Option<PeerId>,
    ) -> Result<Self, SecureError> {
        let secrets = Arc::new(Secrets::default());
        let mut handshake = Self {
            role,
            secrets: secrets.clone(),
            state: State::Accepting(Box::default()),
            rest: 0,
            before_hello: 0,
            out: Vec::new(),
            identity,
        };
        if role == Role::Dialer {
            let alpn = handshake.identity.alpn();
            let (mut config, _) = handshake.identity.client_config(expected, alpn);
            config.key_log = secrets;
            // Never sent: SNI is off.
            let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
            let connection = ClientConnection::new(Arc::new(config), name);
            let connection = connection.map_err(|failed| error(&failed))?;
            handshake.state = State::Shaking(Box::new(connection.into()));
            handshake.collect()?;
        }
        Ok(handshake)
    }

    /// Takes records out of `buf`, and parts of them, leaving what follows the handshake's last one.
    pub(crate) fn recv(&mut self, buf: &mut BytesMut) -> Result<(), SecureError> {
        while self.is_handshaking() {
            if self.rest == 0 {
                let Some(len) = next_len(buf)? else {
                    return Ok(());
                };
                self.begin(len)?;
            }
            // `rustls` keeps what is not complete: kept here, too, it would cost a stranger's bytes twice. But it makes
            // room for so much before each part: fed less at once, it has twice as much.
            let part = self.rest.min(PART);
            if buf.len() < part {
                return Ok(());
            }
            let part = buf.split_to(part);
            self.rest -= part.len();
            let result = self.part(&part);
            // An error leaves an alert behind.
            self.collect()?;
            result?;
        }
        Ok(())
    }

    /// Moves what must be sent into `out`; false when there was nothing.
    pub(crate) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let some = !self.out.is_empty();
        out.append(&mut self.out);
        some
    }

    /// The result, once the last record was sent or received.
    pub(crate) fn finish(&mut self) -> Result<Option<(Opener, Sealer, Proof)>, SecureError> {
        let State::Shaking(connection) = &self.state else {
            return Ok(None);
        };
        if connection.is_handshaking() {
            return Ok(None);
        }
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.ok_or(SecureError::Handshake("no certificate"))?;
        let key = peer_key(certificate)?;
        let muxer = match connection.alpn_protocol() {
            Some(LIBP2P) => None,
            Some(chosen) => {
                let mut ours = self.identity.muxers.iter();
                let muxer = ours.find(|muxer| muxer.as_str().as_bytes() == chosen);
                Some(muxer.cloned().ok_or(SecureError::NoCommonMuxer)?)
            }
            None => return Err(SecureError::Handshake("the peer chose no ALPN protocol")),
        };
        let suite = connection.negotiated_cipher_suite();
        let (client, server) = (self.secrets.client.get(), self.secrets.server.get());
        let (Some(suite), Some(client), Some(server)) = (suite, client, server) else {
            return Err(SecureError::Handshake("no secrets"));
        };
        let (ours, theirs) = match self.role {
            Role::Dialer => (client, server),
            Role::Listener => (server, client),
        };
        let (opener, sealer) = transport::split(self.role, suite.suite(), ours, theirs)?;
        self.state = State::Over;
        Ok(Some((opener, sealer, Proof { key, muxer })))
    }

    /// A record of so many bytes is next.
    fn begin(&mut self, len: usize) -> Result<(), SecureError> {
        if let State::Accepting(_) = self.state {
            self.before_hello += len;
            if self.before_hello > HELLO_MAX {
                return Err(SecureError::Misbehaved("its hello is too long"));
            }
        }
        self.rest = len;
        Ok(())
    }

    fn is_handshaking(&self) -> bool {
        match &self.state {
            State::Accepting(_) => true,
            State::Shaking(connection) => connection.is_handshaking(),
            State::Over => false,
        }
    }

    fn part(&mut self, mut part: &[u8]) -> Result<(), SecureError> {
        const TOO_LONG: SecureError = SecureError::Handshake("a message is too long");
        while !part.is_empty() {
            match &mut self.state {
                State::Accepting(acceptor) => {
                    acceptor.read_tls(&mut part).map_err(|_| TOO_LONG)?;
                }
                State::Shaking(connection) => {
                    if connection.read_tls(&mut part).map_err(|_| TOO_LONG)? == 0 {
                        return Err(SecureError::Handshake("the peer has closed it"));
                    }
                    let result = connection.process_new_packets();
                    result.map_err(|failed| error(&failed))?;
                }
                State::Over => return Ok(()),
            }
        }
        let State::Accepting(acceptor) = &mut self.state else {
            return Ok(());
        };
        match acceptor.accept() {
            Ok(None) => Ok(()),
            Ok(Some(accepted)) => self.accept(accepted),
            Err((failed, mut alert)) => {
                // Writing to a Vec does not fail.
                let _ = alert.write_all(&mut self.out);
                Err(error(&failed))
            }
        }
    }

    /// The dialer's first ALPN entry that we have, too, is it; specs/connections/inlined-muxer-negotiation.
    fn accept(&mut self, accepted: Accepted) -> Result<(), SecureError> {
        let ours = self.identity.alpn();
        let theirs = accepted.client_hello().alpn();
        let Some(choice) = theirs.map(|mut theirs| {
            theirs.find_map(|their| ours.iter().find(|our| *our == their).cloned())
        }) else {
            self.out.extend_from_slice(NO_APPLICATION_PROTOCOL);
            return Err(SecureError::Handshake("the peer offers no ALPN protocol"));
        };
        // With nothing in common rustls finds that out again, and says so to the peer.
        let mut config = self
            .identity
            .server_config(choice.map_or(ours, |choice| vec![choice]));
        config.key_log = self.secrets.clone();
        match accepted.into_connection(Arc::<ServerConfig>::new(config)) {
            Ok(connection) => {
                self.state = State::Shaking(Box::new(connection.into()));
                Ok(())
            }
            Err((failed, mut alert)) => {
                let _ = alert.write_all(&mut self.out);
                Err(error(&failed))
            }
        }
    }

    fn collect(&mut self) -> Result<(), SecureError> {
        if let State::Shaking(connection) = &mut self.state {
            while connection.wants_write() {
                let written = connection.write_tls(&mut self.out);
                written.map_err(|_| SecureError::Handshake("a message cannot be written"))?;
            }
        }
        Ok(())
    }
}

impl TlsIdentity {
    /// Our muxers in our order, then what leaves the choice open.
    fn alpn(&self) -> Vec<Vec<u8>> {
        let muxers = self.muxers.iter().map(ProtocolId::as_str);
        let muxers = muxers.map(|muxer| muxer.as_bytes().to_vec());
        muxers.chain([LIBP2P.to_vec()]).collect()
    }
}

/// The fatal alert of that name, as a whole record (RFC 7301, section 3.2).
const NO_APPLICATION_PROTOCOL: &[u8] = &[21, 3, 3, 0, 2, 2, 120];

/// Catches the traffic secrets of one connection.
#[derive(Default)]
struct Secrets {
    client: OnceLock<Vec<u8>>,
    server: OnceLock<Vec<u8>>,
}

impl Secrets {
    fn named(&self, label: &str) -> Option<&OnceLock<Vec<u8>>> {
        match label {
            "CLIENT_TRAFFIC_SECRET_0" => Some(&self.client),
            "SERVER_TRAFFIC_SECRET_0" => Some(&self.server),
            _ => None,
        }
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if let Some(place) = self.named(label) {
            let _ = place.set(secret.to_vec());
        }
    }

    fn will_log(&self, label: &str) -> bool {
        self.named(label).is_some()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests;
