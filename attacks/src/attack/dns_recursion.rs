//! P-06: a name server that answers with itself, with a hundred names for each name, with 60 KB of text, with six hundred
//! addresses, with other peers, or not at all. Answered by the bounds of a dial: 4 names deep, 32 questions, 16 records of one
//! answer, 16 addresses, a deadline. Here the victim is the command `carrick ping`.

use std::{
    collections::BTreeSet,
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use carrick::Keypair;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    process::Command,
    task::JoinSet,
    time::timeout,
};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::sample;

pub(super) const ATTACK: Attack = Attack {
    id: "P-06",
    name: "names without end",
    rss_mib: 8,
    only_carrick: Some("it dials with `carrick ping`"),
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let _resolver = Resolver::point(&scene.namespace)?;
    let zone = Arc::new(Zone {
        peer: Keypair::generate_ed25519()
            .public()
            .to_peer_id()
            .to_string(),
        other: Keypair::generate_ed25519()
            .public()
            .to_peer_id()
            .to_string(),
        asked: Mutex::default(),
        connected: AtomicU64::new(0),
    });
    let _serving = serve(zone.clone()).await?;
    let mut outcome = Outcome::default();
    for (name, depth_max, dials_max) in [
        ("loop.test", 1, 0),
        ("chain.test", 5, 0),
        ("fan.test", QUESTIONS_MAX, 0),
        ("text.test", 1, 0),
        ("many.test", 1, DIALS_MAX),
        ("others.test", 1, 0),
        ("silent.test", 1, 0),
    ] {
        zone.asked().clear();
        let since = Instant::now();
        let before = sample::dialed(scene.pid)? - zone.connected.load(Ordering::Relaxed);
        let address = format!("/dnsaddr/{name}/p2p/{}", zone.peer);
        let output = Command::new("ip")
            .args(["netns", "exec", &scene.namespace])
            .arg(&scene.carrick)
            .args(["ping", "--count", "1", &address])
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE, output).await;
        let ended = matches!(&output, Ok(Ok(output)) if output.status.code().is_some_and(|code| code != 101 && code != 0));
        let (took, asked) = (since.elapsed(), zone.asked().len() as u64);
        let connected = zone.connected.load(Ordering::Relaxed);
        let dialed = (sample::dialed(scene.pid)? - connected).saturating_sub(before);
        outcome.tried += 1;
        outcome.refused += u64::from(ended);
        outcome.checks.extend([
            Check::new(
                ended,
                format!("{name}: an error after {:.1} s", took.as_secs_f64()),
            ),
            Check::new(asked > 0, format!("{name}: the hostile server is asked")),
            Check::at_most(&format!("{name}: names asked for"), asked, depth_max),
            Check::at_most(&format!("{name}: connections tried"), dialed, dials_max),
            Check::new(
                dialed > 0 || dials_max == 0,
                format!("{name}: addresses are found and tried"),
            ),
        ]);
        if name == "silent.test" {
            let text = format!("{name}: {:.1} s of at most 12 s", took.as_secs_f64());
            outcome.checks.push(Check::new(took <= SILENCE_MAX, text));
        }
    }
    Ok(outcome)
}

/// What the server answers from, and the names it was asked for.
struct Zone {
    peer: String,
    other: String,
    asked: Mutex<BTreeSet<String>>,
    /// Connections to the server itself, for answers that are too long for UDP.
    connected: AtomicU64,
}

impl Zone {
    fn asked(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The TXT records of a name; `None`: no answer at all.
    fn records(&self, name: &str) -> Option<Vec<String>> {
        let name = name.strip_prefix("_dnsaddr.")?;
        let (peer, other) = (&self.peer, &self.other);
        let to = |name: String| format!("dnsaddr=/dnsaddr/{name}/p2p/{peer}");
        let at = |n: u32, who: &str| {
            format!("dnsaddr=/ip4/66.{}.{}.1/tcp/9/p2p/{who}", n / 250, n % 250)
        };
        Some(match name {
            "loop.test" => vec![to(name.to_owned()); 3],
            "chain.test" => vec![to("x.chain.test".to_owned())],
            _ if name.ends_with(".chain.test") => vec![to(format!("x.{name}"))],
            _ if name.ends_with("fan.test") => {
                (0..100).map(|n| to(format!("{n}.{name}"))).collect()
            }
            "text.test" => vec!["dnsaddr=".to_owned() + &"x".repeat(60_000)],
            // As many as fit into an answer.
            "many.test" => (0..600).map(|n| at(n, peer)).collect(),
            "others.test" => (0..10).map(|n| at(n, other)).collect(),
            _ => return None,
        })
    }

    /// The answer to a question, over UDP only as long as may be.
    fn answer(&self, question: &[u8], len_max: usize) -> Option<Vec<u8>> {
        let (name, end) = name(question)?;
        let is_txt = question.get(end..end + 2)? == [0, 16];
        if is_txt {
            self.asked().insert(name.clone());
        }
        let records = if is_txt {
            self.records(&name)?
        } else {
            Vec::new()
        };
        let head = |truncated: bool, count: u16| {
            let flags: [u8; 2] = if truncated {
                [0x87, 0x80]
            } else {
                [0x85, 0x80]
            };
            let [high, low] = count.to_be_bytes();
            let counts = [0, 1, high, low, 0, 0, 0, 0];
            [&question[..2], &flags, &counts, &question[12..end + 4]].concat()
        };
        let mut answer = head(false, records.len() as u16);
        for record in &records {
            let strings: Vec<u8> = record
                .as_bytes()
                .chunks(255)
                .flat_map(|part| [&[part.len() as u8], part].concat())
                .collect();
            answer.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0]);
            answer.extend_from_slice(&(strings.len() as u16).to_be_bytes());
            answer.extend_from_slice(&strings);
        }
        Some(if answer.len() > len_max {
            head(true, 0)
        } else {
            answer
        })
    }
}

/// The name that a message asks for, and where it ends.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let len = usize::from(*question.get(at)?);
        at += 1;
        if len == 0 {
            return Some((labels.join(".").to_lowercase(), at));
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + len)?).into_owned());
        at += len;
    }
}

/// Answers at the address of this side of the cable.
async fn serve(zone: Arc<Zone>) -> io::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let socket = UdpSocket::bind("9.0.0.2:53").await?;
    let listener = TcpListener::bind("9.0.0.2:53").await?;
    let own = zone.clone();
    tasks.spawn(async move {
        let mut question = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut question).await {
            if let Some(answer) = own.answer(&question[..len], 1200) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    tasks.spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let zone = zone.clone();
            zone.connected.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while let Ok(len) = socket.read_u16().await {
                    let mut question = vec![0; len.into()];
                    socket.read_exact(&mut question).await?;
                    if let Some(answer) = zone.answer(&question, 65_535) {
                        socket.write_u16(answer.len() as u16).await?;
                        socket.write_all(&answer).await?;
                    }
                }
                Ok::<_, io::Error>(())
            });
        }
    });
    Ok(tasks)
}

/// Points a namespace to our server; taken back when dropped.
struct Resolver(PathBuf);

impl Resolver {
    fn point(namespace: &str) -> io::Result<Self> {
        let folder = PathBuf::from("/etc/netns").join(namespace);
        fs::create_dir_all(&folder)?;
        let resolver = Self(folder);
        fs::write(resolver.0.join("resolv.conf"), "nameserver 9.0.0.2\n")?;
        Ok(resolver)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const QUESTIONS_MAX: u64 = 32;
const DIALS_MAX: u64 = 16;
const SILENCE_MAX: Duration = Duration::from_secs(12);
const PATIENCE: Duration = Duration::from_secs(40);
