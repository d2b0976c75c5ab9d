//! multistream-select for one stream: one protocol is proposed and accepted.

use carrick_session::negotiate::{Dialer, Listener, Request};
use carrick_wire::ProtocolId;
use std::hint::black_box;

const ECHO: ProtocolId = ProtocolId::from_static("/echo/1.0.0");
const WORDS: &[u8] = b"\x13/multistream/1.0.0\n\x0c/echo/1.0.0\n";

/// We propose.
pub(crate) fn dials(times: usize) {
    let mut out = Vec::new();
    for _ in 0..times {
        let mut dialer = Dialer::new(vec![ECHO]);
        dialer.poll_transmit(&mut out);
        assert_eq!(dialer.recv(black_box(WORDS)), Ok(WORDS.len()));
        assert_eq!(dialer.outcome(), Some(&ECHO));
        out.clear();
    }
}

/// We accept.
pub(crate) fn listens(times: usize) {
    let mut out = Vec::new();
    for _ in 0..times {
        let mut listener = Listener::new();
        let asked = listener.recv(black_box(WORDS));
        assert_eq!(asked, Ok((WORDS.len(), Some(Request::Protocol(ECHO)))));
        listener.accept();
        listener.poll_transmit(&mut out);
        assert_eq!(listener.outcome(), Some(&ECHO));
        out.clear();
    }
}
