//! What is a command and what is none.

use super::*;

#[test]
fn lines_are_read() {
    let black_hole = |seconds, way| Command::BlackHole {
        time: Duration::from_secs(seconds),
        way,
    };
    let at = |seconds| Some(Duration::from_secs(seconds));
    let expected = [
        ("at 3s blackhole 10s", (at(3), black_hole(10, None))),
        ("blackhole 1s a", (None, black_hole(1, Some(0)))),
        ("blackhole 1s b", (None, black_hole(1, Some(1)))),
        ("rebind", (None, Command::Rebind { address: false })),
        (
            "at 0s rebind address # now",
            (at(0), Command::Rebind { address: true }),
        ),
        (
            "at 5s mtu 1200",
            (
                at(5),
                Command::Set {
                    name: "mtu".to_owned(),
                    value: "1200".to_owned(),
                },
            ),
        ),
        ("report", (None, Command::Report)),
    ];
    for (line, command) in expected {
        assert_eq!(parse(line), Ok(Some(command)), "{line}");
    }
    assert_eq!(parse("  # nothing"), Ok(None));
}

#[test]
fn what_is_no_command_is_refused_when_it_is_read() {
    for line in [
        "at",
        "at 3s",
        "at 3 rebind",
        "blackhole",
        "blackhole 1s c",
        "loss 5",
        "loss",
        "go",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}
