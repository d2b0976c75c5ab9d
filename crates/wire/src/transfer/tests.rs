//! Frames of every kind in any chunking, paths that lead elsewhere, manifests out of order, tickets with errors.

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text).unwrap()
}

fn file(at: &str, size: u64) -> Entry {
    Entry {
        path: path(at),
        kind: EntryKind::File {
            size,
            hash: [7; 32],
            executable: false,
        },
    }
}

fn directory(at: &str) -> Entry {
    Entry {
        path: path(at),
        kind: EntryKind::Directory,
    }
}

fn frames() -> Vec<Frame> {
    vec![
        Frame::Fetch {
            root: [1; 32],
            secret: [2; 16],
        },
        Frame::Offer {
            root: [1; 32],
            entries: 3,
            bytes: i64::MAX as u64,
            name: path("photos"),
        },
        Frame::Accept,
        Frame::Entry(directory("photos")),
        Frame::Entry(file("photos/ä.jpg", 1 << 40)),
        Frame::Entry(Entry {
            path: path("photos/run"),
            kind: EntryKind::File {
                size: 0,
                hash: [9; 32],
                executable: true,
            },
        }),
        Frame::End,
        Frame::Want {
            first: 0,
            count: 1 << 40,
        },
        Frame::Node {
            left: [3; 32],
            right: [4; 32],
        },
        Frame::Group { len: 1 },
        Frame::Group { len: GROUP_LEN },
        Frame::Working,
        Frame::Done,
        Frame::Failed {
            reason: Reason::Storage,
            text: "the disk is full".to_owned(),
        },
    ]
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    out
}

#[test]
fn every_frame_decodes_from_its_bytes_and_from_no_fewer() {
    for frame in frames() {
        let bytes = encoded(&frame);
        for cut in 0..bytes.len() {
            assert_eq!(Frame::decode(&bytes[..cut]), Ok(None), "{frame:?}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Frame::decode(&longer), Ok(Some((frame, bytes.len()))));
    }
}

#[test]
fn the_bytes_are_those_of_the_document() {
    for (frame, bytes) in [
        (Frame::Accept, &[1, 3][..]),
        (
            Frame::Want {
                first: 0,
                count: 300,
            },
            &[4, 6, 0, 0xac, 2],
        ),
        (Frame::Group { len: 300 }, &[0xad, 2, 8]),
        (Frame::Entry(directory("a")), &[3, 4, 2, b'a']),
        (
            Frame::Failed {
                reason: Reason::Busy,
                text: "x".to_owned(),
            },
            &[3, 11, 3, b'x'],
        ),
    ] {
        assert_eq!(encoded(&frame), bytes);
    }
}

#[test]
fn a_length_that_lies_is_refused_before_anything_is_waited_for() {
    for len in [GROUP_LEN as u64 + 2, i64::MAX as u64] {
        let mut bytes = Vec::new();
        varint::encode(len, &mut bytes);
        assert!(matches!(
            Frame::decode(&bytes),
            Err(DecodeError::TooLarge { .. })
        ));
    }
    let mut bytes = Vec::new();
    varint::encode(FRAME_MAX as u64 + 1, &mut bytes);
    bytes.push(kind::ENTRY);
    assert!(matches!(
        Frame::decode(&bytes),
        Err(DecodeError::TooLarge { .. })
    ));
    for empty in [&[0, 0][..], &[1, kind::GROUP], &[0, kind::GROUP]] {
        assert!(Frame::decode(empty).is_err(), "{empty:?}");
    }
}

#[test]
fn what_no_kind_has_is_refused() {
    for bad in [
        &[1, 0][..],
        &[1, 12],
        &[2, kind::DONE, 0],
        &[2, kind::WANT, 0],
        &[3, kind::FAILED, 0, b'x'],
        &[3, kind::FAILED, 10, b'x'],
        &[3, kind::FAILED, 1, 0xff],
        &[3, kind::ENTRY, 3, b'a'],
        &[3, kind::ENTRY, 2, b'/'],
    ] {
        assert!(Frame::decode(bad).is_err(), "{bad:?}");
    }
    let longest = Frame::Failed {
        reason: Reason::Busy,
        text: "ä".repeat(TEXT_MAX),
    };
    let (decoded, _) = Frame::decode(&encoded(&longest)).unwrap().unwrap();
    assert!(matches!(decoded, Frame::Failed { text, .. } if text.len() == TEXT_MAX));
}

#[test]
fn paths_stay_where_they_are_put() {
    let deepest = vec!["d"; EntryPath::DEPTH_MAX].join("/");
    let longest = "n".repeat(EntryPath::NAME_MAX);
    for good in [
        "a",
        "a/b",
        "..a",
        "a..",
        "...",
        "ab:c/d",
        ".carrick-part",
        "a.carrick-part-",
        " ",
        "ä/日本",
        &deepest,
        &longest,
    ] {
        assert_eq!(path(good).as_str(), good);
    }
    let too_deep = format!("{deepest}/d");
    let too_long = format!("{longest}n");
    let all_too_long = vec![longest.as_str(); 17].join("/");
    for bad in [
        "",
        "/",
        "/etc/passwd",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/..",
        "./a",
        "a\0b",
        "a\nb",
        "\u{1b}[2J",
        "a\\b",
        "..\\..\\x",
        "C:",
        "c:x",
        "a/C:\\x",
        "\\\\host\\share",
        "\u{85}",
        ".carrick-part-",
        ".carrick-part-0123456789abcdef",
        "a/.Carrick-PART-0/record",
        &too_deep,
        &too_long,
        &all_too_long,
    ] {
        assert!(EntryPath::parse(bad).is_err(), "{bad:?}");
    }
    assert!(EntryPath::name("a").is_ok() && EntryPath::name("a/b").is_err());
}

#[test]
fn the_longest_entry_fits_into_a_frame() {
    let mut text = vec!["n".repeat(EntryPath::NAME_MAX); 16].join("/");
    text.truncate(EntryPath::LEN_MAX);
    let bytes = encoded(&Frame::Entry(file(&text, i64::MAX as u64)));
    assert!(Frame::decode(&bytes).unwrap().is_some());
}

#[test]
fn a_manifest_is_in_order_and_each_entry_has_its_directory() {
    let good = [
        directory("a"),
        directory("a/b"),
        file("a/b/c", 1),
        directory("a/c"),
        directory("a/c/d"),
        file("a/c/d/e", 1),
        file("a/d", 1),
        file("a-b", 1),
        file("b", 1),
    ];
    for at in 0..good.len() {
        let last = at.checked_sub(1).map(|last| &good[last]);
        assert_eq!(good[at].check_after(last), Ok(()), "{:?}", good[at]);
    }
    for (last, next) in [
        (None, file("a/b", 1)),
        (Some(file("a", 1)), file("a", 1)),
        (Some(file("b", 1)), file("a", 1)),
        (Some(file("a", 1)), file("a/b", 1)),
        (Some(directory("a")), file("a/b/c", 1)),
        (Some(directory("a")), file("ab/c", 1)),
        (Some(file("a/b/c", 1)), file("a/bb/c", 1)),
        (Some(file("a-b", 1)), file("a/b", 1)),
    ] {
        assert!(next.check_after(last.as_ref()).is_err(), "{next:?}");
    }
}

fn ticket(addresses: usize) -> Ticket {
    let keypair = crate::Keypair::ed25519_from_bytes([7; 32]).unwrap();
    let peer = keypair.public().to_peer_id();
    let address = |n| {
        format!("/ip4/192.0.2.1/tcp/{n}/p2p/{peer}")
            .parse()
            .unwrap()
    };
    Ticket::new(peer, [5; 32], [6; 16], (1..=addresses).map(address))
}

#[test]
fn a_ticket_is_read_in_either_case_and_with_space_around_it() {
    let ticket = ticket(2);
    assert_eq!(ticket.addresses[0].to_string(), "/ip4/192.0.2.1/tcp/1");
    let text = ticket.to_string();
    assert!(text.starts_with("carrick1") && text.chars().all(|c| c.is_ascii_alphanumeric()));
    assert_eq!(text.parse(), Ok(ticket.clone()));
    assert_eq!(
        format!(" {}\n", text.to_ascii_uppercase()).parse(),
        Ok(ticket.clone())
    );
    assert!(
        !format!("{ticket:?}").contains("6, 6"),
        "secrets stay out of logs"
    );
}

#[test]
fn a_ticket_has_so_many_addresses_and_no_more() {
    let most = ticket(Ticket::ADDRESSES_MAX + 1);
    assert_eq!(most.addresses.len(), Ticket::ADDRESSES_MAX);
    assert_eq!(most.to_string().parse(), Ok(most.clone()));
    let mut more = most.clone();
    more.addresses.push(most.addresses[0].clone());
    assert!(more.to_string().parse::<Ticket>().is_err());
}

#[test]
fn a_ticket_with_a_wrong_or_a_missing_character_is_refused() {
    let text = ticket(2).to_string();
    for at in 0..text.len() {
        let other = if text.as_bytes()[at] == b'a' {
            "b"
        } else {
            "a"
        };
        let wrong = [&text[..at], other, &text[at + 1..]].concat();
        assert!(wrong.parse::<Ticket>().is_err(), "{wrong}");
        assert!(text[..at].parse::<Ticket>().is_err(), "{at}");
        let missing = [&text[..at], &text[at + 1..]].concat();
        assert!(missing.parse::<Ticket>().is_err(), "{missing}");
    }
    assert!("carrick1".repeat(1000).parse::<Ticket>().is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_decodes_has_one_form(bytes: Vec<u8>, text: String) {
        if let Ok(Some((frame, used))) = Frame::decode(&bytes) {
            prop_assert_eq!(encoded(&frame), &bytes[..used]);
        }
        if let Ok(path) = EntryPath::parse(&text) {
            prop_assert!(path.names().all(|name| !matches!(name, "" | "." | "..")));
        }
        let _ = text.parse::<Ticket>();
        let _ = format!("carrick1{text}").parse::<Ticket>();
    }

    #[test]
    fn bodies_of_every_kind_do_not_panic(kind in 0_u8..14, body: Vec<u8>) {
        let mut bytes = Vec::new();
        varint::encode_prefixed(&[&[kind], &body[..]].concat(), &mut bytes);
        if let Ok(Some((frame, used))) = Frame::decode(&bytes) {
            prop_assert_eq!(encoded(&frame), &bytes[..used]);
        }
    }
}
