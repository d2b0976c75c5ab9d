//! One world for one seed, from its beginning to its end; and, when it fails, the shortest scenario that still does.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{
    book::Book,
    config::Config,
    laws::{Law, Tally},
    scenario::{self, Operation},
    world::World,
};

/// Runs that shrinking may take.
const SHRINKS_MAX: usize = 300;
/// Lines of a trace that a failure shows.
const LINES: usize = 60;

/// A kind of world: what is set up in it, and how it is run.
pub struct Trial<'a> {
    config: Config,
    setup: Box<dyn Fn(&mut World) + 'a>,
    lines: usize,
}

impl fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// How a world went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// A number over every step: the same for the same seed, configuration, scenario and commit.
    pub trace_hash: u64,
    /// How many steps that were.
    pub steps: u64,
    /// How much virtual time has passed.
    pub time: Duration,
    /// What was looked at, and how often.
    pub tally: Tally,
    /// How the calls went.
    pub book: Book,
    /// The last steps, if [`Trial::showing`] wants some.
    pub trace: Vec<String>,
    /// `None`: every law held.
    pub failure: Option<Failure>,
}

/// What went wrong, and all that is needed to see it again.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The law that was broken; `None`: the code panicked.
    pub law: Option<Law>,
    /// In words.
    pub what: String,
    /// The scenario: shrunk, after [`Trial::shrink`].
    pub operations: Vec<Operation>,
    /// The last steps, a line each.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        writeln!(f, "scenario ({} operations):", self.operations.len())?;
        for operation in &self.operations {
            writeln!(f, "  {operation}")?;
        }
        writeln!(f, "last steps:")?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl<'a> Trial<'a> {
    /// Worlds of this configuration, with the simulation's own calls.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            setup: Box::new(|_| {}),
            lines: 0,
        }
    }

    /// Outcomes show so many of the last steps, also of a world in which all went well.
    pub const fn showing(mut self, lines: usize) -> Self {
        self.lines = lines;
        self
    }

    /// Prepares each world before it begins: handlers, and what the scenario's calls are.
    pub fn with(mut self, setup: impl Fn(&mut World) + 'a) -> Self {
        self.setup = Box::new(setup);
        self
    }

    /// Runs the scenario that the seed draws.
    pub fn run(&self, seed: u64) -> Outcome {
        let operations = scenario::draw(seed, &self.config);
        self.replay(seed, operations)
    }

    /// Runs this scenario.
    pub fn replay(&self, seed: u64, operations: Vec<Operation>) -> Outcome {
        let mut world = World::new(seed, self.config.clone());
        let ended = catch_unwind(AssertUnwindSafe(|| {
            (self.setup)(&mut world);
            world.plan(operations.clone());
            world.finish()
        }));
        let (law, what) = match ended {
            Ok(Ok(())) => (None, None),
            Ok(Err(breach)) => (Some(breach.law), Some(breach.to_string())),
            Err(panic) => (None, Some(words(&*panic))),
        };
        let failure = what.map(|what| Failure {
            law,
            what,
            operations,
            trace: world.trace(self.lines.max(LINES)),
        });
        Outcome {
            seed,
            trace_hash: world.trace_hash(),
            steps: world.steps(),
            time: world.now(),
            tally: world.tally(),
            book: world.book(),
            trace: world.trace(self.lines),
            failure,
        }
    }

    /// Leaves out of a failing scenario whatever is not needed for it to fail in the same way, first halves, then ever smaller
    /// parts (delta debugging). Gives the outcome of the shortest one that was found.
    pub fn shrink(&self, outcome: Outcome) -> Outcome {
        let Some(failure) = &outcome.failure else {
            return outcome;
        };
        let (law, seed) = (failure.law, outcome.seed);
        let mut best = outcome.clone();
        let mut operations = failure.operations.clone();
        let (mut parts, mut runs) = (2, 0);
        while operations.len() > 1 && runs < SHRINKS_MAX {
            let size = operations.len().div_ceil(parts);
            let mut smaller = None;
            for begin in (0..operations.len()).step_by(size) {
                let end = (begin + size).min(operations.len());
                let left = [&operations[..begin], &operations[end..]].concat();
                runs += 1;
                let tried = self.replay(seed, left);
                if tried.failure.as_ref().is_some_and(|again| again.law == law) {
                    smaller = Some(tried);
                    break;
                }
            }
            match smaller {
                Some(tried) => {
                    operations = tried
                        .failure
                        .as_ref()
                        .map_or_else(Vec::new, |failure| failure.operations.clone());
                    best = tried;
                    parts = (parts - 1).max(2);
                }
                None if size == 1 => break,
                None => parts = (parts * 2).min(operations.len()),
            }
        }
        best
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without words"))
}
