//! Packets on a stream, where there are no datagrams: each with its length before it, in order, none lost on the way. The
//! queues are the same, so a link that is too slow drops the oldest here, too.

use std::sync::Mutex;

use bytes::{Buf, BytesMut};
use carrick_protocols::packets::Flow;
use carrick_wire::packets as codec;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::Notify,
};

use super::flow::lock;
use crate::{Stream, StreamError};

/// Carries packets both ways until the peer ends its side.
pub(super) async fn carry(
    stream: &mut Stream,
    queues: &Mutex<Flow>,
    [wanted, drained]: [&Notify; 2],
    arrived: &Notify,
) -> Result<(), StreamError> {
    let (mut reader, mut writer) = split(stream);
    let outcome = tokio::select! {
        biased;
        outcome = send(&mut writer, queues, wanted, drained) => outcome,
        outcome = recv(&mut reader, queues, arrived) => outcome,
    };
    outcome.map_err(|error| {
        let ours = error
            .get_ref()
            .and_then(|e| e.downcast_ref::<StreamError>());
        ours.cloned().unwrap_or(StreamError::EndedEarly)
    })
}

async fn send(
    writer: &mut WriteHalf<&mut Stream>,
    queues: &Mutex<Flow>,
    wanted: &Notify,
    drained: &Notify,
) -> std::io::Result<()> {
    let mut frames = Vec::new();
    loop {
        while frames.len() < BATCH_BYTES {
            let Some(packet) = lock(queues).poll_transmit() else {
                break;
            };
            codec::encode_on_stream(&packet, &mut frames);
        }
        if frames.is_empty() {
            wanted.notified().await;
            continue;
        }
        writer.write_all(&frames).await?;
        frames.clear();
        drained.notify_waiters();
    }
}

async fn recv(
    reader: &mut ReadHalf<&mut Stream>,
    queues: &Mutex<Flow>,
    arrived: &Notify,
) -> std::io::Result<()> {
    let mut frames = BytesMut::new();
    loop {
        // At most one packet that is not whole, and one read.
        if reader.read_buf(&mut frames).await? == 0 {
            return Ok(());
        }
        let malformed = |_| std::io::Error::from(std::io::ErrorKind::InvalidData);
        while let Some((len, used)) = codec::decode_on_stream(&frames)
            .map_err(malformed)?
            .map(|(packet, used)| (packet.len(), used))
        {
            let mut frame = frames.split_to(used).freeze();
            frame.advance(used - len);
            lock(queues).recv(frame);
            arrived.notify_one();
        }
    }
}

/// Packets that leave together when they pile up.
const BATCH_BYTES: usize = 16 * 1024;
