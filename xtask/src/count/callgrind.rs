//! The program `counts` under valgrind's callgrind: which cases it has, and how many instructions an operation of each takes.

use super::baseline::Environment;
use crate::steps::{cannot_run, has_program, line};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Compared with the baseline.
    Path,
    /// Compared with itself among more: it must cost the same.
    Flat,
    /// Compared with itself among more: it may grow as a tree's depth.
    Tree,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        match name {
            "path" => Some(Self::Path),
            "flat" => Some(Self::Flat),
            "tree" => Some(Self::Tree),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) times: u64,
}

/// One number to be found.
pub(super) struct Job<'a> {
    pub(super) case: &'a Case,
    pub(super) idle: usize,
}

pub(super) struct Callgrind {
    program: PathBuf,
}

impl Callgrind {
    pub(super) fn new(program: PathBuf) -> Result<Self, String> {
        if has_program("valgrind") {
            return Ok(Self { program });
        }
        Err("no valgrind on this machine (Debian: apt-get install valgrind)".to_owned())
    }

    /// The cases, and what their counts depend on besides our code. The program is asked under valgrind, which hides some
    /// of the processor from it.
    pub(super) fn list(&self) -> Result<(Environment, Vec<Case>), String> {
        let mut list = self.valgrind(&["--tool=none"]);
        let text = stdout(list.arg(&self.program).arg("list"))?;
        let mut machine = String::new();
        let mut cases = Vec::new();
        for words in text
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
        {
            match words.as_slice() {
                ["machine", words] => machine = (*words).to_owned(),
                [kind, name, times] => cases.push(Case {
                    kind: Kind::named(kind).ok_or_else(|| format!("{name}: what is {kind}?"))?,
                    name: (*name).to_owned(),
                    times: times
                        .parse()
                        .map_err(|_| format!("{name}: {times} times?"))?,
                }),
                _ => return Err(format!("counts list says {words:?}")),
            }
        }
        // Where there is no getconf there is no glibc either.
        let libc = stdout(Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_default();
        let environment = Environment {
            rustc: stdout(Command::new("rustc").arg("--version"))?
                .trim()
                .to_owned(),
            machine: format!("{machine} {}", libc.trim()).trim().to_owned(),
        };
        Ok((environment, cases))
    }

    /// The instructions of one operation of each job, in their order; as many at once as there are processors.
    pub(super) fn count_all(&self, jobs: &[Job]) -> Result<Vec<u64>, String> {
        let next = AtomicUsize::new(0);
        let counts: Mutex<Vec<_>> = Mutex::new(jobs.iter().map(|_| Ok(0)).collect());
        let work = || {
            while let Some((at, job)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                jobs.get(at).map(|job| (at, job))
            } {
                let count = self.count(job);
                counts.lock().expect("no holder panics")[at] = count;
            }
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(work);
            }
        });
        counts
            .into_inner()
            .expect("no holder panics")
            .into_iter()
            .collect()
    }

    /// What is set up costs the same in both runs, so it is not in the difference.
    fn count(&self, job: &Job) -> Result<u64, String> {
        let Job { case, idle } = job;
        let total = |times| {
            let mut run = self.valgrind(&["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
            run.arg(&self.program).arg(&case.name);
            run.args([idle.to_string(), u64::to_string(&times)]);
            let output = output(&mut run)?;
            collected(&String::from_utf8_lossy(&output.stderr))
                .ok_or_else(|| format!("`{}` did not say what it collected", line(&run)))
        };
        let (once, twice) = (total(case.times)?, total(2 * case.times)?);
        let more = twice.checked_sub(once);
        let more = more.ok_or_else(|| format!("{}: twice as often took less", case.name))?;
        Ok((more + case.times / 2) / case.times)
    }

    /// The functions in which most instructions of a path are.
    pub(super) fn annotate(&self, case: &Case) -> Result<String, String> {
        let file = self.program.with_extension("callgrind");
        let out = format!("--callgrind-out-file={}", file.display());
        let mut run = self.valgrind(&["--tool=callgrind", &out]);
        run.arg(&self.program).arg(&case.name);
        output(run.args(["0".to_owned(), (4 * case.times).to_string()]))?;
        let mut annotate = Command::new("callgrind_annotate");
        stdout(annotate.args(["--auto=no", "--threshold=90"]).arg(file))
    }

    /// Without our environment, whose size would shift the stack; and without the copies of one instruction for any number
    /// of bytes, which valgrind counts byte by byte.
    fn valgrind(&self, args: &[&str]) -> Command {
        let mut command = Command::new("valgrind");
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .args(["--vgdb=no"])
            .args(args)
            .env_clear()
            .env("PATH", path)
            .env("GLIBC_TUNABLES", NO_STRING_COPIES);
        command
    }
}

const NO_STRING_COPIES: &str =
    "glibc.cpu.x86_rep_movsb_threshold=1073741824:glibc.cpu.x86_rep_stosb_threshold=1073741824";

/// The number in valgrind's line `==1234== Collected : 5678`.
fn collected(words: &str) -> Option<u64> {
    let line = words
        .lines()
        .find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn stdout(command: &mut Command) -> Result<String, String> {
    Ok(String::from_utf8_lossy(&output(command)?.stdout).into_owned())
}

fn output(command: &mut Command) -> Result<Output, String> {
    let output = command
        .output()
        .map_err(|error| cannot_run(command, &error))?;
    if output.status.success() {
        return Ok(output);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "`{}` failed ({})\n{words}",
        line(command),
        output.status
    ))
}

#[cfg(test)]
mod tests;
