//! What the fuzzer feeds bytes to, by name; a function panics when a promise of the code is broken.

pub mod lines;
pub mod session;
pub mod wire;

/// The kind of a target, its name and that of its corpus, and what its inputs are fed to.
pub type Target = (&'static str, &'static str, fn(&[u8]));

/// Every target.
pub fn targets() -> impl Iterator<Item = Target> {
    let all = [
        ("decoder", &wire::TARGETS[..]),
        ("machine", &session::TARGETS),
        ("decoder", &lines::TARGETS),
    ];
    let of =
        |(kind, all): (_, &'static [_])| all.iter().map(move |(name, run)| (kind, *name, *run));
    all.into_iter().flat_map(of)
}
