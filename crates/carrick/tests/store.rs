//! A node's memory over restarts: what it knows after it was closed, and after it was killed in the middle of
//! writing. The one that is killed is this program, started again for one of its tests.
//! `CARRICK_KILLS=100 cargo test -p carrick --test store kill -- --nocapture` does so a hundred times.
#![cfg(all(feature = "store", unix))]
#![expect(clippy::unwrap_used, reason = "a test's helpers may fail it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use carrick::{
    Change, Config, FileStore, Keypair, Multiaddr, Node, PeerId, Protocol, Source, Store,
    StoreError,
};

use common::*;

mod common;

/// Tells the child what to do, and where.
const CHILD: &str = "CARRICK_STORE_CHILD";

/// A directory that is gone after the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("carrick-{name}-{}", std::process::id());
        Self(env::temp_dir().join(name))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The nth peer, and where it may be found.
fn peer(n: u64) -> Multiaddr {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&n.to_be_bytes());
    let peer = Keypair::ed25519_from_bytes(seed).unwrap().public();
    let port = u16::try_from(n % 60_000 + 1).unwrap();
    let address: Multiaddr = format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap();
    address.with(Protocol::P2p(peer.to_peer_id()))
}

fn id(address: &Multiaddr) -> PeerId {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => peer,
        _ => panic!("{address} names no peer"),
    }
}

fn config(save_interval: Duration) -> Config {
    let mut config = Config::default();
    config.swarm.save_interval = save_interval;
    // Nobody is to be forgotten, however fast the machine is.
    config.swarm.peers_max = 1 << 20;
    config.swarm.peers_bytes_max = 1 << 30;
    config
}

/// A store that prints a line when something has become durable: which peers, and the age of the oldest that was not.
struct Telling {
    store: FileStore,
    numbers: Arc<Mutex<BTreeMap<String, (u64, Instant)>>>,
}

impl Store for Telling {
    fn load(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.store.load(take)
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.store.write(changes)?;
        let mut numbers = self.numbers.lock().unwrap();
        let durable: Vec<_> = changes
            .iter()
            .filter_map(|(key, _)| numbers.remove(key))
            .collect();
        let newest = durable.iter().map(|(n, _)| *n).max().unwrap_or(0);
        let oldest = numbers.values().map(|(_, at)| at.elapsed()).max();
        let waited = durable
            .iter()
            .map(|(_, at)| at.elapsed())
            .chain(oldest)
            .max();
        let waited = waited.unwrap_or_default().as_millis();
        println!("durable {newest} {waited}");
        std::io::stdout().flush().unwrap();
        Ok(())
    }
}

/// Not a test of its own: what the child does until it is killed.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(task) = env::var(CHILD) else {
        return;
    };
    let (interval, directory) = task.split_once(' ').unwrap();
    let interval = Duration::from_millis(interval.parse().unwrap());
    runtime().block_on(async {
        let numbers = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let store = Telling {
            store: FileStore::open(directory).unwrap(),
            numbers: numbers.clone(),
        };
        let builder = Node::builder().config(config(interval)).store_with(store);
        let node = builder.spawn().await.unwrap();
        for n in 1.. {
            let address = peer(n);
            let key = format!("peer/{}", id(&address));
            numbers.lock().unwrap().insert(key, (n, Instant::now()));
            node.add_addresses(address).await.unwrap();
        }
    });
}

fn spawn(directory: &Path, interval: Duration) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "child_that_writes_until_it_is_killed",
            "--nocapture",
        ])
        .env(
            CHILD,
            format!("{} {}", interval.as_millis(), directory.display()),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the child when it has told of so many batches; the last peer it has told of, and the longest that one waited.
fn kill_after(mut child: Child, batches: usize) -> (u64, u64) {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).filter_map(|line| {
        let mut words = line.split_once("durable ")?.1.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        Some((number()?, number()?))
    });
    let mut told = told.filter(|(newest, _)| *newest > 0).take(batches);
    let mut last = (0, 0);
    for (newest, waited) in &mut told {
        last = (newest.max(last.0), waited.max(last.1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(last.0 > 0, "the child has written nothing");
    last
}

/// The numbers of the peers in the store; every record has to make sense to a node.
fn reopened(directory: &Path, told: u64) -> u64 {
    let found = Arc::new(AtomicU64::new(0));
    let count = found.clone();
    let directory = directory.to_owned();
    run(async move {
        let store = FileStore::open(&directory).unwrap();
        let mut keys = BTreeSet::new();
        store
            .load(&mut |key, _| assert!(keys.insert(key.to_owned())))
            .unwrap();
        let builder = Node::builder().config(config(Duration::from_secs(1)));
        let node = builder.store_with(store).spawn().await.unwrap();
        for n in 1..=told {
            let address = peer(n);
            assert!(
                keys.contains(&format!("peer/{}", id(&address))),
                "{n} of {told} is lost"
            );
            let known = node.peer_metadata(&id(&address)).await.unwrap();
            assert_eq!(known.addresses[0].source, Source::User);
        }
        for key in &keys {
            let peer = key.strip_prefix("peer/").unwrap().parse().unwrap();
            let known = node.peer_metadata(&peer).await.unwrap();
            assert_eq!(known.addresses.len(), 1, "{key}");
        }
        count.store(keys.len() as u64, Ordering::Relaxed);
        node.close().await;
    });
    found.load(Ordering::Relaxed)
}

#[test]
fn nothing_durable_is_lost_by_a_kill_in_the_middle_of_writing() {
    let rounds = env::var("CARRICK_KILLS").map_or(5, |rounds| rounds.parse().unwrap());
    let dir = Dir::new("kill");
    let (mut all, mut longest) = (0, 0);
    for round in 0..rounds {
        // Each round meets what the one before has left, so that a small damage would grow.
        let fresh = round % 10 == 0;
        if fresh {
            let _ = std::fs::remove_dir_all(&dir.0);
        }
        let child = spawn(&dir.0, Duration::from_millis(5));
        let (told, waited) = kill_after(child, 1 + round % 4);
        let found = reopened(&dir.0, told);
        assert!(found >= told);
        (all, longest) = (all + found, waited.max(longest));
    }
    println!(
        "{rounds} kills, {all} records read back, none lost or damaged; saved every 5 ms, the longest wait for the disk {longest} ms"
    );
}

#[test]
fn a_kill_loses_about_the_last_second() {
    let dir = Dir::new("second");
    let child = spawn(&dir.0, Config::default().swarm.save_interval);
    let (told, waited) = kill_after(child, 2);
    assert!(reopened(&dir.0, told) >= told);
    println!("peer {told} was durable; the longest wait of a change was {waited} ms");
}

#[test]
fn a_node_that_was_closed_knows_everything_again() {
    let dir = Dir::new("close");
    run(async {
        let node = || async {
            let builder = Node::builder().config(config(Duration::from_secs(3600)));
            builder.store(&dir.0).unwrap().spawn().await.unwrap()
        };
        let other = server(TCP).await;
        let first = node().await;
        // Changes that come after the first batch wait for the end.
        first.add_addresses(peer(1)).await.unwrap();
        first.ping(other.address()).await.unwrap();
        let color = Some(b"red".to_vec());
        first
            .set_peer_metadata(&id(&peer(2)), "color", color)
            .await
            .unwrap();
        first.close().await;
        drop(first);

        let second = node().await;
        let known = second.peer_metadata(&id(&peer(2))).await.unwrap();
        assert_eq!(known.values["color"], b"red");
        let known = second.peer_metadata(&id(&peer(1))).await.unwrap();
        assert_eq!(known.addresses[0].source, Source::User);
        let known = second.peer_metadata(&other.id()).await.unwrap();
        assert_eq!(known.addresses[0].source, Source::Dialed);
        assert!(!known.connected && known.last_seen.is_some() && known.rtt.is_some());
        // It is dialed by its id alone.
        second.ping(other.id()).await.unwrap();
        let known = second.peer_metadata(&other.id()).await.unwrap();
        assert!(known.connected);
        second.close().await;
    });
}

/// A disk that is full until there is room.
#[derive(Default)]
struct Full {
    tried: AtomicU64,
    has_room: AtomicU64,
    kept: Mutex<BTreeSet<String>>,
}

impl Store for Full {
    fn load(&self, _take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        Ok(())
    }

    fn write(&self, changes: &[Change]) -> Result<(), StoreError> {
        self.tried.fetch_add(1, Ordering::Relaxed);
        if self.has_room.load(Ordering::Relaxed) == 0 {
            return Err(StoreError::Failed("no space left on device".to_owned()));
        }
        let keys = changes.iter().map(|(key, _)| key.clone());
        self.kept.lock().unwrap().extend(keys);
        Ok(())
    }
}

#[test]
fn a_full_disk_stops_nothing_and_gets_everything_when_there_is_room() {
    run(async {
        let disk = Arc::<Full>::default();
        let builder = Node::builder().config(config(Duration::from_millis(1)));
        let node = builder.store_with(disk.clone()).spawn().await.unwrap();
        for n in 1..=3 {
            node.add_addresses(peer(n)).await.unwrap();
            let tried = || disk.tried.load(Ordering::Relaxed) >= n;
            eventually("it is tried", tried).await;
        }
        assert!(disk.kept.lock().unwrap().is_empty());
        assert!(node.peer_metadata(&id(&peer(1))).await.is_some());
        disk.has_room.store(1, Ordering::Relaxed);
        node.add_addresses(peer(4)).await.unwrap();
        let kept = || disk.kept.lock().unwrap().len() == 4;
        eventually("it is kept", kept).await;
        node.close().await;
    });
}

struct Broken;

impl Store for Broken {
    fn load(&self, _take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        Err(StoreError::Failed("the shelf is gone".to_owned()))
    }

    fn write(&self, _changes: &[Change]) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
fn a_node_whose_store_cannot_be_read_is_not_spawned() {
    run(async {
        let refused = Node::builder()
            .store_with(Broken)
            .spawn()
            .await
            .unwrap_err();
        assert_eq!(refused.to_string(), "the store failed: the shelf is gone");
    });
}
