//! What counts as the same proof.

use std::collections::BTreeMap;

use super::*;

/// Remembers everything, and how often it was told.
#[derive(Debug, Default)]
pub(crate) struct Memory(Known);

#[expect(clippy::disallowed_types, reason = "a double for what the shell locks")]
type Known = std::sync::Mutex<BTreeMap<[u8; 32], usize>>;

impl Memory {
    /// How many proofs it was told, repeated ones included.
    pub(crate) fn learnt(&self) -> usize {
        self.0.lock().unwrap().values().sum()
    }
}

impl Proofs for Memory {
    fn is_known(&self, digest: &[u8; 32]) -> bool {
        self.0.lock().unwrap().contains_key(digest)
    }

    fn learn(&self, digest: [u8; 32]) {
        *self.0.lock().unwrap().entry(digest).or_default() += 1;
    }
}

#[test]
fn a_proof_is_checked_until_it_was_found_valid_and_its_parts_are_not_mixed_up() {
    let memory = Memory::default();
    let verdict = |parts: &[&[u8]], verdict: Result<(), u8>| check(&memory, parts, || verdict);
    assert_eq!(verdict(&[b"ab", b"c"], Err(1)), Err(1));
    assert_eq!(
        verdict(&[b"ab", b"c"], Err(2)),
        Err(2),
        "it is checked again"
    );
    assert_eq!(verdict(&[b"ab", b"c"], Ok(())), Ok(()));
    assert_eq!(verdict(&[b"ab", b"c"], Err(3)), Ok(()), "it is known");
    for other in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"ab", b"c", b""]] {
        assert_eq!(verdict(other, Err(4)), Err(4));
    }
    assert_eq!(memory.learnt(), 1);
    assert_eq!(check(&NoProofs, &[b"ab"], || Ok::<_, u8>(())), Ok(()));
    assert_eq!(check(&NoProofs, &[b"ab"], || Err(5)), Err(5));
}
