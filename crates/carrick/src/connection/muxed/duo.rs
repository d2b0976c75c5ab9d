//! Reader and writer share a task while little is sent: most connections are short or idle, and a task each costs memory and
//! wake-ups. A large batch, or some small ones, make the writer a task of its own, so that opening and sealing can use two cores.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
};

use crate::sync::spawn;

type Part = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs both until the reader is done: then the connection is lost, and there is nothing left to write. Once `is_busy`, the
/// writer has a task of its own.
pub(crate) fn run(
    is_busy: impl Fn() -> bool + Send,
    mut reader: Part,
    writer: Part,
) -> impl Future<Output = ()> + Send {
    let mut here = Some(writer);
    poll_fn(move |cx| {
        if let Some(mut writer) = here.take()
            && writer.as_mut().poll(cx).is_pending()
        {
            if is_busy() {
                spawn(writer);
            } else {
                here = Some(writer);
            }
        }
        reader.as_mut().poll(cx)
    })
}
