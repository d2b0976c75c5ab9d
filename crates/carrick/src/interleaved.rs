//! What threads share, run in every order of a small model (loom) or in many of a larger one (shuttle): the real code, by
//! way of `crate::sync`. A lost wake-up is a deadlock, which both report. Run by `cargo xtask interleave`.

#[cfg(loom)]
mod exhaustive;
#[cfg(shuttle)]
mod limits;
#[cfg(shuttle)]
mod mailboxes;
#[cfg(shuttle)]
mod streams;
#[cfg(shuttle)]
mod users;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Runs a model in every order, up to a bound on how often a thread is interrupted where it need not be.
#[cfg(loom)]
fn every_order(name: &str, interruptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        model();
    });
    eprintln!("interleaved loom {name} {}", runs.load(Relaxed));
}

/// Runs it under as many schedules as `CARRICK_SCHEDULES` says: half of them random at each step, half with threads that are
/// delayed at a few steps only, which finds what needs a rare delay.
#[cfg(shuttle)]
fn many_orders(name: &str, model: impl Fn() + Clone + Send + Sync + 'static) {
    use shuttle::{
        Config, Runner,
        scheduler::{PctScheduler, RandomScheduler},
    };
    let wanted = std::env::var("CARRICK_SCHEDULES").ok();
    let wanted = wanted.map_or(1000, |wanted| {
        wanted.parse().expect("a number of schedules")
    });
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1 << 19;
        config
    };
    let random = Runner::new(RandomScheduler::new(wanted / 2), config()).run(model.clone());
    let delayed = Runner::new(PctScheduler::new(3, wanted / 2), config()).run(model);
    eprintln!("interleaved shuttle {name} {}", random + delayed);
}

/// How many of what it has counted live: a message that is dropped twice, or never, shows.
#[derive(Clone, Debug, Default)]
struct Live(Arc<AtomicUsize>);

#[derive(Debug)]
struct Counted(Live);

impl Live {
    fn new_one(&self) -> Counted {
        self.0.fetch_add(1, Relaxed);
        Counted(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}
