//! Our side of a request: a turn among others to the same peer, a stream, the question, the answer.

use bytes::Bytes;
use carrick_session::Code;
use carrick_swarm::{Behaviour, DialOptions};
use carrick_wire::PeerId;
use tokio::time::timeout;

use super::{Options, RequestError};
use crate::{Connection, Node, OpenError, Stream, StreamError, requesting::NoTurn, target::Target};

/// Who answered, and what. Cancel-safe: the peer hears that nobody waits any more.
pub(super) async fn ask(
    node: &Node,
    target: Target,
    options: &Options,
    request: &[u8],
) -> Result<(PeerId, Bytes), RequestError> {
    let limit = options.max_request_bytes;
    if request.len() > limit {
        return Err(RequestError::TooLarge { limit });
    }
    let after = options.timeout;
    let asked = timeout(after, exchange(node, target, options, request));
    asked.await.unwrap_or(Err(RequestError::Timeout { after }))
}

async fn exchange(
    node: &Node,
    target: Target,
    options: &Options,
    request: &[u8],
) -> Result<(PeerId, Bytes), RequestError> {
    let protocol = crate::target::parse_protocol(&options.protocol).map_err(OpenError::from)?;
    let dialed = node.connect(target.clone(), DialOptions::default()).await;
    let mut connection = dialed
        .map_err(OpenError::from)
        .map_err(RequestError::of_open)?;
    let peer = connection.peer();
    let core = node.core();
    let max = (options.max_in_flight, options.max_queued);
    let _turn = loop {
        let (key, shared) = ((peer, protocol.clone()), connection.shared().clone());
        let turn = core
            .requesting
            .lanes
            .turn(key, max, &core.quotas, shared.wait_gone());
        match turn.await {
            Ok(turn) if !turn.has_waited() || shared.is_open() => break turn,
            Err(NoTurn::Limit(reached)) => return Err(reached.into()),
            // Whoever has waited does not call a peer back that is gone.
            Ok(_) | Err(NoTurn::Gone) => match core.connected(&peer) {
                Some(other) => connection = Connection::new(other),
                None => return Err(RequestError::lost(shared.lost().as_ref())),
            },
        }
    };
    let opened = node.open_on(connection, target, vec![protocol]).await;
    let stream = opened.map_err(RequestError::of_open)?;
    let mut asked = Asked(Some(stream));
    let answer = match asked.0.as_mut() {
        Some(stream) => talk(stream, request, options.max_response_bytes).await,
        None => Err(StreamError::Finished),
    };
    if let Err(StreamError::TooLong { .. }) = answer {
        core.record(peer, Behaviour::Invalid, "request").await;
    }
    let answer = answer.map_err(RequestError::of_stream)?;
    asked.0 = None;
    Ok((peer, answer))
}

async fn talk(stream: &mut Stream, request: &[u8], limit: usize) -> Result<Bytes, StreamError> {
    stream.write_all(request).await?;
    stream.finish().await?;
    read(stream, limit, |_| Ok(())).await
}

/// Everything up to the peer's end, at most `limit` bytes; one piece is not copied. Nothing is allocated for what has not
/// come. `each` sees how much does, before it is kept.
pub(super) async fn read<E: From<StreamError>>(
    stream: &mut Stream,
    limit: usize,
    mut each: impl FnMut(usize) -> Result<(), E>,
) -> Result<Bytes, E> {
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    while let Some(chunk) = stream.read_chunk().await? {
        if chunk.len() > limit - first.len() - all.len() {
            return Err(StreamError::TooLong { limit }.into());
        }
        each(chunk.len())?;
        if first.is_empty() && all.is_empty() {
            first = chunk;
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&chunk);
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// A stream whose answer somebody waits for. Our side is finished, so its end alone would tell the peer nothing.
struct Asked(Option<Stream>);

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            stream.reset(Code::NONE);
        }
    }
}
