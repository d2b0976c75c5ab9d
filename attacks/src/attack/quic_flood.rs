//! 70,000 first packets of connections that are never continued, from a thousand addresses. Answered by a bound on those
//! that are pending, beyond which newcomers must prove their address first (Retry), which costs nothing. In the middle of it
//! others get in over QUIC.

use std::{io, sync::Arc, time::Duration};

use carrick::{Config, Multiaddr, Node};
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{ground, initial::Initials, victim};

pub(super) const ATTACK: Attack = Attack {
    id: "Q-02",
    name: "flood of first packets",
    rss_mib: 32,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let (count, sources) = (scene.scale(70_000, 7_000), scene.scale(1_000, 200));
    let initials = Initials::new()?;
    let mut sockets = Vec::new();
    for n in 0..sources {
        let socket = UdpSocket::bind((ground::attacker_apart(n), 0)).await?;
        socket.connect(scene.quic()).await?;
        sockets.push(socket);
    }
    let (mut retries, mut answers, mut served) = (0_u64, 0_u64, 0_u64);
    let mut newcomers = Vec::new();
    for n in 0..count {
        let packet = initials.packet(u64::from(n) + (1 << 40))?;
        let socket = &sockets[(n % sources) as usize];
        let _ = socket.send(&packet).await;
        let mut answer = [0; 2048];
        while let Ok(len) = socket.try_recv(&mut answer) {
            answers += 1;
            retries += u64::from(len > 0 && answer[0] & 0xf0 == 0xf0);
        }
        if n % (count / 5) == count / 10 {
            newcomers.push(tokio::spawn(newcomer()));
        }
        // The victim has one core, and so have we: what the kernel drops shows nothing.
        if n % 64 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    for newcomer in newcomers {
        served += u64::from(matches!(newcomer.await, Ok(Ok(()))));
    }
    let what = format!("{served} of 5 newcomers get in over QUIC meanwhile");
    let heard = format!("{answers} answers were heard while sending, {retries} of them Retry");
    Ok(Outcome {
        tried: count.into(),
        refused: retries,
        checks: vec![
            Check::new(served == 5, what),
            Check::new(answers > 0, heard),
        ],
        ..Outcome::default()
    })
}

async fn newcomer() -> io::Result<()> {
    let node = Node::builder().config(Config::default()).spawn().await;
    let node = node.map_err(io::Error::other)?;
    let address: Multiaddr = victim::addresses()[3].parse().map_err(io::Error::other)?;
    let dialed = timeout(Duration::from_secs(20), node.dial(address)).await;
    let connection = dialed
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
    connection.ping().await.map_err(io::Error::other)?;
    Ok(())
}
