//! W-01: everything that WebSocket lets one say and a node should not listen to: endless headers, frames of 2^63 bytes,
//! endless fragments, frames without a mask, long control frames, compression, text, pings that nobody reads the answers of.
//! Answered by bounds on headers and frames, by refusing what the protocol forbids, and by the deadline of the handshake, which
//! all of it runs under.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{ground, source};

pub(super) const ATTACK: Attack = Attack {
    id: "W-01",
    name: "WebSocket bombs",
    rss_mib: 32,
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| config.session.upgrade_timeout = Duration::from_secs(60)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let each = scene.scale(10, 2);
    let mut tasks = JoinSet::new();
    for n in 0..each {
        for (m, bomb) in bombs().into_iter().enumerate() {
            let scene = scene.clone();
            let source = n * 32 + m as u32;
            tasks.spawn(async move {
                let lived = timeout(LIFE_MAX, throw(&scene, source, &bomb)).await;
                (bomb.what, lived)
            });
        }
    }
    let mut outcome = Outcome::default();
    let mut alive = Vec::new();
    while let Some(task) = tasks.join_next().await {
        let (what, lived) = task.map_err(io::Error::other)?;
        outcome.tried += 1;
        match lived {
            Ok(_) => outcome.refused += 1,
            Err(_) => alive.push(what),
        }
    }
    alive.sort_unstable();
    alive.dedup();
    outcome.checks = vec![
        Check::new(
            alive.is_empty(),
            format!("borne for more than {} s: {alive:?}", LIFE_MAX.as_secs()),
        ),
        match takes_compression(&scene).await {
            Ok(takes) => Check::new(!takes, format!("compression is agreed to: {takes}")),
            Err(error) => Check::new(false, format!("the port is gone: {error}")),
        },
    ];
    Ok(outcome)
}

/// What is said, and what is said after it again and again.
struct Bomb {
    what: &'static str,
    /// Whether the opening handshake comes first.
    opened: bool,
    /// Whether what comes back is read meanwhile.
    listens: bool,
    first: Vec<u8>,
    again: Vec<u8>,
}

/// Says it until the other side closes.
async fn throw(scene: &Scene, source: u32, bomb: &Bomb) -> io::Result<()> {
    let mut socket = source::connect(ground::attacker_apart(source), scene.ws()).await?;
    if bomb.opened {
        open(&mut socket, "").await?;
    }
    let (mut reader, mut writer) = socket.into_split();
    let (silent, mut sent) = (bomb.again.is_empty(), 0);
    let speak = async {
        writer.write_all(&bomb.first).await?;
        while !silent && sent < SAID_MAX {
            writer.write_all(&bomb.again).await?;
            sent += bomb.again.len() as u64;
        }
        Ok::<_, io::Error>(())
    };
    let listen = async {
        let mut part = [0; 4096];
        while matches!(reader.read(&mut part).await, Ok(n) if n > 0) {}
    };
    if bomb.listens {
        tokio::pin!(listen);
        tokio::select! {
            said = speak => if said.is_ok() { listen.await },
            () = &mut listen => {}
        }
    } else if speak.await.is_ok() {
        listen.await;
    }
    Ok(())
}

/// The opening handshake, with more headers; what the answer says.
async fn open(socket: &mut TcpStream, more: &str) -> io::Result<String> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: 9.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&answer).to_lowercase())
}

async fn takes_compression(scene: &Scene) -> io::Result<bool> {
    let started = Instant::now();
    let mut socket = source::connect(ground::attacker_apart(9999), scene.ws()).await?;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let answer = timeout(
        LIFE_MAX.saturating_sub(started.elapsed()),
        open(&mut socket, offer),
    );
    // Who refuses the offer and the offerer agrees to nothing.
    let answer = answer.await.ok().and_then(Result::ok);
    Ok(answer.is_some_and(|answer| answer.contains("permessage-deflate")))
}

/// A frame's head: its first byte, its length, and a mask of zeros.
fn head(first: u8, len: u64, masked: bool) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut head = vec![first];
    match len {
        0..126 => head.push(mask | len as u8),
        126..65_536 => {
            head.push(mask | 126);
            head.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            head.push(mask | 127);
            head.extend_from_slice(&len.to_be_bytes());
        }
    }
    if masked {
        head.extend_from_slice(&[0; 4]);
    }
    head
}

fn bombs() -> Vec<Bomb> {
    let bomb = |what, opened, first: &[u8], again: &[u8]| Bomb {
        what,
        opened,
        listens: true,
        first: first.to_vec(),
        again: again.to_vec(),
    };
    let filler = vec![7; 64 << 10];
    let header = format!("X-{}: {}\r\n", "y".repeat(20), "z".repeat(900));
    let ping = [head(0x89, 125, true), vec![7; 125]].concat();
    let pri = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let headers: [(_, &[u8], &[u8]); 3] = [
        ("a first line without end", b"GET /", &filler),
        (
            "headers without end",
            b"GET / HTTP/1.1\r\n",
            header.as_bytes(),
        ),
        ("another protocol", pri, b""),
    ];
    let endless = [
        (
            "a frame of 2^63 bytes",
            head(0x82, 1 << 63, true),
            filler.clone(),
        ),
        (
            "a frame of 2^62 bytes",
            head(0x82, 1 << 62, true),
            filler.clone(),
        ),
        (
            "a frame of 2 MiB",
            head(0x82, 2 << 20, true),
            filler.clone(),
        ),
        (
            "empty fragments",
            head(0x02, 0, true),
            head(0, 0, true).repeat(4096),
        ),
        ("empty frames", Vec::new(), head(0x82, 0, true).repeat(4096)),
    ];
    let pings = Bomb {
        listens: false,
        ..bomb(
            "pings that nobody reads the answers of",
            true,
            b"",
            &ping.repeat(500),
        )
    };
    let headers = headers.map(|(what, first, again)| bomb(what, false, first, again));
    let endless = endless.map(|(what, first, again)| bomb(what, true, &first, &again));
    let forbidden = FORBIDDEN.map(|(what, first, len, masked)| {
        let frame = [head(first, len, masked), vec![7; len as usize]].concat();
        bomb(what, true, &frame, b"")
    });
    headers
        .into_iter()
        .chain(endless)
        .chain([pings])
        .chain(forbidden)
        .collect()
}

/// The first byte, how long it is, and whether it is masked.
const FORBIDDEN: [(&str, u8, u64, bool); 7] = [
    ("no mask", 0x82, 20, false),
    ("a long ping", 0x89, 126, true),
    ("a ping in fragments", 0x09, 5, true),
    ("text", 0x81, 5, true),
    ("an unknown kind", 0x83, 0, true),
    ("a reserved bit", 0xc2, 5, true),
    ("a fragment of nothing", 0x80, 5, true),
];
/// What one bomb says at most.
const SAID_MAX: u64 = 64 << 20;
/// The deadline of a handshake, and some.
const LIFE_MAX: Duration = Duration::from_secs(12);
