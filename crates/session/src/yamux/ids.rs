//! Which stream has which id: a tree over the id's digits, as high as its ids have lain apart.
//!
//! A stream is found at the same cost among one and among thousands. The peer chooses its ids as it likes, so nothing is
//! hashed: an id takes at most `DIGITS` nodes of 64 bytes, and a look at as many.

use slab::Slab;

use crate::stream::slim;

/// What each id stands for. Ids are found again by the digits of their number, the highest first.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    nodes: Slab<Node>,
    root: usize,
    /// How many digits the tree tells apart; 0: it is empty.
    height: usize,
    /// The number that the other digits are, which all ids have in common.
    rest: u64,
}

/// For each digit 0 or one more than what stands there: an index of another node, on the lowest level a value.
type Node = [u32; 1 << DIGIT_BITS];

const DIGIT_BITS: usize = 4;
const DIGITS: usize = u32::BITS as usize / DIGIT_BITS;

impl Ids {
    pub(crate) fn get(&self, id: u32) -> Option<usize> {
        if !self.covers(id) {
            return None;
        }
        let mut at = self.root;
        for level in (0..self.height).rev() {
            at = (self.nodes[at][digit(id, level)] as usize).checked_sub(1)?;
        }
        Some(at)
    }

    /// Sets what `id` stands for.
    pub(crate) fn insert(&mut self, id: u32, value: usize) {
        if self.height == 0 {
            self.root = self.nodes.insert(Node::default());
            self.height = 1;
            self.rest = above(id, 1);
        }
        while !self.covers(id) {
            let mut root = Node::default();
            root[self.rest as usize % root.len()] = entry(self.root);
            self.root = self.nodes.insert(root);
            self.height += 1;
            self.rest >>= DIGIT_BITS;
        }
        let mut at = self.root;
        for level in (1..self.height).rev() {
            at = match self.nodes[at][digit(id, level)] {
                0 => {
                    let next = self.nodes.insert(Node::default());
                    self.nodes[at][digit(id, level)] = entry(next);
                    next
                }
                next => next as usize - 1,
            };
        }
        self.nodes[at][digit(id, 0)] = entry(value);
    }

    /// Forgets the id, and every node that only it needed.
    pub(crate) fn remove(&mut self, id: u32) {
        if self.get(id).is_none() {
            return;
        }
        let mut path = [self.root; DIGITS];
        for level in (1..self.height).rev() {
            path[level - 1] = self.nodes[path[level]][digit(id, level)] as usize - 1;
        }
        for (level, at) in path.into_iter().enumerate().take(self.height) {
            let node = &mut self.nodes[at];
            node[digit(id, level)] = 0;
            if *node != Node::default() {
                return;
            }
            self.nodes.remove(at);
        }
        self.height = 0;
        slim(&mut self.nodes);
    }

    fn covers(&self, id: u32) -> bool {
        self.height > 0 && above(id, self.height) == self.rest
    }
}

/// The digits from this level on.
fn above(id: u32, level: usize) -> u64 {
    u64::from(id) >> (DIGIT_BITS * level)
}

fn digit(id: u32, level: usize) -> usize {
    (id >> (DIGIT_BITS * level)) as usize % (1 << DIGIT_BITS)
}

fn entry(index: usize) -> u32 {
    u32::try_from(index + 1).expect("there are fewer streams, and so fewer nodes, than ids")
}

#[cfg(test)]
mod tests;
