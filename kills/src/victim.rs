//! The process that dies: a node with a key and a store in a folder, which does everything once, on whichever side.

use std::{io::Write, path::PathBuf};

use carrick::{Keypair, Multiaddr, PeerId};
use tokio::io::AsyncReadExt;

use crate::deed::{self, Party, text};

/// What the victim does.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its folder, with its key.
    folder: PathBuf,
    /// Who survives.
    survivor: PeerId,
    /// Whom to dial.
    #[arg(long)]
    dial: Option<Multiaddr>,
    /// Where to be dialed.
    #[arg(long)]
    listen: Option<String>,
}

/// Lives through all steps, says on stdout what others wait for, and ends.
pub(crate) async fn run(args: &Args) -> Result<(), String> {
    let key = std::fs::read(args.folder.join(KEY)).map_err(text)?;
    let key = Keypair::from_protobuf_encoding(&key).map_err(text)?;
    let store = args.folder.join(STORE);
    // It is there from the first time on, and what was known then must stay known.
    let met = store.join(MET).exists();
    let party = Party::new(key, deed::config(), args.listen.as_deref(), Some(&store)).await?;
    let known = party.node.peer_metadata(&args.survivor).await;
    let known = known.is_some_and(|known| known.values.contains_key(MET));
    if met && !known {
        return Err("the store has lost what it held".to_owned());
    }
    let value = Some(vec![1; 64]);
    let kept = party.node.set_peer_metadata(&args.survivor, MET, value);
    kept.await.map_err(text)?;
    if let Some(address) = &args.dial {
        party.run(address).await?;
        say("done");
    } else {
        say(&format!("listening {}", party.node.address()));
        let mut rest = Vec::new();
        // The end of stdin is the end of this.
        let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    }
    party.node.close().await;
    std::fs::write(store.join(MET), b"").map_err(text)
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    // Who does not listen has gone.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Its identity, in its folder.
pub(crate) const KEY: &str = "key";
const STORE: &str = "store";
const MET: &str = "met";
