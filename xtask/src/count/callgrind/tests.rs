//! What is read out of valgrind's words.

use super::collected;

#[test]
fn the_total_is_found_among_valgrinds_words() {
    let words = "==7== Callgrind, a call-graph generating profiler\n==7== \n==7== Events    : Ir\n==7== Collected : 2096187\n";
    assert_eq!(collected(words), Some(2_096_187));
    assert_eq!(collected("==7== Collected : much\n"), None);
    assert_eq!(collected("sh: valgrind: not found\n"), None);
}
