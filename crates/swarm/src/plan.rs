//! What a list of addresses comes to before anything is dialed: those to dial, those to look up, and
//! those that cannot lead to the target, each with its reason. Pure.

use std::fmt;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::{
    addresses::{ip, is_nobody, is_unspecified, lacks_zone, scope, split_peer},
    error::{AttemptError, Skip},
    listeners::Listeners,
    names::{Origin, is_name, sample},
    reputation::Reputation,
};

/// To whom, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// `None`: whoever answers.
    pub(crate) peer: Option<PeerId>,
    /// These addresses, and none that is known besides.
    pub(crate) only: Option<Vec<Multiaddr>>,
    pub(crate) force_new: bool,
}

/// One address to dial.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// Without the peer id at its end.
    pub(crate) address: Multiaddr,
    /// Whom it must lead to.
    pub(crate) expected: Option<PeerId>,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Addresses, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) dial: Vec<Candidate>,
    pub(crate) names: Vec<Origin>,
    pub(crate) rejected: Vec<(Multiaddr, AttemptError)>,
}

/// What we know of ourselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ourselves<'a> {
    pub(crate) listeners: &'a Listeners,
    pub(crate) transports: &'a Transports,
    pub(crate) allow_private: bool,
    pub(crate) reputation: &'a Reputation,
}

/// Tells what the shell can dial; without it, everything.
#[derive(Default)]
pub(crate) struct Transports(pub(crate) Option<Box<Dials>>);

type Dials = dyn Fn(&Multiaddr) -> bool + Send;

impl Plan {
    pub(crate) fn new(
        target: &Target,
        addresses: impl Iterator<Item = (Multiaddr, Origin)>,
        ourselves: Ourselves<'_>,
    ) -> Self {
        let mut plan = Self::default();
        for (whole, origin) in addresses {
            let (address, named) = split_peer(whole.clone());
            if let (Some(expected), Some(found)) = (target.peer, named)
                && expected != found
            {
                let error = AttemptError::WrongPeer { expected, found };
                plan.rejected.push((whole, error));
            } else if let Some(error) = ourselves.rejects(&address, &origin) {
                plan.rejected.push((address, error));
            } else if is_name(&address) {
                plan.names.push(origin);
            } else {
                let expected = target.peer.or(named);
                plan.dial.push(Candidate {
                    address,
                    expected,
                    origin,
                });
            }
        }
        plan
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.dial.is_empty() && self.names.is_empty() && self.rejected.is_empty()
    }
}

impl Ourselves<'_> {
    fn rejects(self, address: &Multiaddr, origin: &Origin) -> Option<AttemptError> {
        // Of a name it is asked again, of what the name leads to.
        let hearsay = origin.is_hearsay();
        let nearer = scope(address) < origin.told.reach && !self.allow_private;
        let dialable = match is_name(address) {
            true => sample(address).is_none_or(|sample| self.transports.dials(&sample)),
            false => !address.is_empty() && self.transports.dials(address),
        };
        if !dialable {
            Some(AttemptError::NoTransport)
        } else if self.listeners.is_own(address) {
            Some(AttemptError::OwnAddress)
        } else if is_unspecified(address) || hearsay && is_nobody(address) {
            Some(Skip::Unspecified.into())
        } else if hearsay && nearer {
            Some(Skip::PrivateFromPublic.into())
        } else if lacks_zone(address) {
            Some(Skip::NoZone.into())
        } else if ip(address).is_some_and(|ip| self.reputation.is_ip_banned(ip)) {
            Some(Skip::Banned.into())
        } else {
            None
        }
    }
}

impl Transports {
    fn dials(&self, address: &Multiaddr) -> bool {
        self.0.as_ref().is_none_or(|dials| dials(address))
    }
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transports")
    }
}
