//! P-05: peers whose addresses are other people's: a web server, the victim itself, its private network, a cloud's metadata.
//! Answered by contacting nobody whom the user did not name; and when the user names such a peer, by dialing no address of a
//! smaller reach than the one the peer was met at.

use std::{io, sync::Arc, time::Duration};

use carrick::Keypair;
use carrick_session::Role;
use carrick_wire::identify::Message;
use tokio::{
    net::TcpListener,
    process::Command,
    time::{sleep, timeout},
};

use super::{
    Attack, Check, Outcome, PLAIN, Scene,
    identified::{answer, ask, introduce, part},
};
use crate::{ground, sample, speaker::Speaker};

pub(super) const ATTACK: Attack = Attack {
    id: "P-05",
    name: "other people's addresses",
    rss_mib: 16,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(200, 30);
    let said = part(&Message {
        listen_addrs: TARGETS.iter().map(|target| target.to_vec()).collect(),
        ..Message::default()
    });
    let before = sample::dialed(scene.pid)?;
    let mut outcome = Outcome::default();
    for n in 0..count {
        let keypair = Keypair::generate_ed25519();
        outcome.tried += 1;
        let Ok(mut speaker) = introduce(&scene, ground::attacker_apart(n), &keypair, &said).await
        else {
            outcome.refused += 1;
            continue;
        };
        ask(&mut speaker).await?;
    }
    sleep(Duration::from_secs(1)).await;
    let dialed = sample::dialed(scene.pid)? - before;
    outcome.checks.push(Check::at_most(
        "connections that the victim tried to open",
        dialed,
        0,
    ));
    redial(&scene, &said, &mut outcome).await?;
    Ok(outcome)
}

/// A node meets a peer at a public address, hears the others, loses it, and then dials it by its name.
async fn redial(scene: &Scene, said: &[u8], outcome: &mut Outcome) -> io::Result<()> {
    let listener = TcpListener::bind((ground::attacker(9), 0)).await?;
    let keypair = Keypair::generate_ed25519();
    let (port, peer) = (listener.local_addr()?.port(), keypair.public().to_peer_id());
    let before = sample::dialed(scene.pid)?;
    let dialer = Command::new("ip")
        .args(["netns", "exec", &scene.namespace])
        .arg(std::env::current_exe()?)
        .args([
            "dialer",
            &format!("/ip4/{}/tcp/{port}/p2p/{peer}", ground::attacker(9)),
        ])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (socket, _) = listener.accept().await?;
    let mut speaker = Speaker::upgrade(socket, Role::Listener, &keypair).await?;
    answer(&mut speaker, said).await?;
    drop(listener);
    // It goes once it knows.
    timeout(Duration::from_secs(5), speaker.until_closed())
        .await
        .map_err(|_| io::Error::other("the dialer does not go"))?;
    let output = timeout(Duration::from_secs(40), dialer.wait_with_output()).await;
    let text = output.map_err(|_| io::ErrorKind::TimedOut)??.stdout;
    let text = String::from_utf8_lossy(&text).replace('\n', " ");
    let dialed = sample::dialed(scene.pid)? - before;
    outcome.tried += 1;
    // The peer twice, the stranger's port and the victim's.
    let what = "connections tried to open for a peer met before";
    outcome.checks.push(Check::at_most(what, dialed, 4));
    outcome.checks.push(Check::new(
        text.contains("knows") && !PRIVATE.iter().any(|ip| text.contains(ip)),
        format!("no private address among those tried: {}", text.trim()),
    ));
    Ok(())
}

const PRIVATE: [&str; 7] = [
    "127.0.0.1",
    "169.254.",
    "/10.0.0.1",
    "192.168.",
    "224.",
    "0.0.0.0",
    "::ffff",
];

/// TCP addresses: 66.1.1.1:22, 127.0.0.1:4001, 169.254.169.254:80, 10.0.0.1:80, 192.168.1.1:80, 224.0.0.1:80, 0.0.0.0:80,
/// our own, and ::ffff:10.0.0.1.
const TARGETS: [&[u8]; 9] = [
    &[4, 66, 1, 1, 1, 6, 0, 22],
    &[4, 127, 0, 0, 1, 6, 15, 161],
    &[4, 169, 254, 169, 254, 6, 0, 80],
    &[4, 10, 0, 0, 1, 6, 0, 80],
    &[4, 192, 168, 1, 1, 6, 0, 80],
    &[4, 224, 0, 0, 1, 6, 0, 80],
    &[4, 0, 0, 0, 0, 6, 0, 80],
    &[4, 9, 0, 0, 1, 6, 15, 161],
    &[
        41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1, 6, 0, 80,
    ],
];
