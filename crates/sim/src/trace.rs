//! What happened, step by step: a number over all of it, and the last steps for people to read.

use std::{collections::VecDeque, fmt, time::Duration};

use crate::chance::mix;

/// Steps that are kept to be read.
const KEPT: usize = 20_000;
/// Numbers of one step.
const NUMBERS: usize = 4;

/// One step.
#[derive(Debug, Clone)]
struct Step {
    at: u64,
    host: Option<usize>,
    text: Text,
    numbers: [u64; NUMBERS],
}

#[derive(Debug, Clone)]
enum Text {
    /// Each `{}` stands for a number.
    Template(&'static str),
    Free(Box<str>),
}

/// The steps of one world.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    steps: u64,
    last: VecDeque<Step>,
}

impl Trace {
    pub(crate) fn step(
        &mut self,
        at: u64,
        host: Option<usize>,
        text: &'static str,
        numbers: &[u64],
    ) {
        let mut kept = [0; NUMBERS];
        for (to, from) in kept.iter_mut().zip(numbers) {
            *to = *from;
        }
        self.fold(at, host, text, &kept);
        self.keep(Step {
            at,
            host,
            text: Text::Template(text),
            numbers: kept,
        });
    }

    pub(crate) fn say(&mut self, at: u64, host: Option<usize>, text: String) {
        self.fold(at, host, &text, &[]);
        self.keep(Step {
            at,
            host,
            text: Text::Free(text.into()),
            numbers: [0; NUMBERS],
        });
    }

    /// A number over every step so far, in order.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    /// The last steps, a line each.
    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        let skip = self.last.len().saturating_sub(count);
        self.last
            .iter()
            .skip(skip)
            .map(ToString::to_string)
            .collect()
    }

    fn keep(&mut self, step: Step) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(step);
    }

    fn fold(&mut self, at: u64, host: Option<usize>, text: &str, numbers: &[u64]) {
        self.steps += 1;
        let mut hash = self.hash;
        let mut add = |number: u64| hash = (hash.rotate_left(5) ^ number).wrapping_mul(ODD);
        add(at);
        add(host.map_or(u64::MAX, |host| host as u64));
        for part in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            add(u64::from_le_bytes(word));
        }
        numbers.iter().for_each(|number| add(*number));
        self.hash = mix(hash);
    }
}

const ODD: u64 = 0x517c_c1b7_2722_0a95;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Duration::from_nanos(self.at);
        write!(f, "{:>8}.{:06} ", at.as_secs(), at.subsec_micros())?;
        match self.host {
            Some(host) => write!(f, "{:>5} ", format!("h{host}"))?,
            None => f.write_str("world ")?,
        }
        match &self.text {
            Text::Free(text) => f.write_str(text),
            Text::Template(text) => {
                let mut numbers = self.numbers.iter();
                let mut parts = text.split("{}").peekable();
                while let Some(part) = parts.next() {
                    f.write_str(part)?;
                    if parts.peek().is_some() {
                        write!(f, "{}", numbers.next().unwrap_or(&0))?;
                    }
                }
                Ok(())
            }
        }
    }
}
