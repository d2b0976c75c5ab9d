//! first packets with somebody else's address, which gets the answers. Answered by sending no more than three times what
//! came (RFC 9000 §8) until the address is proven; what asks again unanswered counts, too. Bytes are those of UDP payloads, as
//! in that section.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use tokio::{net::UdpSocket, time::timeout_at};

use super::{Attack, Check, Figure, Outcome, PLAIN, Scene};
use crate::{
    ground,
    initial::{Initials, SIZE},
};

pub(super) const ATTACK: Attack = Attack {
    id: "Q-01",
    name: "QUIC amplification",
    rss_mib: 16,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let each = scene.scale(50, 5);
    let listen = Duration::from_secs(scene.scale(12, 5).into());
    let initials = Initials::new()?;
    let mut cases: Vec<(&str, Vec<Vec<u8>>)> = Vec::new();
    for n in 0..u64::from(each) {
        let id = 0x0100_0000 + (n << 8);
        let unknown = {
            let mut packet = initials.packet(id)?;
            packet[1..5].copy_from_slice(&0x1a2a_3a4a_u32.to_be_bytes());
            packet
        };
        let short = [&[0x43][..], &id.to_be_bytes(), &[9; 60]].concat();
        cases.extend([
            ("a first packet", vec![initials.packet(id)?]),
            ("the same, three times", vec![initials.packet(id + 1)?; 3]),
            ("half a ClientHello", vec![initials.half(id + 2)?]),
            (
                "a handshake's far end",
                vec![initials.gap(id + 4, 1 << 40)?],
            ),
            ("an unknown version", vec![unknown]),
            ("an unknown connection", vec![short]),
            (
                "too small a first packet",
                vec![initials.packet(id + 3)?[..600].to_vec()],
            ),
        ]);
    }
    let heard = cases.iter().enumerate().map(|(n, (what, packets))| {
        let victim = scene.quic();
        async move {
            let heard = hear(n as u32, victim, packets, listen).await?;
            Ok::<_, io::Error>((*what, packets.concat().len(), heard))
        }
    });
    let mut outcome = Outcome::default();
    let mut most = Vec::<(&str, f64, Vec<usize>)>::new();
    for (what, sent, lens) in try_join_all(heard).await? {
        let heard = lens.iter().sum::<usize>();
        outcome.tried += 1;
        outcome.refused += u64::from(heard <= SIZE);
        let ratio = heard as f64 / sent as f64;
        match most.iter_mut().find(|known| known.0 == what) {
            Some(known) if known.1 >= ratio => {}
            Some(known) => *known = (what, ratio, lens),
            None => most.push((what, ratio, lens)),
        }
    }
    let worst = most.iter().map(|known| known.1).fold(0.0, f64::max);
    for (what, ratio, lens) in &most {
        // quinn begins no datagram beyond three times, but ends the one that it has begun (quinn's issue 1082): the figure
        // counts it, the verdict does not.
        let last = lens.last().copied().unwrap_or_default();
        let (all, last) = (lens.iter().sum::<usize>() as f64, last as f64);
        let holds = *ratio <= 3.0 || (all - last < 3.0 * all / ratio && last <= SIZE as f64);
        let text = format!(
            "{what}: {ratio:.2} times what was sent, the last datagram begun within 3: {lens:?}"
        );
        outcome.checks.push(Check::new(holds, text));
    }
    let answered = Check::new(worst > 0.5, "first packets are answered at all");
    outcome.checks.push(answered);
    let what = "QUIC: bytes sent to an unproven address, of those received";
    outcome.figures = vec![Figure::at_most(9, what, worst, "x", 3.0)];
    Ok(outcome)
}

/// The datagrams that come to the n-th address within this time after the packets were sent from there.
async fn hear(
    n: u32,
    to: SocketAddr,
    packets: &[Vec<u8>],
    time: Duration,
) -> io::Result<Vec<usize>> {
    let socket = UdpSocket::bind((ground::attacker_apart(n), 0)).await?;
    for packet in packets {
        socket.send_to(packet, to).await?;
    }
    let until = Instant::now() + time;
    let (mut lens, mut packet) = (Vec::new(), vec![0; 65_536]);
    while let Ok(received) = timeout_at(until.into(), socket.recv(&mut packet)).await {
        // A refusal that the kernel passes on is no packet.
        lens.extend(received);
    }
    Ok(lens)
}
