//! Which muxer a name means; the scenarios that every muxer must pass are in `tests/session`.

use super::*;
use crate::testing::{PLAIN, epoch};

#[test]
fn a_muxer_is_made_by_its_name_and_no_other() {
    let make = |name: &str| {
        let protocol = ProtocolId::new(name).unwrap();
        Mux::new(
            &protocol,
            Role::Dialer,
            &Config::default(),
            PLAIN,
            epoch(),
            None,
        )
    };
    assert!(matches!(make("/yamux/1.0.0").unwrap().kind, Kind::Yamux(_)));
    assert!(matches!(make("/mplex/6.7.0").unwrap().kind, Kind::Mplex(_)));
    for name in ["/yamux/1.0.1", "/yamux", "yamux", "/spdy/3.1.0"] {
        assert!(make(name).is_none());
    }
}

#[test]
fn an_unconfirmed_muxer_reads_nothing_before_its_answer() {
    let make = || {
        let mut dialer = Dialer::new(vec![YAMUX]);
        dialer.poll_transmit(&mut Vec::new());
        let dialer = Some(Box::new(dialer));
        Mux::new(
            &YAMUX,
            Role::Dialer,
            &Config::default(),
            PLAIN,
            epoch(),
            dialer,
        )
        .unwrap()
    };
    let answer = b"\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\n";
    let open = [0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
    let bytes = [&answer[..], &open].concat();
    for cut in 0..bytes.len() {
        let mut mux = make();
        for piece in [&bytes[..cut], &bytes[cut..]] {
            assert_eq!(mux.poll_event(), None);
            mux.recv(epoch(), Bytes::copy_from_slice(piece)).unwrap();
        }
        assert!(matches!(mux.poll_event(), Some(Event::Incoming(_))));
    }
    for (answer, text) in [
        (&b"\x13/multistream/1.0.0\n\x03na\n"[..], "refused"),
        (b"\x13/multistream/1.0.0\n\x0d/mplex/6.7.0\n", "bad answer"),
        (&open, "bad answer"),
    ] {
        let violation = make()
            .recv(epoch(), Bytes::copy_from_slice(answer))
            .unwrap_err();
        assert!(violation.0.contains(text), "{violation}");
    }
}
