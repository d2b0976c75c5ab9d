//! The runner: every case on a connection of its own, with a deadline, several at a time, at a pace that nodes put up with.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
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
}

/// All that came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order of the table.
    pub done: Vec<Done>,
    /// For each address: its text, and why the final ping failed if it did.
    pub alive: Vec<(String, Option<String>)>,
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
    let pace = Arc::new(Pace::new(options.pace));
    let places = Arc::new(Semaphore::new(options.jobs.max(1)));
    let gone = Arc::new(Gone::default());
    let mut tasks = JoinSet::new();
    let mut done: Vec<Option<Done>> = cases.iter().map(|_| None).collect();
    for (at, case) in cases.iter().enumerate() {
        let Some(place) = target.place(case.need) else {
            let outcome = Outcome::Skip(case.need.missing().to_owned());
            let skipped = Done {
                case,
                outcome,
                took: Duration::ZERO,
                address: None,
            };
            tell(&skipped);
            done[at] = Some(skipped);
            continue;
        };
        let (place, pace, options) = (place.clone(), pace.clone(), options.clone());
        let (case, places, gone): (&'static Case, _, _) = (case, places.clone(), gone.clone());
        tasks.spawn(async move {
            let _place = places.acquire().await;
            (at, one(case, &place, &pace, &options, &gone).await)
        });
    }
    while let Some(joined) = tasks.join_next().await {
        let Ok((at, finished)) = joined else { continue };
        let lost = finished.address.as_ref().is_some_and(|text| gone.has(text));
        let again = options.again && !lost && matches!(finished.outcome, Outcome::Fail(_));
        if again && !done.get(at).is_some_and(Option::is_some) {
            let place = target.place(finished.case.need).cloned();
            let (case, pace, options) = (finished.case, pace.clone(), options.clone());
            let (places, gone) = (places.clone(), gone.clone());
            done[at] = Some(finished);
            if let Some(place) = place {
                tasks.spawn(async move {
                    let _place = places.acquire().await;
                    (at, one(case, &place, &pace, &options, &gone).await)
                });
            }
            continue;
        }
        // A second try that found nobody says nothing: what was seen first counts.
        let finished = match done[at].take() {
            Some(first) if lost => first,
            _ => finished,
        };
        tell(&finished);
        done[at] = Some(finished);
    }
    let mut alive = Vec::new();
    for place in &target.places {
        alive.push((place.text.clone(), answers(place, &pace, options).await));
    }
    let done = done.into_iter().zip(cases).map(|(done, case)| {
        done.unwrap_or_else(|| Done {
            case,
            outcome: Outcome::Fail("the case itself broke down".to_owned()),
            took: Duration::ZERO,
            address: None,
        })
    });
    Report {
        done: done.collect(),
        alive,
    }
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

/// One case, and again while its connections are refused.
async fn one(
    case: &'static Case,
    place: &Place,
    pace: &Arc<Pace>,
    options: &Options,
    gone: &Gone,
) -> Done {
    let start = Instant::now();
    let mut tries = 0;
    let outcome = loop {
        let bench = Bench::new(place, pace);
        let outcome = match timeout(options.timeout, (case.run)(bench.clone())).await {
            Ok(Ok(seen)) => Outcome::Pass(seen),
            Ok(Err(Stop::Fail(why))) => Outcome::Fail(why),
            Ok(Err(Stop::Skip(why))) => Outcome::Skip(why),
            Ok(Err(Stop::Refused(_))) if tries < options.retries && !gone.has(&place.text) => {
                tries += 1;
                sleep(RETRY_AFTER * 3u32.pow(tries - 1)).await;
                continue;
            }
            Ok(Err(Stop::Refused(why))) => {
                gone.add(&place.text);
                Outcome::Fail(why)
            }
            Err(_) => Outcome::Fail(format!("no answer in time, while {}", bench.last_stage())),
        };
        break outcome;
    };
    Done {
        case,
        outcome,
        took: start.elapsed(),
        address: Some(place.text.clone()),
    }
}

/// Why the node does not answer a ping there, if it does not.
async fn answers(place: &Place, pace: &Arc<Pace>, options: &Options) -> Option<String> {
    let mut tries = 0;
    loop {
        let bench = Bench::new(place, pace);
        let why = match timeout(options.timeout, crate::bench::alive(&bench)).await {
            Ok(Ok(())) => return None,
            Ok(Err(Stop::Fail(why) | Stop::Skip(why) | Stop::Refused(why))) => why,
            Err(_) => format!("nothing within {:?}", options.timeout),
        };
        if tries == options.retries {
            return Some(why);
        }
        tries += 1;
        sleep(RETRY_AFTER * 3u32.pow(tries - 1)).await;
    }
}

const RETRY_AFTER: Duration = Duration::from_secs(1);
