//! Subjects as texts.

use super::*;

#[test]
fn a_subject_reads_what_it_writes() {
    let peer = PeerId::random();
    for text in [
        &peer.to_string(),
        "192.0.2.1",
        "2001:db8::1",
        "10.0.0.0/8",
        "2001:db8::/32",
    ] {
        let subject: Subject = text.parse().unwrap();
        assert_eq!(subject.to_string(), *text);
    }
    let long = format!("/p2p/{peer}");
    assert_eq!(long.parse(), Ok(Subject::Peer(peer)));
}

#[test]
fn what_names_nobody_is_refused() {
    for text in ["", "/", "10.0.0.0/33", "::/129", "host", "10.0.0.0/", "/24"] {
        assert!(text.parse::<Subject>().is_err(), "{text}");
    }
}

#[test]
fn the_same_addresses_are_one_subject() {
    let one: Subject = "192.0.2.1".parse().unwrap();
    assert_eq!("192.0.2.1/32".parse(), Ok(one));
    assert_eq!("::ffff:192.0.2.1".parse(), Ok(one));
    let network: Network = "192.0.2.77/24".parse().unwrap();
    assert_eq!(network.to_string(), "192.0.2.0/24");
    assert!(network.contains("::ffff:192.0.2.255".parse().unwrap()));
    assert!(!network.contains("192.0.3.0".parse().unwrap()));
    assert!(
        "0.0.0.0/0"
            .parse::<Network>()
            .unwrap()
            .contains([1, 2, 3, 4].into())
    );
    assert!(
        !"::/0"
            .parse::<Network>()
            .unwrap()
            .contains([1, 2, 3, 4].into())
    );
}

/// Base 58 costs the square of its length: this would take an hour.
#[test]
fn a_name_of_a_mebibyte_is_refused_at_once_and_not_repeated() {
    for name in ["1", "Qm", "/p2p/1", "192.0.2.0/"] {
        let refused = format!("{name}{}", "z".repeat(1 << 20)).parse::<Subject>();
        let error = refused.expect_err("it names nobody").to_string();
        assert!(error.len() < 1024, "{}", error.len());
    }
}
