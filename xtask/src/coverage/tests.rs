//! Of what is read: cargo's messages and llvm-cov's report.

use super::*;

#[test]
fn test_programs_are_taken_from_cargos_messages() {
    let line = |test: bool| {
        format!(
            r#"{{"reason":"compiler-artifact","manifest_path":"/r/crates/wire/Cargo.toml","profile":{{"test":{test}}},"executable":"/t/wire-0"}}"#
        )
    };
    let test = built(&line(true)).expect("a test");
    assert_eq!(
        (test.program, test.home),
        ("/t/wire-0".into(), "/r/crates/wire".into())
    );
    assert!(built(&line(false)).is_none() && built("building").is_none());
}

#[test]
fn regions_are_those_of_the_crates_without_their_tests() {
    let file =
        |name: &str| json!({"filename": name, "summary": {"regions": {"count": 8, "covered": 6}}});
    let names = [
        "/r/crates/wire/src/key.rs",
        "/r/crates/wire/src/key/tests.rs",
        "/r/crates/swarm/src/key.rs",
    ];
    let report = json!({"data": [{"files": names.map(file)}]});
    let files = files(&report, &["wire"]);
    assert_eq!(files.keys().collect::<Vec<_>>(), [names[0]]);
    assert_eq!(files[names[0]].percent(), 75.0);
}
