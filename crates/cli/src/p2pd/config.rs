//! The JSON configuration of go's daemon, specs/CONFIG.md: read as the flags that say the same. What it says beside is left out,
//! as go leaves it out.

use serde_json::Value;

/// The flags and their values, in no order that matters.
pub(super) fn flags(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let config: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !config.is_object() {
        return Err("a configuration is a JSON object".to_owned());
    }
    let mut flags = Vec::new();
    for (place, flag) in PLACES {
        match config.pointer(place) {
            None | Some(Value::Null) => {}
            Some(value) => {
                let text = text_of(value).ok_or_else(|| format!("{place} cannot be {value}"))?;
                flags.push((flag, text));
            }
        }
    }
    match config.pointer("/DHT/Mode").and_then(Value::as_str) {
        None | Some("") => {}
        Some("full") => flags.push(("dht", "true".to_owned())),
        Some("client") => flags.push(("dhtClient", "true".to_owned())),
        Some("server") => flags.push(("dhtServer", "true".to_owned())),
        Some(other) => return Err(format!("unknown DHT mode {other:?}")),
    }
    if let Some(grace) = config.pointer("/ConnectionManager/GracePeriod") {
        let number = grace.as_u64();
        let number = number.ok_or_else(|| format!("GracePeriod cannot be {grace}"))?;
        // The specification means seconds; go's program reads nanoseconds.
        let unit = if number < NANOSECONDS_MIN { "s" } else { "ns" };
        flags.push(("connGrace", format!("{number}{unit}")));
    }
    Ok(flags)
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(all) => {
            let texts: Option<Vec<_>> = all.iter().map(Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

const NANOSECONDS_MIN: u64 = 1_000_000;

/// Where in the object stands what a flag says.
const PLACES: [(&str, &str); 24] = [
    ("/ListenAddr", "listen"),
    ("/Quiet", "q"),
    ("/ID", "id"),
    ("/Bootstrap/Enabled", "b"),
    ("/Bootstrap/Peers", "bootstrapPeers"),
    ("/ConnectionManager/Enabled", "connManager"),
    ("/ConnectionManager/LowWaterMark", "connLo"),
    ("/ConnectionManager/HighWaterMark", "connHi"),
    ("/NatPortMap", "natPortMap"),
    ("/PubSub/Enabled", "pubsub"),
    ("/PubSub/Router", "pubsubRouter"),
    ("/PubSub/Sign", "pubsubSign"),
    ("/PubSub/SignStrict", "pubsubSignStrict"),
    ("/Relay/Enabled", "relay"),
    ("/Relay/Auto", "autoRelay"),
    ("/AutoNat", "autonat"),
    ("/HostAddresses", "hostAddrs"),
    ("/AnnounceAddresses", "announceAddrs"),
    ("/NoListen", "noListenAddrs"),
    ("/MetricsAddress", "metricsAddr"),
    ("/Security/Noise", "noise"),
    ("/Security/TLS", "tls"),
    ("/Security/Plaintext", "plaintext"),
    ("/Echo", "echo"),
];
