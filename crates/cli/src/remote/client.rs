//! A client of the daemon's socket: calls one after the other, and the notifications of one subscription.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::failure::Failure;

/// The daemon answers every call before this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(360);

/// A connection to a daemon.
#[derive(Debug)]
pub(crate) struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    calls: u64,
}

impl Client {
    pub(crate) fn new(pipe: UnixStream) -> Self {
        let (reader, writer) = pipe.into_split();
        Self {
            lines: BufReader::new(reader).lines(),
            writer,
            calls: 0,
        }
    }

    /// Calls a method and waits for its answer; notifications that come meanwhile are dropped.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.calls += 1;
        let call = json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params});
        let line = format!("{call}\n");
        self.writer.write_all(line.as_bytes()).await.map_err(lost)?;
        loop {
            let line = timeout(ANSWER_TIMEOUT, self.line()).await;
            let mut answer = line.map_err(|_| lost("it does not answer"))??;
            if answer["id"].is_null() && answer["error"].is_null() {
                continue;
            }
            if let Some(error) = answer.get("error") {
                return Err(refused(method, error));
            }
            return Ok(answer["result"].take());
        }
    }

    /// The next notification of what was subscribed to.
    pub(crate) async fn notice(&mut self) -> Result<Value, Failure> {
        loop {
            let mut line = self.line().await?;
            if !line["params"]["result"].is_null() {
                return Ok(line["params"]["result"].take());
            }
        }
    }

    async fn line(&mut self) -> Result<Value, Failure> {
        let line = self.lines.next_line().await.map_err(lost)?;
        let line = line.ok_or_else(|| lost("it has closed the connection"))?;
        serde_json::from_str(&line).map_err(lost)
    }
}

fn lost(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        format!("cannot talk to the daemon: {error}"),
        "check that it is running; its log may say more",
    )
}

/// Its text names the remedy, unless it is JSON-RPC's own.
fn refused(method: &str, error: &Value) -> Failure {
    let text = error["message"]
        .as_str()
        .unwrap_or("it refuses without a word");
    match error["code"].as_i64() {
        Some(code) if code <= -32000 => Failure::new(
            format!("the daemon does not take this call of {method}: {text}"),
            "`carrick daemon --schema` lists the methods and their parameters",
        ),
        _ => Failure::whole(text),
    }
}
