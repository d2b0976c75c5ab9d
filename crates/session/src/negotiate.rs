//! multistream-select 1.0, dialer and listener: used for security, muxer and every stream.
//!
//! Both machines take bytes of any chunking and say how many they used: what follows the negotiation is left to the
//! protocol. A dialer is optimistic by nature: header and first proposal leave at once, and whoever drives it may send
//! data behind them without waiting for the answer when only one protocol is proposed.
//! Source: multiformats/multistream-select.

use carrick_wire::{
    ProtocolId,
    multistream::{MESSAGE_MAX, Message},
};

use crate::NegotiateError;

/// Proposals that a listener answers before it gives up on a dialer.
pub const PROPOSALS_MAX: usize = 64;

/// The dialer's side: proposes protocols in order of preference until one is accepted.
#[derive(Debug)]
pub struct Dialer {
    protocols: Vec<ProtocolId>,
    proposed: usize,
    header: bool,
    agreed: bool,
    decoder: Decoder,
    out: Vec<u8>,
}

impl Dialer {
    /// Proposes `protocols` in this order.
    pub fn new(protocols: Vec<ProtocolId>) -> Self {
        let mut dialer = Self {
            protocols,
            proposed: 0,
            header: false,
            agreed: false,
            decoder: Decoder::default(),
            out: Vec::new(),
        };
        Message::Header.encode(&mut dialer.out);
        dialer.propose();
        dialer
    }

    /// Takes bytes from the peer and returns how many of them belonged to the negotiation.
    pub fn recv(&mut self, bytes: &[u8]) -> Result<usize, NegotiateError> {
        let mut used = 0;
        while !self.agreed && used < bytes.len() {
            let (n, message) = self.decoder.next(&bytes[used..], self.header)?;
            used += n;
            if let Some(message) = message {
                self.answer(message)?;
            }
        }
        Ok(used)
    }

    /// Moves what must be sent into `out`; false when there was nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        transmit(&mut self.out, out)
    }

    /// The protocol agreed on, once it is.
    pub fn outcome(&self) -> Option<&ProtocolId> {
        self.protocols.get(self.proposed).filter(|_| self.agreed)
    }

    fn answer(&mut self, message: Message) -> Result<(), NegotiateError> {
        match (self.header, message) {
            (false, Message::Header) => self.header = true,
            (false, _) => {
                return Err(NOT_THE_HEADER);
            }
            (true, Message::NotAvailable) => {
                self.proposed += 1;
                if self.proposed >= self.protocols.len() {
                    return Err(NegotiateError::Unsupported(std::mem::take(
                        &mut self.protocols,
                    )));
                }
                self.propose();
            }
            (true, Message::Protocol(protocol))
                if self.protocols.get(self.proposed) == Some(&protocol) =>
            {
                self.agreed = true;
            }
            (true, Message::Protocol(_)) => {
                return Err(NegotiateError::Violation(
                    "the answer names another protocol than was proposed",
                ));
            }
            (true, Message::Header | Message::ListProtocols | Message::Protocols(_)) => {
                return Err(NegotiateError::Violation("not an answer to a proposal"));
            }
        }
        Ok(())
    }

    fn propose(&mut self) {
        if let Some(protocol) = self.protocols.get(self.proposed) {
            Message::Protocol(protocol.clone()).encode(&mut self.out);
        }
    }
}

/// What a listener is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The dialer wants this protocol: answer with [`Listener::accept`] or [`Listener::refuse`].
    Protocol(ProtocolId),
    /// The dialer wants to know all protocols: answer with [`Listener::list`].
    List,
}

/// The listener's side: shows each request to its driver, which answers.
#[derive(Debug, Default)]
pub struct Listener {
    header: bool,
    pending: Option<ProtocolId>,
    agreed: Option<ProtocolId>,
    proposals: usize,
    decoder: Decoder,
    out: Vec<u8>,
}

impl Listener {
    /// A listener that has not heard anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes until a request is complete; returns how many were used and the request. Must not be called
    /// again before a request for a protocol was answered.
    pub fn recv(&mut self, bytes: &[u8]) -> Result<(usize, Option<Request>), NegotiateError> {
        let mut used = 0;
        while self.agreed.is_none() && self.pending.is_none() && used < bytes.len() {
            let (n, message) = self.decoder.next(&bytes[used..], self.header)?;
            used += n;
            let Some(message) = message else { continue };
            if let Some(request) = self.ask(message)? {
                return Ok((used, Some(request)));
            }
        }
        Ok((used, None))
    }

    /// Confirms the protocol that was asked for: the negotiation is over.
    pub fn accept(&mut self) {
        if let Some(protocol) = self.pending.take() {
            Message::Protocol(protocol.clone()).encode(&mut self.out);
            self.agreed = Some(protocol);
        }
    }

    /// Refuses the protocol that was asked for; the dialer may propose another.
    pub fn refuse(&mut self) {
        self.pending = None;
        Message::NotAvailable.encode(&mut self.out);
    }

    /// Answers a [`Request::List`].
    pub fn list(&mut self, protocols: Vec<ProtocolId>) {
        Message::Protocols(protocols).encode(&mut self.out);
    }

    /// Moves what must be sent into `out`; false when there was nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        transmit(&mut self.out, out)
    }

    /// The protocol agreed on, once it is.
    pub fn outcome(&self) -> Option<&ProtocolId> {
        self.agreed.as_ref()
    }

    fn ask(&mut self, message: Message) -> Result<Option<Request>, NegotiateError> {
        if !self.header {
            let Message::Header = message else {
                return Err(NOT_THE_HEADER);
            };
            self.header = true;
            Message::Header.encode(&mut self.out);
            return Ok(None);
        }
        self.proposals += 1;
        if self.proposals > PROPOSALS_MAX {
            return Err(NegotiateError::Violation("too many proposals"));
        }
        match message {
            Message::Protocol(protocol) => {
                self.pending = Some(protocol.clone());
                Ok(Some(Request::Protocol(protocol)))
            }
            Message::ListProtocols => Ok(Some(Request::List)),
            Message::Header | Message::NotAvailable | Message::Protocols(_) => {
                Err(NegotiateError::Violation("not a proposal"))
            }
        }
    }
}

const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";
const NOT_THE_HEADER: NegotiateError =
    NegotiateError::Violation("the first message is not the header");

/// Cuts a byte stream of any chunking into messages; holds at most one incomplete message.
#[derive(Debug, Default)]
struct Decoder {
    partial: Vec<u8>,
}

impl Decoder {
    /// Uses some of `bytes` and returns how many, with a message when one is complete. Before the header, the first byte
    /// that is not its ends the negotiation: whoever speaks something else is found out at once.
    fn next(
        &mut self,
        bytes: &[u8],
        header: bool,
    ) -> Result<(usize, Option<Message>), NegotiateError> {
        let held = self.partial.len();
        if !header
            && !HEADER[held..]
                .iter()
                .zip(bytes)
                .all(|(expected, byte)| expected == byte)
        {
            return Err(NOT_THE_HEADER);
        }
        if held == 0
            && let Some((message, used)) = Message::decode(bytes)?
        {
            return Ok((used, Some(message)));
        }
        // A message that is not complete yet is shorter than this, or decoding it would have failed.
        let take = bytes
            .len()
            .min((MESSAGE_MAX + 3).saturating_sub(held).max(1));
        self.partial.extend_from_slice(&bytes[..take]);
        match Message::decode(&self.partial)? {
            Some((message, used)) => {
                self.partial = Vec::new();
                Ok((used - held, Some(message)))
            }
            None => Ok((take, None)),
        }
    }
}

fn transmit(from: &mut Vec<u8>, to: &mut Vec<u8>) -> bool {
    let some = !from.is_empty();
    to.append(from);
    some
}

#[cfg(test)]
mod tests;
