//! The daemon, and the commands that talk to it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::process::{Finished, Listener, carrick, place};

/// A daemon with a socket of its own, whose path is short enough for one.
pub(crate) struct Daemon {
    place: PathBuf,
    listener: Option<Listener>,
}

impl Daemon {
    pub(crate) fn start(test: &str) -> Self {
        let place = place(test);
        let mut daemon = Self {
            place,
            listener: None,
        };
        let socket = daemon.socket();
        let args = ["/ip4/127.0.0.1/tcp/0", "--socket", &socket];
        daemon.listener = Some(Listener::start_as("daemon", &args, 2));
        daemon
    }

    pub(crate) fn socket(&self) -> String {
        self.place.join("carrick.sock").display().to_string()
    }

    pub(crate) fn node(&self) -> &Listener {
        self.listener.as_ref().expect("it runs")
    }

    /// Runs a command that talks to it.
    fn carrick(&self, args: &[&str]) -> Finished {
        let which = format!("--daemon={}", self.socket());
        carrick(&[args, &[&which]].concat())
    }

    pub(crate) fn client(&self) -> Client {
        Client::to(Path::new(&self.socket()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.listener.take();
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// A client that says exactly what it is told to.
pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    fn to(socket: &Path) -> Self {
        let pipe = UnixStream::connect(socket).expect("the daemon listens");
        let patience = Some(Duration::from_secs(60));
        pipe.set_read_timeout(patience).expect("a deadline is set");
        Self(BufReader::new(pipe))
    }

    fn say(&mut self, text: &[u8]) {
        self.0.get_mut().write_all(text).expect("it is read");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it answers in time");
        serde_json::from_str(&line).expect("it answers JSON")
    }

    pub(crate) fn ask(&mut self, text: &str) -> Value {
        self.say(format!("{text}\n").as_bytes());
        self.hear()
    }

    pub(crate) fn rpc(&mut self, method: &str, params: Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.ask(&call.to_string())
    }
}

#[test]
fn a_daemon_tells_who_it_is_and_ends_when_it_is_told_to() {
    let mut daemon = Daemon::start("info");
    let info = &daemon.carrick(&["rpc", "node_info", "--json"]).objects()[0];
    assert_eq!(info["peer"], daemon.node().peer());
    assert_eq!(info["addresses"][0], daemon.node().address);
    let socket = fs::symlink_metadata(daemon.socket()).expect("it is there");
    assert_eq!(socket.mode() & 0o777, 0o600);
    let place = fs::symlink_metadata(&daemon.place).expect("it is there");
    assert_eq!(place.mode() & 0o777, 0o700);
    assert_eq!(daemon.carrick(&["rpc", "node_shutdown"]).lines(), ["null"]);
    let ended = daemon.listener.take().expect("it ran").wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        !Path::new(&daemon.socket()).exists(),
        "its socket goes with it"
    );
}

#[test]
fn commands_connect_list_disconnect_and_ban() {
    let (daemon, other) = (
        Daemon::start("talk"),
        Listener::start(&["/ip4/127.0.0.1/tcp/0"]),
    );
    let connected = daemon.carrick(&["connect", &other.address]).lines();
    assert!(
        connected[0].starts_with(&format!("connected to {} at ", other.peer())),
        "{connected:?}"
    );
    let peers = daemon.carrick(&["peers", "--json"]).objects();
    assert_eq!((peers.len(), &peers[0]["peer"]), (1, &json!(other.peer())));
    let table = daemon.carrick(&["peers"]).lines();
    assert!(
        table[0].starts_with("PEER ") && table[1].starts_with(other.peer()),
        "{table:?}"
    );
    let known = daemon.carrick(&["peers", other.peer(), "--json"]).objects();
    assert_eq!(known[0]["connections"].as_array().map(Vec::len), Some(1));
    let limits = daemon.carrick(&["limits", "--json"]).objects();
    let outbound = limits
        .iter()
        .find(|limit| limit["limit"] == "connections_outbound");
    assert_eq!(outbound.expect("it is listed")["used"], 1);
    let pinged = daemon.carrick(&[
        "ping",
        &other.address,
        "-n",
        "2",
        "--interval-ms",
        "1",
        "--json",
    ]);
    assert_eq!(pinged.objects().len(), 2);
    let identity = daemon.carrick(&["id", &other.address, "--json"]).objects();
    assert_eq!(identity[0]["peer"], other.peer());
    daemon.carrick(&["disconnect", &other.address]).lines();
    daemon
        .carrick(&["disconnect", other.peer()])
        .refused(&["no connection to", "carrick peers"]);
    assert_eq!(daemon.carrick(&["peers", "--json"]).lines(), [""; 0]);
    daemon
        .carrick(&["ban", &other.address, "--for", "1h", "--reason", "a test"])
        .lines();
    let bans = daemon.carrick(&["ban", "--list", "--json"]).objects();
    assert_eq!(
        (&bans[0]["subject"], &bans[0]["reason"]),
        (&json!(other.peer()), &json!("a test"))
    );
    daemon
        .carrick(&["connect", &other.address])
        .refused(&["banned", "lift the ban"]);
    daemon.carrick(&["ban", other.peer(), "--remove"]).lines();
    daemon
        .carrick(&["ban", other.peer(), "--remove"])
        .refused(&["was not banned", "--list"]);
    daemon
        .carrick(&["connect", &other.address, "--keep"])
        .lines();
}

#[test]
fn a_subscription_tells_who_is_there_and_then_what_changes() {
    let (daemon, other) = (
        Daemon::start("watch"),
        Listener::start(&["/ip4/127.0.0.1/tcp/0"]),
    );
    let mut client = daemon.client();
    let subscribed = client.ask(r#"{"jsonrpc":"2.0","id":1,"method":"peers_subscribe"}"#);
    assert!(subscribed["result"].is_u64(), "{subscribed}");
    let first = client.hear();
    assert_eq!(first["method"], "peers_changed");
    assert_eq!(
        first["params"]["result"],
        json!({"event": "peers", "peers": []})
    );
    daemon.carrick(&["connect", &other.address]).lines();
    let mut until = |event: &str| {
        let told = std::iter::repeat_with(|| client.hear()["params"]["result"].take());
        let mut told = told.take(20);
        told.find(|told| told["event"] == event)
            .unwrap_or_else(|| panic!("no {event}"))
    };
    assert_eq!(until("connected")["peer"], other.peer());
    daemon.carrick(&["ban", other.peer()]).lines();
    assert_eq!(until("disconnected")["peer"], other.peer());
    assert_eq!(client.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "peers_unsubscribe", "params": [subscribed["result"]]}).to_string())["result"], true);
}

#[test]
fn nonsense_is_answered_and_the_next_call_is_served() {
    let daemon = Daemon::start("nonsense");
    let mut client = daemon.client();
    let deep = "[".repeat(100_000);
    let deep_params = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"node_info","params":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for (text, code) in [
        ("hello", -32700),
        ("{", -32700),
        (&deep, -32700),
        (&deep_params, -32602),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"2.0","id":7}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":7,"method":"node_info"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":7,"method":"no_such"}"#, -32601),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"node_info","params":{"x":1}}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"bans_add","params":{"subject":"nobody"}}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"bans_add","params":{"subject":"192.0.2.1","duration_s":-1}}"#,
            -32602,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"connections_open","params":["/ip4/127.0.0.1/tcp/1"]}"#,
            1,
        ),
    ] {
        let answer = client.ask(text);
        assert_eq!(
            answer["error"]["code"],
            code,
            "{}: {answer}",
            text.get(..80).unwrap_or(text)
        );
    }
    // The longest duration there is, a batch, and a notification, which nobody answers.
    let longest = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"bans_add","params":["192.0.2.1",{}]}}"#,
        u64::MAX
    );
    assert_eq!(client.ask(&longest)["result"], Value::Null);
    client.say(b"{\"jsonrpc\":\"2.0\",\"method\":\"node_info\"}\n");
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"bans_list"},{"jsonrpc":"2.0","id":2,"method":"peers_subscribe"},3]"#;
    let answers = client.ask(batch);
    assert_eq!(answers[0]["result"][0]["subject"], "192.0.2.1");
    assert_eq!(answers[1]["error"]["code"], -32600, "{answers}");
    assert_eq!(answers[2]["error"]["code"], -32600, "{answers}");
    let many = format!("[{}1]", "1,".repeat(64));
    assert_eq!(client.ask(&many)["error"]["code"], -32010);
}

#[test]
fn a_call_of_100_mb_is_refused_before_it_is_kept() {
    let daemon = Daemon::start("large");
    let mut client = daemon.client();
    let mut writer = client.0.get_ref().try_clone().expect("it can be shared");
    let writing = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        // It stops reading, so writing fails, long before all is written.
        (0..100).find(|_| writer.write_all(&piece).is_err())
    });
    assert_eq!(client.hear()["error"]["code"], -32007);
    drop(client);
    let refused_at = writing.join().expect("the writer did not panic");
    assert!(refused_at.is_some_and(|mib| mib < 16), "{refused_at:?}");
    assert_eq!(daemon.carrick(&["peers", "--json"]).lines(), [""; 0]);
}

#[test]
fn idle_clients_give_way_and_those_who_have_finished_still_get_their_answers() {
    let daemon = Daemon::start("idle");
    let idle: Vec<_> = (0..300).map(|_| daemon.client()).collect();
    assert_eq!(daemon.carrick(&["peers", "--json"]).lines(), [""; 0]);
    drop(idle);
    let mut client = daemon.client();
    client.say(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"node_info\"}\n");
    client
        .0
        .get_ref()
        .shutdown(std::net::Shutdown::Write)
        .expect("it is open");
    assert_eq!(client.hear()["result"]["peer"], daemon.node().peer());
}

#[test]
fn without_a_daemon_it_is_said_how_to_start_one() {
    let place = place("nobody");
    let which = format!("--daemon={}", place.join("c.sock").display());
    for command in [
        vec!["peers"],
        vec!["limits"],
        vec!["rpc", "node_info"],
        vec!["ban", "--list"],
    ] {
        carrick(&[&command[..], &[&which]].concat())
            .refused(&["no daemon answers", "`carrick daemon`"]);
    }
    carrick(&["demo", "--daemon"]).refused(&["'--daemon'", "needs no running node"]);
    for command in ["peers", "disconnect"] {
        carrick(&[command, "nobody"]).refused(&["PEER", "is no peer id", "12D3Koo"]);
        carrick(&[command, "/ip4/127.0.0.1/tcp/1"]).refused(&["which peer"]);
    }
    carrick(&["ban", "nobody"]).refused(&["nobody", "192.0.2.0/24"]);
    carrick(&["ban", "192.0.2.1", "--for", "soon"]).refused(&["--for", "10m"]);
    carrick(&["rpc", "node_info", "x", &which]).refused(&["not JSON"]);
}

#[test]
fn a_second_daemon_and_an_open_directory_are_refused() {
    let daemon = Daemon::start("second");
    let again = carrick(&[
        "daemon",
        "/ip4/127.0.0.1/tcp/0",
        "--socket",
        &daemon.socket(),
    ]);
    again.refused(&["a daemon runs already", "--socket"]);
    let open = daemon.place.join("open");
    fs::DirBuilder::new()
        .mode(0o755)
        .create(&open)
        .expect("it can be made");
    let socket = open.join("c.sock").display().to_string();
    carrick(&["daemon", "/ip4/127.0.0.1/tcp/0", "--socket", &socket])
        .refused(&["others may enter", "chmod 700"]);
}

#[test]
fn the_schema_is_what_the_daemon_says_of_itself() {
    let daemon = Daemon::start("schema");
    let printed: Value = serde_json::from_str(&carrick(&["daemon", "--schema"]).lines().join("\n"))
        .expect("it is JSON");
    assert_eq!(
        daemon.carrick(&["rpc", "rpc.discover", "--json"]).objects()[0],
        printed
    );
    assert_eq!(printed["openrpc"], "1.3.2");
}
