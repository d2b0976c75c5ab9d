//! Until when all of it must have gone.

use carrick_wire::messages::{Header, Kind, Priority};

use super::*;

fn frame(len: usize) -> Frame {
    Frame {
        header: Header {
            kind: Kind::Reply,
            more: false,
            priority: Priority::Normal,
            code: 1,
            id: 1,
            nonce: 1,
            tag: 1,
        },
        payload: vec![0; len].into(),
    }
}

#[test]
fn what_is_under_way_has_one_deadline_however_slowly_it_goes() {
    let mut out = Outgoing::default();
    assert_eq!(out.due(), None);
    let mut frames = vec![frame(100)].into_iter();
    out.fill(|| frames.next());
    let due = out.due();
    assert!(due.is_some());
    out.advance(1);
    out.fill(|| None);
    out.advance(1);
    assert_eq!(out.due(), due, "a byte of it changes nothing");
    out.advance(out.batch.len() - out.sent);
    assert_eq!(out.due(), None, "all of it has gone");
    let mut frames = vec![frame(3 << 20)].into_iter();
    out.fill(|| frames.next());
    let patience = out.due().map(|due| due - Instant::now());
    assert!(patience.is_some_and(|patience| patience > 3 * STALL_PER_MIB));
}

#[test]
fn many_small_frames_together_have_no_more_time_than_one() {
    let mut out = Outgoing::default();
    out.fill(|| Some(frame(1)));
    let patience = out.due().map(|due| due - Instant::now());
    assert!(patience.is_some_and(|patience| patience < STALL_TIMEOUT + Duration::from_secs(1)));
}
