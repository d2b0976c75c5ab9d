//! `carrick forward` and `carrick expose`: a socket here, one there, and what happens to bytes, ends and resets between them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use carrick::Node;
use tokio::runtime::Runtime;

use crate::process::{CARRICK, Running, carrick, collect, folder, spawn};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";
const DEADLINE: Duration = Duration::from_secs(60);

fn key(folder: &Path) -> (String, String) {
    let file = folder.join("own.key").to_str().expect("a name").to_owned();
    let made = &carrick(&["key", "generate", &file, "--json"]).objects()[0];
    (file, made["peer"].as_str().expect("an id").to_owned())
}

/// What is exposed.
fn target() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

struct Bridge {
    expose: Running,
    forward: Running,
    /// Where programs connect.
    local: String,
}

fn bridge(target: &str, more: &[&str]) -> Bridge {
    let args = [
        "expose",
        "--tcp",
        target,
        "--allow-anybody",
        "--listen",
        LOOPBACK,
        "--json",
    ];
    let expose = Running::start(CARRICK, &[&args, more].concat(), "{\"listening\"");
    let told: serde_json::Value = serde_json::from_str(&expose.told[0]).expect("JSON");
    let to = told["listening"].as_str().expect("an address");
    let args = ["forward", "--tcp", "0", "--to", to, "--json"];
    let forward = Running::start(CARRICK, &args, "{\"forwarding\"");
    let told: serde_json::Value = serde_json::from_str(&forward.told[0]).expect("JSON");
    let local = told["forwarding"].as_str().expect("a socket").to_owned();
    Bridge {
        expose,
        forward,
        local,
    }
}

fn connect(local: &str) -> TcpStream {
    let socket = TcpStream::connect(local).expect("it listens");
    socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    socket
}

fn accept(target: &TcpListener) -> TcpStream {
    let (socket, _) = target.accept().expect("somebody connects");
    socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    socket
}

fn read(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    socket.read_to_end(&mut all).expect("a clean end");
    all
}

#[test]
fn many_connections_carry_bytes_both_ways_and_each_direction_ends_by_itself() {
    let (target, at) = target();
    let bridge = bridge(&at, &[]);
    let mut pairs: Vec<_> = (0..20_u8)
        .map(|n| {
            let mut here = connect(&bridge.local);
            here.write_all(&[n]).expect("it is read");
            let mut there = accept(&target);
            let mut first = [0];
            there.read_exact(&mut first).expect("the first byte");
            assert_eq!(first, [n]);
            (here, there, n)
        })
        .collect();
    for (here, there, n) in &mut pairs {
        here.shutdown(Shutdown::Write).expect("half of it ends");
        assert_eq!(read(there), b"");
        // The other direction goes on.
        let answer = vec![*n; 300_000];
        let (mut writer, sent) = (there.try_clone().expect("a handle"), answer.clone());
        let write = std::thread::spawn(move || {
            writer.write_all(&sent).expect("it is read");
            writer
                .shutdown(Shutdown::Write)
                .expect("the other half ends");
        });
        assert_eq!(read(here), answer);
        write.join().expect("all is written");
    }
    for side in [&bridge.forward, &bridge.expose] {
        let told: serde_json::Value = serde_json::from_str(&side.line()).expect("JSON");
        assert!(told["error"].is_null(), "{told}");
        let moved = [told["sent"].as_u64(), told["received"].as_u64()];
        assert!(
            moved.contains(&Some(1)) && moved.contains(&Some(300_000)),
            "{told}"
        );
    }
}

#[test]
fn a_reset_of_one_side_is_a_reset_of_the_other() {
    let (target, at) = target();
    let bridge = bridge(&at, &[]);
    for from_here in [true, false] {
        let mut here = connect(&bridge.local);
        here.write_all(b"x").expect("it is read");
        let mut there = accept(&target);
        there.write_all(b"y").expect("it is read");
        // Who has not read what came ends with a reset.
        let (ends, mut other) = if from_here {
            (here, there)
        } else {
            (there, here)
        };
        ends.peek(&mut [0]).expect("something came");
        other.read_exact(&mut [0]).expect("something came");
        drop(ends);
        let ended = other.read(&mut [0]);
        assert!(ended.is_err(), "a reset is no clean end: {ended:?}");
    }
    // Nobody there is no clean end, either.
    drop(target);
    let mut here = connect(&bridge.local);
    assert!(here.read(&mut [0]).is_err());
}

#[test]
fn whoever_is_not_allowed_is_told_so_and_whoever_is_gets_in() {
    let folder = folder("forward-allow");
    let (file, peer) = key(&folder);
    let (target, at) = target();
    let args = [
        "expose", "--tcp", &at, "--allow", &peer, "--listen", LOOPBACK,
    ];
    let expose = Running::start(CARRICK, &args, "listening ");
    let to = expose.after("listening ");
    carrick(&["forward", "--tcp", "0", "--to", to]).refused(&["--allow 12D3Koo"]);
    let args = ["forward", "--tcp", "0", "--to", to, "--key", &file];
    let forward = Running::start(CARRICK, &args, "forwarding ");
    let local = forward
        .after("forwarding ")
        .split(' ')
        .next()
        .expect("a socket");
    let mut here = connect(local);
    here.write_all(b"let me in").expect("it is read");
    here.shutdown(Shutdown::Write).expect("half of it ends");
    assert_eq!(read(&mut accept(&target)), b"let me in");
    forward.signal("TERM");
    assert_eq!(forward.wait().0, Some(0));
}

#[test]
fn one_connection_too_many_is_reset_and_the_next_one_fits_again() {
    let (target, at) = target();
    let bridge = bridge(&at, &["--max-streams", "2"]);
    let open = || {
        let mut here = connect(&bridge.local);
        here.write_all(b"x").expect("it is read");
        (here, accept(&target))
    };
    let (first, _second) = (open(), open());
    let mut refused = connect(&bridge.local);
    assert!(refused.read(&mut [0]).is_err());
    drop(first);
    // Its place is free once its end is told.
    bridge.expose.line();
    let (here, mut there) = open();
    here.shutdown(Shutdown::Write).expect("half of it ends");
    assert_eq!(read(&mut there), b"x");
}

#[test]
fn whoever_comes_too_often_does_not_fill_the_log() {
    let (target, at) = target();
    let args = [
        "expose",
        "--tcp",
        &at,
        "--allow-anybody",
        "--max-streams",
        "1",
        "--listen",
        LOOPBACK,
    ];
    let mut expose = spawn(&args);
    let mut stdout = BufReader::new(expose.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(expose.stderr.take().expect("stderr is a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it says where");
    let to = line.trim().strip_prefix("listening ").expect("an address");
    let began = Instant::now();
    let runtime = Runtime::new().expect("there are threads");
    runtime.block_on(async {
        let node = Node::spawn().await.expect("there is entropy");
        let open = async || node.open_stream(to, "/carrick/forward/1.0.0").await;
        let mut first = open().await.expect("it serves");
        first.confirm().await.expect("there is a place");
        let _held = accept(&target);
        for _ in 0..500 {
            let mut refused = open().await.expect("it serves");
            let _ = refused.confirm().await;
            assert!(refused.read_chunk().await.is_err());
        }
        node.close().await;
    });
    let seconds = began.elapsed().as_secs() as usize + 2;
    expose.kill().expect("it runs");
    expose.wait().expect("it ends");
    let said = String::from_utf8(stderr.recv_timeout(DEADLINE).expect("it ended")).expect("text");
    let lines = said.lines().count();
    assert!(
        said.contains("one too many") && lines <= 10 * seconds,
        "{lines} lines"
    );
}

#[cfg(unix)]
#[test]
fn unix_sockets_are_forwarded_too() {
    use std::os::unix::net::{UnixListener, UnixStream};

    // The paths of sockets are short.
    let folder = std::env::temp_dir().join(format!("carrick-forward-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let (there, here) = (folder.join("there"), folder.join("here"));
    let name = |path: &Path| path.to_str().expect("a name").to_owned();
    let target = UnixListener::bind(&there).expect("a socket");
    let args = [
        "expose",
        "--unix",
        &name(&there),
        "--allow-anybody",
        "--listen",
        LOOPBACK,
    ];
    let expose = Running::start(CARRICK, &args, "listening ");
    let to = expose.after("listening ");
    let args = ["forward", "--unix", &name(&here), "--to", to];
    let forward = Running::start(CARRICK, &args, "forwarding ");
    let mut client = UnixStream::connect(&here).expect("it listens");
    client.write_all(b"hello").expect("it is read");
    client.shutdown(Shutdown::Write).expect("half of it ends");
    let (mut served, _) = target.accept().expect("somebody connects");
    let mut all = Vec::new();
    served.read_to_end(&mut all).expect("a clean end");
    assert_eq!(all, b"hello");
    forward.signal("TERM");
    assert_eq!(forward.wait().0, Some(0));
    assert!(!here.exists());
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

#[test]
fn what_cannot_work_is_refused_before_anybody_waits() {
    let peer = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
    carrick(&["expose", "--tcp", "1"]).refused(&["--allow"]);
    carrick(&["expose", "--allow-anybody"]).refused(&["--tcp"]);
    carrick(&["forward", "--tcp", "0", "--to", peer]).refused(&["check that the peer is running"]);
    carrick(&["forward", "--tcp", "x", "--to", peer]).refused(&["127.0.0.1:8080"]);
    let (_taken, at) = target();
    carrick(&["forward", "--tcp", &at, "--to", peer]).refused(&["answers there already"]);
    let listener = crate::process::Listener::start(&[LOOPBACK]);
    let args = ["forward", "--tcp", "0", "--to", &listener.address];
    carrick(&args).refused(&["exposes nothing", "carrick expose"]);
}
