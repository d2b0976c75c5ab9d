//! The commands that talk to a running daemon: what they ask, and how they show what it answers.

use std::{io::Read, path::PathBuf, time::Duration};

use carrick::{IntoTarget, PeerId, Subject};
use serde_json::{Value, json};

use self::client::Client;
use crate::{
    address,
    daemon::socket,
    failure::Failure,
    output::{self, plain},
};

pub(crate) mod client;
mod show;
mod watch;

/// Why a command does not know `--daemon`.
pub(crate) const NOT_HERE: &str = "this command needs no running node, or measures and serves with one of its own; \
     peers, connect, disconnect, ban, limits, rpc, call, ping and id talk to a daemon";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the peers that a daemon is connected to.
    Peers(Peers),
    /// Connect a daemon to a peer.
    Connect(Connect),
    /// Close a daemon's connections to a peer.
    Disconnect(Disconnect),
    /// Have a daemon ban a peer, an IP address or a network, lift a ban, or list them.
    Ban(Ban),
    /// Show a daemon's limits: what they allow, what is used, what they have refused.
    Limits(Limits),
    /// Call any method of a daemon.
    Rpc(Rpc),
}

/// Which daemon.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The daemon's socket, where it is not the one that `carrick daemon` makes by itself.
    #[arg(long, value_name = "SOCKET", require_equals = true, num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "the flag may stand without a path")]
    daemon: Option<Option<PathBuf>>,
}

impl Which {
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        connect(self.daemon.clone().flatten()).await
    }
}

/// A daemon in the place of a node of the command's own.
#[derive(Debug, clap::Args)]
pub(crate) struct Instead {
    /// Use the node of a running daemon, and its connections; =SOCKET where it is not the one that `carrick daemon` makes by
    /// itself.
    #[arg(long, value_name = "SOCKET", require_equals = true, num_args = 0..=1, conflicts_with_all = ["swarm_key", "wss_root"])]
    #[expect(clippy::option_option, reason = "the flag may stand without a path")]
    daemon: Option<Option<PathBuf>>,
}

impl Instead {
    /// The daemon, if one is wanted.
    pub(crate) async fn connect(&self) -> Result<Option<Client>, Failure> {
        match &self.daemon {
            Some(path) => connect(path.clone()).await.map(Some),
            None => Ok(None),
        }
    }
}

/// A client of the daemon there, or where daemons usually are.
async fn connect(path: Option<PathBuf>) -> Result<Client, Failure> {
    let path = match path {
        Some(path) => path,
        None => socket::default_path()?,
    };
    Ok(Client::new(socket::connect(&path).await?))
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick peers                   a table of them
  carrick peers --watch --json    an object a line: those who are there, then each change
  carrick peers 12D3Koo…          everything that is known of one peer")]
pub(crate) struct Peers {
    /// Only this peer, with everything that is known of it, connected or not.
    #[arg(value_name = "PEER", value_parser = address::peer_id)]
    peer: Option<PeerId>,
    /// Stay, and show what changes.
    #[arg(long, conflicts_with = "peer")]
    watch: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick connect /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…
  carrick connect --keep 12D3Koo…                          a known peer, and again whenever the connection is lost

The connection stays, even if nothing uses it, until `carrick disconnect`.")]
pub(crate) struct Connect {
    /// The peer: a multiaddr ending in /p2p/<peer-id>, or its id if the daemon knows where to find it.
    #[arg(value_name = "ADDR", value_parser = target)]
    target: String,
    /// Stay connected: dial again whenever the connection is lost.
    #[arg(long)]
    keep: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  carrick disconnect 12D3Koo…

Its streams are lost. It may come back: see `carrick ban`.")]
pub(crate) struct Disconnect {
    /// The peer's id, or an address that ends in it.
    #[arg(value_name = "PEER", value_parser = address::peer_id)]
    peer: PeerId,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick ban 12D3Koo… --for 2h --reason 'floods us'
  carrick ban 192.0.2.0/24                                 until it is lifted
  carrick ban 192.0.2.0/24 --remove
  carrick ban --list

Connections to whom is banned end at once.")]
pub(crate) struct Ban {
    /// A peer id, or an address that ends in one; an IP address, or a network such as 192.0.2.0/24.
    #[arg(value_name = "PEER|IP|NETWORK", value_parser = address::subject, required_unless_present = "list")]
    subject: Option<Subject>,
    /// For how long, such as 90s, 10m, 2h or 7d; without it, until the ban is lifted.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// Why, for the list and the log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Lift the ban.
    #[arg(long, conflicts_with_all = ["duration", "list"])]
    remove: bool,
    /// Show the bans in force, the oldest first.
    #[arg(long, conflicts_with_all = ["duration", "subject"])]
    list: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick limits
  carrick limits --json

USED and PEAK are those of the peer, connection and so on that uses most, where each has its own count.")]
pub(crate) struct Limits {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  carrick rpc node_info
  carrick rpc peers_info '{\"peer\": \"12D3Koo…\"}'
  carrick rpc peers_subscribe --json              notifications follow, until Ctrl-C

`carrick daemon --schema` lists the methods.")]
pub(crate) struct Rpc {
    /// The method.
    #[arg(value_name = "METHOD")]
    method: String,
    /// Its parameters: a JSON object, or an array in their order; - reads them from stdin.
    #[arg(value_name = "JSON", default_value = "{}")]
    params: String,
    /// In one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Which,
}

pub(crate) async fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Peers(args) => peers(args).await,
        Command::Connect(args) => connect_to(args).await,
        Command::Disconnect(args) => disconnect(args).await,
        Command::Ban(args) => ban(args).await,
        Command::Limits(args) => {
            let all = args
                .daemon
                .connect()
                .await?
                .call("limits_list", json!({}))
                .await?;
            show::all(&all, args.json, &show::LIMITS)
        }
        Command::Rpc(args) => rpc(args).await,
    }
}

async fn peers(args: &Peers) -> Result<(), Failure> {
    let mut client = args.daemon.connect().await?;
    if args.watch {
        return watch::peers(&mut client, args.json).await;
    }
    if let Some(peer) = args.peer {
        let info = client
            .call("peers_info", json!({"peer": peer.to_string()}))
            .await?;
        return show::one(&info, args.json);
    }
    let all = client.call("peers_list", json!({})).await?;
    show::all(&all, args.json, &show::PEERS)
}

async fn connect_to(args: &Connect) -> Result<(), Failure> {
    let params = json!({"target": args.target, "keep": args.keep});
    let connection = args
        .daemon
        .connect()
        .await?
        .call("connections_open", params)
        .await?;
    if args.json {
        return output::result(&connection.to_string());
    }
    let text = |name: &str| plain(show::text(&connection[name]));
    let [peer, address, security, muxer] = ["peer", "address", "security", "muxer"].map(text);
    output::result(&format!(
        "connected to {peer} at {address} ({security}, {muxer})"
    ))
}

async fn disconnect(args: &Disconnect) -> Result<(), Failure> {
    let params = json!({"peer": args.peer.to_string()});
    let closed = args
        .daemon
        .connect()
        .await?
        .call("connections_close", params)
        .await?;
    match closed["closed"].as_u64() {
        Some(0) => Err(Failure::new(
            format!("there was no connection to {}", args.peer),
            "`carrick peers` lists the connected ones",
        )),
        _ if args.json => output::result(&closed.to_string()),
        _ => output::result(&format!("disconnected from {}", args.peer)),
    }
}

async fn ban(args: &Ban) -> Result<(), Failure> {
    let mut client = args.daemon.connect().await?;
    let Some(subject) = &args.subject else {
        let all = client.call("bans_list", json!({})).await?;
        return show::all(&all, args.json, &show::BANS);
    };
    let subject = subject.to_string();
    if args.remove {
        let lifted = client
            .call("bans_remove", json!({"subject": subject}))
            .await?;
        return match lifted {
            Value::Bool(false) => Err(Failure::new(
                format!("{subject} was not banned"),
                "`carrick ban --list` lists who is",
            )),
            _ if args.json => output::result(&json!({"lifted": subject}).to_string()),
            _ => output::result(&format!("{subject} is not banned any more")),
        };
    }
    let duration_s = args.duration.map(|duration| duration.as_secs());
    let params = json!({"subject": subject, "duration_s": duration_s, "reason": args.reason});
    client.call("bans_add", params).await?;
    output::result(&match duration_s {
        _ if args.json => json!({"banned": subject}).to_string(),
        Some(seconds) => format!("{subject} is banned for {}", show::age(&json!(seconds))),
        None => format!("{subject} is banned"),
    })
}

async fn rpc(args: &Rpc) -> Result<(), Failure> {
    let mut text = args.params.clone();
    if text == "-" {
        text.clear();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| {
                Failure::new(
                    format!("cannot read stdin: {error}"),
                    "give the parameters as an argument",
                )
            })?;
    }
    let params: Value = serde_json::from_str(&text).map_err(|error| {
        let remedy = "write a JSON object in quotes, such as '{\"peer\": \"12D3Koo…\"}'";
        Failure::new(format!("the parameters are not JSON: {error}"), remedy)
    })?;
    if !params.is_object() && !params.is_array() {
        return Err(Failure::new(
            "the parameters are neither an object nor an array",
            "name each, as in '{\"peer\": \"12D3Koo…\"}'",
        ));
    }
    let mut client = args.daemon.connect().await?;
    let mut value = client.call(&args.method, params).await?;
    loop {
        output::result(&match args.json {
            true => value.to_string(),
            false => format!("{value:#}"),
        })?;
        if !args.method.ends_with("_subscribe") {
            return Ok(());
        }
        value = client.notice().await?;
    }
}

/// What names a peer; the daemon reads it anew.
fn target(text: &str) -> Result<String, String> {
    match text.into_target() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}; one looks like /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…"
        )),
    }
}

/// A number and its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("" | "s") => 1,
        Some("m" | "min") => 60,
        Some("h") => 3600,
        Some("d") => 86400,
        _ => 0,
    };
    let seconds = digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit));
    let seconds = seconds.filter(|seconds| *seconds > 0);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "a duration looks like 90s, 10m, 2h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_are_not_nothing() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("10m", 600),
            ("10min", 600),
            ("2h", 7200),
            ("7d", 604_800),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "0m",
            "-1s",
            "1w",
            "1.5h",
            "99999999999999999999",
            "213503982334602d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
