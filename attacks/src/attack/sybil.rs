//! C-11: as many identities as one likes, few networks: from one IPv4 address, from one IPv6 /56, from many /56 of one /48.
//! Answered by the limits for each (8, 8 and 64), whoever they say they are.

use std::{io, sync::Arc};

use super::{Attack, Check, Outcome, PLAIN, Scene, crowd::Crowd};
use crate::ground;

pub(super) const ATTACK: Attack = Attack {
    id: "C-11",
    name: "many names, few networks",
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| {
        config.swarm.connections_per_ip_max = usize::MAX;
        config.swarm.connections_per_site_max = usize::MAX;
    }),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(1_000, 100);
    let (v4, v6) = (scene.tcp(), scene.tcp_v6());
    let address = Crowd::join(count, |_| (ground::attacker(1), v4)).await;
    let net = Crowd::join(count, |n| (ground::attacker_v6(1, 0, n as u16 + 1), v6)).await;
    let site = |n: u32| ground::attacker_v6(2, (n % 256) as u8, (n / 256) as u16 + 1);
    let site = Crowd::join(count, |n| (site(n), v6)).await;
    let mut outcome = Outcome::default();
    for (what, crowd, max) in [
        ("connections of one address", address, 8),
        ("connections of one /56", net, 8),
        ("connections of one /48", site, 64),
    ] {
        let staying = crowd.settled().await;
        outcome.tried += crowd.count();
        outcome.refused += crowd.count() - staying;
        outcome.checks.push(Check::at_most(what, staying, max));
        // As many as may are served: a limit that refuses everybody is none.
        let text = format!("{what}: as many as may are in");
        outcome.checks.push(Check::new(staying >= max.min(8), text));
    }
    Ok(outcome)
}
