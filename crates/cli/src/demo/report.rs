//! How the tour's steps are told: aligned lines for people, JSON objects for programs.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::{self, Paint, plain},
};

/// What went wrong in a step.
pub(super) type Fault = Box<dyn Error + Send + Sync>;

/// What a step has found out, once for people and once for programs.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) lines: Vec<String>,
    pub(super) json: Value,
}

#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    paint: Paint,
    steps: usize,
    begun: Instant,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            paint: Paint::new(),
            steps: 0,
            begun: Instant::now(),
        }
    }

    pub(super) fn title(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        output::result(text)?;
        output::result("")
    }

    /// Runs a step and tells how it went.
    pub(super) async fn step<T>(
        &mut self,
        name: &str,
        step: impl Future<Output = Result<(T, Fact), Fault>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let outcome = tokio::time::timeout(STEP_TIMEOUT, step)
            .await
            .unwrap_or_else(
                |_| Err(format!("not done within {} s", STEP_TIMEOUT.as_secs()).into()),
            );
        let took = begun.elapsed();
        self.steps += 1;
        match outcome {
            Ok((value, fact)) => {
                self.tell(name, true, took, &fact)?;
                Ok(value)
            }
            Err(fault) => {
                let fact = Fact {
                    lines: vec![fault.to_string()],
                    json: json!({"error": fault.to_string()}),
                };
                self.tell(name, false, took, &fact)?;
                Err(Failure::new(
                    format!("step {:?} failed: {fault}", name),
                    "`carrick demo -vv` logs what happened",
                ))
            }
        }
    }

    pub(super) fn end(&self) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        output::result("")?;
        output::result(&format!(
            "{} steps, all as they should be, in {:.2} s",
            self.steps,
            self.begun.elapsed().as_secs_f64()
        ))
    }

    fn tell(&self, name: &str, ok: bool, took: Duration, fact: &Fact) -> Result<(), Failure> {
        if self.json {
            let mut object = json!({"step": name, "ok": ok, "took_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX)});
            if let (Some(object), Value::Object(more)) = (object.as_object_mut(), &fact.json) {
                object.extend(more.clone());
            }
            return output::result(&object.to_string());
        }
        let mark = if ok {
            self.paint.green("✓")
        } else {
            self.paint.red("✗")
        };
        // A step that only looks at what an earlier one brought about has no time worth telling.
        let took = if took < SHOWN_MIN {
            " ".repeat(11)
        } else {
            format!("{:>8.2} ms", took.as_secs_f64() * 1000.0)
        };
        for (at, line) in fact.lines.iter().map(plain).enumerate() {
            output::result(&if at == 0 {
                format!("{mark} {name:<12}{}  {line}", self.paint.faint(&took))
            } else {
                format!("{:27}{line}", "")
            })?;
        }
        Ok(())
    }
}

/// Each step takes milliseconds; after this long something is stuck.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
const SHOWN_MIN: Duration = Duration::from_micros(50);
