//! Carrick's own programs as a user has them: built at once, as what one alone would enable of the crates they share is another
//! build of these, and of all that stands on them.

use crate::steps::{Steps, cargo, quiet};
use std::path::PathBuf;

/// Builds them. Gives the folder that they are in.
pub(crate) fn build(steps: &mut Steps) -> Result<PathBuf, String> {
    let mut build = cargo(&["build", "--release"]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    steps.run("build Carrick's programs", quiet(&mut build))?;
    Ok(release())
}

/// Where release builds are.
pub(crate) fn release() -> PathBuf {
    target().join("release")
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

/// Without those that come with fault points, or with a network of their own.
const PACKAGES: [&str; 6] = [
    "carrick-cli",
    "carrick-interop",
    "carrick-sim",
    "counts",
    "interop-carrick",
    "p2pspec",
];
