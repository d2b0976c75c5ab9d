//! What a suite wants of us, read from the environment. Both generations are understood: `TRANSPORT=tcp …` of
//! unified-testing and `transport=tcp …` of test-plans, whose redis keys and outputs differ as well.

use std::{net::IpAddr, str::FromStr, time::Duration};

/// One run: who we are in it, with which protocols, and where the other side is found.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) role: Role,
    pub(crate) stack: Stack,
    /// What we listen on.
    pub(crate) ip: IpAddr,
    /// Where Redis is: `host:port`.
    pub(crate) redis: String,
    /// What the listener's address is called there.
    pub(crate) key: String,
    pub(crate) generation: Generation,
    pub(crate) suite: Suite,
    pub(crate) timeout: Duration,
    pub(crate) debug: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    Dialer,
    Listener,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Generation {
    /// unified-testing: upper case, YAML.
    Modern,
    /// test-plans: lower case, JSON.
    Legacy,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Suite {
    Transport,
    Perf(Perf),
}

/// What the perf suite measures; a listener serves whatever is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Perf {
    pub(crate) upload_bytes: u64,
    pub(crate) download_bytes: u64,
    pub(crate) upload_iterations: u32,
    pub(crate) download_iterations: u32,
    pub(crate) latency_iterations: u32,
}

/// The protocols of one connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stack {
    pub(crate) transport: Transport,
    /// `None` where the transport brings its own.
    pub(crate) security: Option<Security>,
    pub(crate) muxer: Option<Muxer>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Transport {
    Tcp,
    Ws,
    Wss,
    QuicV1,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Security {
    Noise,
    Tls,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Muxer {
    Yamux,
    Mplex,
}

impl Plan {
    /// Reads the plan from the variables that `variable` gives.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let generation = if variable("TRANSPORT").is_some() {
            Generation::Modern
        } else {
            Generation::Legacy
        };
        let names = match generation {
            Generation::Modern => MODERN,
            Generation::Legacy => LEGACY,
        };
        // An empty variable says as little as a missing one.
        let value = |name: &str| variable(name).filter(|value| !value.is_empty());
        let transport = value(names.transport).ok_or(NOTHING)?;
        let transport = named(&transport, names.transport, &TRANSPORTS)?;
        let (security, muxer) = match transport {
            Transport::QuicV1 => (None, None),
            _ => (
                Some(required(&value, names.security, &SECURITIES)?),
                Some(required(&value, names.muxer, &MUXERS)?),
            ),
        };
        let stack = Stack {
            transport,
            security,
            muxer,
        };
        let role = match parsed(&value, names.is_dialer, true)? {
            true => Role::Dialer,
            false => Role::Listener,
        };
        let redis = value(names.redis).unwrap_or_else(|| names.redis_default.to_owned());
        let key = match generation {
            Generation::Modern => {
                let key = value("TEST_KEY").ok_or("TEST_KEY is not set")?;
                format!("{key}_listener_multiaddr")
            }
            Generation::Legacy => "listenerAddr".to_owned(),
        };
        Ok(Self {
            role,
            stack,
            ip: parsed(&value, names.ip, IpAddr::from([0, 0, 0, 0]))?,
            suite: suite(&value, generation, &redis)?,
            redis,
            key,
            generation,
            timeout: Duration::from_secs(parsed(&value, names.timeout, TIMEOUT_SECS)?),
            debug: parsed(&value, "DEBUG", false).unwrap_or(false),
        })
    }
}

/// The suites share their variables. Only perf's dialer has sizes; its listener is known by the name of its Redis,
/// `perf-redis`, unless `SUITE` says which it is.
fn suite(
    value: &impl Fn(&str) -> Option<String>,
    generation: Generation,
    redis: &str,
) -> Result<Suite, String> {
    let sizes = ["UPLOAD_BYTES", "DOWNLOAD_BYTES"];
    let is_perf = match value("SUITE").as_deref() {
        Some("perf") => true,
        Some("transport") => false,
        Some(other) => return Err(format!("SUITE={other} is neither transport nor perf")),
        None => {
            generation == Generation::Modern
                && (redis.starts_with("perf") || sizes.iter().any(|name| value(name).is_some()))
        }
    };
    if !is_perf {
        return Ok(Suite::Transport);
    }
    Ok(Suite::Perf(Perf {
        upload_bytes: parsed(value, "UPLOAD_BYTES", 1 << 30)?,
        download_bytes: parsed(value, "DOWNLOAD_BYTES", 1 << 30)?,
        upload_iterations: parsed(value, "UPLOAD_ITERATIONS", 10)?,
        download_iterations: parsed(value, "DOWNLOAD_ITERATIONS", 10)?,
        latency_iterations: parsed(value, "LATENCY_ITERATIONS", 100)?,
    }))
}

fn parsed<T: FromStr>(
    value: &impl Fn(&str) -> Option<String>,
    name: &str,
    default: T,
) -> Result<T, String> {
    let Some(text) = value(name) else {
        return Ok(default);
    };
    text.parse()
        .map_err(|_| format!("{name}={text} makes no sense"))
}

fn required<T: Copy>(
    value: &impl Fn(&str) -> Option<String>,
    name: &str,
    known: &[(&str, T)],
) -> Result<T, String> {
    let text = value(name).ok_or_else(|| format!("{name} is not set"))?;
    named(&text, name, known)
}

/// The thing of this name.
pub(crate) fn named<T: Copy>(text: &str, what: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == text);
    found.map(|(_, thing)| *thing).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        format!(
            "{what}={text} is not supported; there are {}",
            names.join(", ")
        )
    })
}

struct Names {
    transport: &'static str,
    security: &'static str,
    muxer: &'static str,
    is_dialer: &'static str,
    ip: &'static str,
    redis: &'static str,
    redis_default: &'static str,
    timeout: &'static str,
}

const MODERN: Names = Names {
    transport: "TRANSPORT",
    security: "SECURE_CHANNEL",
    muxer: "MUXER",
    is_dialer: "IS_DIALER",
    ip: "LISTENER_IP",
    redis: "REDIS_ADDR",
    redis_default: "transport-redis:6379",
    timeout: "TEST_TIMEOUT_SECS",
};
const LEGACY: Names = Names {
    transport: "transport",
    security: "security",
    muxer: "muxer",
    is_dialer: "is_dialer",
    ip: "ip",
    redis: "redis_addr",
    redis_default: "redis:6379",
    timeout: "test_timeout_seconds",
};
pub(crate) const TRANSPORTS: [(&str, Transport); 4] = [
    ("tcp", Transport::Tcp),
    ("ws", Transport::Ws),
    ("wss", Transport::Wss),
    ("quic-v1", Transport::QuicV1),
];
const SECURITIES: [(&str, Security); 2] = [("noise", Security::Noise), ("tls", Security::Tls)];
const MUXERS: [(&str, Muxer); 2] = [("yamux", Muxer::Yamux), ("mplex", Muxer::Mplex)];
const TIMEOUT_SECS: u64 = 180;
const NOTHING: &str = "neither TRANSPORT nor transport is set: this program is run by libp2p's public suites; \
                       see --help";

#[cfg(test)]
mod tests;
