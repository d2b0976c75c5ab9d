//! C-05: lengths that are too large, too long or nonsense, and names that are none, instead of the negotiation's words: on bare
//! sockets and on streams. Answered by a length that is checked before anything is waited for: 1,024 bytes of a message.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use carrick_wire::yamux::{Flags, Kind};
use futures::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout_at,
};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{
    ground,
    raw::{Raw, data},
    source,
    speaker::proposal,
};

pub(super) const ATTACK: Attack = Attack {
    id: "C-05",
    name: "oversized words and names",
    rss_mib: 8,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

/// How one of them ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    /// By `na`, or by the same words: it is a name after all.
    Answered,
    Nothing,
}

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let words = words();
    let kinds = 4 * words.len();
    let said = stream::iter(0..kinds * scene.scale(50, 2) as usize).map(|n| {
        let (what, words, may_be_answered) = &words[n / 4 % words.len()];
        // Instead of the header, or of a proposal.
        let header = &proposal("/x")[..if n % 4 < 2 { 0 } else { 20 }];
        let (all, scene) = ([header, words].concat(), scene.clone());
        let source = ground::attacker_apart(n as u32);
        async move {
            let (on, end) = if n % 2 == 0 {
                ("socket", on_socket(&scene, source, &all).await)
            } else {
                ("stream", on_stream(&scene, source, &all).await)
            };
            (on, *what, *may_be_answered, end)
        }
    });
    let mut said = said.buffer_unordered(AT_ONCE);
    let mut outcome = Outcome::default();
    let mut bad = BTreeMap::<String, u64>::new();
    while let Some((on, what, may_be_answered, end)) = said.next().await {
        outcome.tried += 1;
        match end {
            Ok(End::Closed) => outcome.refused += 1,
            Ok(End::Answered) if may_be_answered => outcome.refused += 1,
            Ok(end) => *bad.entry(format!("{what} on a {on}: {end:?}")).or_default() += 1,
            // It was not let in, as too many are there at once.
            Err(_) => {}
        }
    }
    outcome.checks.push(Check::at_most(
        "not said",
        outcome.tried - outcome.refused - bad.values().sum::<u64>(),
        outcome.tried / 10,
    ));
    let bad: Vec<_> = bad
        .iter()
        .map(|(what, times)| format!("{what}, {times} times"))
        .collect();
    outcome.checks.push(Check::new(
        bad.is_empty(),
        format!("not ended at once: {}", bad.join("; ")),
    ));
    Ok(outcome)
}

async fn on_socket(scene: &Scene, source: IpAddr, words: &[u8]) -> io::Result<End> {
    let mut socket = source::connect(source, scene.tcp()).await?;
    let until = Instant::now() + PATIENCE;
    socket.write_all(words).await?;
    let mut heard = Vec::new();
    loop {
        match timeout_at(until.into(), socket.read_buf(&mut heard)).await {
            Ok(Ok(0) | Err(_)) => return Ok(End::Closed),
            Ok(Ok(_)) if heard.len() <= 20 => {}
            Ok(Ok(_)) => return Ok(End::Answered),
            Err(_) => return Ok(End::Nothing),
        }
    }
}

async fn on_stream(scene: &Scene, source: IpAddr, words: &[u8]) -> io::Result<End> {
    let mut raw = Raw::connect(source, scene.tcp()).await?;
    raw.writer.send(&data(1, Flags::SYN, words)).await?;
    let mut heard = 0;
    let ended = raw.until(PATIENCE, |frame| {
        if frame.header.stream != 1 {
            return false;
        }
        if frame.header.kind == Kind::Data {
            heard += frame.header.length;
        }
        let flags = frame.header.flags;
        flags.contains(Flags::FIN) || flags.contains(Flags::RST) || heard > 20
    });
    Ok(match ended.await {
        Some(_) if heard > 20 => End::Answered,
        Some(_) => End::Closed,
        None => End::Nothing,
    })
}

/// What is said, and whether it is a name that a victim may refuse in words.
fn words() -> Vec<(&'static str, Vec<u8>, bool)> {
    let long = [&[0x93][..], &[0x80; 8], &[0]].concat();
    vec![
        ("a length of 2^14 + 1", vec![0x81, 0x80, 0x01], false),
        ("a length of 2^63", [&[0x80; 9][..], &[1]].concat(), false),
        (
            "13 in ten bytes",
            [&long[..], b"/noise/1.0.0\n"].concat(),
            false,
        ),
        (
            "13 in two bytes",
            [&[0x8d, 0][..], b"/noise/1.0.0\n"].concat(),
            false,
        ),
        ("a length without end", vec![0xff; 64], false),
        ("no newline", b"\x05/echo".to_vec(), false),
        ("not UTF-8", b"\x06/\xff\xfeo\n\n".to_vec(), false),
        ("a name with NUL", b"\x06/e\0ho\n".to_vec(), true),
        ("no name at all", b"\x01\n".to_vec(), true),
        ("no slash", b"\x05echo\n".to_vec(), true),
    ]
}

const AT_ONCE: usize = 48;
/// No deadline of a negotiation is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
