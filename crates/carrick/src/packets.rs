//! Packets: small messages that may be lost or overtake each other, but never wait for each other. For voice, video and the
//! state of games, where what is late is worthless.
//!
//! A flow of packets belongs to one protocol and one peer, which the connection has authenticated. It follows the `/dg/1`
//! draft of libp2p (specs pull request 680): QUIC datagrams, tied to a control stream.
//!
//! What holds always: [`Packets::send`] never waits. What cannot be sent or read in time is dropped, the oldest first, and
//! counted in [`Packets::stats`]. A flow ends when either side closes it, and with its connection.

use std::sync::Arc;

use bytes::Bytes;
use carrick_protocols::packets as machine;
use carrick_wire::{PeerId, ProtocolId};

pub use carrick_protocols::packets::Stats as PacketStats;

pub(crate) use self::{
    open::to,
    serve::{register, serve},
};
pub use error::{NoPackets, PacketsError};

use crate::Stream;
use flow::Flow;

mod error;
mod flow;
mod on_stream;
mod open;
mod serve;

/// How a flow of packets is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketsOptions {
    /// Where there are no datagrams, carry the packets on a stream, under a protocol of Carrick's own: none is lost on the
    /// way, and each waits for those before it. [`Packets::is_reliable`] tells that it came to that. Off by default, since
    /// a program that needs packets rarely likes what a slow stream does to them.
    pub fallback_to_stream: bool,
}

/// A flow of packets to and from one peer, for one protocol: small messages that may be lost or overtake each other, but
/// never wait for each other. For voice, video and the state of games, where what is late is worthless.
///
/// [`Node::packets`](crate::Node::packets) opens one, [`Node::handle_packets`](crate::Node::handle_packets) takes what others
/// open. Packets are QUIC datagrams: encrypted, from the very peer that the connection has authenticated, within its congestion
/// control. [`send`](Self::send) never waits: what cannot be sent, or is not received in time, is dropped, the oldest first, and
/// counted in [`stats`](Self::stats). What the network loses nobody counts; number your packets to find out. The example
/// `voice` sends fifty packets a second and measures loss, round trips and jitter.
///
/// On the wire this is the `/dg/1` draft (libp2p/specs pull request 680): a control stream opens the flow and names its
/// protocol, and the flow ends with it, whichever side ends it. A peer without a handler for the protocol resets the control
/// stream with the code 0x1001, on which the draft is silent. Packets that overtake their control stream wait for it about a
/// round trip.
///
/// Clones are the same flow, which ends when the last of them is dropped. All methods take `&self`, so one task may send
/// while another receives.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::{Node, Packets};
///
/// let server = Node::builder()
///     .handle_packets("/position/1.0.0", |packets: Packets| async move { packets.echo().await })
///     .listen("/ip4/127.0.0.1/udp/0/quic-v1")?
///     .spawn()
///     .await?;
/// let client = Node::spawn().await?;
/// let packets = client.packets(server.address(), "/position/1.0.0").await?;
/// packets.send("x=1 y=2")?;
/// assert_eq!(packets.recv().await?, "x=1 y=2");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Packets {
    flow: Arc<Flow>,
    _user: Arc<User>,
}

/// Ends the flow when the last handle goes; the flow's task is none.
#[derive(Debug)]
struct User(Arc<Flow>);

impl Drop for User {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Packets {
    /// The flow that a stream of ours opens: it can receive from now on.
    fn prepare(stream: &Stream, protocol: ProtocolId) -> Result<Flow, PacketsError> {
        let id = stream.quic_id();
        match stream.shared().datagrams().zip(id) {
            Some((all, id)) if *stream.protocol() == machine::PROTOCOL => {
                Flow::over_datagrams(stream, protocol, all.clone(), id)
            }
            _ => Ok(Flow::over_stream(stream, protocol)),
        }
    }

    /// Gives the control stream to the flow's task.
    fn run(flow: Flow, stream: Stream) -> Self {
        let flow = Arc::new(flow);
        tokio::spawn(flow.clone().run(stream));
        let user = Arc::new(User(flow.clone()));
        Self { flow, _user: user }
    }

    /// The flow of a stream that the peer has opened.
    fn start(stream: Stream, protocol: ProtocolId) -> Result<Self, PacketsError> {
        match Self::prepare(&stream, protocol) {
            Ok(flow) => Ok(Self::run(flow, stream)),
            Err(error) => {
                stream.reset(carrick_session::Code::LIMIT);
                Err(error)
            }
        }
    }

    /// Sends a packet, at once if the connection takes it. Otherwise it is queued, and if the queue is full the oldest
    /// packet in it is dropped and counted. Never waits, and says nothing about whether the packet arrives.
    ///
    /// # Errors
    /// [`PacketsError::TooLarge`] if it is larger than [`max_payload`](Self::max_payload), which may shrink; any other means
    /// that the flow is over.
    pub fn send(&self, packet: impl Into<Bytes>) -> Result<(), PacketsError> {
        self.flow.send(packet.into())
    }

    /// Waits until nothing is queued any more: whoever sends only then, sends as fast as the path takes it and drops nothing.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The flow is over.
    pub async fn ready(&self) -> Result<(), PacketsError> {
        self.flow.ready().await
    }

    /// The next packet that came. Cancel-safe: no packet is lost with a dropped future.
    ///
    /// # Errors
    /// The flow is over, and everything that came before its end was received.
    pub async fn recv(&self) -> Result<Bytes, PacketsError> {
        self.flow.recv().await
    }

    /// The largest packet that can be sent now, in bytes: a little over a kilobyte, and more once QUIC has found out that the
    /// path takes more. It may also shrink.
    pub fn max_payload(&self) -> usize {
        self.flow.max_payload()
    }

    /// What became of the packets so far; also after the end.
    pub fn stats(&self) -> PacketStats {
        self.flow.stats()
    }

    /// Who is on the other end; the connection has made sure of it.
    pub fn peer(&self) -> PeerId {
        self.flow.peer
    }

    /// What the packets are for.
    pub fn protocol(&self) -> &ProtocolId {
        &self.flow.protocol
    }

    /// Whether the packets go on a stream, since there are no datagrams: see [`PacketsOptions::fallback_to_stream`].
    pub fn is_reliable(&self) -> bool {
        self.flow.is_reliable()
    }

    /// Why the flow is over, if it is.
    pub fn ended(&self) -> Option<PacketsError> {
        self.flow.ended()
    }

    /// Ends the flow, for all clones and for the peer. What is queued is not sent any more.
    pub fn close(&self) {
        self.flow.leave();
    }

    /// Sends back every packet that comes, until the flow is over.
    ///
    /// # Errors
    /// The flow ended otherwise than by the peer's closing it.
    pub async fn echo(&self) -> Result<(), PacketsError> {
        loop {
            let packet = match self.recv().await {
                Ok(packet) => packet,
                Err(PacketsError::ClosedByPeer(carrick_session::Code::NONE)) => return Ok(()),
                Err(error) => return Err(error),
            };
            match self.send(packet) {
                // It came, but the way back is narrower.
                Ok(()) | Err(PacketsError::TooLarge { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
