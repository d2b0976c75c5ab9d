//! A file as BLAKE3's tree above groups: values of groups and of what stands above them, and the walk from a file's hash
//! down to the groups that are wanted. Pure. Always: what a walk says is expected has been proven to be a part of the file.

use std::ops::Range;

use blake3::{
    Hasher,
    hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};
use carrick::transfer::{GROUP_LEN, Hash};

/// How many groups a file has.
pub(super) fn groups(size: u64) -> u64 {
    size.div_ceil(GROUP_LEN as u64)
}

/// The length of this group of a file.
pub(super) fn group_len(size: u64, group: u64) -> usize {
    let begin = group.saturating_mul(GROUP_LEN as u64);
    size.saturating_sub(begin).min(GROUP_LEN as u64) as usize
}

/// The value of one group of a file: of the only one, the file's hash.
pub(super) fn group_value(size: u64, group: u64, bytes: &[u8]) -> Hash {
    if groups(size) <= 1 {
        return blake3::hash(bytes).into();
    }
    let mut hasher = Hasher::new();
    hasher.set_input_offset(group * GROUP_LEN as u64);
    hasher.update(bytes).finalize_non_root()
}

/// The hash of the file whose groups have these values.
pub(super) fn file_hash(values: &[Hash]) -> Hash {
    match values {
        [] => blake3::hash(b"").into(),
        [only] => *only,
        _ => {
            let (left, right) = halves(values);
            merge_subtrees_root(&left, &right, Mode::Hash).into()
        }
    }
}

/// The values of the two halves of a part with at least two groups.
pub(super) fn halves(values: &[Hash]) -> (Hash, Hash) {
    let (left, right) = values.split_at(left_groups(values.len() as u64) as usize);
    (part_value(left), part_value(right))
}

fn part_value(values: &[Hash]) -> Hash {
    match values {
        [only] => *only,
        _ => {
            let (left, right) = halves(values);
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    }
}

/// BLAKE3's rule: the left half is complete, and as large as it can be without being all.
fn left_groups(groups: u64) -> u64 {
    1 << (groups - 1).ilog2()
}

/// Neighbouring groups under one node of a file's tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its first group, counted in the file.
    pub(super) first: u64,
    pub(super) groups: u64,
    /// What it must hash to.
    pub(super) value: Hash,
}

/// The way from a file's hash to the wanted groups, left to right, with each node above them before them.
#[derive(Debug)]
pub(super) struct Walk {
    groups: u64,
    wanted: Range<u64>,
    /// What is still to be visited, the next one last: no more than the tree is high.
    parts: Vec<Part>,
}

impl Walk {
    pub(super) fn new(size: u64, hash: Hash, wanted: Range<u64>) -> Self {
        let groups = groups(size);
        let whole = Part {
            first: 0,
            groups,
            value: hash,
        };
        Self {
            groups,
            wanted,
            parts: if groups == 0 { Vec::new() } else { vec![whole] },
        }
    }

    /// The next part with wanted groups in it: one group, or more, and then it must be [`split`](Self::split).
    pub(super) fn next_part(&mut self) -> Option<Part> {
        while let Some(part) = self.parts.pop() {
            if part.first < self.wanted.end && self.wanted.start < part.first + part.groups {
                return Some(part);
            }
        }
        None
    }

    /// Goes down into a part of several groups; false when these halves do not make up the part.
    pub(super) fn split(&mut self, part: Part, left: Hash, right: Hash) -> bool {
        let value: Hash = if part.groups == self.groups {
            merge_subtrees_root(&left, &right, Mode::Hash).into()
        } else {
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        };
        let middle = left_groups(part.groups);
        self.parts.push(Part {
            first: part.first + middle,
            groups: part.groups - middle,
            value: right,
        });
        self.parts.push(Part {
            first: part.first,
            groups: middle,
            value: left,
        });
        value == part.value
    }
}

/// All groups of a manifest's files, numbered one after the other.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// The number of each file's first group, and at the end how many there are.
    firsts: Vec<u64>,
}

impl Numbering {
    pub(super) fn new(sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut next = 0_u64;
        let mut firsts = vec![0];
        for size in sizes {
            next = next.saturating_add(groups(size));
            firsts.push(next);
        }
        Self { firsts }
    }

    pub(super) fn total(&self) -> u64 {
        self.firsts.last().copied().unwrap_or(0)
    }

    pub(super) fn first(&self, file: usize) -> u64 {
        self.firsts[file]
    }

    /// The files with groups in this range, and which groups of theirs.
    pub(super) fn files(&self, range: Range<u64>) -> impl Iterator<Item = (usize, Range<u64>)> {
        let file = self.firsts.partition_point(|&first| first <= range.start);
        let spans = self.firsts.windows(2).enumerate();
        spans
            .skip(file.saturating_sub(1))
            .take_while({
                let end = range.end;
                move |(_, span)| span[0] < end
            })
            .map(move |(file, span)| {
                let begin = range.start.max(span[0]) - span[0];
                (file, begin..range.end.min(span[1]).saturating_sub(span[0]))
            })
            .filter(|(_, groups)| !groups.is_empty())
    }
}

#[cfg(test)]
mod tests;
