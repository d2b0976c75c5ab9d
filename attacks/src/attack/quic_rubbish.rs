//! somebody on the path of a QUIC connection who adds to it: garbage of every length, offers of other versions, stateless
//! resets that are none, every packet twenty times, messages of ICMP that no packet fits (MTU 0, 68, 1200), and at last a new source address for
//! every packet. Answered by authentication, which leaves all of it without effect; a connection that wanders may end, but
//! nothing of it stays, and others get in.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use carrick::{Config, Multiaddr, Node, Stream};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Attack, Check, Outcome, PLAIN, Scene};
use crate::{
    ground::{self, VICTIM_V4},
    victim::TCP_PORT,
};

pub(super) const ATTACK: Attack = Attack {
    id: "Q-03",
    name: "rubbish on a QUIC path",
    rss_mib: 32,
    run: |scene| Box::pin(run(scene)),
    ..PLAIN
};

async fn run(scene: Arc<Scene>) -> io::Result<Outcome> {
    let path = Path::open(&scene).await?;
    let config = Config {
        idle_timeout: None,
        ..Config::default()
    };
    let node = Node::builder()
        .config(config)
        .spawn()
        .await
        .map_err(io::Error::other)?;
    let connection = timeout(PATIENCE, node.dial(path.address.clone())).await?;
    let connection = connection.map_err(io::Error::other)?;
    let mut stream = connection
        .open_stream("/echo/1.0.0")
        .await
        .map_err(io::Error::other)?;
    let mut outcome = Outcome::default();
    let before = echoes(&mut stream).await;
    outcome
        .checks
        .push(Check::new(before, "the connection works before"));
    let seen = path.seen();
    let long = seen.iter().find(|packet| packet[0] & 0x80 != 0);
    let short = seen.iter().find(|packet| packet[0] & 0x80 == 0);
    let (Some(long), Some(short)) = (long, short) else {
        return Err(io::Error::other("no packets were seen on the path"));
    };
    let again = scene.scale(20, 5);
    for (what, packets) in [
        ("garbage of every length", garbage()),
        ("offers of other versions", versions(long)),
        ("stateless resets that are none", resets(short)),
        (
            "every packet again and again",
            vec![seen.clone(); again as usize].concat(),
        ),
    ] {
        for (n, packet) in packets.iter().enumerate() {
            path.inject(packet).await;
            if n % 32 == 0 {
                sleep(Duration::from_millis(2)).await;
            }
        }
        outcome.tried += packets.len() as u64;
        outcome.refused += packets.len() as u64;
        let works = echoes(&mut stream).await;
        outcome
            .checks
            .push(Check::new(works, format!("{what}: the connection works")));
    }
    shrink(&path, &mut stream, &mut outcome).await?;
    path.wandering.store(1, Ordering::Relaxed);
    let _ = timeout(WANDER, async {
        while echoes(&mut stream).await {
            outcome.tried += 1;
        }
    })
    .await;
    path.wandering.store(0, Ordering::Relaxed);
    let newcomer = Node::spawn().await.map_err(io::Error::other)?;
    let dialed = timeout(PATIENCE, newcomer.dial(path.address.clone()));
    let works = matches!(dialed.await, Ok(Ok(_)));
    let _ = timeout(PATIENCE, connection.close()).await;
    outcome.checks.push(Check::new(
        works,
        "after it has wandered, others get in over QUIC",
    ));
    Ok(outcome)
}

/// Forged messages of routers.
async fn shrink(path: &Path, stream: &mut Stream, outcome: &mut Outcome) -> io::Result<()> {
    for mtu in [0, 68, 1200] {
        for _ in 0..100 {
            outcome.tried += 1;
            too_large(path.source()?, mtu)?;
        }
        let works = echoes(stream).await;
        let text = format!("packets are too large for {mtu}, says ICMP: the connection works");
        outcome.checks.push(Check::new(works, text));
    }
    Ok(())
}

async fn echoes(stream: &mut Stream) -> bool {
    let words = [7; 1000];
    let talk = async {
        stream.write_all(&words).await.map_err(io::Error::other)?;
        let mut answer = [0; 1000];
        stream
            .read_exact(&mut answer)
            .await
            .map_err(io::Error::other)?;
        Ok::<_, io::Error>(answer == words)
    };
    matches!(timeout(PATIENCE, talk).await, Ok(Ok(true)))
}

/// A relay between an honest dialer and the victim, which belongs to the attacker.
struct Path {
    address: Multiaddr,
    /// What the dialer has sent.
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    outside: Vec<Arc<UdpSocket>>,
    /// Which source is used next; 0 for always the first.
    wandering: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Path {
    async fn open(scene: &Scene) -> io::Result<Self> {
        let inside = Arc::new(UdpSocket::bind("9.0.0.2:0").await?);
        let port = inside.local_addr()?.port();
        let address = format!("/ip4/9.0.0.2/udp/{port}/quic-v1")
            .parse()
            .map_err(io::Error::other)?;
        let (seen, wandering) = (
            Arc::<Mutex<Vec<Vec<u8>>>>::default(),
            Arc::<AtomicUsize>::default(),
        );
        let dialer = Arc::new(Mutex::new(None));
        let (mut tasks, mut outside) = (JoinSet::new(), Vec::new());
        for n in 0..SOURCES {
            let socket = Arc::new(UdpSocket::bind((ground::attacker_apart(n), 0)).await?);
            socket.connect(scene.quic()).await?;
            let (own, inside, dialer) = (socket.clone(), inside.clone(), dialer.clone());
            outside.push(socket);
            tasks.spawn(async move {
                let mut packet = vec![0; 65_536];
                loop {
                    // A refusal that the kernel passes on is no packet.
                    let Ok(len) = own.recv(&mut packet).await else {
                        continue;
                    };
                    let to: Option<SocketAddr> =
                        *dialer.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(to) = to {
                        let _ = inside.send_to(&packet[..len], to).await;
                    }
                }
            });
        }
        let (own, all, next) = (seen.clone(), outside.clone(), wandering.clone());
        tasks.spawn(async move {
            let mut packet = vec![0; 65_536];
            while let Ok((len, from)) = inside.recv_from(&mut packet).await {
                *dialer.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
                {
                    let mut seen = own.lock().unwrap_or_else(PoisonError::into_inner);
                    if len > 0 && seen.len() < SEEN_MAX {
                        seen.push(packet[..len].to_vec());
                    }
                }
                let at = match next.load(Ordering::Relaxed) {
                    0 => 0,
                    _ => next.fetch_add(1, Ordering::Relaxed),
                };
                let _ = all[at % all.len()].send(&packet[..len]).await;
            }
        });
        Ok(Self {
            address,
            seen,
            outside,
            wandering,
            _tasks: tasks,
        })
    }

    fn seen(&self) -> Vec<Vec<u8>> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends the victim this as if the dialer had.
    async fn inject(&self, packet: &[u8]) {
        let _ = self.outside[0].send(packet).await;
    }

    fn source(&self) -> io::Result<SocketAddr> {
        self.outside[0].local_addr()
    }
}

/// Datagrams of every length, with every kind of first byte.
fn garbage() -> Vec<Vec<u8>> {
    let datagram = |len: usize| {
        let byte = |at: usize| (at.wrapping_mul(167) ^ len.wrapping_mul(31)) as u8;
        let mut datagram: Vec<u8> = (0..len).map(byte).collect();
        if len.is_multiple_of(2) && len > 5 {
            datagram[0] = 0xc0 | byte(0) & 0x3f;
            datagram[1..5].copy_from_slice(&[0, 0, 0, 1]);
        }
        datagram
    };
    (0..1500).map(datagram).collect()
}

/// Version negotiation with the connection's own ids.
fn versions(long: &[u8]) -> Vec<Vec<u8>> {
    let ids = 6 + usize::from(long[5]);
    let ids = ids + 1 + usize::from(long.get(ids).copied().unwrap_or_default());
    let ids = long.get(5..ids).unwrap_or_default();
    let offer = |n: u32| {
        [
            &[0x80 | n as u8, 0, 0, 0, 0],
            ids,
            &(0x0a0a_0a0a + n).to_be_bytes(),
        ]
        .concat()
    };
    (0..100).map(offer).collect()
}

/// Packets of the connection, as far as their first bytes go, and then a token that is none.
fn resets(short: &[u8]) -> Vec<Vec<u8>> {
    let reset = |n: u8| [&short[..short.len().min(9)], &[n; 40]].concat();
    (0..200).map(reset).collect()
}

/// Tells the victim that what it sent to `source` was too large for a link of this size.
fn too_large(source: SocketAddr, mtu: u16) -> io::Result<()> {
    let SocketAddr::V4(source) = source else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let [high, low] = mtu.to_be_bytes();
    let mut message = vec![3, 4, 0, 0, 0, 0, high, low];
    // The head of the packet that it is about: IPv4 without options, UDP, 1200 bytes.
    message.extend_from_slice(&[0x45, 0, 4, 0xcc, 0, 1, 0x40, 0, 63, 17, 0, 0]);
    message.extend_from_slice(&VICTIM_V4.octets());
    message.extend_from_slice(&source.ip().octets());
    message.extend_from_slice(&TCP_PORT.to_be_bytes());
    message.extend_from_slice(&source.port().to_be_bytes());
    message.extend_from_slice(&[4, 0xb8, 0, 0]);
    let sum = message
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = sum.sum::<u32>();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    let to = SocketAddrV4::new(Ipv4Addr::from(VICTIM_V4.octets()), 0);
    socket.send_to(&message, &to.into()).map(|_| ())
}

const SOURCES: u32 = 200;
const SEEN_MAX: usize = 100;
const PATIENCE: Duration = Duration::from_secs(5);
const WANDER: Duration = Duration::from_secs(4);
