//! Stands in for QUIC in a build without it: no address is for it, and of what it would make there are no values.

use std::{io, sync::Arc, time::Duration};

use carrick_swarm::AttemptError;
use carrick_wire::{Keypair, Multiaddr, PeerId, PublicKey};

use crate::{metrics::Traffic, proofs::RecentProofs};

/// Has no values.
#[derive(Debug)]
pub(crate) enum Never {}

#[derive(Debug)]
pub(crate) struct Quic;

impl Quic {
    pub(crate) fn new(
        _: &Keypair,
        _: &carrick_session::Config,
        _: usize,
        _: Arc<RecentProofs>,
        _: Traffic,
    ) -> Option<Self> {
        Some(Self)
    }

    pub(crate) async fn dial(
        &self,
        _: &Multiaddr,
        _: Option<PeerId>,
    ) -> Result<Secured, AttemptError> {
        Err(AttemptError::NoTransport)
    }

    pub(crate) fn listen(&self, _: &Multiaddr) -> io::Result<QuicListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) async fn secure(&self, knock: Knock) -> Result<Secured, AttemptError> {
        match knock.0 {}
    }

    pub(crate) async fn close(&self) {}
}

pub(crate) fn can_handle(_: &Multiaddr) -> bool {
    false
}

#[derive(Debug)]
pub(crate) struct Connection(pub(crate) Never);

impl Connection {
    pub(crate) fn rtt(&self) -> Duration {
        match self.0 {}
    }

    pub(crate) fn local_ip(&self) -> Option<std::net::IpAddr> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) connection: Connection,
    pub(crate) peer: PeerId,
    pub(crate) key: PublicKey,
}

#[derive(Debug)]
pub(crate) struct QuicListener(Never);

impl QuicListener {
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        match self.0 {}
    }

    pub(crate) async fn accept(&mut self) -> Option<Knock> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Knock(Never);

impl Knock {
    pub(crate) fn remote(&self) -> &Multiaddr {
        match self.0 {}
    }

    pub(crate) fn is_validated(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn refuse(self, _: &carrick_swarm::Refused) {
        match self.0 {}
    }
}
