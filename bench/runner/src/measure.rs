//! One measurement: start a server, let a client run one workload against it, end the server.

mod calls;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
pub(crate) use calls::{check as check_calls, count as count_calls};
use serde_json::{Value, json};

use crate::plan::{FULL, QUICK, Row, Stack};

pub(crate) struct Sample {
    pub(crate) row: &'static str,
    pub(crate) stack: &'static str,
    pub(crate) round: u32,
    pub(crate) result: Result<Value>,
}

impl Sample {
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.result.as_ref().ok()?.get(key)?.as_f64()
    }

    pub(crate) fn json(&self) -> Value {
        let mut json = match &self.result {
            Ok(report) => report.clone(),
            Err(error) => json!({ "failed": format!("{error:#}") }),
        };
        json["row"] = self.row.into();
        json["stack"] = self.stack.into();
        json["round"] = self.round.into();
        json
    }
}

pub(crate) fn measure(bin: &Path, row: &Row, stack: &Stack, round: u32, quick: bool) -> Sample {
    Sample {
        row: row.name,
        stack: stack.name,
        round,
        result: run(bin, row, stack, quick),
    }
}

fn run(bin: &Path, row: &Row, stack: &Stack, quick: bool) -> Result<Value> {
    let program = bin.join(row.binary(stack));
    let mut server = Started::new(command(&program).arg("serve").args(over(row, stack)))?;
    let mut address = server.ready().context("starting the server")?;
    let _relay = match row.path {
        None => None,
        Some(path) => {
            let (rest, socket) = socket_of(&address)?;
            let mut relay = command(&bin.join("bench-impair"));
            let mut relay = Started::new(relay.args(path).arg(&socket))?;
            let at = relay.ready().context("starting the relay")?;
            address = rest(&at)?;
            Some(relay)
        }
    };
    let client = command(&program)
        .args(arguments(row, stack, &address, quick))
        .args(["--server-pid", &server.0.id().to_string()])
        .output()?;
    report(&client)
}

/// Of both sides. What a stack says goes last and is stronger.
fn over<'a>(row: &Row, stack: &Stack) -> impl Iterator<Item = &'a str> {
    row.over.iter().chain(stack.over).copied()
}

fn arguments<'a>(row: &Row, stack: &Stack, address: &'a str, quick: bool) -> Vec<&'a str> {
    let (workload, options) = row.arguments.split_first().expect("a row has a workload");
    let mut arguments = vec!["run", address, stack.workload.unwrap_or(workload)];
    arguments.extend(over(row, stack));
    arguments.extend(FULL);
    arguments.extend(options);
    arguments.extend(if quick { QUICK } else { &[] });
    arguments.extend(stack.options);
    arguments
}

fn report(client: &std::process::Output) -> Result<Value> {
    if !client.status.success() {
        let stderr = String::from_utf8_lossy(&client.stderr);
        bail!(
            "{}",
            stderr.split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }
    serde_json::from_slice(&client.stdout).context("the client's report is not JSON")
}

/// A backtrace for every stream that a stack loses would be measured too.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("RUST_BACKTRACE", "0");
    command
}

/// Ends with its value.
struct Started(Child);

impl Started {
    fn new(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    /// What it prints behind READY.
    fn ready(&mut self) -> Result<String> {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut();
        let stdout = stdout.context("its output is taken already")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line
            .trim()
            .strip_prefix("READY ")
            .context("it did not get ready")?
            .to_owned())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself, which the client noticed.
        let _: std::io::Result<()> = self.0.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.0.wait();
    }
}

/// The `ip:port` in `address`, and how to put another one in its place.
fn socket_of(address: &str) -> Result<(impl Fn(&str) -> Result<String> + use<>, String)> {
    let (before, between) = match address.strip_prefix("/ip4/") {
        Some(_) => ("/ip4/", "/tcp/"),
        None => ("", ":"),
    };
    let inner = address[before.len()..].to_owned();
    let (ip, rest) = inner.split_once(between).context("no port to relay to")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit());
    let (port, behind) = rest.split_at(digits.unwrap_or(rest.len()));
    let (socket, behind) = (format!("{ip}:{port}"), behind.to_owned());
    let put = move |at: &str| {
        let (ip, port) = at.split_once(':').context("the relay gave no port")?;
        Ok(format!("{before}{ip}{between}{port}{behind}"))
    };
    Ok((put, socket))
}

#[cfg(test)]
mod tests;
