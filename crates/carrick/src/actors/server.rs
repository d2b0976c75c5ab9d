//! The generic server: one actor for what comes from peers, from programs on sockets, and from other actors.
//!
//! A task for each listener and each connection; all they bring ends in one mailbox, which the service's task empties. What
//! holds always: connections, what is under way in each, and the bytes that wait for the service are bounded.

use std::{io, sync::Arc};

use futures::{StreamExt, stream::SelectAll};
use multiaddr::Multiaddr;
use tokio::task::JoinSet;

use super::{
    connections::{Arrival, Connections},
    door,
    frames::ServerError,
    mailbox::{Mailbox, MailboxOptions, Policy, mailbox},
    options::ServerOptions,
    service::Service,
};
use crate::{Incoming, transport::Listener};

/// A server for one protocol: the same for peers, whose streams a node brings, and for programs on sockets.
///
/// Frames are those of messages (`docs/messages.md`), so whatever speaks them may ask: [`Client`](super::Client) over a socket
/// or a stream, or a peer with `Messages`.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use carrick::actors::{Client, Connections, Inbound, Mailbox, Server, ServerOptions, Service};
///
/// struct Upper;
///
/// impl Service for Upper {
///     type Internal = ();
///     async fn handle(&mut self, inbound: Inbound, _: &mut Connections) {
///         let shouted = inbound.payload().to_ascii_uppercase();
///         inbound.reply(Ok(shouted.into()));
///     }
///     async fn handle_internal(&mut self, (): (), _: &mut Connections) {}
/// }
///
/// let mut server = Server::new("/shout/1", ServerOptions::default());
/// let address = server.listen("/ip4/127.0.0.1/tcp/0".parse()?).await?;
/// tokio::spawn(server.run(Upper, Vec::new()));
///
/// let client = Client::dial(address, "/shout/1", Default::default()).await?;
/// assert_eq!(client.request(1, "hello").await?, "HELLO");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    protocol: Arc<str>,
    options: ServerOptions,
    sockets: Vec<Box<dyn Listener>>,
    peers: Vec<Incoming>,
}

impl Server {
    /// One that nobody can reach yet. The protocol's name is part of every frame, as a hash.
    pub fn new(protocol: &str, options: ServerOptions) -> Self {
        Self {
            protocol: protocol.into(),
            options,
            sockets: Vec::new(),
            peers: Vec::new(),
        }
    }

    /// Listens for programs: at `/unix/…`, whose file is for this user alone and must lie in a directory that nobody else may
    /// write to (it is made, for this user alone, if it does not exist); or at a loopback address of TCP, since nothing is encrypted or
    /// authenticated here and every user of the machine may connect. Returns the address with its real port.
    ///
    /// # Errors
    /// The address is not of these kinds, is in use, or its directory is others' as well; the text says which.
    pub async fn listen(&mut self, address: Multiaddr) -> io::Result<Multiaddr> {
        let listener = door::open(address).await?;
        let address = listener.addresses().into_iter().next();
        self.sockets.push(listener);
        address.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Takes the streams of peers, for one protocol or several: `server.accept(node.accept("/ledger/1")?)`.
    pub fn accept(&mut self, incoming: Incoming) {
        self.peers.push(incoming);
    }

    /// Serves until the service says [`Connections::stop`], or nothing can come any more. `froms` are the mailboxes that other
    /// actors fill. Dropping the future ends all connections and cancels what is under way.
    pub async fn run<S: Service>(self, mut service: S, froms: Vec<Mailbox<S::Internal>>) -> S {
        let (doors, mut arrivals) = mailbox(MailboxOptions::new(ARRIVALS, Policy::Wait));
        let mut keepers = JoinSet::new();
        for listener in self.sockets {
            keepers.spawn(door::keep(listener, doors.clone()));
        }
        for incoming in self.peers {
            keepers.spawn(door::keep_peers(incoming, doors.clone()));
        }
        drop(doors);
        let (inbox, mut messages) = mailbox(self.options.mailbox.clone());
        let mut connections = Connections::new(self.protocol, self.options, inbox);
        let mut froms: SelectAll<_> = froms.into_iter().collect();
        let mut are_doors_open = true;
        while !connections.is_stopped() {
            // By chance, so that nothing that comes often starves anything else.
            tokio::select! {
                message = froms.next(), if !froms.is_empty() => {
                    // One of them, or the last of them, may just have ended.
                    if let Some(message) = message {
                        service.handle_internal(message, &mut connections).await;
                    }
                }
                Some(inbound) = messages.recv() => service.handle(inbound, &mut connections).await,
                arrival = arrivals.recv(), if are_doors_open => match arrival {
                    Some(arrival) => admit(arrival, &mut connections, &mut service),
                    None => are_doors_open = false,
                },
                Some((origin, outcome)) = connections.next_end() => {
                    if let Err(error) = outcome {
                        service.handle_errored(&error, &origin);
                    }
                }
            }
            let is_over = !are_doors_open && froms.is_empty() && connections.is_empty();
            if is_over && messages.is_empty() {
                break;
            }
        }
        service
    }
}

/// Lets somebody in, or not.
fn admit(arrival: Arrival, connections: &mut Connections, service: &mut impl Service) {
    let refusal = match connections.check_room() {
        Ok(()) if service.allow_connection(&arrival.origin) => return connections.begin(arrival),
        Ok(()) => ServerError::NotAllowed,
        Err(full) => full,
    };
    connections.count_refusal();
    service.handle_errored(&refusal, &arrival.origin);
}

/// Connections that wait to be let in.
const ARRIVALS: usize = 16;

#[cfg(test)]
mod tests;
