//! M-08: as much is asked for as there is, on 500 streams of a connection, and nothing of it is taken: neither from the socket, nor
//! into any window. Answered by one send buffer for a connection, 256 KiB, for which streams wait; what others ask for on the
//! same connection does not.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use carrick_wire::yamux::Kind;
use futures::future::join_all;
use tokio::time::sleep;

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{ground, raw::Raw, sample::Sample};

pub(super) const ATTACK: Attack = Attack {
    id: "M-08",
    name: "nothing is read",
    row: Some(5),
    rss_mib: 256,
    args: &["--perf"],
    only_carrick: Some("it must serve /perf/1.0.0"),
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| config.session.send_buffer_max = 1 << 30),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let connections = scene.scale(100, 10);
    let before = Sample::of(scene.pid)?.rss_kib;
    let asked = (0..connections).map(|n| {
        let (scene, source) = (scene.clone(), ground::attacker_apart(n));
        tokio::spawn(async move { ask_for_all(&scene, source).await })
    });
    let asked = join_all(asked).await;
    let mut there: Vec<Raw> = asked.into_iter().flatten().flatten().collect();
    sleep(Duration::from_secs(scene.scale(5, 1).into())).await;
    let grown = Sample::of(scene.pid)?.rss_kib.saturating_sub(before);
    let count = there.len() as u64;
    let mut checks = vec![
        Check::new(count > 0, format!("{count} connections")),
        Check::at_most("KiB for each of them", grown / count.max(1), EACH_MAX_KIB),
    ];
    // The socket is read now, the windows stay closed: a stream that waits keeps no other from its turn.
    if let Some(raw) = there.first_mut() {
        let id = 1 + 2 * STREAMS;
        raw.ask(id, "/ipfs/ping/1.0.0", &[7; 32]).await?;
        let mut heard = 0;
        let echoed = raw.until(Duration::from_secs(5), |frame| {
            if frame.header.stream == id && frame.header.kind == Kind::Data {
                heard += frame.header.length;
            }
            heard > 32
        });
        let echoed = echoed.await.is_some();
        checks.push(Check::new(
            echoed,
            format!("beside {STREAMS} stalled streams another one is served: {echoed}"),
        ));
    }
    Ok(Outcome {
        tried: count * u64::from(STREAMS),
        checks,
        ..Outcome::default()
    })
}

/// A gigabyte on each stream.
async fn ask_for_all(scene: &Scene, source: IpAddr) -> io::Result<Raw> {
    let mut raw = Raw::connect(source, scene.tcp()).await?;
    for at in 0..STREAMS {
        let id = 1 + 2 * at;
        raw.ask(id, "/perf/1.0.0", &(1_u64 << 30).to_be_bytes())
            .await?;
        // The end of the upload.
        let end = crate::raw::data(id, carrick_wire::yamux::Flags::FIN, &[]);
        raw.writer.send(&end).await?;
    }
    Ok(raw)
}

const STREAMS: u32 = 500;
/// Two send buffers, and 500 tasks with their streams.
const EACH_MAX_KIB: u64 = 4096;
