//! Cycles between the top-level modules of one crate: in a cycle, no module can be read alone.

use super::Finding;
use crate::source::{File, is_word};
use std::collections::{BTreeMap, BTreeSet};

/// No two top-level modules of a crate need each other, not even through others.
pub fn no_module_cycles(files: &[File]) -> Vec<Finding> {
    let roots = files.iter().filter(|file| {
        let stem = file
            .path
            .strip_suffix("/src/lib.rs")
            .or_else(|| file.path.strip_suffix("/src/main.rs"));
        stem.is_some_and(|stem| stem.starts_with("crates/") || stem == "xtask")
    });
    roots.flat_map(|root| cycles_below(root, files)).collect()
}

/// Who needs whom, and a place that shows it.
type Edges<'a> = BTreeMap<(&'a str, String), (&'a File, usize)>;

fn cycles_below(root: &File, files: &[File]) -> Vec<Finding> {
    let folder = root.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut edges = Edges::new();
    let exports = exports(&root.masked);
    for file in files
        .iter()
        .filter(|file| file.is_rust() && file.path != root.path)
    {
        let Some(path) = file
            .path
            .strip_prefix(folder)
            .and_then(|path| path.strip_prefix('/'))
        else {
            continue;
        };
        let depth = path.split('/').count();
        let own = path
            .split('/')
            .next()
            .unwrap_or(path)
            .trim_end_matches(".rs");
        for (line, name) in needs(&file.program_lines(), depth) {
            let module = exports.get(&name).unwrap_or(&name);
            edges.entry((own, module.clone())).or_insert((file, line));
        }
    }
    let modules: BTreeSet<&str> = edges.keys().map(|(from, _)| *from).collect();
    edges.retain(|(from, to), _| modules.contains(to.as_str()) && from != to);
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for module in modules {
        let Some(cycle) = shortest_cycle(module, &edges) else {
            continue;
        };
        // The same cycle begins at each of its modules; it is reported once.
        if !seen.insert(cycle.iter().cloned().collect::<BTreeSet<_>>()) {
            continue;
        }
        let (file, line) = edges[&(module, cycle[1].clone())];
        let places: Vec<String> = cycle
            .windows(2)
            .map(|pair| {
                let (file, line) = edges[&(pair[0].as_str(), pair[1].clone())];
                format!("{} → {} at {}:{line}", pair[0], pair[1], file.path)
            })
            .collect();
        let what = format!(
            "modules in a cycle: {}. Move what both need into a module left of both",
            places.join(", ")
        );
        findings.push(Finding::new(file, line, what));
    }
    findings
}

/// The shortest way from `start` back to itself, both ends included.
fn shortest_cycle(start: &str, edges: &Edges<'_>) -> Option<Vec<String>> {
    let mut paths = vec![vec![start.to_owned()]];
    let mut visited = BTreeSet::new();
    let mut at = 0;
    while let Some(path) = paths.get(at).cloned() {
        at += 1;
        for (from, to) in edges
            .keys()
            .filter(|(from, _)| path.last().is_some_and(|last| last == from))
        {
            debug_assert_ne!(from, to, "an edge leads to another module");
            let longer = [path.clone(), vec![to.clone()]].concat();
            if to == start {
                return Some(longer);
            }
            if visited.insert(to.clone()) {
                paths.push(longer);
            }
        }
    }
    None
}

/// Names at the crate's top that a file needs, with the line. `depth` 1 stands right below the crate's root.
fn needs(lines: &[(usize, String)], depth: usize) -> Vec<(usize, String)> {
    let text: String = lines
        .iter()
        .flat_map(|(_, line)| [line.as_str(), "\n"])
        .collect();
    let to_root = format!("{}super::", "super::".repeat(depth - 1));
    let mut found = Vec::new();
    for prefix in ["crate::", to_root.as_str()] {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].ends_with(|c: char| is_word(c) || c == ':' || c == '$') {
                continue;
            }
            let line = 1 + text[..at].matches('\n').count();
            let rest = &text[at + prefix.len()..];
            found.extend(heads(rest).into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// The first names of a path or of a braced group of paths.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|c| is_word(*c))
            .collect::<String>()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        if depth == 0 && matches!(c, ',' | '}') {
            names.push(word(&group[start..at]));
            start = at + 1;
        }
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

/// What the crate's root re-exports: name → module.
fn exports(root: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for statement in root.split(';') {
        let Some((_, path)) = statement.rsplit_once("use ") else {
            continue;
        };
        let path = path
            .trim()
            .trim_start_matches("self::")
            .trim_start_matches("crate::");
        let Some((module, rest)) = path.split_once("::") else {
            continue;
        };
        for name in rest
            .split(|c: char| !is_word(c))
            .filter(|name| !name.is_empty())
        {
            found.insert(name.to_owned(), module.trim().to_owned());
        }
    }
    found
}
