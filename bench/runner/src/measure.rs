//! One measurement: start a server, let a client run one workload against it, end the server.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
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
        result: run(&bin.join(stack.binary), row, stack, quick),
    }
}

fn run(binary: &Path, row: &Row, stack: &Stack, quick: bool) -> Result<Value> {
    let mut over = row.over.to_vec();
    over.extend(stack.over);
    let mut server = Server::start(binary, &over)?;
    let address = server.address()?;
    let client = command(binary)
        .args(["run", &address])
        .args(row.arguments.first())
        .args(over)
        .args(["--server-pid", &server.0.id().to_string()])
        .args(FULL)
        .args(row.arguments.iter().skip(1))
        .args(if quick { QUICK } else { &[] })
        .output()?;
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
fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env("RUST_BACKTRACE", "0");
    command
}

/// Ends with its value.
struct Server(Child);

impl Server {
    fn start(binary: &Path, over: &[&str]) -> Result<Self> {
        let mut server = command(binary);
        server
            .arg("serve")
            .args(over)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Ok(Self(server.spawn().context("starting the server")?))
    }

    fn address(&mut self) -> Result<String> {
        let mut line = String::new();
        let stdout = self
            .0
            .stdout
            .as_mut()
            .context("the server's output is taken already")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line
            .trim()
            .strip_prefix("READY ")
            .context("the server did not get ready")?
            .to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the client noticed.
        let _: std::io::Result<()> = self.0.kill();
        let _: std::io::Result<std::process::ExitStatus> = self.0.wait();
    }
}
