//! The flags of go's p2pd, as its programs give them: `-name value`, `-name=value`, `--name…`; a switch alone is on.
//! What Carrick has no counterpart for is taken and does nothing, which is said; what would be unsafe is refused.

use std::{
    fs::File,
    io::{Read, stdin},
    time::Duration,
};

use carrick::{IntoAddress, Multiaddr, Muxer, Security, p2pd::Endpoint};

use super::config;
use crate::{address, failure::Failure};

/// What the daemon is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) listen: Endpoint,
    pub(super) quiet: bool,
    pub(super) id: Option<String>,
    pub(super) bootstrap: bool,
    pub(super) bootstrap_peers: Vec<Multiaddr>,
    /// Low and high watermark, and the time of grace.
    pub(super) conn_manager: Option<(usize, usize, Duration)>,
    pub(super) host_addrs: Vec<Multiaddr>,
    pub(super) announce_addrs: Vec<Multiaddr>,
    pub(super) no_listen: bool,
    pub(super) quic: bool,
    pub(super) metrics: Option<String>,
    pub(super) securities: Vec<Security>,
    pub(super) muxer: Muxer,
    pub(super) echo: bool,
    pub(super) idle_timeout: Option<Duration>,
    /// Flags that were given and do nothing.
    pub(super) idle: Vec<&'static str>,
    pub(super) help: bool,
}

/// The value that a flag has.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Switch,
    Text,
    Number,
    Time,
}

/// What comes of a flag.
#[derive(Clone, Copy, PartialEq)]
enum Effect {
    Real,
    /// There is nothing of the kind here; said when it is switched on.
    None,
    /// Says more about one that does nothing; not worth a word.
    Detail,
}

use Effect::{Detail, None as Nothing, Real};
use Kind::{Number, Switch, Text, Time};

/// Each flag with its value when it is not given.
const FLAGS: [Flag; 54] = [
    (
        "listen",
        Text,
        "/unix/tmp/p2pd.sock",
        Real,
        "where programs connect to: /unix/PATH or /ip4/127.0.0.1/tcp/PORT",
    ),
    ("q", Switch, "false", Real, "print nothing"),
    (
        "id",
        Text,
        "",
        Real,
        "the key file, as `carrick key generate` makes one",
    ),
    (
        "b",
        Switch,
        "false",
        Real,
        "connect to the bootstrap peers, and again whenever they are lost",
    ),
    (
        "bootstrapPeers",
        Text,
        "",
        Real,
        "the bootstrap peers, with commas between; there are no others",
    ),
    (
        "hostAddrs",
        Text,
        "",
        Real,
        "where to listen, with commas between; TCP and QUIC on free ports",
    ),
    (
        "announceAddrs",
        Text,
        "",
        Real,
        "what to tell peers instead, with commas between",
    ),
    ("noListenAddrs", Switch, "false", Real, "listen nowhere"),
    (
        "connManager",
        Switch,
        "false",
        Real,
        "trim connections, those dialed and those of others each",
    ),
    ("connLo", Number, "256", Real, "how many are left"),
    ("connHi", Number, "512", Real, "how many there may be"),
    (
        "connGrace",
        Time,
        "120s",
        Real,
        "for how long a new one is left alone",
    ),
    (
        "metricsAddr",
        Text,
        "",
        Real,
        "serve figures for Prometheus there: 127.0.0.1:PORT",
    ),
    ("noise", Switch, "true", Real, "offer Noise"),
    ("tls", Switch, "true", Real, "offer TLS"),
    (
        "plaintext",
        Switch,
        "false",
        Real,
        "refused: nobody would know who is on the other end",
    ),
    ("muxer", Text, "yamux", Real, "yamux or mplex"),
    ("echo", Switch, "true", Real, "serve /echo/1.0.0"),
    (
        "quic",
        Switch,
        "true",
        Real,
        "listen on QUIC, too, when nothing else is asked for",
    ),
    (
        "idleTimeout",
        Time,
        "0",
        Real,
        "end when no program has held a socket for calls for so long",
    ),
    (
        "f",
        Text,
        "",
        Real,
        "read a JSON configuration from there first; flags say more",
    ),
    ("i", Switch, "false", Real, "read it from stdin"),
    ("persistentConnMaxMsgSize", Number, "4194304", Detail, ""),
    ("dht", Switch, "false", Nothing, ""),
    ("dhtClient", Switch, "false", Nothing, ""),
    ("dhtServer", Switch, "false", Nothing, ""),
    ("natPortMap", Switch, "false", Nothing, ""),
    ("pubsub", Switch, "false", Nothing, ""),
    ("pubsubRouter", Text, "gossipsub", Detail, ""),
    ("pubsubSign", Switch, "true", Detail, ""),
    ("pubsubSignStrict", Switch, "true", Detail, ""),
    ("gossipsubHeartbeatInterval", Time, "0", Detail, ""),
    ("gossipsubHeartbeatInitialDelay", Time, "0", Detail, ""),
    ("relay", Switch, "true", Nothing, ""),
    ("relayActive", Switch, "false", Nothing, ""),
    ("relayHop", Switch, "false", Nothing, ""),
    ("relayHopLimit", Number, "0", Detail, ""),
    ("relayDiscovery", Switch, "false", Nothing, ""),
    ("relayService", Switch, "false", Nothing, ""),
    ("relayMaxCircuits", Number, "16", Detail, ""),
    ("relayMaxReservations", Number, "128", Detail, ""),
    ("relayBufferSize", Number, "0", Detail, ""),
    ("relayDataLimit", Number, "0", Detail, ""),
    ("relayTimeLimit", Time, "30m", Detail, ""),
    ("trustedRelays", Text, "", Nothing, ""),
    ("autoRelay", Switch, "false", Nothing, ""),
    ("autonat", Switch, "false", Nothing, ""),
    ("pprof", Switch, "false", Nothing, ""),
    ("pprofPort", Number, "0", Detail, ""),
    ("forceReachabilityPublic", Switch, "false", Nothing, ""),
    ("forceReachabilityPrivate", Switch, "false", Nothing, ""),
    ("h", Switch, "false", Real, "show this"),
    ("help", Switch, "false", Real, "show this"),
    ("secio", Switch, "false", Nothing, ""),
];

/// What `-help` shows.
pub(super) fn usage() -> String {
    let mut text = USAGE.to_owned();
    for (name, kind, default, effect, help) in FLAGS {
        if effect != Real || help.is_empty() {
            continue;
        }
        let value = match kind {
            Switch => "",
            Text => " TEXT",
            Number => " N",
            Time => " TIME",
        };
        let default = match default {
            "" | "false" | "0" => String::new(),
            default => format!(" [default: {default}]"),
        };
        text += &format!("  {:<22} {help}{default}\n", format!("-{name}{value}"));
    }
    let idle = FLAGS
        .iter()
        .filter(|flag| matches!(flag.3, Nothing | Detail));
    let idle: Vec<_> = idle.map(|flag| format!("-{}", flag.0)).collect();
    text + "\nTaken, and without effect: " + &idle.join(" ") + "\n"
}

/// Reads the arguments.
pub(super) fn parse(args: &[String]) -> Result<Flags, Failure> {
    let mut given = Given::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let named = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'));
        let named = named.filter(|name| !name.is_empty());
        let named = named.ok_or_else(|| wrong(format!("{arg} is no flag")))?;
        let (name, value) = match named.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (named, None),
        };
        let flag = FLAGS.iter().find(|flag| flag.0 == name);
        let flag = flag.ok_or_else(|| wrong(format!("there is no flag -{name}")))?;
        let value = match (value, flag.1) {
            (Some(value), _) => value.to_owned(),
            (None, Switch) => "true".to_owned(),
            (None, Text | Number | Time) => {
                let next = rest.next().cloned();
                next.ok_or_else(|| wrong(format!("-{name} needs a value")))?
            }
        };
        given.0.push((flag, value));
    }
    given.configure()?;
    given.flags()
}

type Flag = (&'static str, Kind, &'static str, Effect, &'static str);

/// What was given, in its order; of one name the last counts, as with go.
#[derive(Default)]
struct Given(Vec<(&'static Flag, String)>);

impl Given {
    fn flags(&self) -> Result<Flags, Failure> {
        self.check()?;
        let listen = Endpoint::parse(self.text("listen"))
            .map_err(|error| wrong(format!("-listen: {error}")))?;
        let limits = (self.number("connLo")?, self.number("connHi")?);
        let mut securities = Vec::new();
        if self.is_on("noise")? {
            securities.push(Security::Noise);
        }
        if self.is_on("tls")? {
            securities.push(Security::Tls);
        }
        let grace = self.time("connGrace")?;
        let idle_timeout = self.time("idleTimeout")?;
        let filled = |name: &str| Some(self.text(name).to_owned()).filter(|text| !text.is_empty());
        Ok(Flags {
            listen,
            quiet: self.is_on("q")?,
            id: filled("id"),
            bootstrap: self.is_on("b")?,
            bootstrap_peers: self.addresses("bootstrapPeers", address::peer)?,
            conn_manager: self
                .is_on("connManager")?
                .then_some((limits.0, limits.1, grace)),
            host_addrs: self.addresses("hostAddrs", address::local)?,
            announce_addrs: self.addresses("announceAddrs", |text| {
                text.into_address().map_err(|error| error.to_string())
            })?,
            no_listen: self.is_on("noListenAddrs")?,
            quic: self.is_on("quic")?,
            metrics: filled("metricsAddr"),
            securities,
            muxer: match self.text("muxer") {
                "yamux" => Muxer::Yamux,
                "mplex" => Muxer::Mplex,
                other => return Err(wrong(format!("-muxer is yamux or mplex, not {other}"))),
            },
            echo: self.is_on("echo")?,
            idle_timeout: Some(idle_timeout).filter(|time| !time.is_zero()),
            idle: self.idle()?,
            help: self.is_on("h")? || self.is_on("help")?,
        })
    }

    /// Puts what a file or stdin says before what flags say.
    fn configure(&mut self) -> Result<(), Failure> {
        let name = self.text("f");
        let read = |source: &mut dyn Read| {
            let mut text = String::new();
            let read = source.take(CONFIG_MAX).read_to_string(&mut text);
            read.map(|_| text)
        };
        let text = if self.is_on("i")? {
            read(&mut stdin().lock())
        } else if name.is_empty() {
            return Ok(());
        } else {
            File::open(name).and_then(|mut file| read(&mut file))
        };
        let cannot = |why: String| wrong(format!("cannot read the configuration: {why}"));
        let text = text.map_err(|error| cannot(error.to_string()))?;
        let mut all = Vec::new();
        for (name, value) in config::flags(&text).map_err(cannot)? {
            let flag = FLAGS.iter().find(|flag| flag.0 == name);
            all.extend(flag.map(|flag| (flag, value)));
        }
        all.append(&mut self.0);
        self.0 = all;
        Ok(())
    }

    /// What cannot be meant, or must not be done.
    fn check(&self) -> Result<(), Failure> {
        for (flag, value) in &self.0 {
            let fits = match flag.1 {
                Switch => switch(value).is_some(),
                Text => true,
                Number => value.parse::<u64>().is_ok(),
                Time => time(value).is_some(),
            };
            if !fits {
                return Err(wrong(format!("-{} cannot be {value:?}", flag.0)));
            }
        }
        if self.is_on("plaintext")? {
            return Err(Failure::new(
                "-plaintext is refused: with it, nobody knows who is on the other end",
                "leave it out; Noise and TLS are on",
            ));
        }
        if !self.is_on("noise")? && !self.is_on("tls")? {
            return Err(wrong("at least one of -noise and -tls must be on"));
        }
        if self.is_on("b")? && self.text("bootstrapPeers").is_empty() {
            return Err(Failure::new(
                "-b without -bootstrapPeers would contact nodes that nobody has named",
                "name them",
            ));
        }
        if self.is_on("forceReachabilityPublic")? && self.is_on("forceReachabilityPrivate")? {
            return Err(wrong("-forceReachability… is Public or Private, not both"));
        }
        Ok(())
    }

    /// Those that were given and do nothing.
    fn idle(&self) -> Result<Vec<&'static str>, Failure> {
        let mut idle = Vec::new();
        for (flag, _) in self.0.iter().filter(|(flag, _)| flag.3 == Nothing) {
            if !idle.contains(&flag.0) && (flag.1 != Switch || self.is_on(flag.0)?) {
                idle.push(flag.0);
            }
        }
        Ok(idle)
    }

    fn text(&self, name: &str) -> &str {
        let given = self.0.iter().rev().find(|(flag, _)| flag.0 == name);
        let default = || FLAGS.iter().find(|flag| flag.0 == name);
        match given {
            Some((_, value)) => value,
            None => default().map_or("", |flag| flag.2),
        }
    }

    fn is_on(&self, name: &str) -> Result<bool, Failure> {
        let value = self.text(name);
        switch(value).ok_or_else(|| wrong(format!("-{name} cannot be {value:?}")))
    }

    fn number(&self, name: &str) -> Result<usize, Failure> {
        let value = self.text(name);
        let number = value.parse();
        number.map_err(|_| wrong(format!("-{name} cannot be {value:?}")))
    }

    fn time(&self, name: &str) -> Result<Duration, Failure> {
        let value = self.text(name);
        time(value).ok_or_else(|| wrong(format!("-{name} cannot be {value:?}")))
    }

    fn addresses(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<Multiaddr, String>,
    ) -> Result<Vec<Multiaddr>, Failure> {
        let all = self.text(name).split(',').filter(|text| !text.is_empty());
        let parsed =
            all.map(|text| parse(text).map_err(|why| wrong(format!("-{name}: {text}: {why}"))));
        parsed.collect()
    }
}

/// As go reads switches.
fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// As go reads times: `120s`, `1m30s`, `500ms`, `0`.
fn time(mut text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    loop {
        let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = text.split_at(unit);
        let next = rest.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, rest) = rest.split_at(next.unwrap_or(rest.len()));
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        if rest.is_empty() {
            return Duration::try_from_secs_f64(seconds).ok();
        }
        text = rest;
    }
}

fn wrong(what: impl std::fmt::Display) -> Failure {
    Failure::new(what, "see `carrick p2pd -help`")
}

/// A configuration is not larger, in bytes.
const CONFIG_MAX: u64 = 1 << 20;

const USAGE: &str = "\
A node that other programs drive: the control protocol of go-libp2p-daemon, with its flags and its lines on stdout, and
hivemind's balanced handlers and unary calls. DHT and pubsub answer that they are not enabled.

Usage: carrick p2pd [FLAG]…
       p2pd [FLAG]…            when the program, or a link to it, is called p2pd

Examples:
  carrick p2pd                                                   programs connect to /tmp/p2pd.sock
  carrick p2pd -listen=/ip4/127.0.0.1/tcp/5005 -id node.key -hostAddrs=/ip4/0.0.0.0/tcp/4001

A flag may have one dash or two, and its value behind = or a blank; a switch alone is on, -echo=false is off.

The socket file is its owner's alone; whoever reaches a TCP port commands the node.
Ends at Ctrl-C or SIGTERM, with the exit code 128 and the signal's number more; SIGUSR1 prints the connections.

Flags:
";

#[cfg(test)]
mod tests;
