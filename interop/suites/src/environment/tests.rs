//! The environments of both generations, as the suites' scripts write them.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Plan, String> {
    let find = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Plan::read(find)
}

const NEW: [(&str, &str); 8] = [
    ("IS_DIALER", "false"),
    ("REDIS_ADDR", "transport-redis:6379"),
    ("TEST_KEY", "a1b2c3d4"),
    ("TRANSPORT", "tcp"),
    ("LISTENER_IP", "0.0.0.0"),
    ("DEBUG", "true"),
    ("SECURE_CHANNEL", "tls"),
    ("MUXER", "mplex"),
];
const OLD: [(&str, &str); 6] = [
    ("is_dialer", "true"),
    ("ip", "0.0.0.0"),
    ("redis_addr", "redis:6379"),
    ("transport", "ws"),
    ("security", "noise"),
    ("muxer", "yamux"),
];

fn with<'a>(base: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let kept = base.iter().copied().filter(|(known, _)| *known != name);
    kept.chain([(name, value)]).collect()
}

#[test]
fn the_new_suites_variables_are_understood() {
    let wanted = Plan {
        role: Role::Listener,
        stack: Stack {
            transport: Transport::Tcp,
            security: Some(Security::Tls),
            muxer: Some(Muxer::Mplex),
        },
        ip: IpAddr::from([0, 0, 0, 0]),
        redis: "transport-redis:6379".to_owned(),
        key: "a1b2c3d4_listener_multiaddr".to_owned(),
        generation: Generation::Modern,
        suite: Suite::Transport,
        timeout: Duration::from_secs(180),
        debug: true,
    };
    assert_eq!(read(&NEW), Ok(wanted));
}

#[test]
fn the_old_suites_variables_are_understood() {
    let wanted = Plan {
        role: Role::Dialer,
        stack: Stack {
            transport: Transport::Ws,
            security: Some(Security::Noise),
            muxer: Some(Muxer::Yamux),
        },
        ip: IpAddr::from([0, 0, 0, 0]),
        redis: "redis:6379".to_owned(),
        key: "listenerAddr".to_owned(),
        generation: Generation::Legacy,
        suite: Suite::Transport,
        timeout: Duration::from_secs(180),
        debug: false,
    };
    assert_eq!(read(&OLD), Ok(wanted));
    let few = [("transport", "quic-v1"), ("is_dialer", "false")];
    let plan = read(&few).unwrap();
    assert_eq!(
        (plan.redis.as_str(), plan.role),
        ("redis:6379", Role::Listener)
    );
}

#[test]
fn a_transport_with_its_own_security_and_muxer_needs_none() {
    let quic = with(&NEW, "TRANSPORT", "quic-v1");
    let without: Vec<_> = quic
        .into_iter()
        .filter(|(name, _)| *name != "MUXER")
        .collect();
    let stack = read(&without).unwrap().stack;
    assert_eq!((stack.security, stack.muxer), (None, None));
}

#[test]
fn perf_is_known_by_its_sizes_its_redis_or_its_name() {
    let default = Perf {
        upload_bytes: 1 << 30,
        download_bytes: 1 << 30,
        upload_iterations: 10,
        download_iterations: 10,
        latency_iterations: 100,
    };
    for (name, value) in [
        ("REDIS_ADDR", "perf-redis:6379"),
        ("SUITE", "perf"),
        ("UPLOAD_BYTES", "1073741824"),
    ] {
        let plan = read(&with(&NEW, name, value)).unwrap();
        assert_eq!(plan.suite, Suite::Perf(default), "{name}");
    }
    let sized = with(&with(&NEW, "UPLOAD_BYTES", "5"), "LATENCY_ITERATIONS", "7");
    let Suite::Perf(perf) = read(&sized).unwrap().suite else {
        panic!("it is perf");
    };
    assert_eq!((perf.upload_bytes, perf.latency_iterations), (5, 7));
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    for (variables, text) in [
        (Vec::new(), "neither TRANSPORT nor transport"),
        (
            with(&NEW, "TRANSPORT", "webtransport"),
            "TRANSPORT=webtransport is not supported",
        ),
        (with(&NEW, "MUXER", "spdy"), "there are yamux, mplex"),
        (with(&NEW, "MUXER", ""), "MUXER is not set"),
        (with(&NEW, "TEST_KEY", ""), "TEST_KEY is not set"),
        (
            with(&NEW, "IS_DIALER", "maybe"),
            "IS_DIALER=maybe makes no sense",
        ),
        (
            with(&NEW, "SUITE", "hole-punch"),
            "neither transport nor perf",
        ),
        (
            with(&OLD, "security", "plaintext"),
            "security=plaintext is not supported",
        ),
        (with(&OLD, "ip", "here"), "ip=here makes no sense"),
    ] {
        let error = read(&variables).unwrap_err();
        assert!(error.contains(text), "{error}");
    }
}
