//! The daemon over HTTP and WebSocket: who may call, and what does not harm it.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    time::Duration,
};

use serde_json::{Value, json};
use tungstenite::{Message, client::IntoClientRequest};

use crate::process::{Listener, carrick, place};

/// A daemon that takes calls over HTTP.
struct Daemon {
    place: PathBuf,
    listener: Option<Listener>,
}

impl Daemon {
    fn start(test: &str, more: &[&str]) -> Self {
        let place = place(test);
        let socket = place.join("carrick.sock").display().to_string();
        let args = ["/ip4/127.0.0.1/tcp/0", "--socket", &socket, "--http", "0"];
        let listener = Listener::start_as("daemon", &[&args, more].concat(), 4);
        Self {
            place,
            listener: Some(listener),
        }
    }

    /// What it printed behind this word.
    fn told(&self, word: &str) -> String {
        let listener = self.listener.as_ref().expect("it runs");
        let mut lines = listener.lines.iter();
        let told = lines.find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        told.expect("it says so").to_owned()
    }

    fn address(&self) -> String {
        let url = self.told("http");
        url["http://".len()..].trim_end_matches('/').to_owned()
    }

    fn token(&self) -> String {
        let token = fs::read_to_string(self.told("token")).expect("it is there");
        token.trim().to_owned()
    }

    fn connect(&self) -> TcpStream {
        let pipe = TcpStream::connect(self.address()).expect("it is served");
        let patience = Some(Duration::from_secs(60));
        pipe.set_read_timeout(patience).expect("a deadline is set");
        pipe
    }

    /// The answer to exactly this.
    fn send(&self, head: &str, body: &[u8]) -> String {
        let mut pipe = self.connect();
        pipe.write_all(head.as_bytes()).expect("it is read");
        // It may have answered, and gone, before it has all.
        let _ = pipe.write_all(body);
        let mut answer = Vec::new();
        let _ = pipe.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer to a call with all that it needs, and these headers besides.
    fn post(&self, headers: &str, body: &str) -> String {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n{headers}\r\n",
            self.token(),
            body.len()
        );
        self.send(&head, body.as_bytes())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.listener.take();
        let _ = fs::remove_dir_all(&self.place);
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

fn result(answer: &str) -> Value {
    let body = answer.split_once("\r\n\r\n").expect("it has a body").1;
    serde_json::from_str(body).expect("it is JSON")
}

const INFO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"node_info"}"#;

#[test]
fn whoever_has_the_token_may_call_and_nobody_else() {
    let daemon = Daemon::start("http", &[]);
    let file = fs::metadata(daemon.told("token")).expect("it is there");
    assert_eq!(file.mode() & 0o777, 0o600);
    let peer = daemon.listener.as_ref().expect("it runs").peer().to_owned();
    let answer = daemon.post("", INFO);
    assert_eq!(
        (status(&answer), &result(&answer)["result"]["peer"]),
        ("200", &json!(peer)),
        "{answer}"
    );
    let bearer = format!("Authorization: Bearer {}", daemon.token());
    let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
    let (host, content) = ("Host: localhost", "Content-Type: application/json");
    let (post, old) = ("POST / HTTP/1.1", "POST / HTTP/1.0");
    for (name, first, headers, wanted) in [
        (
            "DNS rebinding",
            post,
            ["Host: evil.com", content, &bearer],
            "421",
        ),
        (
            "absolute form",
            "POST http://evil.com/ HTTP/1.1",
            [host, content, &bearer],
            "421",
        ),
        ("no host", old, ["X: x", content, &bearer], "421"),
        (
            "a page's form",
            post,
            [host, "Content-Type: text/plain", &bearer],
            "415",
        ),
        ("no token", post, [host, content, "X: x"], "401"),
        ("another token", post, [host, content, &wrong], "401"),
        (
            "a link",
            "GET /?method=node_shutdown HTTP/1.1",
            [host, content, &bearer],
            "405",
        ),
        (
            "another path",
            "POST /rpc HTTP/1.1",
            [host, content, &bearer],
            "404",
        ),
        ("HTTP/2", "PRI * HTTP/2.0", [host, content, &bearer], ""),
    ] {
        let length = format!("Content-Length: {}", INFO.len());
        let lines = [&[first][..], &headers, &[&length, "", ""]].concat();
        let answer = daemon.send(&lines.join("\r\n"), INFO.as_bytes());
        let told = status(&answer);
        assert!(
            told == wanted || (wanted.is_empty() && told != "200"),
            "{name}: {answer}"
        );
        assert!(!answer.contains(&peer), "{name}: {answer}");
    }
    assert_eq!(
        status(&daemon.post("Origin: null\r\n", INFO)),
        "403",
        "a sandboxed page"
    );
}

#[test]
fn a_listed_page_may_call_with_the_token() {
    let daemon = Daemon::start(
        "page",
        &[
            "--http-origin",
            "https://app.example",
            "--http-host",
            "node.example",
        ],
    );
    let preflight = "OPTIONS / HTTP/1.1\r\nHost: node.example\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    let answer = daemon.send(preflight, b"");
    assert!(
        answer.contains("access-control-allow-origin: https://app.example\r\n"),
        "{answer}"
    );
    let preflight = "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.com\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    let answer = daemon.send(preflight, b"");
    assert_eq!(status(&answer), "403");
    assert!(
        !answer.to_lowercase().contains("access-control-allow"),
        "{answer}"
    );
    let answer = daemon.post("Origin: https://app.example\r\n", INFO);
    assert!(
        status(&answer) == "200"
            && answer.contains("access-control-allow-origin: https://app.example\r\n"),
        "{answer}"
    );
}

#[test]
fn a_websocket_carries_calls_and_subscriptions_and_no_foreign_page_opens_one() {
    let daemon = Daemon::start("ws", &[]);
    let open = |origin: Option<&str>, token: &str| {
        let mut request = format!("ws://{}/", daemon.address())
            .into_client_request()
            .expect("it is a URL");
        let headers = request.headers_mut();
        let bearer = format!("Bearer {token}").parse().expect("it is a header");
        headers.insert("Authorization", bearer);
        if let Some(origin) = origin {
            headers.insert("Origin", origin.parse().expect("it is a header"));
        }
        tungstenite::client(request, daemon.connect())
    };
    let token = daemon.token();
    for (origin, token) in [
        (Some("https://evil.com"), &*token),
        (Some("null"), &token),
        (None, "wrong"),
    ] {
        assert!(open(origin, token).is_err(), "{origin:?}");
    }
    let (mut socket, _) = open(None, &token).expect("it is let in");
    let mut ask = |text: &str| {
        socket.send(Message::text(text)).expect("it is read");
        let answer = socket.read().expect("it answers");
        serde_json::from_str::<Value>(answer.to_text().expect("it is text")).expect("it is JSON")
    };
    assert_eq!(ask("nonsense")["error"]["code"], -32700);
    assert!(ask(INFO)["result"]["peer"].is_string());
    assert!(ask(r#"{"jsonrpc":"2.0","id":2,"method":"peers_subscribe"}"#)["result"].is_u64());
    let first = socket.read().expect("it tells");
    assert!(
        first
            .to_text()
            .expect("it is text")
            .contains("peers_changed")
    );
    let large = "x".repeat(3 << 20);
    let _ = socket.send(Message::text(large));
    // It says why, or has gone already.
    while let Ok(last) = socket.read() {
        if let Ok(text) = last.to_text() {
            assert!(text.is_empty() || text.contains("-32007"), "{text}");
        }
    }
}

#[test]
fn what_is_too_large_too_deep_or_silent_harms_nobody() {
    let daemon = Daemon::start("harm", &[]);
    let token = daemon.token();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
    );
    let answer = daemon.send(&format!("{head}Content-Length: 104857600\r\n\r\n"), b"");
    assert_eq!(status(&answer), "413");
    // A chunk that says how large it is, and is.
    let mut pipe = daemon.connect();
    let chunk = [&b"300000\r\n"[..], &vec![b'x'; 3 << 20], b"\r\n0\r\n\r\n"].concat();
    pipe.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
        .expect("it is read");
    let mut writer = pipe.try_clone().expect("it can be shared");
    let writing = std::thread::spawn(move || writer.write_all(&chunk).is_ok());
    let mut answer = [0; 12];
    // A reset may overtake the answer.
    if pipe.read_exact(&mut answer).is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
    let _ = pipe.shutdown(Shutdown::Both);
    let _ = writing.join();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"node_info","params":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(result(&daemon.post("", &deep))["error"]["code"], -32602);
    let notification = r#"{"jsonrpc":"2.0","method":"node_info"}"#;
    assert_eq!(status(&daemon.post("", notification)), "204");
    let subscribe = r#"{"jsonrpc":"2.0","id":1,"method":"peers_subscribe"}"#;
    assert_eq!(result(&daemon.post("", subscribe))["error"]["code"], -32600);
    let long = format!("X: {}\r\n", "x".repeat(64 << 10));
    assert_ne!(status(&daemon.post(&long, INFO)), "200");
    let silent: Vec<_> = (0..300).map(|_| daemon.connect()).collect();
    assert_eq!(status(&daemon.post("", INFO)), "200");
    drop(silent);
}

#[test]
fn an_address_that_others_reach_and_a_token_that_others_read_are_refused() {
    let place = place("http-refused");
    fs::create_dir(&place).expect("it can be made");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let socket = place.join("c.sock").display().to_string();
    let start = |more: &[&str]| {
        carrick(
            &[
                &["daemon", "/ip4/127.0.0.1/tcp/0", "--socket", &socket],
                more,
            ]
            .concat(),
        )
    };
    start(&["--http", "0.0.0.0:0"]).refused(&["others than this machine", "--http-public"]);
    start(&["--http", "[::]:0"]).refused(&["others than this machine"]);
    start(&["--http-public"]).refused(&["--http"]);
    let token = place.join("token");
    fs::write(&token, "a-token-of-the-users-own").expect("the directory is ours");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let file = token.display().to_string();
    start(&["--http", "0", "--token-file", &file]).refused(&["others may read", "chmod 600"]);
    fs::write(&token, "short").expect("it is ours");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("it is ours");
    start(&["--http", "0", "--token-file", &file]).refused(&["holds no token"]);
    fs::write(&token, "a-token-of-the-users-own").expect("it is ours");
    let daemon = Daemon::start("http-token", &["--token-file", &file]);
    assert_eq!(daemon.token(), "a-token-of-the-users-own");
    assert_eq!(status(&daemon.post("", INFO)), "200");
    let _ = fs::remove_dir_all(&place);
}
