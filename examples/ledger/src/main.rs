//! A ledger on four nodes: transactions that programs submit to any of them spread to all, in one order. Each node is three actors
//! and a fourth that shares their network; the README says what it shows, and what it is not.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use carrick::Multiaddr;
use clap::{Parser, Subcommand};
use tokio::io::AsyncReadExt;

use crate::{
    node::Failure,
    words::{Receipt, Status, ask, rpc},
};

mod chain;
mod demo;
mod link;
mod node;
mod peer_net;
mod programs;
mod social;
mod words;

#[derive(Parser)]
#[command(about = "A ledger on several nodes, as an example of actors, messages and servers")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start nodes, submit to all of them, kill one and start it again, and compare their ledgers.
    #[command(after_help = "Example:\n  ledger demo --transactions 500")]
    Demo {
        /// How many nodes.
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(3..=16))]
        nodes: u8,
        /// Transactions to be acknowledged before the kill, while the node is dead, and after it is back.
        #[arg(long, default_value_t = 200)]
        transactions: usize,
        /// Where the nodes keep their files: a directory without those of an earlier run. By default a temporary one, which is removed.
        #[arg(long)]
        directory: Option<PathBuf>,
        /// Seconds that a step may take.
        #[arg(long, default_value_t = 60)]
        patience: u64,
    },
    /// Run one node.
    #[command(after_help = "Example:\n  ledger node --directory node-0 --members members")]
    Node {
        /// Its directory: the file `key`, its ledger and its socket.
        #[arg(long)]
        directory: PathBuf,
        /// A file with the addresses of all nodes, one a line.
        #[arg(long)]
        members: PathBuf,
        /// End when the standard input ends.
        #[arg(long)]
        until_stdin_ends: bool,
    },
    /// Submit a transaction to a node.
    #[command(after_help = "Example:\n  ledger submit --directory node-0 'three apples to Ann'")]
    Submit {
        /// The node's directory.
        #[arg(long)]
        directory: PathBuf,
        /// What is to be entered.
        text: String,
    },
    /// Show how a node is.
    #[command(after_help = "Example:\n  ledger status --directory node-0")]
    Status {
        /// The node's directory.
        #[arg(long)]
        directory: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ledger: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo {
            nodes,
            transactions,
            directory,
            patience,
        } => {
            let patience = Duration::from_secs(patience);
            let temporary = directory.is_none();
            let name = format!("ledger-{}", std::process::id());
            let root = directory.unwrap_or_else(|| std::env::temp_dir().join(name));
            if temporary {
                DirBuilder::new().mode(0o700).create(&root)?;
            }
            let shown = demo::run(
                &std::path::absolute(&root)?,
                nodes.into(),
                transactions,
                patience,
            )
            .await;
            if temporary {
                fs::remove_dir_all(root)?;
            }
            shown
        }
        Command::Node {
            directory,
            members,
            until_stdin_ends,
        } => {
            let members = fs::read_to_string(members)?;
            let members = members
                .lines()
                .map(str::parse)
                .collect::<Result<Vec<Multiaddr>, _>>()?;
            let end = async {
                let mut stdin = tokio::io::stdin();
                while until_stdin_ends && stdin.read(&mut [0; 64]).await.is_ok_and(|read| read > 0)
                {
                }
                if !until_stdin_ends {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                ended = node::run(&directory, members) => ended,
                () = end => Ok(()),
            }
        }
        Command::Submit { directory, text } => {
            let client = demo::client(&directory).await?;
            let receipt: Receipt = ask(&client, rpc::SUBMIT, &text).await?;
            println!("entered at time {} by node {}", receipt.time, receipt.node);
            Ok(())
        }
        Command::Status { directory } => {
            let client = demo::client(&directory).await?;
            let status: Status = ask(&client, rpc::STATUS, &()).await?;
            println!("{} entries, SHA-256 {}", status.entries, status.hash);
            Ok(())
        }
    }
}
