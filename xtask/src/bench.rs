//! `cargo xtask bench`: Carrick beside its rivals and the physical limit, in one run.

use crate::steps::{Steps, cargo, has_program, quiet};
use std::process::Command;

/// Builds the workspace and the Go module in `bench/` and runs the runner.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut build = cargo(&[
        "build",
        "--release",
        "--workspace",
        "--manifest-path",
        "bench/Cargo.toml",
    ]);
    if std::env::var_os("PROTOC").is_none() && !has_program("protoc") {
        eprintln!(
            "xtask: no protoc on this machine, so litep2p cannot be built and is left out \
             (Debian: apt-get install protobuf-compiler)"
        );
        build.args(["--exclude", "bench-litep2p"]);
    }
    // The runner looks for the peers beside itself, so a target folder set from outside must not apply.
    build.env("CARGO_TARGET_DIR", "bench/target");
    let mut steps = Steps::default();
    steps.run("build bench/", quiet(&mut build))?;
    if has_program("go") {
        let mut build = Command::new("go");
        build.current_dir("bench/go");
        build.args(["build", "-o", "../target/release/bench-go", "."]);
        steps.run("build bench/go/", quiet(&mut build))?;
    } else {
        eprintln!(
            "xtask: no Go on this machine, so go-libp2p is left out (Debian: apt-get install golang)"
        );
    }
    steps.run(
        "bench",
        Command::new("bench/target/release/bench-runner").args(args),
    )
}
