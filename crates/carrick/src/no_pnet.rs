//! Stands in for private networks in a build without them: there is no key, so no pipe is hidden.

use std::env;

use carrick_wire::Multiaddr;

use crate::{AttemptError, transport::Pipe};

/// There is none: this build has no private networks.
pub(crate) enum SwarmKey {}

/// Whether the environment forbids nodes without a key; then this build has no nodes at all.
pub(crate) fn is_forced() -> bool {
    env::var_os("LIBP2P_FORCE_PNET").is_some_and(|value| value == "1")
}

pub(crate) fn is_beyond(_: &Multiaddr) -> bool {
    false
}

pub(crate) fn protect(_: Option<&SwarmKey>, pipe: Pipe) -> Pipe {
    pipe
}

pub(crate) fn hint(_: Option<&SwarmKey>, error: AttemptError) -> AttemptError {
    error
}
