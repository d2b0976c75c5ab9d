//! A Redis client, as much of one as the suites need: a command out, a reply in. Replies are bounded in size and time.
//!
//! Spec: the Redis serialization protocol, version 2.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};

/// A connection to Redis.
#[derive(Debug)]
pub(crate) struct Redis(BufStream<TcpStream>);

/// What Redis answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Text(String),
    Error(String),
    Number(i64),
    Nothing,
    List(Vec<Self>),
}

impl Redis {
    /// Connects to `host:port`; a Redis that is not there yet is waited for.
    pub(crate) async fn connect(address: &str, deadline: Instant) -> io::Result<Self> {
        loop {
            let connected = timeout_at(deadline, TcpStream::connect(address)).await?;
            match connected {
                Ok(stream) => return Ok(Self(BufStream::new(stream))),
                Err(error) if Instant::now() + PAUSE > deadline => return Err(error),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Runs a command that answers at once.
    pub(crate) async fn run(&mut self, command: &[&str]) -> io::Result<Reply> {
        self.wait(command, Duration::ZERO).await
    }

    /// Runs a command that may wait for so long before it answers.
    async fn wait(&mut self, command: &[&str], patience: Duration) -> io::Result<Reply> {
        let exchange = async {
            self.0.write_all(&encode(command)).await?;
            self.0.flush().await?;
            self.reply().await
        };
        timeout(patience + REPLY_TIMEOUT, exchange).await?
    }

    /// Leaves a value where the transport suite looks for it: in a list.
    pub(crate) async fn push(&mut self, key: &str, value: &str) -> io::Result<()> {
        // What an earlier run left would be found first.
        self.run(&["DEL", key]).await?.ok()?;
        self.run(&["RPUSH", key, value]).await?.ok()
    }

    /// Leaves a value where the perf suite looks for it: in a string.
    pub(crate) async fn set(&mut self, key: &str, value: &str) -> io::Result<()> {
        self.run(&["SET", key, value]).await?.ok()
    }

    /// Waits for a value, in a list or in a string.
    pub(crate) async fn find(&mut self, key: &str, deadline: Instant) -> io::Result<String> {
        while Instant::now() < deadline {
            match self.run(&["TYPE", key]).await? {
                Reply::Text(kind) if kind == "string" => {
                    if let Reply::Text(value) = self.run(&["GET", key]).await? {
                        return Ok(value);
                    }
                }
                Reply::Text(kind) if kind == "none" => sleep(PAUSE).await,
                // Also a proxy that does not know TYPE, or not for this key.
                _ => {
                    if let Some(value) = self.pop(key).await? {
                        return Ok(value);
                    }
                }
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// Waits for a value in a list.
    pub(crate) async fn find_in_list(
        &mut self,
        key: &str,
        deadline: Instant,
    ) -> io::Result<String> {
        while Instant::now() < deadline {
            if let Some(value) = self.pop(key).await? {
                return Ok(value);
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    async fn pop(&mut self, key: &str) -> io::Result<Option<String>> {
        match self
            .wait(&["BLPOP", key, "1"], Duration::from_secs(1))
            .await?
        {
            Reply::List(items) => match <[Reply; 2]>::try_from(items) {
                Ok([_, Reply::Text(value)]) => Ok(Some(value)),
                _ => Err(broken("BLPOP gives a key and a value")),
            },
            Reply::Nothing => Ok(None),
            other => other.ok().map(|()| None),
        }
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let (kind, rest) = self.line().await?;
        match kind {
            b'*' => {
                let Some(len) = length(&rest, ITEMS_MAX)? else {
                    return Ok(Reply::Nothing);
                };
                let mut items = Vec::new();
                for _ in 0..len {
                    let (kind, rest) = self.line().await?;
                    items.push(self.scalar(kind, rest).await?);
                }
                Ok(Reply::List(items))
            }
            kind => self.scalar(kind, rest).await,
        }
    }

    async fn scalar(&mut self, kind: u8, rest: String) -> io::Result<Reply> {
        Ok(match kind {
            b'+' => Reply::Text(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Number(rest.parse().map_err(|_| broken("not a number"))?),
            b'$' => match length(&rest, BULK_MAX)? {
                None => Reply::Nothing,
                Some(len) => {
                    let mut bytes = vec![0; len + 2];
                    self.0.read_exact(&mut bytes).await?;
                    let text = bytes.strip_suffix(b"\r\n").map(<[u8]>::to_vec);
                    let text = text.ok_or_else(|| broken("a value without its end"))?;
                    Reply::Text(String::from_utf8(text).map_err(|_| broken("not text"))?)
                }
            },
            _ => return Err(broken("an unknown kind of reply")),
        })
    }

    async fn line(&mut self) -> io::Result<(u8, String)> {
        let mut line = String::new();
        (&mut self.0).take(LINE_MAX).read_line(&mut line).await?;
        let mut text = line
            .strip_suffix("\r\n")
            .ok_or_else(|| broken("a line without its end"))?
            .bytes();
        let kind = text.next().ok_or_else(|| broken("an empty line"))?;
        String::from_utf8(text.collect())
            .map(|rest| (kind, rest))
            .map_err(|_| broken("not text"))
    }
}

impl Reply {
    /// Nothing but an error is one.
    fn ok(self) -> io::Result<()> {
        match self {
            Self::Error(text) => Err(io::Error::other(format!("Redis says: {text}"))),
            _ => Ok(()),
        }
    }
}

fn encode(command: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len());
    for word in command {
        bytes += &format!("${}\r\n{word}\r\n", word.len());
    }
    bytes.into_bytes()
}

/// `None` stands for no value.
fn length(text: &str, max: usize) -> io::Result<Option<usize>> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(len) => usize::try_from(len)
            .ok()
            .filter(|len| *len <= max)
            .map(Some)
            .ok_or_else(|| broken("a length out of bounds")),
        Err(_) => Err(broken("not a length")),
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("not a reply of Redis: {what}"),
    )
}

const PAUSE: Duration = Duration::from_millis(50);
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
const LINE_MAX: u64 = 4096;
const BULK_MAX: usize = 64 << 10;
const ITEMS_MAX: usize = 16;

#[cfg(test)]
mod tests;
