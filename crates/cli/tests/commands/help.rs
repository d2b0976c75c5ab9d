//! What the command says of itself.

use crate::process::carrick;

#[test]
fn each_help_shows_an_example() {
    for command in [
        "",
        "demo",
        "listen",
        "daemon",
        "peers",
        "connect",
        "disconnect",
        "ban",
        "limits",
        "rpc",
        "call",
        "ping",
        "packets",
        "perf",
        "id",
        "open",
        "send",
        "receive",
        "forward",
        "expose",
        "p2pd",
        "key",
        "key generate",
        "key show",
        "key swarm",
    ] {
        let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let help = carrick(&args).lines().join("\n");
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(
            help.contains("\n  carrick ") || help.contains(" | carrick "),
            "{command}: {help}"
        );
    }
}

#[test]
fn without_arguments_the_help_is_shown_and_the_exit_code_is_not_0() {
    let shown = carrick(&[]);
    assert_ne!(shown.code, Some(0));
    assert!(shown.stderr.contains("carrick demo"), "{}", shown.stderr);
}
