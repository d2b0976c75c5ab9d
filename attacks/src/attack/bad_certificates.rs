//! C-08: every certificate that libp2p's TLS forbids (specs/tls), over TCP and over QUIC: none, two, of another time, with an
//! extension that is missing, doubled, foreign or wrong, stolen, cut off; and TLS 1.2, and other protocols. Answered by refusing
//! each; a good one is let in, before and after.

use std::{io, sync::Arc};

use carrick::Keypair;
use carrick_wire::certificate;
use rcgen::KeyPair;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{
    forge::{CRITICAL, Forge, LIBP2P_ID, Shown, agree, extension, libp2p, over_quic, over_tcp},
    ground,
};

pub(super) const ATTACK: Attack = Attack {
    id: "C-08",
    name: "certificates",
    rss_mib: 16,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let good = Forge::new()?;
    let good = good.shows(vec![good.certificate()?])?;
    let (welcome, stolen) = over_tcp(&scene, ground::attacker(0), &good, LIBP2P).await?;
    let quic = over_quic(&scene, ground::attacker(0), &good, LIBP2P).await?;
    let mut outcome = Outcome {
        checks: vec![
            Check::new(welcome, "a good certificate is let in over TCP"),
            Check::new(quic, "and over QUIC"),
        ],
        ..Outcome::default()
    };
    let mut tasks = tokio::task::JoinSet::new();
    for (n, (what, shown)) in bad(&stolen)?.into_iter().enumerate() {
        let (scene, source) = (scene.clone(), ground::attacker_apart(n as u32));
        tasks.spawn(async move {
            let tcp = over_tcp(&scene, source, &shown, LIBP2P).await?.0;
            Ok::<_, io::Error>((what, tcp, over_quic(&scene, source, &shown, LIBP2P).await?))
        });
    }
    while let Some(task) = tasks.join_next().await {
        let (what, tcp, quic) = task.map_err(io::Error::other)??;
        for (road, let_in) in [("TCP", tcp), ("QUIC", quic)] {
            outcome.tried += 1;
            outcome.refused += u64::from(!let_in);
            let text = format!("{what} over {road} is refused: {}", !let_in);
            outcome.checks.push(Check::new(!let_in, text));
        }
    }
    for (what, alpn) in [
        ("another protocol", &[&b"h2"[..]][..]),
        ("no protocol", &[]),
    ] {
        outcome.tried += 1;
        let let_in = over_quic(&scene, ground::attacker(0), &good, alpn).await?;
        outcome.refused += u64::from(!let_in);
        outcome.checks.push(Check::new(
            !let_in,
            format!("{what} over QUIC is refused: {}", !let_in),
        ));
    }
    outcome.tried += 1;
    let old = speaks_tls_12(&scene).await?;
    outcome.refused += u64::from(!old);
    outcome
        .checks
        .push(Check::new(!old, format!("TLS 1.2 is refused: {}", !old)));
    let again = over_tcp(&scene, ground::attacker(1), &good, LIBP2P)
        .await?
        .0;
    outcome
        .checks
        .push(Check::new(again, "a good certificate is let in afterwards"));
    outcome.checks.sort_by(|a, b| a.what.cmp(&b.what));
    Ok(outcome)
}

/// Who shows what; `stolen` is the victim's own.
fn bad(stolen: &[u8]) -> io::Result<Vec<(&'static str, Shown)>> {
    let mut all = vec![("no certificate", Shown(None))];
    let good = Forge::new()?;
    let der = good.certificate()?;
    let mut show = |what, chain: Vec<Vec<u8>>| {
        all.push((what, good.shows(chain)?));
        Ok::<_, io::Error>(())
    };
    show(
        "two certificates",
        vec![der.clone(), Forge::new()?.certificate()?],
    )?;
    show("the same twice", vec![der.clone(), der.clone()])?;
    show("bytes after it", vec![[&der[..], &[0]].concat()])?;
    show("cut off", vec![der[..der.len() - 1].to_vec()])?;
    show("the victim's own", vec![stolen.to_vec()])?;
    show("8 KiB of zeros", vec![vec![0; 8 << 10]])?;
    for (what, at) in [
        ("a wrong byte in its signature", der.len() - 9),
        ("a wrong byte in its key", der.len() / 3),
        ("a wrong byte in its extension", der.len() * 2 / 3),
    ] {
        let mut changed = der.clone();
        changed[at] ^= 1;
        show(what, vec![changed])?;
    }
    all.extend(forged(stolen)?);
    Ok(all)
}

/// Those that are made to be wrong.
fn forged(stolen: &[u8]) -> io::Result<Vec<(&'static str, Shown)>> {
    let mut all = Vec::new();
    let mut forge = |what, change: fn(&mut Forge) -> io::Result<()>| {
        let mut forge = Forge::new()?;
        change(&mut forge)?;
        all.push((what, forge.shows(vec![forge.certificate()?])?));
        Ok::<_, io::Error>(())
    };
    forge("expired", |forge| {
        forge.dates = ["20000101000000Z", "20200101000000Z"];
        Ok(())
    })?;
    forge("not valid yet", |forge| {
        forge.dates = ["40000101000000Z", "40960101000000Z"];
        Ok(())
    })?;
    forge("another's signature", |forge| {
        forge.signer = Some(KeyPair::generate().map_err(io::Error::other)?);
        Ok(())
    })?;
    forge("unique ids", |forge| {
        forge.unique_ids = vec![0x81, 2, 0, 1];
        Ok(())
    })?;
    forge("no extension of libp2p", |forge| {
        forge.extensions = extension(UNKNOWN, &[], b"any");
        Ok(())
    })?;
    forge("two extensions of libp2p", |forge| {
        forge.extensions = forge.extensions.repeat(2);
        Ok(())
    })?;
    forge("an unknown critical extension", |forge| {
        forge
            .extensions
            .extend(extension(UNKNOWN, CRITICAL, b"any"));
        Ok(())
    })?;
    forge("an identity that signed another key", |forge| {
        let content = certificate::extension(&Keypair::generate_ed25519(), b"another key");
        forge.extensions = libp2p(&[], &content.unwrap_or_default());
        Ok(())
    })?;
    forge("bytes after the extension's content", |forge| {
        let content = certificate::extension(&Keypair::generate_ed25519(), &forge.key_info());
        forge.extensions = libp2p(&[], &[content.unwrap_or_default(), vec![0]].concat());
        Ok(())
    })?;
    // Whoever is the victim elsewhere has signed another key.
    let theirs = stolen
        .windows(LIBP2P_ID.len())
        .position(|part| part == LIBP2P_ID);
    if let Some(content) = theirs.and_then(|at| octets(&stolen[at + LIBP2P_ID.len()..])) {
        let mut forge = Forge::new()?;
        forge.extensions = libp2p(&[], content);
        all.push((
            "the victim's own extension",
            forge.shows(vec![forge.certificate()?])?,
        ));
    }
    Ok(all)
}

/// The content of the octet string that stands first.
fn octets(der: &[u8]) -> Option<&[u8]> {
    match der {
        [4, 0x81, len, rest @ ..] => rest.get(..usize::from(*len)),
        [4, len @ 0..=0x7f, rest @ ..] => rest.get(..usize::from(*len)),
        _ => None,
    }
}

/// Whether a ClientHello that knows TLS 1.2 only is answered by a ServerHello.
async fn speaks_tls_12(scene: &Scene) -> io::Result<bool> {
    let mut socket = agree(scene, ground::attacker(2)).await?;
    // Two ciphers of TLS 1.2, no extension that tells of a later version; groups, formats and signatures of those days.
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4,
    ];
    let body = [
        &[3, 3][..],
        &[9; 32],
        &[
            0,
            0,
            4,
            0xc0,
            0x2b,
            0xc0,
            0x2f,
            1,
            0,
            0,
            extensions.len() as u8,
        ],
        extensions,
    ]
    .concat();
    let hello = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    let record = [&[22, 3, 1, 0, hello.len() as u8][..], &hello].concat();
    socket.write_all(&record).await?;
    let answer = timeout(std::time::Duration::from_secs(12), socket.read_u8()).await;
    // 22 is a handshake, 21 an alert.
    Ok(matches!(answer, Ok(Ok(22))))
}

const LIBP2P: &[&[u8]] = &[b"libp2p"];
const UNKNOWN: &[u8] = &[0x2b, 6, 1, 4, 1, 7];
