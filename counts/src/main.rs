//! Runs one hot path as often as it is told: `cargo xtask count` does so under valgrind, twice, and divides.
//!
//! `counts list` names the cases, and the machine as the program sees it; `counts NAME IDLE TIMES` runs one of them in
//! the company of so many idle streams or connections. What a case sets up must not depend on `TIMES`: then the difference
//! of two runs holds the operations alone. Nothing here prints a number that could vary.

mod cases;
mod identify;
mod machine;
mod negotiate;
mod node;
mod session;
mod swarm;
mod yamux;

use cases::CASES;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.as_slice() {
        [list] if list == "list" => {
            list_all();
            true
        }
        [name, idle, times] => run(name, idle.parse().ok(), times.parse().ok()),
        _ => false,
    };
    if done {
        return ExitCode::SUCCESS;
    }
    eprintln!("usage: counts list | counts NAME IDLE TIMES");
    ExitCode::FAILURE
}

fn list_all() {
    println!("machine\t{}", machine::describe());
    for case in CASES {
        println!("{}\t{}\t{}", case.kind.name(), case.name, case.times);
    }
}

fn run(name: &str, idle: Option<usize>, times: Option<usize>) -> bool {
    let case = CASES.iter().find(|case| case.name == name);
    let (Some(case), Some(idle), Some(times)) = (case, idle, times) else {
        return false;
    };
    (case.run)(idle, times);
    true
}
