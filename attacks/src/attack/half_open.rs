//! C-02: connections that say a byte each second, stuck at one of eleven steps of the handshake. Answered by one deadline (10 s)
//! over the whole handshake, which no byte puts off, and by the limit for connections that have not shown who they are.

use std::{io, sync::Arc, time::Duration};

use carrick::Keypair;
use carrick_session::TlsIdentity;
use rustls::{ClientConnection, pki_types::ServerName};

use super::{
    Attack, Check, Figure, Outcome, PLAIN, Scene,
    held::{Held, Script},
};
use crate::{ground, speaker::proposal};

pub(super) const ATTACK: Attack = Attack {
    id: "C-02",
    name: "half-open, byte by byte",
    // The first bytes at the WebSocket port are waited for by others.
    files: 600,
    run: |scene| Box::pin(run(scene)),
    weaken: Some(|config| config.session.upgrade_timeout = Duration::from_secs(60)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let count = scene.scale(5_000, 500);
    let scripts = scripts()?;
    let from = |n: u32| {
        let (is_ws, script) = &scripts[n as usize % scripts.len()];
        let port = if *is_ws { scene.ws() } else { scene.tcp() };
        (ground::attacker_apart(n), port, script.clone())
    };
    let held = Held::open(count, from).await;
    let left = held.settle(0, GONE + Duration::from_secs(1)).await;
    let longest = held.longest();
    Ok(Outcome {
        tried: u64::from(count),
        refused: held.refused(),
        figures: vec![
            Figure::at_most(
                3,
                "half-open connections left after 11 s",
                left as f64,
                "connections",
                0.0,
            ),
            Figure::at_most(
                3,
                "longest life of a half-open one",
                longest.as_secs_f64(),
                "s",
                11.0,
            ),
        ],
        checks: vec![
            Check::at_most("still open", left, 0),
            Check::new(
                longest <= GONE,
                format!(
                    "the longest lived {:.1} s of at most 11 s",
                    longest.as_secs_f64()
                ),
            ),
        ],
    })
}

/// The steps, and whether each is at the WebSocket port.
fn scripts() -> io::Result<Vec<(bool, Script)>> {
    let slow = |first: &[&[u8]], rest: &[u8]| Script {
        first: first.concat(),
        drop_by_drop: rest.to_vec(),
    };
    let (header, noise, tls) = (
        &proposal("/x")[..20],
        proposal("/noise"),
        proposal("/tls/1.0.0"),
    );
    let noise_start = [&[0, 32][..], &[9; 32]].concat();
    let hello = hello()?;
    // A frame of 100 bytes, masked with zeros.
    let frame = [0x82, 0x80 | 100, 0, 0, 0, 0];
    let pipe = [
        slow(&[], &[]),
        slow(&[], &noise),
        slow(&[header], &[]),
        slow(&[&noise], &noise_start),
        // What comes next would be the third message.
        slow(
            &[&noise, &noise_start],
            &[0, 200, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        ),
        slow(
            &[&tls, &hello[..hello.len() / 2]],
            &hello[hello.len() / 2..],
        ),
        // And here a record with the certificate.
        slow(
            &[&tls, &hello],
            &[23, 3, 3, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        ),
    ];
    let websocket = [
        slow(&[b"G"], b"ET / HTTP/1.1\r\nHost: 9.0.0.1\r\n"),
        slow(&[OPENING, b"\r\n"], &frame),
        slow(&[OPENING, b"\r\n", &frame], &noise),
        slow(&[OPENING], b"X-Slow: and slower still\r\n"),
    ];
    let on = |is_ws| move |script| (is_ws, script);
    Ok(pipe
        .into_iter()
        .map(on(false))
        .chain(websocket.into_iter().map(on(true)))
        .collect())
}

/// A ClientHello.
fn hello() -> io::Result<Vec<u8>> {
    let identity = TlsIdentity::new(&Keypair::generate_ed25519(), Vec::new());
    let identity = identity.ok_or_else(|| io::Error::other("this key makes no identity"))?;
    let (config, _) = identity.client_config(None, vec![b"libp2p".to_vec()]);
    let name = ServerName::try_from("libp2p").map_err(io::Error::other)?;
    let mut hello = Vec::new();
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    client.write_tls(&mut hello)?;
    Ok(hello)
}

const OPENING: &[u8] =
    b"GET / HTTP/1.1\r\nHost: 9.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
/// The deadline, and a second.
const GONE: Duration = Duration::from_secs(11);
