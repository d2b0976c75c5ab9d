//! What is found in the errors that handlers return.

use super::*;

const INVALID: Option<Behaviour> = Some(Behaviour::Invalid);

fn too_long() -> StreamError {
    StreamError::TooLong { limit: 9 }
}

#[derive(Debug, thiserror::Error)]
#[error("a user's own: {0}")]
struct Wrapped(#[source] StreamError);

/// What the node finds in a handler's outcome.
fn found<E: fmt::Display + Send + 'static>(error: E) -> (String, Option<Behaviour>) {
    let fault = Fault::of(error);
    (fault.to_string(), fault.behaviour())
}

#[test]
fn our_own_errors_imply_what_they_imply_in_whatever_they_are_wrapped() {
    let text = too_long().to_string();
    assert_eq!(found(too_long()), (text.clone(), INVALID));
    assert_eq!(found(io::Error::from(too_long())), (text.clone(), INVALID));
    assert_eq!(found(Boxed::from(too_long())), (text.clone(), INVALID));
    assert_eq!(found(Fault::from(too_long())), (text, INVALID));
    let wrapped: fn() -> Wrapped = || Wrapped(too_long());
    assert_eq!(found(Boxed::from(wrapped())).1, INVALID);
    assert_eq!(found(Fault::from(io::Error::other(wrapped()))).1, INVALID);
    assert_eq!(found(StreamError::EndedEarly).1, INVALID);
    assert_eq!(found(CodecError::decode("x")).1, INVALID);
    assert_eq!(found(Fault::from(CodecError::encode("x"))).1, None);
}

#[test]
fn what_is_nobodys_fault_implies_nothing() {
    assert_eq!(found("a text"), ("a text".to_owned(), None));
    assert_eq!(found("not a number".parse::<u32>().unwrap_err()).1, None);
    assert_eq!(found(StreamError::Finished).1, None);
    let lost = StreamError::ConnectionLost(crate::ConnectionError::TimedOut);
    assert_eq!(found(Fault::from(lost)).1, None);
    assert_eq!(found(io::Error::from(io::ErrorKind::Other)).1, None);
}

#[test]
fn a_reason_goes_along_with_any_error() {
    let spam = || Err::<(), _>("too much").because(Behaviour::Spam);
    assert_eq!(found(spam().unwrap_err()).1, Some(Behaviour::Spam));
    let parsed = "x".parse::<u32>().because(Behaviour::Protocol);
    assert_eq!(found(parsed.unwrap_err()).1, Some(Behaviour::Protocol));
    let boxed = || -> Result<(), Boxed> { Ok(spam()?) };
    assert_eq!(
        found(boxed().unwrap_err()),
        ("too much".to_owned(), Some(Behaviour::Spam))
    );
    let again = boxed().because(Behaviour::Malicious).unwrap_err();
    assert_eq!(found(again).1, Some(Behaviour::Malicious));
}
