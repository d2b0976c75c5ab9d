//! Ping, ping/ping.md: 32 bytes there, the same 32 bytes back, on one stream as often as wanted.
//! [`Pinger`] measures on the outbound stream, [`Responder`] echoes on the inbound one.

use std::time::{Duration, Instant};

use carrick_wire::ProtocolId;

/// `/ipfs/ping/1.0.0`
pub const PROTOCOL: ProtocolId = ProtocolId::from_static("/ipfs/ping/1.0.0");
/// Bytes of a ping.
pub const PAYLOAD_LEN: usize = 32;
/// Inbound ping streams of one connection: the spec lets us refuse a third.
pub const INBOUND_MAX: usize = 2;
/// Time for the echo.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What broke a ping; its stream should be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// Other bytes came back than were sent.
    #[error("the echo differs from the ping")]
    Mismatch,
    /// Bytes came back that no ping asked for.
    #[error("unsolicited bytes on a ping stream")]
    Unsolicited,
    /// No echo within [`TIMEOUT`].
    #[error("no echo within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The stream ended inside a ping.
    #[error("the stream ended after {received} of {PAYLOAD_LEN} bytes")]
    Truncated {
        /// Bytes of the last ping that did arrive.
        received: usize,
    },
}

/// The outbound side of one stream: `Idle → Waiting → Idle`; an error is final.
#[derive(Debug, Default)]
pub struct Pinger {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Waiting {
        sent: Instant,
        payload: [u8; PAYLOAD_LEN],
        received: usize,
    },
    Failed(PingError),
}

impl Pinger {
    /// Begins a ping; the bytes returned are to be sent at once. `payload` should be random.
    /// A ping that is under way is forgotten, so wait for its end before the next.
    pub fn start(&mut self, now: Instant, payload: [u8; PAYLOAD_LEN]) -> [u8; PAYLOAD_LEN] {
        debug_assert!(matches!(self.state, State::Idle), "one ping at a time");
        self.state = State::Waiting {
            sent: now,
            payload,
            received: 0,
        };
        payload
    }

    /// Takes received bytes; the round trip's time once the echo is whole.
    ///
    /// # Errors
    /// Bytes that are not the echo.
    pub fn recv(&mut self, now: Instant, bytes: &[u8]) -> Result<Option<Duration>, PingError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let (sent, payload, received) = match &mut self.state {
            State::Waiting {
                sent,
                payload,
                received,
            } => (*sent, payload, received),
            State::Idle => return self.fail(PingError::Unsolicited),
            State::Failed(error) => return Err(*error),
        };
        let expected = &payload[*received..];
        let (echo, rest) = bytes.split_at(bytes.len().min(expected.len()));
        if !expected.starts_with(echo) {
            return self.fail(PingError::Mismatch);
        }
        if !rest.is_empty() {
            return self.fail(PingError::Unsolicited);
        }
        *received += echo.len();
        if *received < PAYLOAD_LEN {
            return Ok(None);
        }
        self.state = State::Idle;
        Ok(Some(now.saturating_duration_since(sent)))
    }

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// When an echo is still due.
    pub fn finish(&self) -> Result<(), PingError> {
        match self.state {
            State::Idle => Ok(()),
            State::Waiting { received, .. } => Err(PingError::Truncated { received }),
            State::Failed(error) => Err(error),
        }
    }

    /// When the echo is overdue.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { sent, .. } => Some(sent + TIMEOUT),
            State::Idle | State::Failed(_) => None,
        }
    }

    /// Checks the time.
    ///
    /// # Errors
    /// The echo is overdue.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), PingError> {
        match self.poll_timeout() {
            Some(deadline) if now >= deadline => self.fail(PingError::Timeout),
            _ => Ok(()),
        }
    }

    fn fail<T>(&mut self, error: PingError) -> Result<T, PingError> {
        self.state = State::Failed(error);
        Err(error)
    }
}

/// The inbound side of one stream: sends back whole pings.
#[derive(Debug, Default)]
pub struct Responder {
    block: [u8; PAYLOAD_LEN],
    filled: usize,
}

impl Responder {
    /// Takes received bytes, appends every ping that is whole to `out`. Feed it no more before `out`
    /// is sent: the other side's pace is ours.
    pub fn recv(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        if self.filled > 0 {
            let (head, rest) = bytes.split_at(bytes.len().min(PAYLOAD_LEN - self.filled));
            self.keep(head);
            bytes = rest;
            if self.filled < PAYLOAD_LEN {
                return;
            }
            out.extend_from_slice(&self.block);
            self.filled = 0;
        }
        let (whole, tail) = bytes.split_at(bytes.len() - bytes.len() % PAYLOAD_LEN);
        out.extend_from_slice(whole);
        self.keep(tail);
    }

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// When it comes inside a ping.
    pub fn finish(&self) -> Result<(), PingError> {
        match self.filled {
            0 => Ok(()),
            received => Err(PingError::Truncated { received }),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.block[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }
}

#[cfg(test)]
mod tests;
