//! Reader and writer share a task while little is sent: most connections are short or idle, and a task each costs memory and
//! wake-ups. A large batch, or some small ones, make the writer a task of its own, so that opening and sealing can use two cores.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
};

use crate::connection::Shared;

type Part = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs both until the reader is done: then the connection is lost, and there is nothing left to write.
pub(crate) fn run(
    shared: Arc<Shared>,
    mut reader: Part,
    writer: Part,
) -> impl Future<Output = ()> + Send {
    let mut here = Some(writer);
    poll_fn(move |cx| {
        if let Some(mut writer) = here.take()
            && writer.as_mut().poll(cx).is_pending()
        {
            if shared.muxed().busy.load(Ordering::Relaxed) {
                tokio::spawn(writer);
            } else {
                here = Some(writer);
            }
        }
        reader.as_mut().poll(cx)
    })
}
