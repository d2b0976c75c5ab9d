//! The methods of the daemon, by name: each takes named parameters, checked before it runs, and gives a JSON value. What they
//! are is said in `docs/rpc.json`, which `rpc.discover` gives; a test holds the two together.

use std::{str::FromStr, sync::Arc, time::Instant};

use carrick::{IntoTarget, Node, Target};
use jsonrpsee::{
    core::server::{Methods, PendingSubscriptionSink, RpcModule},
    types::{ErrorObject, ErrorObjectOwned, Params, error::INVALID_PARAMS_CODE},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::Value;
use tokio::sync::Notify;

use crate::failure::Failure;

mod bans;
mod changes;
mod connections;
mod messages;
mod node;
mod peers;
mod streams;

/// The OpenRPC document of all methods.
pub(crate) const SCHEMA: &str = include_str!("../../../../docs/rpc.json");

/// What a method answers.
type Outcome = Result<Value, ErrorObjectOwned>;

/// What all methods share.
pub(crate) struct Context {
    node: Node,
    started: Instant,
    stop: Arc<Notify>,
    forwards: streams::Forwards,
}

/// The methods of a daemon with this node; `stop` is told when somebody wants it to end.
pub(crate) fn methods(node: Node, stop: Arc<Notify>) -> Methods {
    Api::new(node, stop).module.into()
}

/// What is being registered.
struct Api {
    module: RpcModule<Context>,
    /// The parameters of each method.
    #[cfg(test)]
    params: std::collections::BTreeMap<&'static str, &'static [&'static str]>,
}

impl Api {
    fn new(node: Node, stop: Arc<Notify>) -> Self {
        let context = Context {
            node,
            started: Instant::now(),
            stop,
            forwards: streams::Forwards::default(),
        };
        let mut api = Self {
            module: RpcModule::new(context),
            #[cfg(test)]
            params: std::collections::BTreeMap::new(),
        };
        api.method("rpc.discover", |_, Nothing {}| async {
            serde_json::from_str(SCHEMA)
                .map_err(|error| failed(Failure::new(error, "see docs/rpc.json")))
        });
        node::register(&mut api);
        peers::register(&mut api);
        changes::register(&mut api);
        connections::register(&mut api);
        bans::register(&mut api);
        streams::register(&mut api);
        messages::register(&mut api);
        api
    }

    /// Registers a method.
    fn method<P, M, F>(&mut self, name: &'static str, method: M)
    where
        P: DeserializeOwned + Send + 'static,
        M: Fn(Arc<Context>, P) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        #[cfg(test)]
        self.params.insert(name, tests::fields::<P>());
        let call = move |params: Params<'static>, context, _| {
            let method = method.clone();
            let params = read(&params);
            async move { method(context, params?).await }
        };
        self.module
            .register_async_method(name, call)
            .expect("no two methods have one name");
    }

    /// Registers what can be subscribed to, by the names of the subscription, its notifications and its end.
    fn subscription<P, M, F>(&mut self, names: [&'static str; 3], run: M)
    where
        P: DeserializeOwned + Send + 'static,
        M: Fn(Arc<Context>, P, PendingSubscriptionSink) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let [subscribe, notice, unsubscribe] = names;
        #[cfg(test)]
        self.params.extend([
            (subscribe, tests::fields::<P>()),
            (unsubscribe, &["subscription"]),
        ]);
        let call = move |params: Params<'static>, pending: PendingSubscriptionSink, context, _| {
            let run = run.clone();
            let params = read(&params);
            async move {
                match params {
                    Ok(params) => run(context, params, pending).await,
                    Err(error) => pending.reject(error).await,
                }
            }
        };
        self.module
            .register_subscription(subscribe, notice, unsubscribe, call)
            .expect("no two methods have one name");
    }
}

/// No parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Parameters, by name or in their order. None are as good as an empty list.
fn read<P: DeserializeOwned>(params: &Params<'_>) -> Result<P, ErrorObjectOwned> {
    let read = serde_json::from_str(params.as_str().unwrap_or("{}"));
    read.map_err(|error| invalid(&error.to_string()))
}

/// What is wrong with the parameters.
fn invalid(what: &str) -> ErrorObjectOwned {
    let text = format!("invalid parameters: {what}");
    ErrorObject::owned(INVALID_PARAMS_CODE, text, None::<()>)
}

/// What did not work, as the command would tell it: the cause, and what to do.
fn failed(failure: impl Into<Failure>) -> ErrorObjectOwned {
    ErrorObject::owned(1, failure.into().to_string(), None::<()>)
}

/// A parameter that is written as text, such as a peer id.
fn parsed<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(from)?;
    if text.len() > NAME_MAX {
        return Err(D::Error::custom("it is longer than any name"));
    }
    text.parse().map_err(D::Error::custom)
}

/// Bytes of a name of a peer or a protocol: no such name is as long, and some cost the square of their length.
const NAME_MAX: usize = 1024;

/// A peer: its id, or an address of it.
fn target<'de, D: Deserializer<'de>>(from: D) -> Result<Target, D::Error> {
    String::deserialize(from)?
        .into_target()
        .map_err(D::Error::custom)
}

#[cfg(test)]
mod tests;
