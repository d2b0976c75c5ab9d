//! Requests and their answers: one stream for each, bytes until the end of it both ways, as rust-libp2p's request-response
//! has them.
//!
//! What holds always: every request ends, by its deadline at the latest; who gives one up is heard by the other side; what a
//! peer may have under way is bounded, in number, in bytes and, if asked for, in pace.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use carrick_wire::PeerId;

use crate::{AcceptError, Fault, IntoTarget, Node, OpenError, codec::Codec, quotas};

pub use self::error::RequestError;
pub(crate) use self::refusal::{refusal, refused};

mod ask;
mod error;
mod refusal;
mod serve;

/// A kind of request: the protocol that names it, the types of question and answer, how they become bytes, and limits. Both
/// sides of a protocol may use the same. Cheap to clone.
///
/// On the wire it is rust-libp2p's request-response: a stream for each request, which holds the question's bytes up to the
/// asker's end, and then the answer's. [`Cbor`](crate::codec::Cbor) and [`Json`](crate::codec::Json) are those that it brings.
///
/// Whoever drops the future of [`Node::request`], or waits for longer than [`timeout`](Self::timeout), resets the stream, and
/// the future of the handler on the other side is dropped. A refusal is a reset, too, with libp2p's code for the reason:
/// *rate limited* and *resource limit* are [`RequestError::Busy`], which therefore cannot say here when to come again.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{Node, Requests, codec::Raw};
///
/// let shout = Requests::<Vec<u8>, Vec<u8>, Raw>::new("/shout/1");
/// let server = Node::builder().listen("/ip4/127.0.0.1/tcp/0")?.spawn().await?;
/// server.serve(&shout, |_peer, text| async move { Ok(text.to_ascii_uppercase()) })?;
///
/// let client = Node::spawn().await?;
/// let answer = client.request(server.address(), &shout, &b"hello".to_vec()).await?;
/// assert_eq!(answer, b"HELLO");
/// # Ok(())
/// # }
/// ```
pub struct Requests<Req, Resp, C> {
    options: Options,
    types: PhantomData<fn(Req) -> (Resp, C)>,
}

#[derive(Clone, Debug)]
struct Options {
    protocol: Arc<str>,
    timeout: Duration,
    max_in_flight: usize,
    max_queued: usize,
    max_in_flight_inbound: usize,
    max_bytes_inbound: usize,
    rate: Option<(u32, Duration)>,
    max_request_bytes: usize,
    max_response_bytes: usize,
}

impl<Req, Resp, C> Requests<Req, Resp, C> {
    /// Requests under this protocol id, such as `/ping/1`, with the limits that are said below.
    pub fn new(protocol: &str) -> Self {
        Self {
            options: Options {
                protocol: protocol.into(),
                timeout: TIMEOUT,
                max_in_flight: quotas::REQUESTS_OUTBOUND_MAX,
                max_queued: quotas::REQUESTS_QUEUED_MAX,
                max_in_flight_inbound: quotas::REQUESTS_INBOUND_MAX,
                max_bytes_inbound: quotas::REQUEST_BYTES_MAX,
                rate: None,
                max_request_bytes: REQUEST_BYTES_MAX,
                max_response_bytes: RESPONSE_BYTES_MAX,
            },
            types: PhantomData,
        }
    }

    /// The protocol id.
    pub fn protocol(&self) -> &str {
        &self.options.protocol
    }

    /// How long a request may take from the call to the answer, with a dial and a wait for others if it must; and how long we
    /// take to read and answer one. 10 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.timeout = timeout)
    }

    /// How many requests to one peer are under way at once; further ones wait, first come first served. 100.
    #[must_use]
    pub fn max_in_flight(self, requests: usize) -> Self {
        self.with(|options| options.max_in_flight = requests.max(1))
    }

    /// How many requests to one peer wait for others; one more fails with [`RequestError::LimitReached`]. 4096.
    #[must_use]
    pub fn max_queued(self, requests: usize) -> Self {
        self.with(|options| options.max_queued = requests)
    }

    /// How many requests of one peer we answer at once; one more is refused and its asker gets [`RequestError::Busy`]. Give it
    /// some more than the askers' [`max_in_flight`](Self::max_in_flight), since what they give up ends here a moment later. 200.
    #[must_use]
    pub fn max_in_flight_inbound(self, requests: usize) -> Self {
        self.with(|options| options.max_in_flight_inbound = requests.max(1))
    }

    /// How many bytes the requests of one peer have that we read or answer; what goes beyond is refused as busy. 16 MiB.
    #[must_use]
    pub fn max_bytes_inbound(self, bytes: usize) -> Self {
        self.with(|options| options.max_bytes_inbound = bytes.max(1))
    }

    /// How many requests of one peer we take: `burst` at once, and one more each time `interval` has passed. What comes too
    /// early is refused as busy. Not limited unless this is called: what is under way at once is bounded anyway.
    #[must_use]
    pub fn rate(self, burst: u32, interval: Duration) -> Self {
        self.with(|options| options.rate = Some((burst.max(1), interval)))
    }

    /// The largest request in bytes, ours and others'. A larger one of ours is not sent. 1 MiB.
    #[must_use]
    pub fn max_request_bytes(self, bytes: usize) -> Self {
        self.with(|options| options.max_request_bytes = bytes)
    }

    /// The largest answer in bytes, ours and others'. 10 MiB.
    #[must_use]
    pub fn max_response_bytes(self, bytes: usize) -> Self {
        self.with(|options| options.max_response_bytes = bytes)
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        self
    }
}

impl<Req, Resp, C> Clone for Requests<Req, Resp, C> {
    fn clone(&self) -> Self {
        Self {
            options: self.options.clone(),
            types: PhantomData,
        }
    }
}

impl<Req, Resp, C> fmt::Debug for Requests<Req, Resp, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requests").field(&self.options).finish()
    }
}

impl Node {
    /// Answers requests of a kind: `handler` runs for each of them, as a task of its own, as long as the node lives. It gets the
    /// peer, whom the connection has authenticated, and the question. Its future is dropped when the peer gives the request up,
    /// is banned or gone, and when [`Requests::timeout`] has passed.
    ///
    /// The error of a handler is counted against the peer as far as it says so, see [`Fault`], and resets the stream. A
    /// [`RequestError`] becomes the code for what it says; it tells nothing of this peer, whatever it was made from.
    ///
    /// # Errors
    /// The protocol is registered already, or is not a protocol id.
    pub fn serve<Req, Resp, C, F, R>(
        &self,
        requests: &Requests<Req, Resp, C>,
        handler: F,
    ) -> Result<(), AcceptError>
    where
        Req: Send + 'static,
        Resp: Send + 'static,
        C: Codec<Req> + Codec<Resp> + 'static,
        F: Fn(PeerId, Req) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Resp, Fault>> + Send + 'static,
    {
        serve::register::<Req, Resp, C, F, R>(self, &requests.options, handler)
    }

    /// Asks the target, and waits for the answer. Dials if there is no connection. Dropping the future cancels the request, also
    /// on the other side.
    ///
    /// An answer that does not decode, or is too large, is counted against the peer.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request<Req, Resp, C>(
        &self,
        target: impl IntoTarget,
        requests: &Requests<Req, Resp, C>,
        request: &Req,
    ) -> Result<Resp, RequestError>
    where
        C: Codec<Req> + Codec<Resp>,
    {
        let options = &requests.options;
        let bytes =
            C::encode(request).map_err(|error| RequestError::Malformed(error.to_string()))?;
        let target = target.into_target().map_err(OpenError::from)?;
        let (peer, answer) = ask::ask(self, target, options, &bytes).await?;
        match C::decode(answer.clone()) {
            Ok(answer) => Ok(answer),
            // Whoever ends a stream without a word has no answer.
            Err(_) if answer.is_empty() => Err(RequestError::Failed("no answer".to_owned())),
            Err(error) => {
                let fault = Fault::from(error);
                self.core.blame(peer, &fault, "request").await;
                Err(RequestError::Malformed(fault.to_string()))
            }
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// As rust-libp2p has them.
const REQUEST_BYTES_MAX: usize = 1 << 20;
const RESPONSE_BYTES_MAX: usize = 10 << 20;
