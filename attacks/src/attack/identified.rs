//! What attackers say when they are asked who they are.

use std::{io, net::IpAddr};

use carrick::Keypair;
use carrick_wire::identify::Message;

use super::Scene;
use crate::speaker::{Speaker, delimited, proposal};

/// Connects as `keypair` and answers identify's question with `answer`, which stands behind the negotiation as it is.
pub(super) async fn introduce(
    scene: &Scene,
    source: IpAddr,
    keypair: &Keypair,
    answer: &[u8],
) -> io::Result<Speaker> {
    let mut speaker = Speaker::connect_as(source, scene.tcp(), keypair).await?;
    self::answer(&mut speaker, answer).await?;
    Ok(speaker)
}

/// Answers the question.
pub(super) async fn answer(speaker: &mut Speaker, answer: &[u8]) -> io::Result<()> {
    let key = speaker.accept().await?;
    // It may be cut off as soon as it is too much.
    let all = [&proposal("/ipfs/id/1.0.0")[..], answer].concat();
    if speaker.write(key, &all).await.is_ok() {
        let _ = speaker.finish(key).await;
    }
    Ok(())
}

/// What the victim says of itself.
pub(super) async fn ask(speaker: &mut Speaker) -> io::Result<Message> {
    let key = speaker.ask("/ipfs/id/1.0.0", &[]).await?;
    let (all, _) = speaker.read_to_end(key).await;
    let answer = all.strip_prefix(&proposal("/ipfs/id/1.0.0")[..]);
    let mut rest = answer.ok_or_else(|| io::Error::other("identify was refused"))?;
    let mut message = Message::default();
    while let Ok(Some((len, used))) = carrick_wire::varint::decode(rest) {
        let end = used + usize::try_from(len).unwrap_or(usize::MAX - used);
        let part = rest.get(used..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        message.merge(Message::decode(part).map_err(io::Error::other)?);
        rest = &rest[end..];
    }
    Ok(message)
}

/// The message with its length.
pub(super) fn part(message: &Message) -> Vec<u8> {
    delimited(&message.encode())
}
