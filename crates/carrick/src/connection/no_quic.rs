//! Stands in for connections over QUIC in a build without it: there are none, and the compiler knows.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use carrick_protocols::packets::{Flow, Stats, TooManyFlows, Violation};
use carrick_session::Code;
use tokio::{io::ReadBuf, sync::Notify};

use super::{Channel, Shared};
use crate::{
    ConnectionError, StreamError,
    quotas::Share,
    transport::quic::{Connection, Never, Secured},
};

pub(crate) struct Quic(Never);

impl Quic {
    pub(crate) fn new(secured: Secured, _: usize, _: &carrick_session::Config) -> Self {
        Self(secured.connection.0)
    }

    pub(crate) async fn open(&self, _: usize) -> Result<QuicChannel, ConnectionError> {
        match self.0 {}
    }

    pub(crate) fn must_speak(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn datagrams(&self) -> &Arc<Datagrams> {
        match self.0 {}
    }

    pub(crate) fn connection(&self) -> &Connection {
        match self.0 {}
    }

    pub(crate) fn widen(&self, _: &Arc<Share>) {
        match self.0 {}
    }

    pub(crate) fn go_away(&self) {
        match self.0 {}
    }

    pub(crate) fn close(&self, _: Code) {
        match self.0 {}
    }

    pub(crate) fn lose(&self, _: ConnectionError) {
        match self.0 {}
    }

    pub(crate) fn expel(&self, _: Code, _: ConnectionError) {
        match self.0 {}
    }

    pub(crate) fn lost(&self) -> Option<ConnectionError> {
        match self.0 {}
    }

    pub(crate) fn is_open(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn streams(&self) -> usize {
        match self.0 {}
    }
}

pub(crate) async fn run(shared: Arc<Shared>, _: Option<Duration>, _: impl FnMut(Channel) + Send) {
    match shared.quic().0 {}
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Writer,
    Reader,
}

#[derive(Debug)]
pub(crate) struct QuicChannel(Never);

impl QuicChannel {
    pub(crate) fn id(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn poll_read(
        &mut self,
        _: &Quic,
        _: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        match self.0 {}
    }

    pub(crate) fn poll_fill(
        &mut self,
        _: &Quic,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), StreamError>> {
        match self.0 {}
    }

    pub(crate) fn poll_write(
        &mut self,
        _: &Quic,
        _: &mut Context<'_>,
        _: Role,
        _: &mut Vec<u8>,
        _: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        match self.0 {}
    }

    pub(crate) async fn unwanted(&mut self, _: &Quic) -> StreamError {
        match self.0 {}
    }

    pub(crate) fn finish(&mut self, _: &Quic) -> Result<(), StreamError> {
        match self.0 {}
    }

    pub(crate) fn reset(&mut self, _: Code) {
        match self.0 {}
    }

    pub(crate) fn stop(&mut self, _: Code) {
        match self.0 {}
    }

    pub(crate) fn refuse(&mut self, _: &Quic, _: Code) {
        match self.0 {}
    }

    pub(crate) fn release_unless_unanswered(self: Box<Self>, _: &Quic, _: bool) {
        match self.0 {}
    }
}

pub(crate) struct Datagrams(Never);

impl Datagrams {
    pub(crate) fn are_enabled(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn start(&self) -> bool {
        match self.0 {}
    }

    pub(crate) async fn read_all(&self) -> Option<Violation> {
        match self.0 {}
    }

    pub(crate) fn open(&self, _: u64) -> Result<Arc<Notify>, TooManyFlows> {
        match self.0 {}
    }

    pub(crate) fn close(&self, _: u64) -> Option<Flow> {
        match self.0 {}
    }

    pub(crate) fn read(&self, _: u64, _: &mut VecDeque<Bytes>) {
        match self.0 {}
    }

    pub(crate) fn stats(&self, _: u64) -> Option<Stats> {
        match self.0 {}
    }

    pub(crate) fn strays(&self) -> u64 {
        match self.0 {}
    }

    pub(crate) fn max_payload(&self, _: u64) -> usize {
        match self.0 {}
    }

    pub(crate) fn send(self: &Arc<Self>, _: u64, _: &[u8]) -> Result<(), usize> {
        match self.0 {}
    }

    pub(crate) async fn drained(&self, _: u64) {
        match self.0 {}
    }
}
