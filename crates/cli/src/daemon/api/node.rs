//! `node_*`, `limits_*`, `metrics_*`: how the node stands.

use serde_json::{Value, json};

use super::{Api, Context, Nothing, Outcome};
use crate::output::texts;

pub(super) fn register(api: &mut Api) {
    api.method("node_info", |context, Nothing {}| async move {
        info(&context).await
    });
    api.method("node_shutdown", |context, Nothing {}| async move {
        context.stop.notify_one();
        Ok(Value::Null)
    });
    api.method("limits_list", |context, Nothing {}| async move {
        limits(&context).await
    });
    api.method("metrics_text", |context, Nothing {}| async move {
        Ok(Value::String(context.node.metrics().await))
    });
}

async fn info(context: &Context) -> Outcome {
    let node = &context.node;
    let connections = node.connections().await.len();
    Ok(json!({
        "peer": node.id().to_string(),
        "agent": node.agent(),
        "version": env!("CARGO_PKG_VERSION"),
        "process": std::process::id(),
        "uptime_s": context.started.elapsed().as_secs(),
        "addresses": texts(&node.addresses()),
        "external_addresses": texts(&node.external_addresses()),
        "told_addresses": texts(&node.told_addresses()),
        "peers": node.peers().len(),
        "connections": connections,
    }))
}

async fn limits(context: &Context) -> Outcome {
    let limits = context.node.limits().await;
    let row = |usage: &carrick::Usage| {
        json!({
            "limit": usage.limit.name(),
            "level": usage.limit.level().to_string(),
            "what": usage.limit.what(),
            "max": usage.max,
            "used": usage.used,
            "peak": usage.peak,
            "refused": usage.refused,
        })
    };
    Ok(limits.iter().map(row).collect())
}
