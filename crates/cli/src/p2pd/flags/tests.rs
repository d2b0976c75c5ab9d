//! Flags in go's forms, those that do nothing, and those that are refused.

use super::*;

fn flags(args: &[&str]) -> Result<Flags, String> {
    let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    parse(&args).map_err(|failure| failure.to_string())
}

#[test]
fn without_flags_it_is_gos_daemon_but_for_plaintext() {
    let flags = flags(&[]).unwrap();
    assert_eq!(flags.listen.to_string(), "/unix/tmp/p2pd.sock");
    assert_eq!(flags.securities, [Security::Noise, Security::Tls]);
    assert_eq!(flags.muxer, Muxer::Yamux);
    assert!(flags.echo && flags.quic && flags.idle.is_empty());
    assert!(!flags.quiet && !flags.bootstrap && !flags.no_listen && !flags.help);
    assert_eq!((flags.conn_manager, flags.idle_timeout), (None, None));
}

#[test]
fn values_stand_behind_a_blank_or_an_equals_sign_and_dashes_are_one_or_two() {
    let peer = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
    let given = [
        "-listen=/ip4/127.0.0.1/tcp/5005",
        "--id",
        "node.key",
        "-q",
        "--echo=0",
        "-connManager=true",
        "-connLo=1",
        "-connHi",
        "2",
        "-connGrace=1m0.5s",
        "-hostAddrs=/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1",
        "-bootstrapPeers",
        peer,
        "-b",
        "-muxer=mplex",
        "-noise=f",
        "-idleTimeout=30s",
        "-connLo=3",
    ];
    let flags = flags(&given).unwrap();
    assert_eq!(flags.listen.to_string(), "/ip4/127.0.0.1/tcp/5005");
    assert_eq!(flags.id.as_deref(), Some("node.key"));
    assert!(flags.quiet && !flags.echo && flags.bootstrap);
    // The last one of a name counts.
    let grace = Duration::from_millis(60_500);
    assert_eq!(flags.conn_manager, Some((3, 2, grace)));
    assert_eq!(flags.host_addrs.len(), 2);
    assert_eq!(flags.bootstrap_peers[0].to_string(), peer);
    assert_eq!(
        (flags.muxer, &flags.securities[..]),
        (Muxer::Mplex, &[Security::Tls][..])
    );
    assert_eq!(flags.idle_timeout, Some(Duration::from_secs(30)));
}

#[test]
fn what_does_nothing_here_is_taken_and_named_once() {
    let given = [
        "-dhtServer=1",
        "-pubsub",
        "-pubsubRouter=floodsub",
        "-relay=1",
        "-relay=1",
        "-autonat=false",
    ];
    assert_eq!(
        flags(&given).unwrap().idle,
        ["dhtServer", "pubsub", "relay"]
    );
    // As hivemind starts it.
    let hivemind = [
        "-forceReachabilityPublic=0",
        "-relayService=0",
        "-persistentConnMaxMsgSize=4194304",
        "-quic=1",
        "-tls=1",
    ];
    assert_eq!(flags(&hivemind).unwrap().idle, [""; 0]);
}

#[test]
fn what_is_unsafe_or_makes_no_sense_is_refused() {
    for (given, why) in [
        (&["-plaintext"][..], "-plaintext is refused"),
        (&["-b"], "-bootstrapPeers"),
        (
            &["-f", "/nowhere/config.json"],
            "cannot read the configuration",
        ),
        (&["-noise=0", "-tls=0"], "at least one"),
        (
            &["-forceReachabilityPublic", "-forceReachabilityPrivate"],
            "not both",
        ),
        (&["-listen", "/ip4/127.0.0.1"], "-listen"),
        (&["-listen"], "-listen needs a value"),
        (&["-connLo=-1"], "-connLo cannot be"),
        (&["-connGrace=soon"], "-connGrace cannot be"),
        (&["-echo=maybe"], "-echo cannot be"),
        (&["-muxer=spdy"], "yamux or mplex"),
        (&["-hostAddrs=nowhere"], "-hostAddrs: nowhere"),
        (&["-nonsense"], "no flag -nonsense"),
        (&["nonsense"], "nonsense is no flag"),
        (&["-"], "- is no flag"),
    ] {
        let told = flags(given).unwrap_err();
        assert!(told.contains(why), "{given:?}: {told}");
    }
    assert!(flags(&["-plaintext=false"]).is_ok());
}

#[test]
fn times_are_gos() {
    for (text, seconds) in [
        ("0", 0.0),
        ("120s", 120.0),
        ("1h2m3s", 3723.0),
        ("1.5m", 90.0),
        ("250ms", 0.25),
    ] {
        assert_eq!(time(text), Some(Duration::from_secs_f64(seconds)), "{text}");
    }
    for text in [
        "",
        "s",
        "10",
        "1d",
        "1s2",
        "-1s",
        "1..5s",
        "99999999999999999999h",
    ] {
        assert_eq!(time(text), None, "{text}");
    }
}

#[test]
fn the_usage_names_every_flag() {
    let usage = usage();
    for flag in FLAGS.iter().filter(|flag| flag.0 != "secio") {
        assert!(usage.contains(&format!("-{}", flag.0)), "{}", flag.0);
    }
}

#[test]
fn a_configuration_says_what_flags_say_and_flags_have_the_last_word() {
    let path = std::env::temp_dir().join(format!("carrick-p2pd-{}.json", std::process::id()));
    let config = r#"{
        "ListenAddr": "/ip4/127.0.0.1/tcp/1", "Quiet": true, "ID": "a.key", "DHT": {"Mode": "client"},
        "ConnectionManager": {"Enabled": true, "LowWaterMark": 3, "HighWaterMark": 4, "GracePeriod": 120},
        "HostAddresses": ["/ip4/127.0.0.1/tcp/2", "/ip4/127.0.0.1/tcp/3"], "Echo": false, "Unknown": []
    }"#;
    std::fs::write(&path, config).unwrap();
    let file = format!("-f={}", path.display());
    let flags = flags(&[&file, "-id", "b.key", "-q=0"]).unwrap();
    assert_eq!(flags.listen.to_string(), "/ip4/127.0.0.1/tcp/1");
    assert_eq!((flags.id.as_deref(), flags.quiet), (Some("b.key"), false));
    assert_eq!(flags.conn_manager, Some((3, 4, Duration::from_secs(120))));
    assert_eq!((flags.host_addrs.len(), flags.echo), (2, false));
    assert_eq!(flags.idle, ["dhtClient"]);
    std::fs::remove_file(path).unwrap();
    for bad in [
        "",
        "[]",
        "{\"Quiet\": {}}",
        "{\"DHT\": {\"Mode\": \"half\"}}",
    ] {
        assert!(config::flags(bad).is_err(), "{bad}");
    }
    let nanoseconds = config::flags(r#"{"ConnectionManager": {"GracePeriod": 120000000000}}"#);
    assert_eq!(
        nanoseconds.unwrap(),
        [("connGrace", "120000000000ns".to_owned())]
    );
}
