//! What the fuzzer feeds bytes to, by name; a function panics when a promise of the code is broken.

#![forbid(unsafe_code)]

pub mod asking;
pub mod frames;
pub mod joined;
pub mod lines;
#[path = "../../crates/session/tests/session/model.rs"]
mod model;
#[path = "../../crates/session/tests/session/pair.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod pair;
pub mod secured;
pub mod session;
mod source;
pub mod swarm;
mod target;
pub mod versus;
pub mod versus_streams;
pub mod wire;

/// The kind of a target, its name and that of its corpus, and what its inputs are fed to.
pub type Target = (&'static str, &'static str, fn(&[u8]));

/// Every target.
pub fn targets() -> impl Iterator<Item = Target> {
    let all = [
        ("decoder", &wire::TARGETS[..]),
        ("decoder", &lines::TARGETS),
        ("machine", &session::TARGETS),
        ("machine", &frames::TARGETS),
        ("machine", &joined::TARGETS),
        ("machine", &secured::TARGETS),
        ("machine", &asking::TARGETS),
        ("machine", &swarm::TARGETS),
        #[cfg(fuzzing)]
        (
            "machine",
            &[("tls_records", secured::tls_records as fn(&[u8]))],
        ),
        ("differential", &versus::TARGETS),
        ("differential", &versus_streams::TARGETS),
    ];
    let of =
        |(kind, all): (_, &'static [_])| all.iter().map(move |(name, run)| (kind, *name, *run));
    all.into_iter().flat_map(of)
}
