//! Closes the survivor while a victim is frozen at some step and somebody else has a stream open: how long it takes, what
//! lives on, and what those hear who are there.

use std::{
    net::{TcpListener, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use carrick::{Config, Keypair, Multiaddr, Protocol};
use tokio::time::timeout;

use crate::{
    deed::{IDLE, Party, text},
    round::{End, Fate, Stage},
    table::{Road, Side},
};

/// How long closing takes; `None`: the victim never came to that step.
pub(crate) async fn close_beside(
    home: &Path,
    side: Side,
    road: Road,
    fate: Fate,
) -> Result<Option<Duration>, String> {
    let config = Config {
        idle_timeout: Some(IDLE),
        watch_interval: None,
        ..Config::default()
    };
    let stage = Stage::set(vec![home.to_owned()], side, road, config.clone()).await?;
    let Some((End::Frozen(mut victim), _)) = stage.all(Some(fate)).await.pop().transpose()? else {
        return Ok(None);
    };
    let bystander = Party::new(Keypair::generate_ed25519(), config, None, None).await?;
    let mut stream = bystander.hold(&stage.survivor.address()).await?;
    let address = stage.survivor.address();
    let begun = Instant::now();
    let closing = stage.survivor.party.node.close();
    let closed = timeout(PATIENCE, closing).await;
    closed.map_err(|_| "closing hangs".to_owned())?;
    let took = begun.elapsed();
    let end = timeout(PATIENCE, stream.read_chunk()).await;
    if end
        .map_err(|_| "a stream of a closed node hangs")?
        .is_ok_and(|chunk| chunk.is_some())
    {
        return Err("a stream goes on after its node was closed".to_owned());
    }
    stage.survivor.dies_out().await?;
    bind(&address).map_err(|error| format!("{address} is not free: {error}"))?;
    bystander.node.close().await;
    victim.kill().await.map_err(text)?;
    Ok(Some(took))
}

/// What a closed node listened on must be free.
fn bind(address: &Multiaddr) -> std::io::Result<()> {
    for part in address.iter() {
        match part {
            Protocol::Tcp(port) => return TcpListener::bind(("127.0.0.1", port)).map(drop),
            Protocol::Udp(port) => return UdpSocket::bind(("127.0.0.1", port)).map(drop),
            _ => {}
        }
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(50);
