//! The writer: takes what streams have queued, seals it in place, sends it with one call.
//!
//! Batching is adaptive: while a write is under way, frames pile up and go together; when the writer is idle, a small
//! message leaves at once. Window updates alone are in no such hurry: they let the tasks run that are ready, since those
//! are likely to have read, too.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use carrick_session::{Records, Sealer};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::Transmit;
use crate::{ConnectionError, buffers, connection::Shared};

/// How long the peer may leave one batch unread before the connection is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection that cannot be written to any more is read from.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A batch of this many bytes, or so many batches, show that the writer is worth a task of its own.
const BUSY: usize = 4096;
const BUSY_BATCHES: u32 = 16;

/// Runs until the connection is closed or lost.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut writer: Box<dyn AsyncWrite + Send + Unpin>,
    sealer: Sealer,
) {
    if let Err(error) = write(&shared, &mut writer, sealer).await {
        if matches!(error, ConnectionError::Io(_)) {
            // The peer may have said why before it was gone: the reader is to get that far.
            let lost = poll_fn(|cx| shared.muxed().with(|state| state.poll_lost(cx)));
            let _ = Box::pin(timeout(LAST_WORDS, lost)).await;
        }
        shared.lose(error);
    }
}

async fn write(
    shared: &Shared,
    writer: &mut (impl AsyncWrite + Unpin),
    mut sealer: Sealer,
) -> Result<(), ConnectionError> {
    let mut records = Records::new(sealer.layout());
    let mut batches = 0_u32;
    let mut rested = true;
    loop {
        let next = poll_fn(|cx| {
            let next = shared
                .muxed()
                .with(|state| state.poll_transmit(cx, &mut records, rested));
            if next.is_pending() {
                // Nothing to send: an idle connection keeps no buffer.
                buffers::release(&mut records);
                rested = true;
            }
            next
        });
        let next = next.await;
        rested = false;
        match next {
            Transmit::Gather => tokio::task::yield_now().await,
            Transmit::Send => {
                sealer.seal(&mut records)?;
                batches = batches.saturating_add(1);
                if records.as_slice().len() >= BUSY || batches == BUSY_BATCHES {
                    shared.muxed().set_busy();
                }
                // A pipe may keep what it took until it is flushed.
                let sending = async {
                    writer.write_all(records.as_slice()).await?;
                    writer.flush().await
                };
                send(shared, sending).await?;
                shared.tally.traffic().sent(records.as_slice().len());
                records.clear();
            }
            Transmit::Shutdown => {
                sealer.close(&mut records)?;
                send(shared, writer.write_all(records.as_slice())).await?;
                send(shared, writer.shutdown()).await?;
                // The peer's last words are waited for only if there were streams that they could belong to.
                return if shared.has_carried() {
                    Ok(())
                } else {
                    Err(ConnectionError::Closed)
                };
            }
            Transmit::Stop => return Ok(()),
        }
    }
}

/// Waits for the pipe, but not longer than the peer may take or the connection lives.
async fn send(
    shared: &Shared,
    sending: impl Future<Output = io::Result<()>>,
) -> Result<(), ConnectionError> {
    let mut sending = pin!(sending);
    // Mostly the pipe takes everything at once: then no timer is made.
    if let Poll::Ready(sent) = futures::poll!(&mut sending) {
        return sent.map_err(ConnectionError::from);
    }
    let sent = poll_fn(|cx| match sending.as_mut().poll(cx) {
        Poll::Ready(sent) => Poll::Ready(sent.map_err(ConnectionError::from)),
        Poll::Pending => shared.muxed().with(|state| state.poll_lost(cx)).map(Err),
    });
    // Boxed, since an idle connection would carry the room for it.
    Box::pin(timeout(WRITE_TIMEOUT, sent))
        .await
        .map_err(|_| ConnectionError::TimedOut)?
}
