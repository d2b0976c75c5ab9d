//! Tests of `pb`.

use proptest::prelude::*;

use super::*;

fn fields(buf: &[u8]) -> Result<Vec<(u32, Value<'_>)>, DecodeError> {
    Fields::of("message", buf, 100)?.collect()
}

#[test]
fn all_wire_types_but_groups_are_stepped_over() {
    let buf = [
        8, 0x96, 1, 0x12, 2, 7, 8, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
    ];
    assert_eq!(
        fields(&buf),
        Ok(vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(&[7, 8])),
            (3, Value::Fixed),
            (4, Value::Fixed)
        ])
    );
    for wire_type in [3, 4, 6, 7] {
        fields(&[8 | wire_type, 0]).unwrap_err();
    }
}

#[test]
fn declared_length_beyond_the_message_is_rejected() {
    assert_eq!(
        fields(&[0x12, 3, 1, 2]),
        Err(DecodeError::Truncated("message"))
    );
    let huge = [
        0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
    ];
    assert_eq!(fields(&huge), Err(DecodeError::Truncated("message")));
}

#[test]
fn field_number_zero_and_the_size_limit_are_checked() {
    fields(&[0, 0]).unwrap_err();
    fields(&[0x80; 11]).unwrap_err();
    assert_eq!(
        fields(&[0; 101]),
        Err(DecodeError::TooLarge {
            what: "message",
            len: 101,
            max: 100
        })
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(buf in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = fields(&buf);
    }
}
