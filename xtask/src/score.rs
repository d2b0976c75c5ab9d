//! `cargo xtask score`: the reliability scorecard. A row is a promise with a figure; what yields the figure is a command of its
//! own, whose rows are kept in a file of the repository, so a long run counts until the next one.

mod history;
mod outcome;
mod rows;

use crate::steps::cannot_run;
use history::History;
use outcome::Outcome;
use rows::{ROWS, Row, Source};
use std::io::Read;
use std::process::{Command, Stdio};

/// Run what the scorecard is made of, or take what has been run, and print it. Exits 1 while a row is red.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run these rows' commands now; without it nothing runs, and the table shows what is on record.
    #[arg(long, value_delimiter = ',', value_name = "NUMBER,…", num_args = 0.., default_missing_value = "0")]
    run: Vec<u8>,
    /// The full form of each command instead of the quick one.
    #[arg(long, requires = "run")]
    full: bool,
    /// Put the JSON rows of a run that was made by hand on record; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    from: Option<String>,
    /// The commit that was measured there, where it is not the present one.
    #[arg(long, value_name = "COMMIT", requires = "from")]
    at: Option<String>,
    /// One JSON object per figure instead of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    if let Some(number) = args.run.iter().find(|number| !is_row(**number)) {
        return Err(format!("there is no row {number}; 0 is all of them"));
    }
    let mut history = History::read()?;
    if let Some(file) = &args.from {
        let text = read(file)?;
        let found = outcome::parse(&text);
        if found.is_empty() {
            return Err(format!("{file} holds no row of the scorecard"));
        }
        history.add(found, args.at.as_deref(), "by hand")?;
    }
    let mut failed = Vec::new();
    for row in ROWS.iter().filter(|row| is_wanted(row, &args.run)) {
        match measure(row, args.full) {
            Ok(found) => history.add(found, None, if args.full { "full" } else { "quick" })?,
            Err(why) => failed.push(format!("row {}: {why}", row.number)),
        }
    }
    let card = history.card();
    if args.json {
        for outcome in card.values().flatten() {
            println!("{}", outcome.json());
        }
    } else {
        print!("{}", history::table(&card));
    }
    let red = card.values().flatten();
    let red = red.filter(|outcome| outcome.is_ours() && !outcome.pass);
    failed.extend(red.map(|outcome| format!("row {}: {}", outcome.row, outcome.figure)));
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("red: {}", failed.join("; ")))
}

fn is_row(number: u8) -> bool {
    number == 0 || ROWS.iter().any(|row| row.number == number)
}

fn is_wanted(row: &Row, wanted: &[u8]) -> bool {
    wanted.contains(&0) || wanted.contains(&row.number)
}

/// Runs a row's command; its own figures, or one made of its tests' count.
fn measure(row: &Row, full: bool) -> Result<Vec<Outcome>, String> {
    let Some(line) = (if full { row.full } else { row.quick }) else {
        return Ok(Vec::new());
    };
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    let (held, text) = watch(&format!("row {}: {line}", row.number), &mut command)?;
    match row.source {
        Source::Json => {
            let mut found = outcome::parse(&text);
            found.retain(|outcome| outcome.row == row.number);
            if found.is_empty() {
                return Err(format!("`{line}` printed no figure of this row"));
            }
            Ok(found)
        }
        Source::Tests => {
            let count = outcome::tests_passed(&text);
            let pass = held && count > 0;
            Ok(vec![Outcome::of(row, count.into(), "tests pass", pass)])
        }
        Source::Holds => Ok(vec![Outcome::of(row, line.into(), "", held)]),
    }
}

fn read(file: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| text),
        path => std::fs::read_to_string(path),
    };
    read.map_err(|error| format!("{file}: {error}"))
}

/// Runs `command` to its end, whatever its exit code; whether it ended well, and what it printed.
fn watch(name: &str, command: &mut Command) -> Result<(bool, String), String> {
    eprintln!("xtask: {name}");
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.map_err(|error| cannot_run(command, &error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success(), text))
}
