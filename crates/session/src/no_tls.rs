//! Stands in for TLS in a build without it: the same names, of which there are no values.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use carrick_wire::{PeerId, ProtocolId};

use crate::{Layout, Proof, Records, Role, SecureError};

pub(crate) const PROTOCOL: ProtocolId = ProtocolId::from_static("/tls/1.0.0");

#[derive(Debug)]
enum Never {}

/// There is none: this build has no TLS.
#[derive(Debug)]
pub struct TlsIdentity(Never);

#[derive(Debug)]
pub(crate) struct Handshake(Never);

impl Handshake {
    pub(crate) fn new(
        _: Role,
        identity: Arc<TlsIdentity>,
        _: Option<PeerId>,
    ) -> Result<Self, SecureError> {
        match identity.0 {}
    }

    pub(crate) fn recv(&mut self, _: &mut BytesMut) -> Result<(), SecureError> {
        match self.0 {}
    }

    pub(crate) fn poll_transmit(&mut self, _: &mut Vec<u8>) -> bool {
        match self.0 {}
    }

    pub(crate) fn finish(&mut self) -> Result<Option<(Opener, Sealer, Proof)>, SecureError> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Opener(Never);

impl Opener {
    pub(crate) fn open(&mut self, _: &mut BytesMut) -> Result<Option<Bytes>, SecureError> {
        match self.0 {}
    }

    pub(crate) fn ended(&self) -> bool {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Sealer(Never);

impl Sealer {
    pub(crate) const LAYOUT: Layout = Layout {
        head: 0,
        body_max: usize::MAX,
        tail: 0,
    };

    pub(crate) fn seal(&mut self, _: &mut Records) -> Result<(), SecureError> {
        match self.0 {}
    }

    pub(crate) fn close(&mut self, _: &mut Records) -> Result<(), SecureError> {
        match self.0 {}
    }
}
