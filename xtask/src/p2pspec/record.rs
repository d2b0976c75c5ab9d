//! What came of a run, as p2pspec prints it and as it is kept in `p2pspec/results/`.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

/// One case's verdict.
#[derive(Clone)]
pub(super) struct Verdict {
    pub(super) level: String,
    pub(super) outcome: String,
    pub(super) seen: String,
    pub(super) title: String,
    /// How the listener's process ended, if this case ended it.
    pub(super) ended: Option<String>,
}

/// All of a stack's.
pub(super) struct Results {
    pub(super) agent: String,
    pub(super) cases: BTreeMap<String, Verdict>,
    /// How many cases ended the listener's process. Those of other stacks are on record by their number alone: what brings a
    /// process down is its maintainers' to hear first.
    pub(super) ended: usize,
    /// Cases that there was no time for.
    pub(super) unasked: u64,
    /// In p2pspec's order.
    order: Vec<String>,
}

/// What is on record.
pub(super) struct Record(pub(super) Results);

/// What differs from the record.
#[derive(Default)]
pub(super) struct Changed {
    pub(super) text: Vec<String>,
    /// Ids that passed and do not any more.
    pub(super) worse: Vec<String>,
}

impl Results {
    /// From p2pspec's JSON, or from a record, which is a part of it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let whole: Value = serde_json::from_slice(bytes)
            .map_err(|error| format!("p2pspec printed no JSON: {error}"))?;
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let mut results = Self {
            agent: text(&whole, "agent"),
            cases: BTreeMap::new(),
            ended: whole["ended"].as_u64().unwrap_or_default() as usize,
            unasked: whole["unasked"].as_u64().unwrap_or_default(),
            order: Vec::new(),
        };
        for case in whole["cases"].as_array().into_iter().flatten() {
            let verdict = Verdict {
                level: text(case, "level"),
                outcome: text(case, "outcome"),
                seen: text(case, "seen"),
                title: text(case, "title"),
                ended: case["listener_ended"].as_str().map(str::to_owned),
            };
            results.ended += usize::from(verdict.ended.is_some());
            results.order.push(text(case, "id"));
            results.cases.insert(text(case, "id"), verdict);
        }
        Ok(results)
    }

    pub(super) fn count(&self, level: &str, outcome: &str) -> usize {
        let is = |verdict: &&Verdict| verdict.level == level && verdict.outcome == outcome;
        self.cases.values().filter(is).count()
    }

    pub(super) fn summary(&self) -> String {
        let of = |level| {
            let [pass, fail, skip] =
                ["pass", "fail", "skip"].map(|outcome| self.count(level, outcome));
            format!("{level} {pass} passed, {fail} failed, {skip} skipped")
        };
        format!(
            "{} cases: {}; {}; {}; {} ended its process",
            self.cases.len(),
            of("must"),
            of("should"),
            of("practice"),
            self.ended
        )
    }

    pub(super) fn failed_musts(&self) -> Vec<String> {
        let failed = self
            .cases
            .iter()
            .filter(|(_, v)| v.level == "must" && v.outcome == "fail");
        failed.map(|(id, _)| id.clone()).collect()
    }

    /// Puts them on record. What was seen is kept where it says more than the outcome.
    pub(super) fn write(&self, stack: &str) -> Result<(), String> {
        let case = |id: &String| {
            let verdict = &self.cases[id];
            let seen = if verdict.outcome == "pass" {
                ""
            } else {
                &verdict.seen
            };
            json!({ "id": id, "title": verdict.title, "level": verdict.level, "outcome": verdict.outcome, "seen": seen })
        };
        let told = |id: &&String| stack == "carrick" || self.cases[*id].ended.is_none();
        let cases: Vec<_> = self.order.iter().filter(told).map(case).collect();
        let whole = json!({ "agent": self.agent, "ended": self.ended, "cases": cases });
        let path = path(stack);
        fs::create_dir_all(FOLDER)
            .and_then(|()| fs::write(&path, format!("{whole:#}\n")))
            .map_err(|error| format!("cannot write {path}: {error}"))
    }
}

impl Record {
    pub(super) fn read(stack: &str) -> Result<Option<Self>, String> {
        match fs::read(path(stack)) {
            Ok(bytes) => Results::parse(&bytes).map(|results| Some(Self(results))),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn compare(&self, now: &Results) -> Changed {
        let mut changed = Changed::default();
        for (id, was) in &self.0.cases {
            let is = now
                .cases
                .get(id)
                .map_or("not there", |verdict| &verdict.outcome);
            if is != was.outcome {
                changed
                    .text
                    .push(format!("{id}: {}, on record {}", is, was.outcome));
                if was.outcome == "pass" {
                    changed.worse.push(id.clone());
                }
            }
        }
        changed
    }

    /// Ids in p2pspec's order.
    pub(super) fn order(&self) -> &[String] {
        &self.0.order
    }
}

fn path(stack: &str) -> String {
    format!("{FOLDER}/{stack}.json")
}

const FOLDER: &str = "p2pspec/results";
