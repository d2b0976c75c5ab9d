//! Who is let in, decided in three stages: by address before any cryptography, by peer after the handshake, by what the peer
//! says of itself. The app may have a say in each; ours comes first.

use std::fmt;

use carrick_protocols::identify;
use carrick_wire::ProtocolId;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{event::Direction, verdict::Verdict};

/// How much is known of who wants in.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Stage<'a> {
    /// Somebody connects; nothing was read yet, and nothing computed. Connections of our own have no such stage.
    #[non_exhaustive]
    Address {
        /// The other end's address.
        remote: &'a Multiaddr,
        /// Whether it is proven that somebody is there. `false` over QUIC, before the other end has answered a packet.
        validated: bool,
    },
    /// The handshake has shown who it is. No protocol has seen the peer yet.
    #[non_exhaustive]
    Peer {
        /// Who.
        peer: PeerId,
        /// The other end's address.
        remote: &'a Multiaddr,
        /// Who dialed.
        direction: Direction,
    },
    /// The peer has said what it is, with identify or a push of it. Streams may be open already.
    #[non_exhaustive]
    Identified {
        /// Who.
        peer: PeerId,
        /// The other end's address.
        remote: &'a Multiaddr,
        /// Its program, in its own words; after a push `None` means no change.
        agent: Option<&'a str>,
        /// Its protocol family, such as `ipfs/0.1.0`; after a push `None` means no change.
        protocol_version: Option<&'a str>,
        /// What it speaks; after a push empty means no change.
        protocols: &'a [ProtocolId],
    },
}

/// What the app says; without a word of it, everybody is let in.
#[derive(Default)]
pub(crate) struct Admission(pub(crate) Option<Box<Judge>>);

pub(crate) type Judge = dyn Fn(Stage<'_>) -> Verdict + Send;

impl Admission {
    pub(crate) fn judge(&self, stage: Stage<'_>) -> Verdict {
        self.0
            .as_ref()
            .map_or(Verdict::Accept, |judge| judge(stage))
    }

    pub(crate) fn judge_info(
        &self,
        peer: PeerId,
        remote: &Multiaddr,
        info: &identify::Info,
    ) -> Verdict {
        self.judge(Stage::Identified {
            peer,
            remote,
            agent: info.agent.as_deref(),
            protocol_version: info.protocol_version.as_deref(),
            protocols: &info.protocols,
        })
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Admission").field(&self.0.is_some()).finish()
    }
}
