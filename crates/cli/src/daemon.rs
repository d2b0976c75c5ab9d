//! `carrick daemon`: a node that other programs control by JSON-RPC 2.0, over a Unix socket of this user's, and over HTTP and
//! WebSocket when asked. In goes what a client wants, out goes what the node says to it; the node itself knows nothing of it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use carrick::Node;
use jsonrpsee::core::server::Methods;
use serde_json::json;
use tokio::{
    net::UnixStream,
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use self::{
    clients::Clients,
    pipe::{Reader, Writer},
    socket::Socket,
    talk::Client,
};
use crate::{failure::Failure, listen, output};

pub(crate) mod api;
mod calls;
mod clients;
mod lines;
mod pipe;
pub(crate) mod socket;
mod talk;

pub(crate) const EXAMPLES: &str = "\
Examples:
  carrick daemon                                          where `carrick peers` and the others find it
  carrick daemon /ip4/0.0.0.0/tcp/4001 --key node.key     the options of `carrick listen` are here, too
  carrick daemon --socket /tmp/mine/carrick.sock          a second one; the others take --daemon=/tmp/mine/carrick.sock
  carrick daemon --schema                                 all methods, as an OpenRPC document
  carrick rpc node_info                                   call one of them
  echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"node_info\"}' | nc -UN $XDG_RUNTIME_DIR/carrick/carrick.sock
                                                          the same without carrick: a call is a line, and so is its answer

Whoever can reach the socket controls the node, so its directory must be this user's alone; it is made if it is not there.
Stops at Ctrl-C, SIGTERM or the call node_shutdown: open streams get 5 s to finish.";

/// How long nobody is taken after the system had no socket to give.
const PAUSE: Duration = Duration::from_millis(200);
/// How long answers may take to leave when the daemon ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

// No documentation: clap would take it for that of the command.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    node: listen::Args,
    #[command(flatten)]
    doors: DoorArgs,
    /// Print the methods as an OpenRPC document, and end.
    #[arg(long)]
    schema: bool,
}

// No documentation: see above.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct DoorArgs {
    /// Where to make the socket. Without it: $XDG_RUNTIME_DIR/carrick/carrick.sock, or else ~/.carrick/carrick.sock.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    if args.schema {
        return output::result(api::SCHEMA.trim_end());
    }
    let doors = Doors::open(&args.doors).await?;
    let running = listen::start(&args.node).await?;
    doors.tell(args.node.json)?;
    let daemon = start(running.node.clone(), doors);
    running.until(daemon.asked_to_stop()).await;
    daemon.end().await;
    Ok(())
}

/// Where clients come in; they wait there until [`start`].
#[derive(Debug)]
pub(crate) struct Doors {
    socket: Socket,
}

impl Doors {
    async fn open(args: &DoorArgs) -> Result<Self, Failure> {
        let path = match &args.socket {
            Some(path) => path.clone(),
            None => socket::default_path()?,
        };
        Ok(Self {
            socket: Socket::bind(&path).await?,
        })
    }

    fn tell(&self, as_json: bool) -> Result<(), Failure> {
        let path = self.socket.path().display();
        output::result(&if as_json {
            json!({"socket": path.to_string()}).to_string()
        } else {
            format!("socket {path}")
        })
    }
}

/// A daemon that serves; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    stop: Arc<Notify>,
    /// Clients hear of its end.
    open: watch::Sender<()>,
    /// The doors' tasks, and with them those of all clients.
    serving: JoinSet<()>,
}

/// Lets clients control the node.
pub(crate) fn start(node: Node, doors: Doors) -> Daemon {
    let stop = Arc::new(Notify::new());
    let methods = api::methods(node, stop.clone());
    let mut serving = JoinSet::new();
    let (open, closing) = watch::channel(());
    serving.spawn(serve(doors.socket, methods, closing));
    Daemon {
        stop,
        open,
        serving,
    }
}

impl Daemon {
    /// Ready when a client wants the daemon to end.
    pub(crate) async fn asked_to_stop(&self) {
        self.stop.notified().await;
    }

    /// Takes no more calls, and lets the answers leave.
    pub(crate) async fn end(mut self) {
        drop(self.open);
        let _ = timeout(LAST_WORDS, async {
            while self.serving.join_next().await.is_some() {}
        })
        .await;
    }
}

async fn serve(socket: Socket, methods: Methods, closing: watch::Receiver<()>) {
    let mut clients = Clients::new(CLIENTS_MAX, closing.clone());
    let mut closing = closing;
    loop {
        let pipe = tokio::select! {
            pipe = socket.accept() => pipe,
            _ = closing.changed() => break,
        };
        match pipe {
            Ok(pipe) => clients.admit(|client| converse(pipe, client, methods.clone())),
            Err(error) => {
                debug!(%error, "no client was taken");
                sleep(PAUSE).await;
            }
        }
    }
    clients.finish().await;
}

async fn converse(pipe: UnixStream, client: Arc<Client>, methods: Methods) {
    let (reader, writer) = pipe.into_split();
    talk::talk(methods, client, Reader::new(reader), Writer::new(writer)).await;
}

/// Clients of the socket at once.
const CLIENTS_MAX: usize = 128;
