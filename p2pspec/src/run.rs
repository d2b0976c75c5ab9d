//! The runner: every case on a connection of its own, with a deadline, several at a time, at a pace that nodes put up with.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    bench::{Bench, Pace},
    case::{Case, Outcome, Stop},
    listener::Listener,
    target::{Place, Target},
};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// For one case.
    pub timeout: Duration,
    /// Between two connections.
    pub pace: Duration,
    /// Cases at a time.
    pub jobs: usize,
    /// How often a connection that the node did not take is tried again, each time later.
    pub retries: u32,
    /// Whether what failed runs once more before it counts.
    pub again: bool,
    /// For the whole run: no case begins after that.
    pub within: Option<Duration>,
}

/// A case, and what came of it.
#[derive(Clone, Debug)]
pub struct Done {
    /// The case.
    pub case: &'static Case,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// On which address; none when no address would do.
    pub address: Option<String>,
    /// How the listener's process ended, if this case, alone with it, ended it. Such a case has failed.
    pub ended: Option<String>,
}

impl Done {
    fn new(case: &'static Case, outcome: Outcome) -> Self {
        Self {
            case,
            outcome,
            took: Duration::ZERO,
            address: None,
            ended: None,
        }
    }

    /// Whatever was seen: nothing that a peer says may end the process.
    fn that_ended(self, how: String) -> Self {
        let outcome = &self.outcome;
        let why = format!(
            "the listener's process ended ({how}); the case itself: {}, {}",
            outcome.name(),
            outcome.detail()
        );
        Self {
            outcome: Outcome::Fail(why),
            ended: Some(how),
            ..self
        }
    }
}

/// All that came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order of the table.
    pub done: Vec<Done>,
    /// For each address: its text, and why the final ping failed if it did.
    pub alive: Vec<(String, Option<String>)>,
    /// Cases that nobody was asked, as the time for the whole run was over.
    pub unasked: usize,
    /// How often a listener that was started here was started anew.
    pub restarts: usize,
}

impl Report {
    /// How many came out so, of the cases that this holds for.
    pub fn count(&self, outcome: &str, which: impl Fn(&Case) -> bool) -> usize {
        let these = self.done.iter().filter(|done| which(done.case));
        these.filter(|done| done.outcome.name() == outcome).count()
    }

    /// Whether the node still answers everywhere.
    pub fn is_alive(&self) -> bool {
        self.alive.iter().all(|(_, why)| why.is_none())
    }
}

/// Runs them; tells of each as it is done.
pub async fn run(
    target: &Target,
    cases: &[&'static Case],
    options: &Options,
    tell: impl Fn(&Done),
) -> Report {
    let runner = Arc::new(Runner {
        pace: Arc::new(Pace::new(options.pace)),
        unasked: AtomicUsize::new(0),
        late: options.within.map(|within| Instant::now() + within),
        jobs: Semaphore::new(options.jobs.max(1)),
        gone: Gone::default(),
        options: options.clone(),
    });
    let mut tasks = JoinSet::new();
    let mut done: Vec<Option<Done>> = cases.iter().map(|_| None).collect();
    for (at, case) in cases.iter().enumerate() {
        let Some(place) = target.place(case.need) else {
            let skipped = Done::new(case, Outcome::Skip(case.need.missing().to_owned()));
            tell(&skipped);
            done[at] = Some(skipped);
            continue;
        };
        let (case, place): (&'static Case, _) = (case, place.clone());
        let runner = runner.clone();
        tasks.spawn(async move { (at, runner.settle(case, &place).await) });
    }
    while let Some(joined) = tasks.join_next().await {
        if let Ok((at, finished)) = joined {
            tell(&finished);
            done[at] = Some(finished);
        }
    }
    let mut alive = Vec::new();
    for place in &target.places {
        alive.push((place.text.clone(), runner.answers(place).await));
    }
    let done = done.into_iter().zip(cases).map(|(done, case)| {
        done.unwrap_or_else(|| {
            Done::new(case, Outcome::Fail("the case itself broke down".to_owned()))
        })
    });
    Report {
        done: done.collect(),
        alive,
        unasked: runner.unasked.load(Ordering::Relaxed),
        restarts: target.restarts(),
    }
}

/// What the cases of a run share.
#[derive(Debug)]
struct Runner {
    options: Options,
    pace: Arc<Pace>,
    jobs: Semaphore,
    gone: Gone,
    late: Option<Instant>,
    unasked: AtomicUsize,
}

/// Addresses that have refused connections to the last: no patience is wasted on them.
#[derive(Debug, Default)]
struct Gone(Mutex<BTreeSet<String>>);

impl Gone {
    fn has(&self, address: &str) -> bool {
        let gone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gone.contains(address)
    }

    fn add(&self, address: &str) {
        let mut gone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gone.insert(address.to_owned());
    }
}

impl Runner {
    /// One case, and once more if it failed.
    async fn settle(&self, case: &'static Case, place: &Place) -> Done {
        let first = self.watched(case, place).await;
        if !self.again(&first, place) {
            return first;
        }
        let second = self.watched(case, place).await;
        // A second try that found nobody says nothing: what was seen first counts.
        if self.gone.has(&place.text) {
            return first;
        }
        // A listener that answers nobody any more says nothing, either.
        if let Some((listener, _)) = &place.listener
            && self.again(&second, place)
            && self.answers(place).await.is_some()
        {
            listener.give_up().await;
            return self.alone(case, place, listener).await;
        }
        second
    }

    fn again(&self, done: &Done, place: &Place) -> bool {
        let failed = matches!(done.outcome, Outcome::Fail(_)) && done.ended.is_none();
        failed && self.options.again && !self.gone.has(&place.text)
    }

    /// One case; once more, alone, if the listener's process ended meanwhile or soon afterwards.
    async fn watched(&self, case: &'static Case, place: &Place) -> Done {
        let Some((listener, _)) = &place.listener else {
            let _job = self.jobs.acquire().await;
            return self.one(case, place).await;
        };
        let turn = (listener.turn(false).await, self.jobs.acquire().await);
        let process = match listener.process().await {
            Ok(process) => process,
            Err(why) => return Done::new(case, Outcome::Fail(why)),
        };
        let start = Instant::now();
        let done = self.one(case, place).await;
        let end = Instant::now() + SUSPECT_FOR;
        drop(turn);
        sleep(SUSPECT_FOR).await;
        match process.ended() {
            Some((when, _)) if when >= start && when <= end => {
                self.alone(case, place, listener).await
            }
            _ => done,
        }
    }

    /// One case with a listener to itself, which must be there afterwards.
    async fn alone(&self, case: &'static Case, place: &Place, listener: &Listener) -> Done {
        let _turn = (listener.turn(true).await, self.jobs.acquire().await);
        // One that is about to end of an earlier case would bear witness against this one.
        if self.answers(place).await.is_some() {
            listener.give_up().await;
        }
        let process = match listener.process().await {
            Ok(process) => process,
            Err(why) => return Done::new(case, Outcome::Fail(why)),
        };
        let done = self.one(case, place).await;
        sleep(ALONE_FOR).await;
        if process.ended().is_none() && self.answers(place).await.is_some() {
            listener.give_up().await;
            return done.that_ended("it answers nobody any more".to_owned());
        }
        match process.ended() {
            Some((_, how)) => done.that_ended(how),
            None => done,
        }
    }

    /// One case, and again while its connections are refused.
    async fn one(&self, case: &'static Case, place: &Place) -> Done {
        if self.late.is_some_and(|late| Instant::now() > late) {
            self.unasked.fetch_add(1, Ordering::Relaxed);
            return Done::new(case, Outcome::Skip("no time was left for it".to_owned()));
        }
        let start = Instant::now();
        let mut tries = 0;
        let outcome = loop {
            let bench = match place.now().await {
                Ok(now) => Bench::new(&now, &self.pace),
                Err(why) => break Outcome::Fail(why),
            };
            match timeout(self.options.timeout, (case.run)(bench.clone())).await {
                Ok(Ok(seen)) => break Outcome::Pass(seen),
                Ok(Err(Stop::Fail(why))) => break Outcome::Fail(why),
                Ok(Err(Stop::Skip(why))) => break Outcome::Skip(why),
                Ok(Err(Stop::Refused(_)))
                    if tries < self.options.retries && !self.gone.has(&place.text) => {}
                Ok(Err(Stop::Refused(why))) => {
                    if place.listener.is_none() {
                        self.gone.add(&place.text);
                    }
                    break Outcome::Fail(why);
                }
                Err(_) => {
                    let stage = bench.last_stage();
                    break Outcome::Fail(format!("no answer in time, while {stage}"));
                }
            }
            tries += 1;
            sleep(RETRY_AFTER * 3u32.pow(tries - 1)).await;
        };
        Done {
            took: start.elapsed(),
            address: Some(place.text.clone()),
            ..Done::new(case, outcome)
        }
    }

    /// Why the node does not answer a ping there, if it does not.
    async fn answers(&self, place: &Place) -> Option<String> {
        let mut tries = 0;
        loop {
            let bench = match place.now().await {
                Ok(now) => Bench::new(&now, &self.pace),
                Err(why) => return Some(why),
            };
            let why = match timeout(self.options.timeout, crate::bench::alive(&bench)).await {
                Ok(Ok(())) => return None,
                Ok(Err(Stop::Fail(why) | Stop::Skip(why) | Stop::Refused(why))) => why,
                Err(_) => format!("nothing within {:?}", self.options.timeout),
            };
            if tries == self.options.retries {
                return Some(why);
            }
            tries += 1;
            sleep(RETRY_AFTER * 3u32.pow(tries - 1)).await;
        }
    }
}

const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A process that ends within this may have ended of the case: which of them it was, they say one by one.
const SUSPECT_FOR: Duration = Duration::from_secs(5);
/// What a process has to end in when its case was alone.
const ALONE_FOR: Duration = Duration::from_secs(1);
