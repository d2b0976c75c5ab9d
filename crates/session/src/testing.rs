//! What the tests of several machines share.

use std::time::Instant;

use crate::{Event, Layout};

/// Records without a cipher.
pub(crate) const PLAIN: Layout = Layout {
    head: 0,
    body_max: 65519,
    tail: 0,
};

#[expect(
    clippy::disallowed_methods,
    reason = "a fake clock has to start somewhere"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// All events that wait.
pub(crate) fn events(mut poll: impl FnMut() -> Option<Event>) -> Vec<Event> {
    std::iter::from_fn(&mut poll).collect()
}
