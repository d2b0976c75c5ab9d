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
    let itself = call_as(&scene, "0", &socket).await?;
    outcome.checks.push(Check::new(itself, "its user may call"));
    outcome.tried += 1;
    let stranger = call_as(&scene, "65534", &socket).await?;
    outcome.refused += u64::from(!stranger);
    // Somebody has opened the way; the system still says who comes.
    open_to_all(&[&scene.scratch, own, &socket])?;
    outcome.tried += 1;
    let let_in = call_as(&scene, "65534", &socket).await?;
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

/// Whether this user is answered.
async fn call_as(scene: &Scene, user: &str, socket: &Path) -> io::Result<bool> {
    let answer = Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--clear-groups"])
        .arg(&scene.carrick)
        .args([
            "rpc",
            "node_info",
            &format!("--daemon={}", socket.display()),
        ])
        .output();
    let answer = timeout(PATIENCE, answer)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
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
    let (host, content, post) = (
        "Host: 9.0.0.1",
        "Content-Type: application/json",
        "POST / HTTP/1.1",
    );
    let mut outcome = Outcome::default();
    let good = post_as(post, &[host, content, &bearer], CALL).await?;
    outcome.checks.push(Check::new(
        good == 200,
        format!("its user is answered: {good}"),
    ));
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let (get, options) = ("GET / HTTP/1.1", "OPTIONS / HTTP/1.1");
    let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
    for (what, first, headers) in [
        (
            "a name that resolves to us",
            post,
            [
                host.replace("9.0.0.1", "evil.com").as_str(),
                content,
                &bearer,
            ]
            .join("\r\n"),
        ),
        (
            "a name before ours",
            post,
            ["Host: evil.com\r\nHost: 9.0.0.1", content, &bearer].join("\r\n"),
        ),
        (
            "an absolute address",
            "POST http://evil.com/ HTTP/1.1",
            [host, content, &bearer].join("\r\n"),
        ),
        (
            "no name",
            "POST / HTTP/1.0",
            [content, &bearer].join("\r\n"),
        ),
        (
            "a sandboxed page",
            post,
            [host, content, &bearer, "Origin: null"].join("\r\n"),
        ),
        (
            "another page",
            post,
            [host, content, &bearer, "Origin: https://evil.com"].join("\r\n"),
        ),
        (
            "our own name as a page",
            post,
            [host, content, &bearer, "Origin: http://9.0.0.1:8545"].join("\r\n"),
        ),
        (
            "a page's form",
            post,
            [host, "Content-Type: text/plain", &bearer].join("\r\n"),
        ),
        (
            "a page's other form",
            post,
            [
                host,
                "Content-Type: application/x-www-form-urlencoded",
                &bearer,
            ]
            .join("\r\n"),
        ),
        ("no token", post, [host, content].join("\r\n")),
        ("another token", post, [host, content, &wrong].join("\r\n")),
        (
            "half a token",
            post,
            [host, content, &bearer[..bearer.len() - 8]].join("\r\n"),
        ),
        (
            "the token in the address",
            &format!("POST /?token={} HTTP/1.1", token.trim()),
            [host, content].join("\r\n"),
        ),
        (
            "a link",
            "GET /?method=node_shutdown HTTP/1.1",
            [host, content, &bearer].join("\r\n"),
        ),
        (
            "another method",
            "PUT / HTTP/1.1",
            [host, content, &bearer].join("\r\n"),
        ),
        (
            "a page asks what it may",
            options,
            [
                host,
                "Origin: https://evil.com",
                "Access-Control-Request-Method: POST",
            ]
            .join("\r\n"),
        ),
        (
            "a page's WebSocket",
            get,
            [host, upgrade, &bearer, "Origin: https://evil.com"].join("\r\n"),
        ),
        (
            "a sandboxed page's WebSocket",
            get,
            [host, upgrade, &bearer, "Origin: null"].join("\r\n"),
        ),
        (
            "a WebSocket without a token",
            get,
            [host, upgrade].join("\r\n"),
        ),
        (
            "two bodies",
            post,
            [host, content, &bearer, "Transfer-Encoding: chunked"].join("\r\n"),
        ),
    ] {
        outcome.tried += 1;
        let status = post_as(first, &[&headers], CALL).await?;
        let refused = !(100..300).contains(&status);
        outcome.refused += u64::from(refused);
        let text = format!("{what}: {status}");
        outcome.checks.push(Check::new(refused, text));
    }
    for n in 0..scene.scale(1_000, 100) {
        outcome.tried += 1;
        let guess = format!("Authorization: Bearer {n:064}");
        outcome.refused += u64::from(post_as(post, &[host, content, &guess], CALL).await? == 401);
    }
    let good = post_as(post, &[host, content, &bearer], CALL).await?;
    outcome.checks.push(Check::new(
        good == 200,
        format!("after all guesses its user is answered: {good}"),
    ));
    Ok(outcome)
}

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
    let token = fs::read_to_string(scene.scratch.join("own/carrick.sock.token"))?;
    let socket = scene.scratch.join("own/carrick.sock");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: 9.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\n",
        token.trim()
    );
    let mut outcome = Outcome::default();
    // Idle ones at both doors, more than there are places; they stay until the end.
    let (many, mut idle, mut idle_here) = (scene.scale(10_000, 1_000), Vec::new(), Vec::new());
    for n in 0..many {
        outcome.tried += 1;
        let from = ground::attacker_apart(n % 500);
        match n % 4 {
            0 => idle_here.extend(UnixStream::connect(&socket).await.ok()),
            _ => idle.extend(
                source::connect(from, ([9, 0, 0, 1], 8545).into())
                    .await
                    .ok(),
            ),
        }
    }
    let deep = |n: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"node_info","params":{}{}}}"#,
            "[".repeat(n),
            "]".repeat(n)
        )
    };
    let large = 100 << 20;
    let declared = format!("{head}Content-Length: {large}\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{large:x}\r\n");
    let batch = format!("[{}]", vec![CALL; 20_000].join(","));
    let body = |text: &str| format!("{head}Content-Length: {}\r\n\r\n{text}", text.len());
    for (what, first, more) in [
        ("100 MB that it says", declared.clone(), large),
        ("100 MB in a chunk", chunked, large),
        ("100,000 deep", body(&deep(100_000)), 0),
        ("a batch of 20,000", body(&batch), 0),
        ("a header of 100 MB", format!("{}X: ", head), large),
    ] {
        outcome.tried += 1;
        let mut socket =
            source::connect(ground::attacker_apart(600), ([9, 0, 0, 1], 8545).into()).await?;
        let took = pour(&mut socket, first.as_bytes(), more, b"x").await;
        outcome.refused += 1;
        let text = format!(
            "{what} over HTTP: {:.1} MB taken of at most 4 MB",
            took as f64 / 1e6
        );
        outcome.checks.push(Check::new(took <= TAKEN_MAX, text));
    }
    for (what, first, more) in [
        ("100 MB in a line", "{\"a\":\"".to_owned(), large),
        ("100,000 deep", deep(100_000) + "\n", 0),
        ("100 MB of lines", String::new(), large),
    ] {
        outcome.tried += 1;
        let mut client = UnixStream::connect(&socket).await?;
        let filler: &[u8] = if what == "100 MB of lines" {
            b"\n"
        } else {
            b"x"
        };
        let took = pour(&mut client, first.as_bytes(), more, filler).await;
        outcome.refused += 1;
        if what == "100 MB in a line" {
            let text = format!(
                "{what} at the socket: {:.1} MB taken of at most 4 MB",
                took as f64 / 1e6
            );
            outcome.checks.push(Check::new(took <= TAKEN_MAX, text));
        }
    }
    let since = Instant::now();
    let mine = call_as(&scene, "0", &socket).await?;
    let text = format!(
        "its user is answered meanwhile, after {:.1} s: {mine}",
        since.elapsed().as_secs_f64()
    );
    outcome.checks.push(Check::new(mine, text));
    drop((idle, idle_here));
    let mine = call_as(&scene, "0", &socket).await?;
    outcome
        .checks
        .push(Check::new(mine, format!("and afterwards: {mine}")));
    Ok(outcome)
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
/// What may be in the sockets' buffers, too.
const TAKEN_MAX: usize = 4 << 20;
