//! The demonstration: four nodes, each a process of its own, under a steady stream of submissions; one is killed without warning
//! and started again. In the end all four ledgers must be equal and hold whatever was acknowledged.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use carrick::{
    Keypair,
    actors::{Client, ClientOptions},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    chain::hash,
    node::{Failure, peer_socket, socket},
    words::{Entry, RPC, Receipt, Status, ask, rpc},
};

/// What was acknowledged: where it is, and what it says.
type Receipts = BTreeMap<Receipt, String>;

/// Runs it; a step that takes longer than `patience` is a failure.
///
/// # Errors
/// A node did not start, a step took too long, or the ledgers differ.
pub(crate) async fn run(
    root: &Path,
    nodes: usize,
    step: usize,
    patience: Duration,
) -> Result<(), Failure> {
    let directories = prepare(root, nodes)?;
    let mut running = Vec::new();
    for directory in &directories {
        running.push(start(root, directory, patience).await?);
    }
    println!("{nodes} nodes are ready");

    let (receipts, mut seen) = watch::channel(Receipts::new());
    let (stop, stopped) = watch::channel(false);
    let mut submitters = JoinSet::new();
    for (node, directory) in directories.iter().enumerate() {
        let address = directory.clone();
        submitters.spawn(submit(node, address, receipts.clone(), stopped.clone()));
    }
    let mut acknowledged = 0;
    let mut more = async |what: &str| -> Result<(), Failure> {
        let enough = acknowledged + step;
        let wait = seen.wait_for(|receipts| receipts.len() >= enough);
        acknowledged = timeout(patience, wait)
            .await
            .map_err(|_| format!("{enough} transactions were not acknowledged {what}"))??
            .len();
        println!("{acknowledged} transactions acknowledged {what}");
        Ok(())
    };
    more("by four").await?;
    let line = "is anybody there?".to_owned();
    let _: Result<(), _> = ask(&client(&directories[0]).await?, rpc::SAY, &line).await;
    let heard = format!("node 0: {line}");
    until(patience, "the line of chat did not arrive", async || {
        let lines: Vec<String> = ask(&client(&directories[1]).await?, rpc::HEARD, &()).await?;
        Ok(lines.contains(&heard))
    })
    .await?;
    println!("node 1 has heard \"{heard}\"");

    let victim = nodes - 1;
    running[victim].kill().await?;
    println!("node {victim} was killed");
    more("with one node dead").await?;
    let before = status(&directories[0]).await?.entries;
    running[victim] = start(root, &directories[victim], patience).await?;
    until(patience, "the node did not catch up", async || {
        Ok(status(&directories[victim]).await?.entries >= before)
    })
    .await?;
    println!("node {victim} was started again and has caught up: {before} entries");
    more("by four again").await?;

    stop.send_replace(true);
    submitters.join_all().await;
    let receipts = receipts.borrow().clone();
    until(patience, "the ledgers did not become equal", async || {
        let mut all = Vec::new();
        for directory in &directories {
            all.push(status(directory).await?);
        }
        Ok(all.windows(2).all(|pair| pair[0] == pair[1]))
    })
    .await?;
    judge(&directories, &receipts).await
}

/// Reads all ledgers, entry by entry.
async fn judge(directories: &[PathBuf], receipts: &Receipts) -> Result<(), Failure> {
    let mut hashes = Vec::new();
    for (node, directory) in directories.iter().enumerate() {
        let ledger = ledger(&client(directory).await?).await?;
        for (receipt, text) in receipts {
            let is_there =
                |entry: &&Entry| (entry.time, entry.node) == (receipt.time, receipt.node);
            if ledger
                .iter()
                .find(is_there)
                .is_none_or(|entry| entry.text != *text)
            {
                return Err(
                    format!("node {node} has lost {text:?}, which was acknowledged").into(),
                );
            }
        }
        let hash = hash(ledger.iter());
        println!("node {node}: {} entries, SHA-256 {hash}", ledger.len());
        hashes.push(hash);
    }
    if hashes.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err("the ledgers differ".into());
    }
    println!(
        "all ledgers are equal and hold the {} acknowledged transactions",
        receipts.len()
    );
    Ok(())
}

/// Makes a directory and a key for each node, and the list of members.
fn prepare(root: &Path, nodes: usize) -> Result<Vec<PathBuf>, Failure> {
    let (mut directories, mut members) = (Vec::new(), String::new());
    for node in 0..nodes {
        let directory = root.join(format!("node-{node}"));
        // Keys and ledgers of another time are left alone: then this fails.
        DirBuilder::new().mode(0o700).create(&directory)?;
        let keypair = Keypair::generate_ed25519();
        fs::write(directory.join("key"), keypair.to_protobuf_encoding()?)?;
        let address = peer_socket(&directory, keypair.public().to_peer_id());
        members.push_str(&format!("{address}\n"));
        directories.push(directory);
    }
    fs::write(root.join("members"), members)?;
    Ok(directories)
}

/// Starts a node and waits until it says that it is ready. It ends with this process, whose pipe it reads.
async fn start(root: &Path, directory: &Path, patience: Duration) -> Result<Child, Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["node", "--until-stdin-ends", "--directory"])
        .arg(directory)
        .arg("--members")
        .arg(root.join("members"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child
        .stdout
        .take()
        .ok_or("the node has no standard output")?;
    let mut line = String::new();
    timeout(patience, BufReader::new(stdout).read_line(&mut line)).await??;
    if line.ends_with("is ready\n") {
        Ok(child)
    } else {
        Err(format!("the node in {} did not start", directory.display()).into())
    }
}

/// Submits to one node, one after the other, until it is told to stop; while the node is dead, it tries to reach it again.
async fn submit(
    node: usize,
    directory: PathBuf,
    receipts: watch::Sender<Receipts>,
    mut stopped: watch::Receiver<bool>,
) {
    let submit = async {
        for number in 0.. {
            let text = format!("transaction {number} by way of node {node}");
            // What was not acknowledged may be in the ledger all the same, so it is not submitted again.
            if let Ok(receipt) = one(&directory, &text).await {
                receipts.send_modify(|receipts| drop(receipts.insert(receipt, text)));
            } else {
                sleep(POLL).await;
            }
        }
    };
    tokio::select! {
        () = submit => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

async fn one(directory: &Path, text: &String) -> Result<Receipt, Failure> {
    Ok(ask(&client(directory).await?, rpc::SUBMIT, text).await?)
}

async fn status(directory: &Path) -> Result<Status, Failure> {
    Ok(ask(&client(directory).await?, rpc::STATUS, &()).await?)
}

async fn ledger(client: &Client) -> Result<Vec<Entry>, Failure> {
    let mut ledger = Vec::new();
    loop {
        let page: Vec<Entry> = ask(client, rpc::PAGE, &ledger.len()).await?;
        if page.is_empty() {
            return Ok(ledger);
        }
        ledger.extend(page);
    }
}

/// A connection to a node, as any program makes it.
pub(crate) async fn client(directory: &Path) -> io::Result<Client> {
    Client::dial(socket(directory), RPC, ClientOptions::default()).await
}

/// Asks again and again until it is so. An error is a reason to ask again: a node may just be starting.
async fn until(
    patience: Duration,
    otherwise: &str,
    mut is_so: impl AsyncFnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let wait = async {
        while !is_so().await.unwrap_or(false) {
            sleep(POLL).await;
        }
    };
    timeout(patience, wait).await.map_err(|_| otherwise.into())
}

const POLL: Duration = Duration::from_millis(50);
