//! R-01, R-02, R-03: the daemon's control, which must be the user's alone. Answered by a socket in a directory of the user's that
//! the system vouches for, by a token, by names and origins that are listed, and by bounds on what clients say and how many
//! they are. The victim is `carrick daemon`.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    process::Command,
    time::timeout,
};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{ground, source};

const DAEMON: Attack = Attack {
    command: "daemon",
    args: &[
        "--socket",
        "{scratch}/own/carrick.sock",
        "--http",
        "9.0.0.1:8545",
        "--http-public",
        "--http-host",
        "9.0.0.1",
    ],
    only_carrick: Some("it is the control of `carrick daemon`"),
    ..PLAIN
};

pub(super) const EXPOSED: Attack = Attack {
    id: "R-01",
    name: "somebody else at the socket",
    rss_mib: 8,
    run: |scene| Box::pin(exposed(scene)),
    ..DAEMON
};

pub(super) const FORGED: Attack = Attack {
    id: "R-02",
    name: "calls of foreign pages",
    rss_mib: 16,
    run: |scene| Box::pin(forged(scene)),
    ..DAEMON
};

pub(super) const ABUSED: Attack = Attack {
    id: "R-03",
    name: "calls too large, too deep",
    rss_mib: 64,
    files: 1200,
    run: |scene| Box::pin(abused(scene)),
    ..DAEMON
};

async fn exposed(scene: Arc<Scene>) -> io::Result<Outcome> {
    let socket = scene.scratch.join("own/carrick.sock");
    let own = socket.parent().ok_or(io::ErrorKind::NotFound)?;
    let mode = |path: &Path| fs::metadata(path).map(|found| found.mode() & 0o777);
    let token = socket.with_extension("sock.token");
    let mut outcome = Outcome::default();
    for (what, path, most) in [
        ("the directory", own, 0o700),
        ("the socket", &socket, 0o600),
        ("the token", &token, 0o600),
    ] {
        let found = mode(path)?;
        let text = format!("{what} is open as {found:o}, of at most {most:o}");
        outcome.checks.push(Check::new(found & !most == 0, text));
    }
    let itself = call_as("0", &socket).await?;
    outcome.checks.push(Check::new(itself, "its user may call"));
    outcome.tried += 1;
    let stranger = call_as("65534", &socket).await?;
    outcome.refused += u64::from(!stranger);
    // Somebody has opened the way; the system still says who comes.
    open_to_all(&[&scene.scratch, own, &socket])?;
    outcome.tried += 1;
    let let_in = call_as("65534", &socket).await?;
    outcome.refused += u64::from(!let_in);
    for folder in [own, &scene.scratch] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    for (what, place) in places(&scene.scratch)? {
        outcome.tried += 1;
        let started = starts(
            &scene,
            &["daemon", "/ip4/127.0.0.1/tcp/0", "--socket", &place],
        )
        .await?;
        outcome.refused += u64::from(!started);
        let text = format!("{what}: the daemon does not start there");
        outcome.checks.push(Check::new(!started, text));
    }
    let text = "another user may not call, nor when the way is open";
    outcome.checks.push(Check::new(!stranger && !let_in, text));
    Ok(outcome)
}

fn open_to_all(paths: &[&Path]) -> io::Result<()> {
    let open = fs::Permissions::from_mode(0o777);
    paths
        .iter()
        .try_for_each(|path| fs::set_permissions(path, open.clone()))
}

/// Places where no socket should be made.
fn places(scratch: &Path) -> io::Result<Vec<(&'static str, String)>> {
    let make = |name: &str, mode| {
        let folder = scratch.join(name);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode))?;
        Ok::<_, io::Error>(folder.join("c.sock"))
    };
    let shared = make("shared", 0o777)?;
    let (file, link, foreign) = (
        make("file", 0o700)?,
        make("link", 0o700)?,
        make("foreign", 0o700)?,
    );
    fs::write(&file, "precious")?;
    symlink("/etc/passwd", &link)?;
    std::os::unix::fs::chown(foreign.parent().unwrap_or(&foreign), Some(65_534), None)?;
    let name = |path: &Path| path.display().to_string();
    Ok(vec![
        ("a directory of everybody", name(&shared)),
        ("a file", name(&file)),
        ("a link to somewhere else", name(&link)),
        ("somebody else's directory", name(&foreign)),
    ])
}

/// The role of somebody at a daemon's socket: one call, without a look at whose socket it is; an error if it is not answered.
pub(crate) async fn call(socket: &Path) -> Result<(), String> {
    let talk = async {
        let mut client = UnixStream::connect(socket).await?;
        client.write_all(format!("{CALL}\n").as_bytes()).await?;
        client.read_u8().await
    };
    let answered = timeout(PATIENCE, talk).await;
    let answered = answered.map_err(|_| "no answer".to_owned())?;
    answered.map(|_| ()).map_err(|error| error.to_string())
}

/// Whether this user is answered.
async fn call_as(user: &str, socket: &Path) -> io::Result<bool> {
    let answer = Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--clear-groups"])
        .arg(std::env::current_exe()?)
        .arg("caller")
        .arg(socket)
        .output();
    let answer = timeout(PATIENCE, answer).await;
    let answer = answer.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(answer.status.success())
}

/// Whether the command runs on, rather than ends with an error of its own.
async fn starts(scene: &Scene, args: &[&str]) -> io::Result<bool> {
    let mut child = Command::new(&scene.carrick);
    child
        .args(args)
        .kill_on_drop(true)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    match timeout(Duration::from_secs(5), child.status()).await {
        Ok(status) => Ok(status?.code().is_none_or(|code| code == 0 || code == 101)),
        Err(_) => Ok(true),
    }
}

async fn forged(scene: Arc<Scene>) -> io::Result<Outcome> {
    let token = fs::read_to_string(scene.scratch.join("own/carrick.sock.token"))?;
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let good = async || post_as("POST / HTTP/1.1", &[HOST, CONTENT, &bearer], CALL).await;
    let mut outcome = Outcome::default();
    let before = good().await?;
    let text = format!("its user is answered: {before}");
    outcome.checks.push(Check::new(before == 200, text));
    for (what, first, headers) in FORGERIES {
        outcome.tried += 1;
        let headers = headers.iter().map(|header| match *header {
            "the token" => bearer.clone(),
            "half a token" => bearer[..bearer.len() - 8].to_owned(),
            other => other.to_owned(),
        });
        let headers = headers.collect::<Vec<_>>().join("\r\n");
        let first = first.replace("{token}", token.trim());
        let status = post_as(&first, &[&headers], CALL).await?;
        let refused = !(100..300).contains(&status);
        outcome.refused += u64::from(refused);
        outcome
            .checks
            .push(Check::new(refused, format!("{what}: {status}")));
    }
    for n in 0..scene.scale(1_000, 100) {
        outcome.tried += 1;
        let guess = format!("Authorization: Bearer {n:064}");
        let status = post_as("POST / HTTP/1.1", &[HOST, CONTENT, &guess], CALL).await?;
        outcome.refused += u64::from(status == 401);
    }
    let after = good().await?;
    let text = format!("after all guesses its user is answered: {after}");
    outcome.checks.push(Check::new(after == 200, text));
    Ok(outcome)
}

const HOST: &str = "Host: 9.0.0.1";
const CONTENT: &str = "Content-Type: application/json";
const POST: &str = "POST / HTTP/1.1";
const GET: &str = "GET / HTTP/1.1";
const TOKEN: &str = "the token";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const EVIL_HOST: &str = "Host: evil.com";
const EVIL_PAGE: &str = "Origin: https://evil.com";
const SANDBOX: &str = "Origin: null";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const WRONG: &str =
    "Authorization: Bearer 0000000000000000000000000000000000000000000000000000000000000000";

/// What it is, the first line, and the headers.
const FORGERIES: &[(&str, &str, &[&str])] = &[
    (
        "a name that resolves to us",
        POST,
        &[EVIL_HOST, CONTENT, TOKEN],
    ),
    (
        "a name before ours",
        POST,
        &[EVIL_HOST, HOST, CONTENT, TOKEN],
    ),
    (
        "an absolute address",
        "POST http://evil.com/ HTTP/1.1",
        &[HOST, CONTENT, TOKEN],
    ),
    ("no name", "POST / HTTP/1.0", &[CONTENT, TOKEN]),
    ("a sandboxed page", POST, &[HOST, CONTENT, TOKEN, SANDBOX]),
    ("another page", POST, &[HOST, CONTENT, TOKEN, EVIL_PAGE]),
    (
        "our own name as a page",
        POST,
        &[HOST, CONTENT, TOKEN, "Origin: http://9.0.0.1:8545"],
    ),
    (
        "a page's text",
        POST,
        &[HOST, "Content-Type: text/plain", TOKEN],
    ),
    ("a page's form", POST, &[HOST, FORM, TOKEN]),
    ("no token", POST, &[HOST, CONTENT]),
    ("another token", POST, &[HOST, CONTENT, WRONG]),
    ("half a token", POST, &[HOST, CONTENT, "half a token"]),
    (
        "the token in the address",
        "POST /?token={token} HTTP/1.1",
        &[HOST, CONTENT],
    ),
    (
        "a link",
        "GET /?method=node_shutdown HTTP/1.1",
        &[HOST, CONTENT, TOKEN],
    ),
    ("another method", "PUT / HTTP/1.1", &[HOST, CONTENT, TOKEN]),
    (
        "a page asks what it may",
        "OPTIONS / HTTP/1.1",
        &[HOST, EVIL_PAGE, "Access-Control-Request-Method: POST"],
    ),
    (
        "a page's WebSocket",
        GET,
        &[HOST, UPGRADE, TOKEN, EVIL_PAGE],
    ),
    (
        "a sandboxed page's WebSocket",
        GET,
        &[HOST, UPGRADE, TOKEN, SANDBOX],
    ),
    ("a WebSocket without a token", GET, &[HOST, UPGRADE]),
    (
        "two bodies",
        POST,
        &[HOST, CONTENT, TOKEN, "Transfer-Encoding: chunked"],
    ),
];

/// The status of the answer; 0 for none.
async fn post_as(first: &str, headers: &[&str], body: &str) -> io::Result<u16> {
    let mut socket = TcpStream::connect("9.0.0.1:8545").await?;
    let head = format!(
        "{first}\r\n{}\r\nContent-Length: {}\r\n\r\n",
        headers.join("\r\n"),
        body.len()
    );
    // It may answer, and go, before it has all.
    let _ = socket
        .write_all(&[head.as_bytes(), body.as_bytes()].concat())
        .await;
    Ok(status(&mut socket).await)
}

async fn status(socket: &mut (impl AsyncRead + Unpin)) -> u16 {
    let mut line = String::new();
    let read = timeout(PATIENCE, BufReader::new(socket).read_line(&mut line)).await;
    let status = read
        .ok()
        .and_then(Result::ok)
        .and_then(|_| line.split(' ').nth(1));
    status
        .and_then(|status| status.parse().ok())
        .unwrap_or_default()
}

async fn abused(scene: Arc<Scene>) -> io::Result<Outcome> {
    let socket = scene.scratch.join("own/carrick.sock");
    let mut outcome = Outcome::default();
    // Idle ones at both doors, more than there are places; they stay until the end.
    let (many, mut idle, mut idle_here) = (scene.scale(10_000, 1_000), Vec::new(), Vec::new());
    for n in 0..many {
        outcome.tried += 1;
        if n % 4 == 0 {
            idle_here.extend(UnixStream::connect(&socket).await.ok());
        } else {
            idle.extend(connect(n % 500).await.ok());
        }
    }
    shout(&scene, &mut outcome).await?;
    for (what, first, filler) in [
        ("100 MB in a line", "{\"a\":\"".to_owned(), &b"x"[..]),
        ("100,000 deep", deep() + "\n", b"\n"),
        ("100 MB of lines", String::new(), b"\n"),
    ] {
        outcome.tried += 1;
        let mut client = UnixStream::connect(&socket).await?;
        let took = pour(&mut client, first.as_bytes(), LARGE, filler).await;
        outcome.refused += u64::from(took <= TAKEN_MAX);
        // Empty lines are read and forgotten, as many as come.
        if filler != b"\n" {
            let text = format!("{what} at the socket: {:.1} MB taken", took as f64 / 1e6);
            outcome.checks.push(Check::new(took <= TAKEN_MAX, text));
        }
    }
    let since = Instant::now();
    let mine = call_as("0", &socket).await?;
    let took = since.elapsed().as_secs_f64();
    let text = format!("its user is answered meanwhile, after {took:.1} s: {mine}");
    outcome.checks.push(Check::new(mine, text));
    drop((idle, idle_here));
    let mine = call_as("0", &socket).await?;
    let text = format!("and afterwards: {mine}");
    outcome.checks.push(Check::new(mine, text));
    Ok(outcome)
}

/// Too much at once over HTTP.
async fn shout(scene: &Scene, outcome: &mut Outcome) -> io::Result<()> {
    let token = fs::read_to_string(scene.scratch.join("own/carrick.sock.token"))?;
    let head = format!(
        "{POST}\r\n{HOST}\r\n{CONTENT}\r\nAuthorization: Bearer {}\r\n",
        token.trim()
    );
    let body = |text: &str| {
        let len = text.len();
        format!("{head}Connection: close\r\nContent-Length: {len}\r\n\r\n{text}")
    };
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{LARGE:x}\r\n");
    let batch = format!("[{}]", vec![CALL; 20_000].join(","));
    for (what, first, more) in [
        (
            "100 MB that it says",
            format!("{head}Content-Length: {LARGE}\r\n\r\n"),
            LARGE,
        ),
        ("100 MB in a chunk", chunked, LARGE),
        ("a header of 100 MB", format!("{head}X: "), LARGE),
    ] {
        outcome.tried += 1;
        let mut socket = connect(600).await?;
        let took = pour(&mut socket, first.as_bytes(), more, b"x").await;
        outcome.refused += u64::from(took <= TAKEN_MAX);
        let text = format!(
            "{what} over HTTP: {:.1} MB taken of at most 16 MiB",
            took as f64 / 1e6
        );
        outcome.checks.push(Check::new(took <= TAKEN_MAX, text));
    }
    for (what, text) in [
        ("100,000 deep", body(&deep())),
        ("a batch of 20,000", body(&batch)),
    ] {
        outcome.tried += 1;
        let mut answer = Vec::new();
        let mut socket = connect(600).await?;
        let all = async {
            socket.write_all(text.as_bytes()).await?;
            (&mut socket)
                .take(ANSWER_MAX)
                .read_to_end(&mut answer)
                .await
        };
        let _ = timeout(PATIENCE, all).await;
        let refused =
            !answer.is_empty() && !String::from_utf8_lossy(&answer).contains("\"result\"");
        outcome.refused += u64::from(refused);
        let text = format!("{what} over HTTP: refused, and no call of it answered: {refused}");
        outcome.checks.push(Check::new(refused, text));
    }
    Ok(())
}

async fn connect(n: u32) -> io::Result<TcpStream> {
    source::connect(ground::attacker_apart(n), ([9, 0, 0, 1], 8545).into()).await
}

fn deep() -> String {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"node_info","params":{open}{close}}}"#)
}

/// Writes `first` and then `more` bytes of a kind, for as long as they are taken; how many were. What comes is not read.
async fn pour(
    socket: &mut (impl AsyncWrite + AsyncRead + Unpin),
    first: &[u8],
    more: usize,
    kind: &[u8],
) -> usize {
    let part = kind.repeat(64 << 10);
    let mut taken = 0;
    let all = async {
        socket.write_all(first).await?;
        while taken < more {
            socket.write_all(&part).await?;
            taken += part.len();
        }
        socket.read_u8().await
    };
    let _ = timeout(Duration::from_secs(5), all).await;
    taken
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"node_info"}"#;
const PATIENCE: Duration = Duration::from_secs(20);
/// What may be in the kernel's buffers at both ends, too: what the daemon itself takes is seen in its memory.
const TAKEN_MAX: usize = 16 << 20;
const LARGE: usize = 100 << 20;
/// More than a refusal is long.
const ANSWER_MAX: u64 = 64 << 10;
