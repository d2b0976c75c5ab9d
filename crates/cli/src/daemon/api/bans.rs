//! `bans_*`: whom the node has nothing to do with.

use std::time::{Duration, SystemTime};

use carrick::{Ban, Subject};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Nothing, parsed};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    #[serde(deserialize_with = "parsed")]
    subject: Subject,
    duration_s: Option<u64>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remove {
    #[serde(deserialize_with = "parsed")]
    subject: Subject,
}

pub(super) fn register(api: &mut Api) {
    api.method("bans_add", |context, add: Add| async move {
        let duration = add.duration_s.map(Duration::from_secs);
        context.node.ban(add.subject, duration, &add.reason).await;
        Ok(Value::Null)
    });
    api.method("bans_remove", |context, Remove { subject }| async move {
        Ok(Value::Bool(context.node.unban(subject).await))
    });
    api.method("bans_list", |context, Nothing {}| async move {
        Ok(context.node.bans().await.iter().map(row).collect())
    });
}

fn row(ban: &Ban) -> Value {
    json!({
        "subject": ban.subject.to_string(),
        "until_s": ban.until.map(unix_s),
        "reason": ban.reason,
    })
}

/// Seconds since 1970.
pub(super) fn unix_s(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
