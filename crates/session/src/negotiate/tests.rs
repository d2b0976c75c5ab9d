//! multistream-select, message by message.

use carrick_wire::multistream::PROTOCOLS_MAX;

use super::*;

const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";

fn id(text: &str) -> ProtocolId {
    ProtocolId::new(text).unwrap()
}

fn message(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    carrick_wire::varint::encode(text.len() as u64 + 1, &mut out);
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
    out
}

fn sent(transmit: impl FnOnce(&mut Vec<u8>) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(transmit(&mut out), !out.is_empty());
    out
}

/// A listener that supports `/yes`, fed with `input`: how many bytes it used, and what it said.
fn listen(input: &[u8]) -> (Result<usize, NegotiateError>, Vec<u8>, Listener) {
    let mut listener = Listener::new();
    let mut used = 0;
    let result = loop {
        match listener.recv(&input[used..]) {
            Ok((n, request)) => {
                used += n;
                match request {
                    Some(Request::Protocol(protocol)) if protocol.as_str() == "/yes" => {
                        listener.accept()
                    }
                    Some(Request::Protocol(_)) => listener.refuse(),
                    Some(Request::List) => listener.list(vec![id("/yes")]),
                    None => break Ok(used),
                }
            }
            Err(error) => break Err(error),
        }
    };
    let out = sent(|out| listener.poll_transmit(out));
    (result, out, listener)
}

/// A dialer of `protocols` after `answers`.
fn dial(
    protocols: &[&str],
    answers: &[&[u8]],
) -> Result<(usize, Option<ProtocolId>), NegotiateError> {
    let mut dialer = Dialer::new(protocols.iter().map(|text| id(text)).collect());
    let used = dialer.recv(&answers.concat())?;
    Ok((used, dialer.outcome().cloned()))
}

#[test]
fn a_first_message_that_is_not_the_header_ends_it() {
    for first in ["/multistream/2.0.0", "na", "ls", "/yes"] {
        assert!(
            matches!(listen(&message(first)).0, Err(NegotiateError::Violation(_))),
            "{first}"
        );
        let dialed = dial(&["/yes"], &[&message(first)]);
        assert!(
            matches!(dialed, Err(NegotiateError::Violation(_))),
            "{first}"
        );
    }
}

#[test]
fn a_message_without_its_newline_ends_it() {
    let result = listen(b"\x12/multistream/1.0.0").0;
    assert!(matches!(result, Err(NegotiateError::Violation(_))));
    let result = listen(b"\x13/multistream/1.0.0\n\x04/yes").0;
    assert!(matches!(result, Err(NegotiateError::Malformed(_))));
}

#[test]
fn somebody_who_speaks_another_protocol_is_found_out_by_the_first_byte() {
    for word in [
        &b"HTTP/1.1 400 Bad Request"[..],
        b"H",
        b"\x13/m\x00",
        b"SSH-2.0",
    ] {
        assert_eq!(listen(word).0.err(), dial(&["/yes"], &[word]).err());
        assert!(matches!(listen(word).0, Err(NegotiateError::Violation(_))));
    }
}

#[test]
fn empty_messages_end_it() {
    for empty in [&b"\x00"[..], b"\x01\n"] {
        assert!(listen(&[HEADER, empty].concat()).0.is_err());
        assert!(dial(&["/yes"], &[HEADER, empty]).is_err());
    }
}

#[test]
fn a_message_that_is_too_long_ends_it_before_it_is_held() {
    let mut listener = Listener::new();
    listener.recv(HEADER).unwrap();
    assert!(
        listener.recv(&[0xff, 0xff, 0x7f]).is_err(),
        "three bytes of length"
    );
    let mut listener = Listener::new();
    listener.recv(HEADER).unwrap();
    let endless = (0..100_000).find_map(|_| listener.recv(b"\xff").err());
    assert!(endless.is_some() && listener.decoder.partial.len() < 16);
    // The longest message that is none yet.
    let mut listener = Listener::new();
    let body = vec![b'a'; MESSAGE_MAX + 100];
    let result = listener.recv(&[&[0x80, 0x09][..], &body].concat());
    assert!(result.is_err() && listener.decoder.partial.is_empty());
}

#[test]
fn a_protocol_id_with_a_newline_or_without_utf_8_ends_it() {
    for text in [&b"/a\n/b\n"[..], b"/\xff\xfe\n", b"/a\0b\n"] {
        let bytes = [HEADER, &[u8::try_from(text.len()).unwrap()], text].concat();
        assert!(listen(&bytes).0.is_err(), "{text:?}");
    }
}

#[test]
fn an_unsupported_protocol_is_refused_and_the_next_is_heard() {
    let input = [
        HEADER,
        &message("/no"),
        &message("/neither"),
        &message("/yes"),
    ]
    .concat();
    let (used, out, listener) = listen(&input);
    assert_eq!(used, Ok(input.len()));
    assert_eq!(
        out,
        [HEADER, &message("na"), &message("na"), &message("/yes")].concat()
    );
    assert_eq!(listener.outcome(), Some(&id("/yes")));
}

#[test]
fn a_dialer_goes_through_its_list_until_one_is_accepted() {
    let mut dialer = Dialer::new(vec![id("/no"), id("/neither"), id("/yes")]);
    assert_eq!(
        sent(|out| dialer.poll_transmit(out)),
        [HEADER, &message("/no")].concat()
    );
    assert_eq!(dialer.recv(HEADER), Ok(HEADER.len()));
    for next in ["/neither", "/yes"] {
        dialer.recv(&message("na")).unwrap();
        assert_eq!(sent(|out| dialer.poll_transmit(out)), message(next));
    }
    assert_eq!(dialer.outcome(), None);
    dialer.recv(&message("/yes")).unwrap();
    assert_eq!(dialer.outcome(), Some(&id("/yes")));
}

#[test]
fn a_dialer_that_is_refused_everywhere_names_what_it_proposed() {
    let refused = dial(&["/a", "/b"], &[HEADER, &message("na"), &message("na")]);
    let error = NegotiateError::Unsupported(vec![id("/a"), id("/b")]);
    assert_eq!(error.to_string(), "the peer does not support /a, /b");
    assert_eq!(refused, Err(error));
    // Bytes behind the refusal, or another call, change nothing.
    let mut dialer = Dialer::new(vec![id("/a")]);
    dialer
        .recv(&[HEADER, &message("na"), &message("/a")].concat())
        .unwrap_err();
    for text in ["na", "/a", "ls"] {
        assert!(dialer.recv(&message(text)).is_err());
        assert_eq!(dialer.outcome(), None);
    }
}

#[test]
fn a_dialer_of_nothing_fails_and_does_not_panic() {
    for answer in ["na", "/yes", "ls"] {
        assert!(dial(&[], &[HEADER, &message(answer)]).is_err());
    }
}

#[test]
fn a_listener_gives_up_after_so_many_proposals() {
    let input = |count| [HEADER, &message("/no").repeat(count)].concat();
    assert!(listen(&input(PROPOSALS_MAX)).0.is_ok());
    let violation = Err(NegotiateError::Violation("too many proposals"));
    assert_eq!(listen(&input(PROPOSALS_MAX + 1)).0, violation);
    assert_eq!(
        listen(&[HEADER, &message("ls").repeat(PROPOSALS_MAX + 1)].concat()).0,
        violation
    );
}

#[test]
fn a_listing_is_answered_and_the_negotiation_goes_on() {
    let (_, out, listener) = listen(&[HEADER, &message("ls"), &message("/yes")].concat());
    assert_eq!(
        out,
        [HEADER, b"\x07\x05/yes\n\n", &message("/yes")].concat()
    );
    assert!(listener.outcome().is_some());
}

#[test]
fn a_listing_that_nobody_asked_for_ends_it() {
    let mut listing = Vec::new();
    Message::Protocols(vec![id("/a"); PROTOCOLS_MAX]).encode(&mut listing);
    assert!(dial(&["/a"], &[HEADER, &listing]).is_err());
    assert!(listen(&[HEADER, &listing].concat()).0.is_err());
}

#[test]
fn an_answer_with_another_protocol_ends_it() {
    let answer = dial(&["/a", "/b"], &[HEADER, &message("/b")]);
    assert!(matches!(answer, Err(NegotiateError::Violation(_))));
}

#[test]
fn both_may_send_their_headers_at_once() {
    let mut dialer = Dialer::new(vec![id("/yes")]);
    let mut listener = Listener::new();
    let opening = sent(|out| dialer.poll_transmit(out));
    // The listener's header is there before it has heard anything.
    dialer.recv(HEADER).unwrap();
    let (used, request) = listener.recv(&opening).unwrap();
    assert_eq!(
        (used, request),
        (opening.len(), Some(Request::Protocol(id("/yes"))))
    );
    listener.accept();
    let answer = sent(|out| listener.poll_transmit(out));
    assert_eq!(answer, [HEADER, &message("/yes")].concat());
    dialer.recv(&answer[HEADER.len()..]).unwrap();
    assert_eq!(dialer.outcome(), Some(&id("/yes")));
}

#[test]
fn data_behind_the_negotiation_are_left_alone() {
    let negotiation = [HEADER, &message("/yes")].concat();
    let input = [&negotiation[..], b"\x13/multistream/1.0.0\nfirst words"].concat();
    assert_eq!(listen(&input).0, Ok(negotiation.len()));
    assert_eq!(
        dial(&["/yes"], &[&input]),
        Ok((negotiation.len(), Some(id("/yes"))))
    );
}

#[test]
fn a_negotiation_cut_at_any_byte_waits_and_then_goes_on() {
    let input = [HEADER, &message("/no"), &message("/yes")].concat();
    for cut in 0..=input.len() {
        let mut listener = Listener::new();
        let mut asked = 0;
        for mut piece in [&input[..cut], &input[cut..]] {
            while !piece.is_empty() {
                let (used, request) = listener.recv(piece).unwrap();
                piece = &piece[used..];
                if request.is_some() {
                    asked += 1;
                    if asked == 2 {
                        listener.accept()
                    } else {
                        listener.refuse()
                    }
                }
            }
        }
        assert_eq!(
            (asked, listener.outcome()),
            (2, Some(&id("/yes"))),
            "cut at {cut}"
        );
    }
}

#[test]
fn silence_and_small_talk_decide_nothing() {
    let mut dialer = Dialer::new(vec![id("/yes")]);
    assert_eq!(dialer.recv(b""), Ok(0));
    assert_eq!(dialer.recv(HEADER), Ok(HEADER.len()));
    assert_eq!(dialer.outcome(), None);
    assert!(dialer.recv(HEADER).is_err(), "a second header is no answer");
}
