//! The source tree as text: every file that we wrote, and Rust code with its comments and literals masked.
//!
//! Masking keeps lines and columns, so a rule can search code by plain text and still name the place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file of the tree.
#[derive(Debug)]
pub struct File {
    /// Path from the repository's root, with `/`.
    pub path: String,
    /// Its text as it stands.
    pub text: String,
    /// For Rust: the text with comments blanked and literals masked. Otherwise empty.
    pub masked: String,
    /// Whether it is Rust that only tests compile.
    pub test: bool,
}

impl File {
    /// A file with this path and text.
    pub fn new(path: &str, text: &str) -> Self {
        let masked = if path.ends_with(".rs") {
            mask(text)
        } else {
            String::new()
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let folders = &path[..path.len() - name.len()];
        let test = path.ends_with(".rs")
            && (folders.split('/').any(|folder| folder == "tests") || name == "tests.rs");
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            masked,
            test,
        }
    }

    /// Whether this is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines that hold code, not only a comment or nothing.
    pub fn code_lines(&self) -> usize {
        self.masked
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count()
    }

    /// Masked lines that are part of the program rather than of its tests, numbered from 1.
    pub fn program_lines(&self) -> Vec<(usize, String)> {
        if self.test {
            return Vec::new();
        }
        numbered(&without_tests(&self.masked))
    }

    /// Masked lines that only tests compile, numbered from 1.
    pub fn test_lines(&self) -> Vec<(usize, String)> {
        if self.test {
            return numbered(&self.masked);
        }
        let program = without_tests(&self.masked);
        let pairs = self.masked.lines().zip(program.lines()).enumerate();
        pairs
            .filter(|(_, (all, program))| all.trim() != program.trim())
            .map(|(at, (all, _))| (at + 1, all.to_owned()))
            .collect()
    }
}

/// The repository's root: the folder that holds this crate's folder.
pub fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_owned()
}

/// Every text file under `root`, in path order, without what is generated or fetched.
pub fn tree(root: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    mark_test_modules(&mut files);
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if !GENERATED.iter().any(|generated| name == *generated) {
                walk(root, &entry.path(), files)?;
            }
            continue;
        }
        // Binary files and files that vanish while we walk are nobody's prose.
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let path = entry.path();
        let relative = path.strip_prefix(root).unwrap_or(&path);
        files.push(File::new(
            &relative.to_string_lossy().replace('\\', "/"),
            &text,
        ));
    }
    Ok(())
}

/// Folders that hold nothing we wrote.
const GENERATED: [&str; 8] = [
    ".git",
    "target",
    ".build",
    "node_modules",
    "corpus",
    "artifacts",
    "coverage",
    "__pycache__",
];

/// `#[cfg(test)] mod pair;` makes `pair.rs`, and all that stands below it, a test file.
fn mark_test_modules(files: &mut [File]) {
    let mut stems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let masked: Vec<&str> = file.masked.split_whitespace().collect();
        for words in masked.windows(4) {
            let at = words.iter().position(|word| *word == "mod");
            let (Some(at), true) = (at, is_test_cfg(words[0])) else {
                continue;
            };
            let Some(name) = words.get(at + 1).and_then(|name| name.strip_suffix(';')) else {
                continue;
            };
            stems.push(format!("{}/{name}", submodule_folder(&file.path)));
        }
    }
    for file in files.iter_mut().filter(|file| file.is_rust()) {
        let below = |stem: &String| {
            file.path
                .strip_prefix(stem.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        file.test |= stems.iter().any(below);
    }
}

/// Where the files of `mod` lines in `path` stand.
fn submodule_folder(path: &str) -> &str {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let root = ["/lib", "/main", "/mod"]
        .iter()
        .find_map(|name| stem.strip_suffix(name));
    root.unwrap_or(stem)
}

fn is_test_cfg(text: &str) -> bool {
    TEST_CFGS.iter().any(|cfg| text.starts_with(cfg))
}

const TEST_CFGS: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test"];

fn numbered(text: &str) -> Vec<(usize, String)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.to_owned()))
        .collect()
}

/// Blanks every item that stands under `#[cfg(test)]`; lines and columns stay.
fn without_tests(masked: &str) -> String {
    let mut chars: Vec<char> = masked.chars().collect();
    let cfg = |chars: &[char], at: usize| {
        TEST_CFGS
            .iter()
            .any(|cfg| cfg.chars().eq(chars[at..].iter().copied().take(cfg.len())))
    };
    let mut at = 0;
    while at < chars.len() {
        if chars[at] != '#' || !cfg(&chars, at) {
            at += 1;
            continue;
        }
        let end = item_end(&chars, at);
        for c in chars[at..end].iter_mut().filter(|c| **c != '\n') {
            *c = ' ';
        }
        at = end;
    }
    chars.into_iter().collect()
}

/// One past the item that begins at `at`: past its `;` or its closing brace.
fn item_end(chars: &[char], at: usize) -> usize {
    let (mut braces, mut others) = (0usize, 0usize);
    for (offset, c) in chars[at..].iter().enumerate() {
        match c {
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            '{' => braces += 1,
            '}' if braces <= 1 => return at + offset + 1,
            '}' => braces -= 1,
            ';' if braces == 0 && others == 0 => return at + offset + 1,
            _ => {}
        }
    }
    chars.len()
}

/// Comments become blanks and every character of a literal becomes `"`; lines and columns stay.
pub fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, filler) = token(&chars, at);
        for c in &chars[at..end] {
            out.push(match filler {
                Some(filler) if *c != '\n' => filler,
                _ => *c,
            });
        }
        at = end;
    }
    out
}

/// The end of the token at `at`, and what to write in its place (`None`: itself).
fn token(chars: &[char], at: usize) -> (usize, Option<char>) {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let in_word = at > 0 && is_word(chars[at - 1]);
    match chars[at] {
        '/' if next(1) == '/' => (find(chars, at, |c| c == '\n'), Some(' ')),
        '/' if next(1) == '*' => (block_comment_end(chars, at), Some(' ')),
        '"' => (string_end(chars, at + 1), Some('"')),
        'r' if !in_word || matches!(chars[at - 1], 'b' | 'c') => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if next(1 + hashes) == '"' {
                (raw_end(chars, at + 2 + hashes, hashes), Some('"'))
            } else {
                (at + 1, None)
            }
        }
        '\'' if next(1) == '\\' => (
            (find(chars, at + 3, |c| c == '\'') + 1).min(chars.len()),
            Some('"'),
        ),
        '\'' if next(2) == '\'' => (at + 3, Some('"')),
        _ => (at + 1, None),
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len())
        .find(|at| wanted(chars[*at]))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_end(chars: &[char], from: usize, hashes: usize) -> usize {
    let closes = |at: usize| {
        chars[at] == '"'
            && chars[at + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
    };
    (from..chars.len())
        .find(|at| closes(*at))
        .map_or(chars.len(), |at| at + 1 + hashes)
}

/// Whether `c` can stand in an identifier.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether `needle` stands in `line`, not as a part of a longer word.
pub fn has(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let open = |c: Option<char>, edge: Option<char>| {
            !edge.is_some_and(is_word) || !c.is_some_and(is_word)
        };
        open(line[..at].chars().next_back(), needle.chars().next())
            && open(
                line[at + needle.len()..].chars().next(),
                needle.chars().next_back(),
            )
    })
}

#[cfg(test)]
mod tests;
