//! The interop program on Carrick: one command line for all stacks, `listen` and `dial`. See CONTRIBUTING.md.

use std::{
    io::Write,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use carrick::{Code, Stream, StreamError};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, stdin},
    sync::oneshot,
    time::timeout,
};

use options::Options;

mod bulk;
mod certificates;
mod checks;
mod load;
mod options;
mod requests;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Error> = std::result::Result<T, E>;

const ECHO: &str = "/echo/1.0.0";
const HASH: &str = "/interop/hash/1.0.0";
const SOURCE: &str = "/interop/source/1.0.0";
const LAST_SOURCE: &str = "/interop/last-source/1.0.0";
const OBSERVE: &str = "/interop/observe/1.0.0";
const LAST: &str = "/interop/last/1.0.0";
const RESET: &str = "/interop/reset/1.0.0";
/// Bytes that the source sends.
const SOURCE_LEN: usize = 64 << 10;
/// The most that any check sends in one stream, with room.
const STREAM_MAX: usize = 2 << 20;
const USAGE: &str = "usage: interop-carrick listen|dial ADDR [--transport tcp|ws|wss|quic-v1] [--security noise|tls] [--muxer yamux|mplex]
    [--key-type ed25519|rsa|secp256k1|ecdsa] [--ip 4|6]
    listen: [--tls-cert FILE --tls-key FILE]   dial: [--tls-ca FILE] [--checks a,b] [--bulk-bytes N] [--slow TIMES]
    listen: [--peers-per-ip N]
   or: interop-carrick load ADDR [the same] [--nodes N] [--streams N] [--requests N] [--seconds N] [--request-bytes N] [--pause-ms N] [--patience SECONDS]
   or: interop-carrick certificates FOLDER   writes ca.pem, cert.pem and key.pem";

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let outcome = match (command.as_str(), words) {
        ("certificates", mut words) => {
            certificates::write(&words.next().unwrap_or_default()).map(|()| true)
        }
        ("listen", words) => match Options::parse(words) {
            Ok(options) => listen(&options).await.map(|()| true),
            Err(error) => return usage(&error),
        },
        ("dial", mut words) => match (words.next(), Options::parse(words)) {
            (Some(address), Ok(options)) => checks::run(&address, &options).await,
            (_, Err(error)) => return usage(&error),
            (None, _) => return usage(&"dial needs an address".into()),
        },
        ("load", mut words) => match words.next() {
            Some(address) => load::run(&address, words.collect()).await,
            None => return usage(&"load needs an address".into()),
        },
        _ => return usage(&"listen or dial?".into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn usage(error: &Error) -> ExitCode {
    eprintln!("{error}\n{USAGE}");
    ExitCode::from(2)
}

/// Hands the outcome of one stream to whoever asks for it.
#[derive(Default)]
struct Outcomes(Mutex<Option<oneshot::Receiver<String>>>);

impl Outcomes {
    fn begin(&self) -> oneshot::Sender<String> {
        let (sender, receiver) = oneshot::channel();
        *self.0.lock().expect("no holder panics") = Some(receiver);
        sender
    }

    async fn last(&self) -> String {
        let receiver = self.0.lock().expect("no holder panics").take();
        match receiver {
            Some(receiver) => match timeout(Duration::from_secs(15), receiver).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) | Err(_) => "unfinished".to_owned(),
            },
            None => "none".to_owned(),
        }
    }
}

async fn listen(options: &Options) -> Result {
    let (observed, sourced) = (Arc::new(Outcomes::default()), Arc::new(Outcomes::default()));
    let (observe, source) = (observed.clone(), sourced.clone());
    let node = options
        .builder()?
        .handle(
            ECHO,
            |mut stream: Stream| async move { stream.echo().await },
        )
        .handle(HASH, hash)
        .handle(SOURCE, move |stream| {
            let outcome = source.begin();
            serve_source(stream, outcome)
        })
        .handle(LAST_SOURCE, move |stream| answer(stream, sourced.clone()))
        .handle(OBSERVE, move |stream| {
            let outcome = observe.begin();
            serve_observe(stream, outcome)
        })
        .handle(LAST, move |stream| answer(stream, observed.clone()))
        .handle(RESET, |mut stream: Stream| async move {
            stream.read_chunk().await?;
            stream.reset(Code(7));
            Ok::<_, StreamError>(())
        })
        .handle(bulk::BULK, bulk::serve)
        .listen(options.listen_address().as_str())?
        .spawn()
        .await?;
    requests::serve(&node)?;
    let mut stdout = std::io::stdout();
    for address in node.addresses() {
        writeln!(stdout, "listening {address}")?;
    }
    stdout.flush()?;
    let mut nothing = [0; 64];
    while stdin().read(&mut nothing).await? > 0 {}
    node.close().await;
    Ok(())
}

async fn hash(mut stream: Stream) -> Result {
    let all = stream.read_to_end(STREAM_MAX).await?;
    stream.write_all(&checks::sha256(&all)).await?;
    stream.finish().await?;
    Ok(())
}

async fn serve_source(mut stream: Stream, outcome: oneshot::Sender<String>) -> Result {
    stream.write_all(&checks::pattern(SOURCE_LEN)).await?;
    stream.finish().await?;
    let rest = stream.read_to_end(STREAM_MAX).await?;
    // Nobody may ask.
    let _ = outcome.send(rest.len().to_string());
    Ok(())
}

async fn serve_observe(mut stream: Stream, outcome: oneshot::Sender<String>) -> Result {
    let end = match stream.read_to_end(STREAM_MAX).await {
        Ok(all) => format!("eof {}", all.len()),
        Err(StreamError::Reset(_)) => "reset".to_owned(),
        Err(error) => error.to_string(),
    };
    let _ = outcome.send(end);
    Ok(())
}

async fn answer(mut stream: Stream, outcomes: Arc<Outcomes>) -> Result {
    stream.read_to_end(0).await?;
    stream.write_all(outcomes.last().await.as_bytes()).await?;
    stream.finish().await?;
    Ok(())
}

/// Prints one check's line.
fn report(check: &str, outcome: &Result<checks::Verdict>) {
    let line = match outcome {
        Ok(checks::Verdict::Passed(detail)) => {
            json!({"check": check, "ok": true, "detail": detail})
        }
        Ok(checks::Verdict::Skipped(reason)) => json!({"check": check, "skip": reason}),
        Err(error) => json!({"check": check, "ok": false, "detail": error.to_string()}),
    };
    println!("{line}");
}
