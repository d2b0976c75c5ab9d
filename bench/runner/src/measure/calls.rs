//! System calls of both sides, counted by the kernel under `perf stat`. That costs a little time for each call, so it
//! is a run of its own that is not timed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Sample, Started, arguments, over, report};
use crate::plan::{Row, Stack};

/// An extra sample, with what was counted and nothing else.
pub(crate) fn count(bin: &Path, row: &Row, stack: &Stack, round: u32, quick: bool) -> Sample {
    let folder = std::env::temp_dir().join(format!("carrick-bench-{}", std::process::id()));
    let counted = fs::create_dir_all(&folder)
        .map_err(Into::into)
        .and_then(|()| run(bin, row, stack, quick, &folder));
    // A folder that stays behind does no harm.
    let _: std::io::Result<()> = fs::remove_dir_all(&folder);
    Sample {
        row: row.name,
        stack: stack.name,
        round,
        result: counted,
    }
}

/// Whether this machine lets us count.
pub(crate) fn check() -> Result<()> {
    let tried = Command::new("perf")
        .args(["stat", "-e", EVENT, "true"])
        .output();
    let works = tried.is_ok_and(|output| output.status.success());
    ensure!(
        works,
        "--calls needs Linux's perf and the right to count {EVENT}"
    );
    Ok(())
}

fn run(bin: &Path, row: &Row, stack: &Stack, quick: bool, folder: &Path) -> Result<Value> {
    let program = bin.join(row.binary(stack));
    let (of_server, of_client) = (folder.join("server"), folder.join("client"));
    let mut server = perf(&of_server, &program);
    // perf says that its program was terminated, as it should be.
    server.stderr(Stdio::null());
    let mut server = Started::new(server.arg("serve").args(over(row, stack)))?;
    let address = server.ready().context("starting the server")?;
    let client = perf(&of_client, &program)
        .args(arguments(row, stack, &address, quick))
        .output()?;
    let report = report(&client)?;
    end_child(server.0.id())?;
    server.0.wait()?;
    let mib = report["mib"].as_f64().context("no bytes were moved")?;
    Ok(json!({
        "client_calls_per_mib": counted(&of_client)? / mib,
        "server_calls_per_mib": counted(&of_server)? / mib,
    }))
}

fn perf(out: &PathBuf, program: &Path) -> Command {
    let mut perf = super::command(Path::new("perf"));
    perf.args(["stat", "-x", ",", "-e", EVENT, "-o"]).arg(out);
    perf.arg("--").arg(program);
    perf
}

/// perf writes its count when what it watches has ended.
fn end_child(perf: u32) -> Result<()> {
    let children = fs::read_to_string(format!("/proc/{perf}/task/{perf}/children"))?;
    let ended = Command::new("kill")
        .args(children.split_whitespace())
        .status()?;
    ensure!(ended.success(), "the server cannot be ended");
    Ok(())
}

fn counted(file: &Path) -> Result<f64> {
    count_in(&fs::read_to_string(file)?).context("perf has counted nothing")
}

/// From lines such as `1064,,raw_syscalls:sys_enter,…`.
pub(super) fn count_in(output: &str) -> Option<f64> {
    let line = output.lines().find(|line| line.contains(EVENT))?;
    line.split(',').next()?.parse().ok()
}

const EVENT: &str = "raw_syscalls:sys_enter";
