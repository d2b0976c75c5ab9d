//! O-02: garbage, and names full of line breaks and escape sequences, while the victim logs as much as it can. Answered by
//! escaping and cutting what peers say, and by figures that do not name them; that the log stays short unless it is asked for
//! is judged with every other attack.

use std::{io, sync::Arc, time::Duration};

use carrick::Keypair;
use carrick_wire::identify::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    held::{Held, Script},
    identified::{introduce, part},
};
use crate::{
    ground::{self, VICTIM_V4},
    speaker::proposal,
};

pub(super) const ATTACK: Attack = Attack {
    id: "O-02",
    name: "log forging and flooding",
    rss_mib: 16,
    only_carrick: Some("it reads Carrick's own log and figures"),
    args: &["-vv", "--metrics", "9.0.0.1:9184"],
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(200, 30);
    let forged = "\u{1b}[2J\n2026-01-01T00:00:00Z ERROR carrick: forged\r\n\u{202e}".repeat(20);
    let said = part(&Message {
        agent_version: Some(forged.clone()),
        protocol_version: Some(forged.clone()),
        protocols: vec![forged.clone(), format!("/{forged}")],
        listen_addrs: vec![[&[54, 20][..], &forged.as_bytes()[..20]].concat()],
        ..Message::default()
    });
    let header = &proposal("/x")[..20];
    let name = [&[101, b'/'][..], &forged.as_bytes()[..99], b"\n"].concat();
    let mut outcome = Outcome::default();
    let before = figures().await?;
    for n in 0..count {
        outcome.tried += 1;
        let (source, keypair) = (ground::attacker_apart(n), Keypair::generate_ed25519());
        let Ok(mut speaker) = introduce(&scene, source, &keypair, &said).await else {
            outcome.refused += 1;
            continue;
        };
        for first in [[header, &name].concat(), name.clone(), vec![0xff; 100]] {
            let key = speaker.open(&first).await?;
            speaker.finish(key).await?;
            let (_, served) = speaker.read_to_end(key).await;
            outcome.tried += 1;
            outcome.refused += u64::from(!served);
        }
    }
    let garbage = Script {
        first: [header, &name].concat(),
        ..Script::default()
    };
    let from = |n| (ground::attacker_apart(n), scene.tcp(), garbage.clone());
    let held = Held::open(count, from).await;
    sleep(Duration::from_secs(1)).await;
    outcome.tried += u64::from(count);
    outcome.refused += held.refused();
    let after = figures().await?;
    let what = "lines of the metrics page, beyond those before";
    let more = after.saturating_sub(before);
    outcome.checks = vec![
        Check::new(before > 10, format!("{before} lines on the metrics page")),
        Check::at_most(what, more, FIGURES_MORE_MAX),
    ];
    Ok(outcome)
}

/// Lines on the metrics page.
async fn figures() -> io::Result<u64> {
    let mut socket = TcpStream::connect((VICTIM_V4, 9184)).await?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: 9.0.0.1:9184\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await?;
    let mut page = String::new();
    let read = timeout(Duration::from_secs(5), socket.read_to_string(&mut page));
    read.await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(page.lines().count() as u64)
}

/// Reasons and protocols of ours may come up for the first time, as may buckets of a histogram.
const FIGURES_MORE_MAX: u64 = 100;
