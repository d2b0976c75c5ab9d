//! A file from one process to another, from memory to memory where the machine has a folder for that: with
//! `carrick send` and `carrick receive`, or with nothing but TCP and a cipher. `run` starts both sides itself. The clock
//! starts when the sender has said how to reach it; what it did until then, such as hashing, is told apart.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use bench_limit::{NOISE, Suite, TLS, sealed};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Parser)]
#[command(about = "A file from one process to another")]
enum Cli {
    /// Print READY and wait: what `run` measures it starts itself
    Serve(Ignored),
    /// Copy a file and print one JSON line
    #[command(args_override_self = true)]
    Run {
        address: String,
        with: With,
        #[arg(long, default_value_t = 1 << 31)]
        bytes: u64,
        #[command(flatten)]
        ignored: Ignored,
    },
    /// One side of a copy with the cipher alone: prints where it waits, sends the file and ends
    Send { with: With, file: PathBuf },
    /// The other side
    Receive {
        with: With,
        address: String,
        file: PathBuf,
    },
}

/// What other workloads are told.
#[derive(clap::Args)]
#[command(args_override_self = true)]
struct Ignored {
    #[arg(long)]
    transport: Option<String>,
    #[arg(long)]
    security: Option<String>,
    #[arg(long)]
    secs: Option<f64>,
    #[arg(long)]
    connections: Option<u64>,
    #[arg(long)]
    server_pid: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum With {
    /// The program `carrick`, which is looked for where this one is and in `target/release`
    Carrick,
    /// TCP and ChaCha20-Poly1305
    Noise,
    /// TCP and AES-128-GCM
    Tls,
}

impl With {
    fn suite(self) -> Result<(&'static str, Suite)> {
        match self {
            Self::Noise => Ok(("noise", NOISE)),
            Self::Tls => Ok(("tls", TLS)),
            Self::Carrick => bail!("carrick has its own commands"),
        }
    }
}

fn main() -> Result<()> {
    match Cli::parse() {
        Cli::Serve(_) => {
            println!("READY -");
            loop {
                std::thread::park();
            }
        }
        Cli::Run { with, bytes, .. } => println!("{}", run(with, bytes)?),
        Cli::Send { with, file } => runtime()?.block_on(send(with, &file))?,
        Cli::Receive {
            with,
            address,
            file,
        } => {
            runtime()?.block_on(receive(with, &address, &file))?;
        }
    }
    Ok(())
}

fn run(with: With, bytes: u64) -> Result<Value> {
    let folder = Folder::new()?;
    let file = folder.0.join("file");
    fill(&file, bytes)?;
    let into = folder.0.join("into");
    fs::create_dir(&into)?;
    let preparing = Instant::now();
    let (mut sender, address) = start_sender(with, &file)?;
    let prepare_s = preparing.elapsed().as_secs_f64();
    let started = Instant::now();
    let received = match with {
        With::Carrick => command("carrick")?
            .args(["receive", &address, "--json", "--output"])
            .arg(&into)
            .output()?,
        With::Noise | With::Tls => Command::new(std::env::current_exe()?)
            .args(["receive", with.suite()?.0, &address])
            .arg(into.join("file"))
            .output()?,
    };
    let seconds = started.elapsed().as_secs_f64();
    // It may have ended by itself.
    let _: std::io::Result<()> = sender.kill();
    sender.wait()?;
    let stderr = String::from_utf8_lossy(&received.stderr);
    ensure!(received.status.success(), "{}", stderr.trim());
    let len = fs::metadata(into.join("file"))?.len();
    ensure!(len == bytes, "{len} bytes arrived of {bytes}");
    Ok(json!({
        "mb_s": bytes as f64 / 1e6 / seconds,
        "cpu_s_per_gib": children_cpu_s().map(|cpu_s| cpu_s * GIB / bytes as f64),
        "seconds": seconds,
        "prepare_s": prepare_s,
        "whole_mb_s": bytes as f64 / 1e6 / (seconds + prepare_s),
        "errors": 0,
    }))
}

/// Its process, and what the receiver is told.
fn start_sender(with: With, file: &Path) -> Result<(Child, String)> {
    let mut command = match with {
        With::Carrick => {
            let mut command = command("carrick")?;
            command.args(["send", "--json", "--listen", "/ip4/127.0.0.1/tcp/0"]);
            command
        }
        With::Noise | With::Tls => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["send", with.suite()?.0]);
            command
        }
    };
    command.arg(file).stdout(Stdio::piped());
    let mut sender = command.stderr(Stdio::null()).spawn()?;
    let stdout = sender.stdout.as_mut().context("no output")?;
    let mut lines = BufReader::new(stdout).lines();
    loop {
        let line = lines.next().context("the sender said nothing of use")??;
        match with {
            With::Noise | With::Tls => return Ok((sender, line)),
            With::Carrick => {
                let said: Value = serde_json::from_str(&line)?;
                if let Some(ticket) = said["ticket"].as_str() {
                    let ticket = ticket.to_owned();
                    return Ok((sender, ticket));
                }
            }
        }
    }
}

fn command(name: &str) -> Result<Command> {
    let beside = std::env::current_exe()?.with_file_name(name);
    let found = [beside, Path::new("target/release").join(name)];
    let found = found.into_iter().find(|path| path.is_file());
    let found = found.context("no carrick here: cargo build --release -p carrick-cli")?;
    Ok(Command::new(found))
}

async fn send(with: With, file: &Path) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let (socket, _) = listener.accept().await?;
    let mut out = sealed(socket, with.suite()?.1, false)?;
    let mut file = File::open(file)?;
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(out.shutdown().await?),
            len => out.write_all(&chunk[..len]).await?,
        }
    }
}

async fn receive(with: With, address: &str, file: &Path) -> Result<()> {
    let socket = TcpStream::connect(address).await?;
    let mut inbox = sealed(socket, with.suite()?.1, true)?.into_inner();
    let mut file = File::create_new(file)?;
    loop {
        let bytes = inbox.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        file.write_all(bytes)?;
        let len = bytes.len();
        inbox.consume(len);
    }
}

/// Files block for as long as a copy in memory takes, so nothing is gained by threads for them.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

/// Bytes that no compression and no hole in a file makes fewer. Written and read, they are in memory.
fn fill(file: &Path, bytes: u64) -> Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut file = File::create_new(file)?;
    let mut left = bytes;
    let mut chunk = vec![0; CHUNK_LEN];
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let len = left.min(CHUNK_LEN as u64);
        file.write_all(&chunk[..len as usize])?;
        left -= len;
    }
    Ok(())
}

/// Of all processes that this one has waited for.
fn children_cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(13)? + ticks(14)?) / TICKS_PER_S)
}

/// Gone with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = base.join(format!("bench-copy-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind, it only takes room.
        let _: std::io::Result<()> = fs::remove_dir_all(&self.0);
    }
}

const CHUNK_LEN: usize = 256 << 10;
const GIB: f64 = (1u64 << 30) as f64;
/// What Linux shows to programs, whatever the kernel's own clock.
const TICKS_PER_S: f64 = 100.0;
