//! Opening a stream on a connection: optimistic where the peer is known to speak the protocol.

use std::{pin::pin, sync::Arc};

use carrick_session::{NegotiateError, negotiate::Dialer};
use carrick_wire::ProtocolId;
use tokio::time::timeout;

use crate::{
    OpenError, Stream, StreamError,
    connection::Shared,
    steps::{self, Step},
};

/// Streams for our own protocols that may be open beyond the limit: what identify tells may raise it, so identify must not
/// wait behind users' streams.
const OWN_MAX: usize = 16;

/// Opens a user's stream on this connection.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    protocols: Vec<ProtocolId>,
) -> Result<Stream, OpenError> {
    shared.carry();
    open_beyond(shared, protocols, 0).await
}

/// Opens a stream for one of the protocols that every node speaks.
pub(crate) async fn open_own(
    shared: &Arc<Shared>,
    protocol: ProtocolId,
) -> Result<Stream, OpenError> {
    open_beyond(shared, vec![protocol], OWN_MAX).await
}

async fn open_beyond(
    shared: &Arc<Shared>,
    protocols: Vec<ProtocolId>,
    beyond: usize,
) -> Result<Stream, OpenError> {
    let open = async {
        let opened = shared.open(beyond).await;
        let channel = opened.map_err(StreamError::ConnectionLost)?;
        let known = protocols
            .iter()
            .find(|protocol| shared.speaks(protocol))
            .cloned();
        let optimistic = known.is_some();
        let first = known.or_else(|| protocols.first().cloned());
        let proposed = if optimistic {
            first.iter().cloned().collect()
        } else {
            protocols.clone()
        };
        let Some(first) = first else {
            return Err(StreamError::Unsupported(NegotiateError::Unsupported(
                proposed,
            )));
        };
        let mut stream = Stream::outbound(shared.clone(), channel, first, Dialer::new(proposed));
        steps::passed(Step::StreamOpened);
        if !optimistic {
            stream.confirm().await?;
        } else if shared.must_speak() {
            // If there is no room now, they go with the first data after all.
            let _ = futures::poll!(pin!(stream.speak()));
        }
        Ok(stream)
    };
    let after = shared.negotiation_timeout;
    let opened = timeout(after, open).await;
    let peer = shared.peer;
    let result = opened.map_err(|_| OpenError::TimedOut { peer, after })?;
    result.map_err(|error| match error {
        StreamError::Unsupported(NegotiateError::Unsupported(_)) => {
            OpenError::Unsupported { peer, protocols }
        }
        error => OpenError::Stream(error),
    })
}
