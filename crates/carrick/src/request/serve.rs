//! The other side of a request: the question is read, the handler asked, and its answer sent, as long as somebody waits for it.

use std::{error::Error, sync::Arc};

use carrick_session::Code;
use carrick_wire::PeerId;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::{Options, RequestError, ask};
use crate::{
    AcceptError, Fault, Node, Stream, StreamError,
    codec::{Codec, CodecError},
    requesting::{Entered, Gate, Refusal, Rule},
};

/// Registers a handler.
pub(super) fn register<Req, Resp, C, F, R>(
    node: &Node,
    options: &Options,
    handler: F,
) -> Result<(), AcceptError>
where
    Req: Send + 'static,
    Resp: Send + 'static,
    C: Codec<Req> + Codec<Resp> + 'static,
    F: Fn(PeerId, Req) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Resp, Fault>> + Send + 'static,
{
    let rule = Rule {
        in_flight: options.max_in_flight_inbound,
        bytes: options.max_bytes_inbound,
        rate: options.rate,
    };
    let core = node.core();
    let gate = Gate::new(rule, core.quotas.clone());
    let parts = Arc::new((gate.clone(), options.clone(), handler));
    node.handle(&options.protocol, move |stream| {
        let parts = parts.clone();
        async move {
            let (gate, options, handler) = &*parts;
            answer::<Req, Resp, C, F, R>(stream, gate, options, handler).await
        }
    })?;
    core.requesting.add(gate);
    Ok(())
}

async fn answer<Req, Resp, C, F, R>(
    mut stream: Stream,
    gate: &Arc<Gate>,
    options: &Options,
    handler: &F,
) -> Result<(), Fault>
where
    C: Codec<Req> + Codec<Resp>,
    F: Fn(PeerId, Req) -> R,
    R: Future<Output = Result<Resp, Fault>>,
{
    let peer = stream.peer();
    let mut entered = match gate.enter(Instant::now().into_std(), peer) {
        Ok(entered) => entered,
        Err(refusal) => {
            debug!(%peer, %refusal, retry_after = ?refusal.retry_after, "a request was refused");
            stream.reset(refusal.code());
            return Ok(());
        }
    };
    let answering = async {
        let request = read(&mut stream, &mut entered, options.max_request_bytes).await?;
        let answering = handler(peer, C::decode(request)?);
        let answer = tokio::select! {
            biased;
            answer = answering => answer?,
            error = stream.unwanted() => return Err(Ended::Unwanted(error)),
        };
        let bytes = C::encode(&answer)?;
        let limit = options.max_response_bytes;
        if bytes.len() > limit {
            return Err(Fault::from(RequestError::TooLarge { limit }).into());
        }
        Ok(stream.write_all(&bytes).await?)
    };
    let answered = timeout(options.timeout, answering).await;
    // Before the peer can see the end: its next request must find the place free.
    drop(entered);
    match answered {
        Ok(Ok(())) => Ok(stream.finish().await?),
        Ok(Err(Ended::Unwanted(error))) => {
            debug!(%peer, %error, "nobody waits for the answer to a request any more");
            Ok(())
        }
        Ok(Err(Ended::Failed(fault))) => {
            stream.reset(code(fault.error()));
            Err(fault)
        }
        Err(_) => {
            stream.reset(Code::LIMIT);
            let after = options.timeout;
            Err(RequestError::Timeout { after }.into())
        }
    }
}

async fn read(
    stream: &mut Stream,
    entered: &mut Entered,
    limit: usize,
) -> Result<bytes::Bytes, Ended> {
    ask::read(stream, limit, |bytes| Ok(entered.grow(bytes)?)).await
}

/// Why there is no answer.
enum Ended {
    /// Nobody waits for it.
    Unwanted(StreamError),
    Failed(Fault),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<StreamError> for Ended {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Reset(_) | StreamError::ConnectionLost(_) => Self::Unwanted(error),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.into())
    }
}

impl From<CodecError> for Ended {
    fn from(error: CodecError) -> Self {
        Self::Failed(error.into())
    }
}

/// How the asker is told what an error says.
fn code(error: &(dyn Error + 'static)) -> Code {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<RequestError>() {
            return error.code();
        }
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return refusal.code();
        }
        let is_malformed = matches!(error.downcast_ref(), Some(CodecError::Decode(_)))
            || matches!(error.downcast_ref(), Some(StreamError::TooLong { .. }));
        if is_malformed {
            return Code::VIOLATION;
        }
        next = error.source();
    }
    Code::NONE
}
