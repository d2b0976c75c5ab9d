//! Commands in a row: each with its name, its own output and its duration; the first failure ends the row.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// What ran, and how long it took.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs `command` with our own stdin, stdout and stderr.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> Result<(), String> {
        eprintln!("xtask: {name}");
        let start = Instant::now();
        let status = command
            .status()
            .map_err(|error| cannot_run(command, &error))?;
        if !status.success() {
            return Err(format!(
                "{name} failed ({status}). Again: {}",
                line(command)
            ));
        }
        self.done.push((name.to_owned(), start.elapsed()));
        Ok(())
    }

    /// Runs what is more than a command.
    pub(crate) fn time(
        &mut self,
        name: &str,
        step: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        eprintln!("xtask: {name}");
        let start = Instant::now();
        step()?;
        self.done.push((name.to_owned(), start.elapsed()));
        Ok(())
    }

    /// One line per step.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for (name, took) in &self.done {
            let _ = writeln!(text, "  ok {:>7.1} s  {name}", took.as_secs_f64());
        }
        text
    }
}

/// `cargo` with these arguments: the one that runs us, without what it says of us: a build script that looks at it would run
/// anew, and all that stands on it be built anew, whenever the same build is started by hand.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    let ours = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    for (name, _) in ours {
        command.env_remove(name);
    }
    command
}

/// A build's own words belong on stderr where stdout is for a result.
pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(std::io::stderr())
}

/// Whether the machine has this program.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// A command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn cannot_run(command: &Command, error: &std::io::Error) -> String {
    format!("cannot run `{}`: {error}", line(command))
}
