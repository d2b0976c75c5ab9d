//! JSON-RPC 2.0 in and out: one text, a call or a batch of them, gives at most one text. `jsonrpsee` has the methods; who
//! sends the texts, and how, is not known here.

use std::time::Duration;

use jsonrpsee::{
    core::{
        id_providers::RandomIntegerIdProvider,
        server::ConnectionId,
        server::{
            BatchResponseBuilder, BoundedSubscriptions, MethodCallback, MethodResponse, MethodSink,
            Methods, SubscriptionState,
        },
    },
    types::{
        ErrorObject, ErrorObjectOwned, Id, InvalidRequest, Notification, Params, Request,
        error::{ErrorCode, reject_too_big_batch_request, reject_too_many_subscriptions},
    },
};
use serde_json::value::RawValue;
use tokio::{sync::mpsc, time::timeout};

/// Of one text.
pub(crate) const REQUEST_BYTES_MAX: usize = 2 << 20;
pub(crate) const ANSWER_BYTES_MAX: u32 = 16 << 20;
/// Calls in one batch.
const BATCH_MAX: usize = 64;
/// Subscriptions of one client.
const SUBSCRIPTIONS_MAX: u32 = 16;
/// No call takes longer; those that may wait for a peer have deadlines of their own before it.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(330);

/// One client's calls.
#[derive(Debug)]
pub(crate) struct Caller {
    methods: Methods,
    id: ConnectionId,
    /// Where notifications go; without it, nothing can be subscribed to.
    notices: Option<(MethodSink, BoundedSubscriptions)>,
}

impl Caller {
    /// `id`: no other client that lives has it. `notices` take what is subscribed to.
    pub(crate) fn new(
        methods: Methods,
        id: usize,
        notices: Option<mpsc::Sender<Box<RawValue>>>,
    ) -> Self {
        let notices = notices.map(|sender| {
            let sink = MethodSink::new_with_limit(sender, ANSWER_BYTES_MAX);
            (sink, BoundedSubscriptions::new(SUBSCRIPTIONS_MAX))
        });
        Self {
            methods,
            id: id.into(),
            notices,
        }
    }

    /// What is answered; `None`: nothing, as to a notification.
    pub(crate) async fn answer(&self, text: &[u8]) -> Option<Box<RawValue>> {
        let is_batch = text.trim_ascii_start().starts_with(b"[");
        let response = if is_batch {
            self.batch(text).await?
        } else {
            self.single(text, self.notices.as_ref()).await?
        };
        Some(response.into_json())
    }

    async fn batch(&self, text: &[u8]) -> Option<MethodResponse> {
        let Ok(calls) = serde_json::from_slice::<Vec<&RawValue>>(text) else {
            return Some(MethodResponse::error(
                Id::Null,
                ErrorObject::from(ErrorCode::ParseError),
            ));
        };
        if calls.len() > BATCH_MAX {
            return Some(MethodResponse::error(
                Id::Null,
                reject_too_big_batch_request(BATCH_MAX),
            ));
        }
        let mut answers = BatchResponseBuilder::new_with_limit(ANSWER_BYTES_MAX as usize);
        for call in &calls {
            // The answer to a subscription goes its own way, so it is no part of a batch.
            let Some(answer) = self.single(call.get().as_bytes(), None).await else {
                continue;
            };
            if let Err(too_large) = answers.append(answer) {
                return Some(too_large);
            }
        }
        let is_silent = answers.is_empty() && !calls.is_empty();
        (!is_silent).then(|| MethodResponse::from_batch(answers.finish()))
    }

    async fn single(
        &self,
        text: &[u8],
        notices: Option<&(MethodSink, BoundedSubscriptions)>,
    ) -> Option<MethodResponse> {
        let Ok(request) = serde_json::from_slice::<Request<'_>>(text) else {
            if serde_json::from_slice::<Notification<'_, Option<&RawValue>>>(text).is_ok() {
                return None;
            }
            return Some(no_call(text));
        };
        let id = request.id.clone().into_owned();
        match timeout(CALL_TIMEOUT, self.call(request, notices)).await {
            Ok(response) => (!response.is_subscription()).then_some(response),
            Err(_) => Some(MethodResponse::error(id, too_late())),
        }
    }

    async fn call(
        &self,
        request: Request<'_>,
        notices: Option<&(MethodSink, BoundedSubscriptions)>,
    ) -> MethodResponse {
        let Request {
            id,
            method,
            params,
            extensions,
            ..
        } = request;
        let params = Params::new(params.as_ref().map(|params| params.get()));
        let max = ANSWER_BYTES_MAX as usize;
        match self.methods.method(&method) {
            None => MethodResponse::error(id, ErrorObject::from(ErrorCode::MethodNotFound)),
            Some(MethodCallback::Sync(call)) => call(id, params, max, extensions),
            Some(MethodCallback::Async(call)) => {
                call(
                    id.into_owned(),
                    params.into_owned(),
                    self.id,
                    max,
                    extensions,
                )
                .await
            }
            Some(MethodCallback::Subscription(call)) => {
                let Some((sink, places)) = notices else {
                    return MethodResponse::error(id, no_notices());
                };
                let Some(subscription_permit) = places.acquire() else {
                    return MethodResponse::error(id, reject_too_many_subscriptions(places.max()));
                };
                let state = SubscriptionState {
                    conn_id: self.id,
                    id_provider: &RandomIntegerIdProvider,
                    subscription_permit,
                };
                call(id, params, sink.clone(), state, extensions).await
            }
            Some(MethodCallback::Unsubscription(call)) => {
                call(id, params, self.id, max, extensions)
            }
        }
    }
}

/// To what is no call: whether it is JSON at all, and whose call it might be.
fn no_call(text: &[u8]) -> MethodResponse {
    let code = match serde_json::from_slice::<&RawValue>(text) {
        Ok(_) => ErrorCode::InvalidRequest,
        Err(_) => ErrorCode::ParseError,
    };
    let id = serde_json::from_slice::<InvalidRequest<'_>>(text).map_or(Id::Null, |call| call.id);
    MethodResponse::error(id, ErrorObject::from(code))
}

fn too_late() -> ErrorObjectOwned {
    ErrorObject::owned(2, "the call took too long", None::<()>)
}

fn no_notices() -> ErrorObjectOwned {
    let text = "subscribe over the Unix socket or WebSocket, and outside of a batch: nothing else carries what follows";
    ErrorObject::owned(ErrorCode::InvalidRequest.code(), text, None::<()>)
}

#[cfg(test)]
mod tests;
