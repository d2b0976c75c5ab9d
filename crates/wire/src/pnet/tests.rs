//! Swarm keys: the three encodings, everything that is none, the fingerprints that other stacks print.

use proptest::prelude::*;

use super::*;

const HEX: &str = "6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683";
const BASE64_TEXT: &str = "YYnFzwuH+4AMGp/u2nPGq16ZjbSPueapeFdcdwzu9oM=";

fn key() -> Psk {
    Psk::new(hex(HEX.as_bytes()).unwrap().try_into().unwrap())
}

fn file(encoding: &str, key: impl AsRef<[u8]>) -> Vec<u8> {
    [
        format!("/key/swarm/psk/1.0.0/\n{encoding}\n").as_bytes(),
        key.as_ref(),
    ]
    .concat()
}

#[test]
fn all_three_encodings_give_the_key() {
    for file in [
        file("/base16/", HEX),
        file("/base16/", format!("{HEX}\n")),
        file("/base16/", HEX.to_uppercase()),
        file("/base64/", BASE64_TEXT),
        file("/base64/", format!("{BASE64_TEXT}\r\n")),
        file("/bin/", key().as_bytes()),
        file("/bin/", [key().as_bytes().as_slice(), b"\n"].concat()),
        format!("/key/swarm/psk/1.0.0/\r\n/base16/\r\n{HEX}\r\n").into_bytes(),
    ] {
        let read = Psk::decode(&file);
        assert_eq!(read, Ok(key()), "{}", String::from_utf8_lossy(&file));
    }
}

#[test]
fn a_binary_key_may_hold_line_ends() {
    let key = [b'\n'; KEY_LEN];
    assert_eq!(Psk::decode(&file("/bin/", key)), Ok(Psk::new(key)));
}

#[test]
fn a_key_file_with_a_wrong_header_length_or_digit_is_an_error() {
    let bad = |file: &[u8]| Psk::decode(file).unwrap_err().to_string();
    for header in ["", "/key/swarm/psk/2.0.0/", " /key/swarm/psk/1.0.0/"] {
        let error = bad(format!("{header}\n/base16/\n{HEX}").as_bytes());
        assert!(error.contains("/key/swarm/psk/1.0.0/"), "{error}");
    }
    for encoding in ["", "/base32/", "/BASE16/", "base16"] {
        assert_eq!(
            bad(&file(encoding, HEX)),
            "unsupported encoding of a swarm key"
        );
    }
    let short = &HEX[2..];
    for (encoding, key) in [
        ("/base16/", ""),
        ("/base16/", short),
        ("/base16/", &HEX[1..]),
        ("/base16/", &format!("{HEX}00")),
        ("/base16/", &format!("{HEX} ")),
        ("/base16/", &format!("{HEX}\n\n")),
        ("/base16/", &format!("+{}", &HEX[1..])),
        ("/base16/", &HEX.replace('6', "g")),
        ("/base16/", BASE64_TEXT),
        ("/base64/", HEX),
        ("/base64/", BASE64_TEXT.trim_end_matches('=')),
        ("/base64/", &BASE64_TEXT.replace('M', "N")),
        ("/base64/", &BASE64_TEXT.replace('+', "-")),
        ("/bin/", HEX),
        ("/bin/", &HEX[..31]),
        ("/bin/", &format!("{}\n\n", &HEX[..32])),
    ] {
        let error = bad(&file(encoding, key));
        assert_eq!(
            error, "swarm key is not 32 bytes in its encoding",
            "{encoding} {key}"
        );
    }
    assert_eq!(
        bad(b"/key/swarm/psk/1.0.0/"),
        "swarm key file ends too early"
    );
    assert!(bad(&[b'\n'; FILE_MAX + 1]).contains("above the limit"));
}

#[test]
fn the_fingerprint_is_the_one_that_other_stacks_print() {
    for (key, wanted) in [
        (HEX, "45fc986bbc9388a11d939df26f730f0c"),
        (
            "dffb7e3135399a8b1612b2aaca1c36a3a8ac2cd0cca51ceeb2ced87d308cac6d",
            "b0e010a0aabd8fcfa4b1cdf9280dc513",
        ),
    ] {
        let key = Psk::decode(&file("/base16/", key)).unwrap();
        assert_eq!(Base::Base16Lower.encode(key.fingerprint()), wanted);
    }
}

#[test]
fn debug_shows_the_fingerprint_and_not_the_key() {
    assert_eq!(
        format!("{:?}", key()),
        "Psk(45fc986bbc9388a11d939df26f730f0c)"
    );
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same_key(key: [u8; KEY_LEN]) {
        let key = Psk::new(key);
        prop_assert_eq!(Psk::decode(key.encode().as_bytes()), Ok(key));
    }

    #[test]
    fn a_file_that_is_cut_or_changed_never_panics(cut in 0..=96_usize, flip: u8, at in 0..96_usize) {
        let mut file = key().encode().into_bytes();
        file[at] ^= flip;
        // Whether it is still a key does not matter here.
        let _ = Psk::decode(&file);
        let whole = key().encode();
        prop_assert_eq!(Psk::decode(&whole.as_bytes()[..cut]).is_ok(), cut >= 95);
    }
}
