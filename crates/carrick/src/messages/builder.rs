//! How the messages of a protocol are set up.

use std::{sync::Arc, time::Duration};

use carrick_protocols::messages::{Limits, Rate};
use carrick_wire::messages;

use super::{Messages, Switcher, inner::Inner, serve::serve};
use crate::{AcceptError, Node, target::parse_protocol};

/// On which streams requests and one-way messages leave. It is the asker's choice; whoever answers takes both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A stream for each: large ones do not delay others, and who gives one up resets its stream. A stream costs a few
    /// frames more than a message alone.
    #[default]
    StreamPerRequest,
    /// One stream for all that goes to one peer, in lanes by priority: for many small messages. It is opened when it is first
    /// needed, again when it was lost, and closed when it was idle for a while. A message waits for the one that is being sent,
    /// and for the peer to take those before it.
    Multiplexed,
}

/// Sets up the messages of a protocol: see [`Messages::builder`].
#[derive(Debug)]
#[must_use = "it does nothing until it is started"]
pub struct MessagesBuilder {
    protocol: String,
    domain: Vec<u8>,
    switcher: Switcher,
    pub(super) options: Options,
}

#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) form: Form,
    pub(super) timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) rate: Option<Rate>,
    pub(super) budget_bytes: usize,
    pub(super) limits: Limits,
}

impl MessagesBuilder {
    pub(super) fn new(protocol: &str) -> Self {
        let limits = Limits {
            in_flight_max: 100,
            ..Limits::default()
        };
        Self {
            protocol: protocol.to_owned(),
            domain: Vec::new(),
            switcher: Switcher::new(),
            options: Options {
                form: Form::default(),
                timeout: Duration::from_secs(10),
                idle_timeout: Duration::from_secs(10),
                rate: None,
                budget_bytes: 1 << 20,
                limits,
            },
        }
    }

    /// On which streams messages leave.
    pub fn form(mut self, form: Form) -> Self {
        self.options.form = form;
        self
    }

    /// What the protocol is used for here, such as the network's name: peers with another domain do not understand each
    /// other. Empty by default.
    pub fn domain(mut self, domain: impl AsRef<[u8]>) -> Self {
        self.domain = domain.as_ref().to_vec();
        self
    }

    /// The deadline of each request, 10 s by default. There is no request without one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Requests that may be under way between us and one peer, in each direction: 100 by default. Ours wait for their turn
    /// beyond it, the peer's are refused as busy.
    pub fn max_in_flight(mut self, count: usize) -> Self {
        self.options.limits.in_flight_max = count.max(1);
        self
    }

    /// How often one peer may ask or tell us something; unlimited by default. Requests beyond it are refused as busy, and told
    /// when to come back; one-way messages are dropped. Both are counted.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.options.rate = Some(rate);
        self
    }

    /// The largest message, 1 MiB by default; both sides must agree.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.options.limits.payload_max = bytes;
        self
    }

    /// Bytes of one peer's messages that may be with us, in mailboxes, with handlers and on their way in: 1 MiB by default.
    /// When they are used up, nothing more is read from the peer; what it sends meanwhile waits in the windows of its streams.
    pub fn peer_budget_bytes(mut self, bytes: usize) -> Self {
        self.options.budget_bytes = bytes;
        self
    }

    /// After how long without a message the stream of [`Form::Multiplexed`] is closed, so that it keeps no connection alive:
    /// 10 s by default.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.idle_timeout = timeout;
        self
    }

    /// Who takes the messages that come. Without it the protocol is not served here.
    pub fn switcher(mut self, switcher: Switcher) -> Self {
        self.switcher = switcher;
        self
    }

    /// Starts: from now on peers are answered, if there is a switcher, as long as the node lives.
    ///
    /// # Errors
    /// The protocol is registered already, or is not a protocol id.
    pub fn start(self, node: &Node) -> Result<Messages, AcceptError> {
        let protocol = parse_protocol(&self.protocol)?;
        let tag = messages::tag(protocol.as_str(), &self.domain);
        let serves = !self.switcher.is_empty();
        let timeout = self.options.timeout;
        let inner = Inner::new(node.downgrade(), protocol, tag, self.options, self.switcher);
        let inner = Arc::new(inner);
        if serves {
            let inner = inner.clone();
            node.handle(&self.protocol, move |stream| serve(inner.clone(), stream))?;
        }
        Ok(Messages { inner, timeout })
    }
}
