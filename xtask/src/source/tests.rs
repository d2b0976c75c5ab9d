//! Masking: what counts as code.

use super::*;

#[test]
fn comments_and_literals_are_masked_and_places_stay() {
    let text = "let a = \"x // y\"; // z\nlet b = r#\"q\"w\"#; /* c /* d */ e */ let c = 'x';\nfn f<'a>(s: &'a str) {}\n";
    let masked = mask(text);
    let lines: Vec<&str> = masked.lines().collect();
    assert_eq!(lines[0].trim_end(), format!("let a = {};", "\"".repeat(8)));
    assert_eq!(
        lines[1],
        format!(
            "let b = {};{}let c = {};",
            "\"".repeat(8),
            " ".repeat(19),
            "\"\"\""
        )
    );
    assert_eq!(lines[2], "fn f<'a>(s: &'a str) {}");
    assert_eq!(masked.len(), text.len());
}

#[test]
fn an_escaped_quote_does_not_end_a_literal() {
    assert_eq!(
        mask(r#"f("a\"b", '\'', b'\\', x)"#),
        r#"f("""""", """", b"""", x)"#
    );
}

#[test]
fn items_under_cfg_test_are_no_program_lines() {
    let file = File::new(
        "a.rs",
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { { } }\n}\nfn c() {}\n",
    );
    let left: Vec<usize> = file
        .program_lines()
        .into_iter()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, _)| at)
        .collect();
    assert_eq!(left, [1, 6]);
    assert_eq!(file.test_lines().len(), 4);
}

#[test]
fn a_file_named_by_a_test_module_is_a_test() {
    let mut files = vec![
        File::new(
            "s/src/lib.rs",
            "#[cfg(test)]\npub(crate) mod pair;\nmod live;\n",
        ),
        File::new("s/src/pair.rs", ""),
        File::new("s/src/live.rs", ""),
        File::new("s/src/live/tests.rs", ""),
    ];
    mark_test_modules(&mut files);
    let tests: Vec<&str> = files
        .iter()
        .filter(|f| f.test)
        .map(|f| f.path.as_str())
        .collect();
    assert_eq!(tests, ["s/src/pair.rs", "s/src/live/tests.rs"]);
}

#[test]
fn only_lines_with_code_count() {
    assert_eq!(
        File::new(
            "a.rs",
            "//! map\n\nfn a() {\n    // why\n    b(); // c\n}\n"
        )
        .code_lines(),
        3
    );
}

#[test]
fn a_word_is_found_only_whole() {
    assert!(has("let x = rand::random();", "rand::"));
    assert!(has("ring::rand::x", "rand::"));
    assert!(!has("brand::x", "rand::"));
    assert!(!has("sleepy()", "sleep"));
}
