//! From an address to a session: a transport makes the pipe, the upgrade makes the rest; QUIC makes all of it. Also its
//! mirror image, listening.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use carrick_session::{
    NegotiateError, Role, SecureError, Security, Summary, Upgrade, UpgradeError, Upgraded,
};
use carrick_swarm::{AttemptId, Limit};
use carrick_wire::{Multiaddr, PeerId, Protocol, ProtocolId, PublicKey};
use futures::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::{sleep, timeout_at},
};
use tracing::debug;

use crate::{
    AttemptError, ListenError,
    core::Core,
    message::{self, Arrival, Carrier, Listening, Message, Newcomer, Session},
    pnet,
    quotas::{ConnectionPermit, Quotas},
    steps::{self, Step},
    transport::{
        Pipe, Transport, missing,
        quic::{self, Secured},
    },
};

/// Handshake messages are small; more than this at once is the peer's first frames.
const READ_SIZE: usize = 4096;

/// Dials one address. The swarm has the deadline, and aborts the task.
pub(crate) async fn dial(
    node: &Core,
    attempt: AttemptId,
    address: Multiaddr,
    expected: Option<PeerId>,
) -> Result<Session, AttemptError> {
    let address = without_peer(address);
    if node.swarm_key.is_some() && pnet::is_beyond(&address) {
        return Err(AttemptError::PrivateNetwork);
    }
    let Some(transport) = transport(node, &address) else {
        if let Some(feature) = missing(&address) {
            return Err(AttemptError::NotBuilt(feature));
        }
        let permit = node.quotas.dial(false)?;
        let secured = node.quic.dial(&address, expected).await;
        return secured.map(|secured| over_quic(secured, permit));
    };
    let permit = node.quotas.dial(has_socket(&address))?;
    let dialed = dial_over(node, attempt, transport, address, expected, permit).await;
    dialed.map_err(|failed| pnet::hint(node.swarm_key.as_ref(), failed.into()))
}

/// Proposes one security, and dials again for the next one when the peer has refused it.
async fn dial_over(
    node: &Core,
    attempt: AttemptId,
    transport: &dyn Transport,
    address: Multiaddr,
    expected: Option<PeerId>,
    permit: ConnectionPermit,
) -> Result<Session, Failed> {
    let mut refused = Vec::new();
    for security in &node.securities {
        let pipe = transport
            .dial(address.clone())
            .await
            .map_err(|error| AttemptError::Transport(error.to_string()))?;
        steps::passed(Step::PipeDialed);
        node.send(Message::AttemptProgress { attempt }).await;
        let pipe = pnet::protect(node.swarm_key.as_ref(), pipe);
        let proposed = vec![security.clone()];
        let begun = Instant::now();
        let upgrade = upgrade(node, pipe, Role::Dialer, proposed, expected, begun, &[]);
        match upgrade.await {
            Err(Failed::Upgrade(UpgradeError::Security(NegotiateError::Unsupported(_)))) => {
                refused.push(security.protocol());
            }
            result => return result.map(|made| made.with(permit)),
        }
    }
    let refused = UpgradeError::Security(NegotiateError::Unsupported(refused));
    Err(Failed::Upgrade(refused))
}

/// Whether [`dial`] could do something with the address, were it only to say better why not.
pub(crate) fn can_dial(node: &Core, address: &Multiaddr) -> bool {
    node.swarm_key.is_some() && pnet::is_beyond(address)
        || transport(node, address).is_some()
        || quic::can_handle(address)
        || missing(address).is_some()
}

/// What somebody who has come in says first. Nothing is made for them before: they may be one of many who say nothing.
pub(crate) struct FirstWords {
    bytes: [u8; FIRST_WORDS_MAX],
    len: usize,
}

/// As much as a dialer says at once that proposes Noise.
const FIRST_WORDS_MAX: usize = 64;

impl FirstWords {
    const NONE: Self = Self {
        bytes: [0; FIRST_WORDS_MAX],
        len: 0,
    };

    /// Waits for them, but not beyond the upgrade's deadline. No async fn: it would hold its arguments twice.
    pub(crate) fn hear(
        node: &Core,
        arrival: &mut Arrival,
        begun: Instant,
    ) -> impl Future<Output = io::Result<Self>> {
        steps::passed(Step::PipeAccepted);
        let by = begun + node.session_config.upgrade_timeout;
        let heard = poll_fn(|cx| match arrival {
            Arrival::Pipe(pipe) => Self::poll(pipe, cx),
            Arrival::Quic(_) => Poll::Ready(Ok(Self::NONE)),
        });
        // Who is too late is told so by the upgrade itself, and so is whoever has ended.
        timeout_at(by.into(), heard).map(|heard| heard.unwrap_or(Ok(Self::NONE)))
    }

    /// The place for them is the stack's, not the silent one's.
    fn poll(pipe: &mut Pipe, cx: &mut Context<'_>) -> Poll<io::Result<Self>> {
        let mut first = Self::NONE;
        let mut place = ReadBuf::new(&mut first.bytes);
        ready!(Pin::new(&mut pipe.reader).poll_read(cx, &mut place))?;
        first.len = place.filled().len();
        Poll::Ready(Ok(first))
    }
}

/// In a private network, what comes in is hidden.
pub(crate) fn protect(node: &Core, arrival: Arrival) -> Arrival {
    match arrival {
        Arrival::Pipe(pipe) => Arrival::Pipe(pnet::protect(node.swarm_key.as_ref(), pipe)),
        knock @ Arrival::Quic(_) => knock,
    }
}

/// Makes a session with who came in, and is [protected](protect).
pub(crate) async fn upgrade_inbound(
    node: &Core,
    arrival: Arrival,
    first: io::Result<FirstWords>,
    permit: ConnectionPermit,
    begun: Instant,
) -> Result<Session, AttemptError> {
    let pipe = match arrival {
        Arrival::Pipe(pipe) => pipe,
        Arrival::Quic(knock) => {
            let secured = node.quic.secure(*knock).await;
            return secured.map(|secured| over_quic(secured, permit));
        }
    };
    let securities = node.securities.clone();
    let upgraded = match first {
        Ok(first) => {
            let first = &first.bytes[..first.len];
            upgrade(node, pipe, Role::Listener, securities, None, begun, first).await
        }
        Err(error) => Err(AttemptError::Transport(error.to_string()).into()),
    };
    let upgraded = upgraded.map(|made| made.with(permit));
    upgraded.map_err(|failed| pnet::hint(node.swarm_key.as_ref(), failed.into()))
}

/// Binds a listener.
pub(crate) async fn listen(node: &Core, address: Multiaddr) -> Result<Listening, ListenError> {
    let bare = without_peer(address.clone());
    if node.swarm_key.is_some() && pnet::is_beyond(&bare) {
        return Err(ListenError::PrivateNetwork(address));
    }
    let permit = node.quotas.permit(Limit::FileDescriptors)?;
    let listening = match transport(node, &bare) {
        Some(transport) => {
            let listening = transport.listen(bare).await;
            listening.map(|listener| Listening::Pipes {
                listener,
                _permit: permit,
            })
        }
        None if quic::can_handle(&bare) => {
            let listening = node.quic.listen(&bare);
            listening.map(|listener| Listening::Quic {
                listener,
                _permit: permit,
            })
        }
        None => {
            return Err(match missing(&bare) {
                Some(feature) => ListenError::NotBuilt(address, feature),
                None => ListenError::NoTransport(address),
            });
        }
    };
    listening.map_err(|error| ListenError::Io {
        address,
        kind: error.kind(),
        reason: error.to_string(),
    })
}

/// Passes on everybody who comes in, until the listener has failed; gives the addresses it had last. Tells when they change.
pub(crate) async fn accept_all(
    node: &Core,
    mut listening: Listening,
    mut bound: Vec<Multiaddr>,
) -> Vec<Multiaddr> {
    let mut network = node.network.subscribe();
    loop {
        tokio::select! {
            accepted = listening.accept(&node.quotas) => match accepted {
                Some((arrival, remote, has_socket)) => {
                    pass_on(node, arrival, remote, has_socket).await;
                }
                None => return bound,
            },
            Ok(()) = network.changed() => {
                let now = listening.addresses();
                if now != bound {
                    let before = std::mem::replace(&mut bound, now.clone());
                    node.send(Message::Relisten { before, now }).await;
                }
            }
        }
    }
}

impl Listening {
    /// The addresses that peers can dial, now.
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        match self {
            Self::Pipes { listener, .. } => listener.addresses(),
            Self::Quic { listener, .. } => listener.addresses(),
        }
    }

    /// The next one that comes in, from where, and whether it has a socket of its own; `None` when the listener has failed.
    /// Cancel-safe.
    async fn accept(&mut self, quotas: &Quotas) -> Option<(Arrival, Multiaddr, bool)> {
        match self {
            Self::Pipes { listener, .. } => {
                while quotas.is_short_of_sockets() {
                    // Newcomers wait in the kernel.
                    sleep(ACCEPT_PAUSE).await;
                }
                let (pipe, remote) = listener.accept().await.ok()?;
                let has_socket = has_socket(&remote);
                Some((Arrival::Pipe(pipe), remote, has_socket))
            }
            Self::Quic { listener, .. } => {
                let knock = listener.accept().await?;
                let remote = knock.remote().clone();
                Some((Arrival::Quic(Box::new(knock)), remote, false))
            }
        }
    }
}

async fn pass_on(node: &Core, arrival: Arrival, remote: Multiaddr, has_socket: bool) {
    match node.quotas.arrival(has_socket) {
        Ok(permit) => {
            let newcomer = Newcomer {
                arrival,
                remote,
                permit,
            };
            node.send(Message::Accepted(newcomer)).await;
        }
        Err(reached) => debug!(%remote, %reached, "an inbound connection was refused"),
    }
}

/// How long accepting pauses when few sockets are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether a pipe to this address is a socket of its own.
fn has_socket(address: &Multiaddr) -> bool {
    !matches!(address.iter().next(), Some(Protocol::Memory(_)))
}

/// A session but for its permit.
struct Made {
    peer: PeerId,
    key: PublicKey,
    summary: Summary,
    upgraded: message::Upgraded,
}

impl Made {
    fn with(self, permit: ConnectionPermit) -> Session {
        Session {
            peer: self.peer,
            key: self.key,
            summary: self.summary,
            carrier: Carrier::Pipe(self.upgraded),
            permit,
        }
    }
}

fn over_quic(secured: Secured, permit: ConnectionPermit) -> Session {
    steps::passed(Step::UpgradeDone);
    Session {
        peer: secured.peer,
        key: secured.key.clone(),
        summary: Summary {
            security: ProtocolId::from_static("/tls/1.0.0"),
            muxer: ProtocolId::from_static("/quic-v1"),
            early_muxer: true,
            round_trips: 1,
        },
        carrier: Carrier::Quic(secured),
        permit,
    }
}

fn transport<'a>(node: &'a Core, address: &Multiaddr) -> Option<&'a dyn Transport> {
    node.transports
        .iter()
        .find(|transport| transport.can_handle(address))
        .map(|transport| &**transport)
}

fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if let Some(Protocol::P2p(_)) = address.iter().last() {
        address.pop();
    }
    address
}

async fn upgrade(
    node: &Core,
    mut pipe: Pipe,
    role: Role,
    securities: Vec<Security>,
    expected: Option<PeerId>,
    begun: Instant,
    first: &[u8],
) -> Result<Made, Failed> {
    let config = node.session_config.clone();
    let muxers = node.muxers.clone();
    let mut upgrade = Upgrade::new(
        role,
        config,
        securities,
        muxers,
        expected,
        begun,
        rand::random(),
    )
    .map_err(Failed::Upgrade)?;
    let deadline = upgrade.poll_timeout().into();
    let result = timeout_at(deadline, drive(&mut pipe, &mut upgrade, first)).await;
    let upgraded = match result {
        Ok(outcome) => outcome?,
        Err(_) => {
            return Err(upgrade
                .handle_timeout(Instant::now())
                .map_or_else(Failed::Upgrade, |()| AttemptError::Timeout.into()));
        }
    };
    Ok(Made {
        peer: upgraded.peer,
        key: upgraded.key,
        summary: upgraded.summary,
        upgraded: message::Upgraded {
            pipe,
            sealer: upgraded.sealer,
            opener: upgraded.opener,
            mux: upgraded.mux,
            leftover: upgraded.leftover,
        },
    })
}

async fn drive(pipe: &mut Pipe, upgrade: &mut Upgrade, first: &[u8]) -> Result<Upgraded, Failed> {
    let mut out = Vec::new();
    let mut failed = None;
    upgrade.input().reserve(FIRST_WORDS_MAX + READ_SIZE);
    if !first.is_empty() {
        steps::passed(Step::UpgradeHeard);
        failed = upgrade.recv(Instant::now(), first).err();
    }
    loop {
        if upgrade.poll_transmit(&mut out) {
            let sent = async {
                pipe.writer.write_all(&out).await?;
                pipe.writer.flush().await
            };
            sent.await
                .map_err(|error| AttemptError::Transport(error.to_string()))?;
            out.clear();
            steps::passed(Step::UpgradeSpoke);
        }
        if let Some(error) = failed {
            return Err(Failed::Upgrade(error));
        }
        if let Some(upgraded) = upgrade.finish() {
            steps::passed(Step::UpgradeDone);
            return Ok(upgraded);
        }
        let input = upgrade.input();
        // It grows with what has come of a message, not with what was promised, and not before it is full.
        if input.is_empty() || input.len() == input.capacity() {
            input.reserve(READ_SIZE);
        }
        let read = pipe.reader.read_buf(input).await;
        if read.map_err(|error| AttemptError::Transport(error.to_string()))? == 0 {
            return Err(Failed::Upgrade(upgrade.closed()));
        }
        steps::passed(Step::UpgradeHeard);
        // What the machine still has to say goes out before its error ends the pipe.
        failed = upgrade.recv(Instant::now(), &[]).err();
    }
}

/// Why an upgrade failed, while it matters which of its steps it was.
enum Failed {
    Upgrade(UpgradeError),
    Attempt(AttemptError),
}

impl From<AttemptError> for Failed {
    fn from(error: AttemptError) -> Self {
        Self::Attempt(error)
    }
}

impl From<Failed> for AttemptError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Upgrade(UpgradeError::Secure(SecureError::WrongPeer { expected, found })) => {
                Self::WrongPeer { expected, found }
            }
            Failed::Upgrade(error) => Self::Upgrade(error.to_string()),
            Failed::Attempt(error) => error,
        }
    }
}
