//! `cargo xtask count`: instructions of the hot paths, beside those that `counts/baseline.txt` holds, and whether the cost
//! of each stays the same among 10,000 idle streams or connections. Instructions, unlike time, are the same on a busy machine.

mod baseline;
mod callgrind;
mod report;

use crate::programs;
use crate::steps::Steps;
use baseline::Baseline;
use callgrind::{Callgrind, Case, Job, Kind};
use report::{Drift, Report, Slope};

/// Where the baseline lies.
const BASELINE: &str = "counts/baseline.txt";
/// Idle streams, or connections, beside the one that is counted.
const SCALES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// Count the instructions of the hot paths.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only the cases whose name has one of these in it.
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    only: Vec<String>,
    /// One JSON object instead of the tables.
    #[arg(long)]
    json: bool,
    /// Make what is counted now the baseline.
    #[arg(long, conflicts_with = "only")]
    bless: bool,
    /// Count so often, and say by how much the counts of a case differ.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Show instead in which functions the instructions of each path are; what the path sets up is in it.
    #[arg(long)]
    annotate: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), String> {
    let mut steps = Steps::default();
    let callgrind = Callgrind::new(programs::build(&mut steps)?.join("counts"))?;
    let (environment, cases) = callgrind.list()?;
    let cases = chosen(cases, &args.only)?;
    if args.annotate {
        return annotate(&callgrind, &cases);
    }
    let jobs = jobs(&cases);
    eprintln!("xtask: count {} runs under callgrind", 2 * jobs.len());
    let mut rounds = Vec::new();
    for _ in 0..args.repeat.max(1) {
        rounds.push(callgrind.count_all(&jobs)?);
    }
    let (counts, spread) = report::rounds(&rounds);

    let (mut paths, mut slopes) = (Vec::new(), Vec::<Slope>::new());
    for ((job, count), spread) in jobs.iter().zip(&counts).zip(spread) {
        let Case { kind, name, .. } = job.case;
        match slopes.last_mut().filter(|row| row.name == *name) {
            Some(row) => row.counts.push(*count),
            None if *kind == Kind::Path => paths.push((name.clone(), *count, spread)),
            None => slopes.push(Slope::new(*kind, name, *count)),
        }
    }
    if args.bless {
        let counts = paths.iter().map(|(name, count, _)| (name.clone(), *count));
        let text = Baseline::new(environment.clone(), counts).to_string();
        std::fs::write(BASELINE, text).map_err(|error| format!("{BASELINE}: {error}"))?;
    }
    let text = std::fs::read_to_string(BASELINE).unwrap_or_default();
    let baseline: Baseline = text.parse().map_err(|why| format!("{BASELINE}: {why}"))?;
    let report = Report {
        drift: Drift::new(&baseline, &environment, &paths, args.only.is_empty()),
        slopes,
        repeated: args.repeat > 1,
    };
    if args.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
    report.verdict()
}

/// The cases that `only` leaves. A word that fits none is an error: counting nothing would look like success.
fn chosen(mut cases: Vec<Case>, only: &[String]) -> Result<Vec<Case>, String> {
    for word in only {
        if !cases.iter().any(|case| case.name.contains(word.as_str())) {
            let known: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
            return Err(format!(
                "no path has `{word}` in its name; there are: {}",
                known.join(", ")
            ));
        }
    }
    let fits = |case: &Case| only.iter().any(|word| case.name.contains(word.as_str()));
    cases.retain(|case| only.is_empty() || fits(case));
    Ok(cases)
}

/// One job for each row of a table, or each cell of the second one.
fn jobs(cases: &[Case]) -> Vec<Job<'_>> {
    let scales = |case: &Case| match case.kind {
        Kind::Path => vec![0],
        Kind::Flat | Kind::Tree => SCALES.to_vec(),
    };
    let of = |case| scales(case).into_iter().map(move |idle| Job { case, idle });
    cases.iter().flat_map(of).collect()
}

fn annotate(callgrind: &Callgrind, cases: &[Case]) -> Result<(), String> {
    for case in cases.iter().filter(|case| case.kind == Kind::Path) {
        println!("## {}\n\n{}", case.name, callgrind.annotate(case)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
