//! `carrick daemon`: a node that other programs control by JSON-RPC 2.0, over a Unix socket of this user's, and over HTTP and
//! WebSocket when asked. In goes what a client wants, out goes what the node says to it; the node itself knows nothing of it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use carrick::{Node, p2pd::Endpoint};
use jsonrpsee::core::server::Methods;
use serde_json::json;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use self::{
    clients::Clients,
    gate::Gate,
    http::Http,
    pipe::{Reader, Writer},
    socket::Socket,
    talk::Client,
};
use crate::{failure::Failure, listen, metrics, output, p2pd};

pub(crate) mod api;
mod calls;
mod clients;
mod gate;
mod http;
mod lines;
mod pipe;
pub(crate) mod socket;
mod talk;
mod token;
mod web;

pub(crate) const EXAMPLES: &str = "\
Examples:
  carrick daemon                                          where `carrick peers` and the others find it
  carrick daemon /ip4/0.0.0.0/tcp/4001 --key node.key     the options of `carrick listen` are here, too
  carrick daemon --socket /tmp/mine/carrick.sock          a second one; the others take --daemon=/tmp/mine/carrick.sock
  carrick daemon --http 8545                              also over HTTP and WebSocket, with a token, for this machine alone
  carrick daemon --p2pd /unix/tmp/p2pd.sock               for the libp2p clients of other languages, too
  carrick daemon --schema                                 all methods, as an OpenRPC document
  carrick rpc node_info                                   call one of them
  echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"node_info\"}' | nc -UN $XDG_RUNTIME_DIR/carrick/carrick.sock
                                                          the same without carrick: a call is a line, and so is its answer

Whoever can reach the socket controls the node, so its directory must be this user's alone; it is made if it is not there.
Stops at Ctrl-C, SIGTERM or the call node_shutdown: open streams get 3 s to finish.";

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
    /// Also take calls over HTTP and WebSocket at this IP address and port; a port alone is one of this machine only. Callers
    /// need the token in the file that is printed.
    #[arg(long, value_name = "ADDR", value_parser = metrics::address)]
    http: Option<SocketAddr>,
    /// Let --http be an address that others can reach. HTTP hides neither calls nor token: put a proxy with TLS before it.
    #[arg(long, requires = "http")]
    http_public: bool,
    /// A name by which callers reach --http, beside localhost, 127.0.0.1 and [::1].
    #[arg(long, value_name = "NAME", requires = "http")]
    http_host: Vec<String>,
    /// Let pages of this origin call, such as https://app.example; they need the token, too.
    #[arg(long, value_name = "ORIGIN", requires = "http")]
    http_origin: Vec<String>,
    /// The token of --http; made if it is not there. Without it, a new one is made beside the socket at each start.
    #[arg(long, value_name = "FILE", requires = "http")]
    token_file: Option<PathBuf>,
    /// Also answer programs that speak the protocol of go-libp2p-daemon, at /unix/PATH or /ip4/127.0.0.1/tcp/PORT. Whoever
    /// reaches a TCP port controls the node.
    #[arg(long, value_name = "ADDR", value_parser = p2pd::endpoint)]
    p2pd: Option<Endpoint>,
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
    http: Option<(Http, PathBuf)>,
    p2pd: Option<p2pd::Service>,
}

impl Doors {
    async fn open(args: &DoorArgs) -> Result<Self, Failure> {
        let path = match &args.socket {
            Some(path) => path.clone(),
            None => socket::default_path()?,
        };
        let socket = Socket::bind(&path).await?;
        let http = match args.http {
            Some(address) => Some(open_http(address, args, &path).await?),
            None => None,
        };
        let p2pd = match &args.p2pd {
            Some(endpoint) => Some(p2pd::Service::bind(endpoint).await?),
            None => None,
        };
        Ok(Self { socket, http, p2pd })
    }

    fn tell(&self, as_json: bool) -> Result<(), Failure> {
        let path = self.socket.path().display();
        output::result(&if as_json {
            json!({"socket": path.to_string()}).to_string()
        } else {
            format!("socket {path}")
        })?;
        if let Some((http, token)) = &self.http {
            let (url, token) = (http.url(), token.display());
            if as_json {
                let told = json!({"http": url, "token_file": token.to_string()});
                output::result(&told.to_string())?;
            } else {
                output::result(&format!("http {url}"))?;
                output::result(&format!("token {token}"))?;
            }
        }
        let Some(p2pd) = &self.p2pd else {
            return Ok(());
        };
        let endpoint = p2pd.endpoint();
        output::result(&if as_json {
            json!({"p2pd": endpoint.to_string()}).to_string()
        } else {
            format!("p2pd {endpoint}")
        })
    }
}

async fn open_http(
    address: SocketAddr,
    args: &DoorArgs,
    socket: &Path,
) -> Result<(Http, PathBuf), Failure> {
    if !address.ip().is_loopback() && !args.http_public {
        return Err(Failure::new(
            format!("others than this machine can reach {address}"),
            "choose a port of 127.0.0.1, or add --http-public and a proxy with TLS",
        ));
    }
    let (file, token) = match &args.token_file {
        Some(file) => (file.clone(), token::load(file)?),
        None => {
            let file = socket.with_added_extension("token");
            let token = token::renew(&file)?;
            (file, token)
        }
    };
    let gate = Gate::new(token, &args.http_host, &args.http_origin);
    Ok((Http::bind(address, gate).await?, file))
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
    let methods = api::methods(node.clone(), stop.clone());
    let mut serving = JoinSet::new();
    let (open, closing) = watch::channel(());
    if let Some(service) = doors.p2pd {
        let mut closing = closing.clone();
        serving.spawn(async move {
            tokio::select! {
                () = service.serve(node, p2pd::Rank::Part) => {}
                _ = closing.changed() => {}
            }
        });
    }
    if let Some((http, _)) = doors.http {
        serving.spawn(serve(Door::Http(http), methods.clone(), closing.clone()));
    }
    serving.spawn(serve(Door::Socket(doors.socket), methods, closing));
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

/// Where clients come in, and how they speak.
enum Door {
    Socket(Socket),
    Http(Http),
}

impl Door {
    async fn accept(&self) -> io::Result<Pipe> {
        Ok(match self {
            Self::Socket(socket) => Pipe::Lines(socket.accept().await?),
            Self::Http(http) => {
                let (pipe, gate) = http.accept().await?;
                Pipe::Http(pipe, gate)
            }
        })
    }
}

/// A client that has come in.
enum Pipe {
    Lines(UnixStream),
    Http(TcpStream, Arc<Gate>),
}

impl Pipe {
    async fn serve(self, client: Arc<Client>, methods: Methods) {
        match self {
            Self::Lines(pipe) => {
                let (reader, writer) = pipe.into_split();
                talk::talk(methods, client, Reader::new(reader), Writer::new(writer)).await;
            }
            Self::Http(pipe, gate) => http::serve(pipe, &gate, client, methods).await,
        }
    }
}

async fn serve(door: Door, methods: Methods, mut closing: watch::Receiver<()>) {
    let mut clients = Clients::new(CLIENTS_MAX, closing.clone());
    loop {
        let next = tokio::select! {
            next = door.accept() => next,
            _ = closing.changed() => break,
        };
        match next {
            Ok(pipe) => clients.admit(|client| pipe.serve(client, methods.clone())),
            Err(error) => {
                debug!(%error, "no client was taken");
                sleep(PAUSE).await;
            }
        }
    }
    clients.finish().await;
}

/// Clients of one door at once.
const CLIENTS_MAX: usize = 128;
