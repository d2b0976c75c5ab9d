//! The server over each kind of connection: replies, cancellations, bounds, ends.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, future::join_all};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinHandle,
};

use super::*;
use crate::{
    Node, PeerId, RequestError,
    actors::{Client, ClientOptions, Inbound, Origin, Priority, Sender, door},
    codec::{Codec, CodecError, Raw},
    messages::{Form, Message, Messages},
    transport::Pipe,
};

const NAME: &str = "/test/1";
/// Far more than a busy machine needs; no test that passes waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shows the test all that comes.
struct Probe {
    inbound: mpsc::Sender<Inbound>,
    seen: mpsc::Sender<Seen>,
    allows: bool,
}

#[derive(Debug, PartialEq)]
enum Seen {
    Internal(&'static str),
    Refused(String),
}

impl Service for Probe {
    type Internal = &'static str;

    async fn handle(&mut self, inbound: Inbound, _: &mut Connections) {
        let _ = self.inbound.send(inbound).await;
    }

    async fn handle_internal(&mut self, message: &'static str, connections: &mut Connections) {
        if message == "stop" {
            connections.stop();
        }
        let _ = self.seen.send(Seen::Internal(message)).await;
    }

    fn allow_connection(&mut self, _: &Origin) -> bool {
        self.allows
    }

    fn handle_errored(&mut self, error: &ServerError, _: &Origin) {
        let _ = self.seen.try_send(Seen::Refused(error.to_string()));
    }
}

#[derive(Clone, Copy)]
enum Via {
    Unix,
    Tcp,
    Peers,
}

/// A server that runs, and the way to it.
struct Ground {
    way: Way,
    inbound: mpsc::Receiver<Inbound>,
    seen: mpsc::Receiver<Seen>,
    internal: Sender<&'static str>,
    running: JoinHandle<Probe>,
    directory: Option<PathBuf>,
}

enum Way {
    Socket(Multiaddr),
    Peer { asker: Node, server: Node },
}

impl Ground {
    async fn new(via: Via, options: ServerOptions) -> Self {
        Self::with(via, options, true, 1000).await
    }

    async fn with(via: Via, options: ServerOptions, allows: bool, taken_max: usize) -> Self {
        let (inbound_to, inbound) = mpsc::channel(taken_max);
        let (seen_to, seen) = mpsc::channel(1000);
        let (internal, from) = mailbox(MailboxOptions::default());
        let mut server = Server::new(NAME, options);
        let mut directory = None;
        let way = match via {
            Via::Unix => {
                let path = directory.insert(fresh_directory()).join("rpc.sock");
                Way::Socket(server.listen(unix(&path)).await.unwrap())
            }
            Via::Tcp => {
                let address = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
                Way::Socket(server.listen(address).await.unwrap())
            }
            Via::Peers => {
                let node = Node::builder().listen("/ip4/127.0.0.1/tcp/0").unwrap();
                let node = node.spawn().await.unwrap();
                server.accept(node.accept(NAME).unwrap());
                let asker = Node::spawn().await.unwrap();
                Way::Peer {
                    asker,
                    server: node,
                }
            }
        };
        let probe = Probe {
            inbound: inbound_to,
            seen: seen_to,
            allows,
        };
        let running = tokio::spawn(server.run(probe, vec![from]));
        Self {
            way,
            inbound,
            seen,
            internal,
            running,
            directory,
        }
    }

    async fn pipe(&self) -> Pipe {
        match &self.way {
            Way::Socket(address) => {
                let transport = door::transport(address).unwrap();
                transport.dial(address.clone()).await.unwrap()
            }
            Way::Peer { asker, server } => {
                Pipe::new(asker.open_stream(server.address(), NAME).await.unwrap())
            }
        }
    }

    async fn client(&self) -> Client {
        self.client_with(|_| {}).await
    }

    async fn client_with(&self, change: impl FnOnce(&mut ClientOptions)) -> Client {
        let mut options = ClientOptions {
            timeout: PATIENCE,
            ..ClientOptions::default()
        };
        change(&mut options);
        Client::over(self.pipe().await, NAME, options)
    }

    async fn next(&mut self) -> Inbound {
        within(self.inbound.recv()).await.expect("the server runs")
    }

    async fn error(&mut self) -> String {
        match within(self.seen.recv()).await {
            Some(Seen::Refused(error)) => error,
            other => panic!("{other:?} instead of an error"),
        }
    }

    /// The error that says so; a peer that is disconnected for one has others as well.
    async fn error_about(&mut self, what: &str) {
        while !self.error().await.contains(what) {}
    }

    fn asker(&self) -> Option<PeerId> {
        match &self.way {
            Way::Socket(_) => None,
            Way::Peer { asker, .. } => Some(asker.id()),
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.running.abort();
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("in time")
}

/// A name that nothing has; the server makes it.
fn fresh_directory() -> PathBuf {
    std::env::temp_dir().join(format!("carrick-{:016x}", rand::random::<u64>()))
}

fn unix(path: &std::path::Path) -> Multiaddr {
    let component = carrick_wire::address::unix::encode(path.as_os_str().as_encoded_bytes());
    Multiaddr::empty().with(multiaddr::Protocol::Unix(component.into()))
}

/// The same tests over every kind of connection.
macro_rules! over_all {
    ($($name:ident),* $(,)?) => {
        mod over_unix_sockets { $(#[tokio::test] async fn $name() { super::$name(super::Via::Unix).await; })* }
        mod over_tcp { $(#[tokio::test] async fn $name() { super::$name(super::Via::Tcp).await; })* }
        mod over_streams_of_peers { $(#[tokio::test] async fn $name() { super::$name(super::Via::Peers).await; })* }
    };
}

over_all! {
    replies_find_their_requests_in_whatever_order_they_come,
    one_way_messages_come_as_they_are,
    a_dropped_request_reaches_the_handler,
    a_request_without_a_reply_ends_at_its_deadline_and_is_cancelled,
    a_handler_s_error_is_the_asker_s,
    as_many_requests_as_allowed_are_under_way_and_one_more_is_busy,
    as_many_connections_as_allowed_are_let_in_and_one_more_is_closed,
    a_payload_as_large_as_allowed_passes_and_one_byte_more_ends_the_connection,
    a_connection_that_says_nothing_is_ended,
    a_frame_that_does_not_end_is_not_waited_for,
    whoever_is_not_allowed_is_not_let_in,
    garbage_ends_its_connection,
    a_connection_that_ends_cancels_what_it_asked,
    a_service_that_is_slow_holds_its_senders_back,
    other_actors_are_heard_and_may_stop_the_server,
    clients_of_another_domain_are_refused,
}

async fn replies_find_their_requests_in_whatever_order_they_come(via: Via) {
    let mut ground = Ground::new(via, ServerOptions::default()).await;
    let client = ground.client().await;
    let asked = (0..50u8).map(|number| {
        let client = client.clone();
        async move {
            let priority = Priority::ALL[usize::from(number % 4)];
            let reply = client
                .request_at(priority, number.into(), vec![number], PATIENCE)
                .await;
            assert_eq!(reply, Ok(Bytes::from(vec![number, 1])));
        }
    });
    let asked = tokio::spawn(join_all(asked));
    let mut all = Vec::new();
    while all.len() < 50 {
        all.push(ground.next().await);
    }
    for inbound in all.into_iter().rev() {
        assert_eq!(inbound.code(), u16::from(inbound.payload()[0]));
        assert!(inbound.wants_reply());
        match (inbound.origin(), ground.asker()) {
            (Origin::Peer(peer), Some(asker)) => assert_eq!(*peer, asker),
            (Origin::Socket(_), None) => {}
            other => panic!("{other:?}"),
        }
        let reply = [&inbound.payload()[..], &[1]].concat();
        inbound.reply(Ok(reply.into()));
    }
    within(asked).await.unwrap();
}

async fn one_way_messages_come_as_they_are(via: Via) {
    let mut ground = Ground::new(via, ServerOptions::default()).await;
    let client = ground.client().await;
    for number in 0..200u8 {
        client
            .notify(Priority::Bulk, 7, vec![number])
            .await
            .unwrap();
    }
    // What was told before the client went still arrives.
    drop(client);
    for number in 0..200u8 {
        let inbound = ground.next().await;
        let said = (inbound.code(), inbound.priority(), &inbound.payload()[..]);
        assert_eq!(said, (7, Priority::Bulk, &[number][..]));
        assert!(!inbound.wants_reply());
        inbound.reply(Ok(Bytes::new()));
    }
}

async fn a_dropped_request_reaches_the_handler(via: Via) {
    let mut ground = Ground::new(via, ServerOptions::default()).await;
    let client = ground.client().await;
    let mut asking = Box::pin(client.request(1, "long work"));
    let mut inbound = tokio::select! {
        _ = &mut asking => panic!("nobody has answered"),
        inbound = ground.next() => inbound,
    };
    assert!(!inbound.is_cancelled());
    drop(asking);
    within(inbound.cancelled()).await;
    assert!(inbound.is_cancelled());
    inbound.reply(Ok("too late".into()));
    let asking = client.request(2, "another");
    let answering = async { ground.next().await.reply(Ok("here".into())) };
    let (reply, ()) = tokio::join!(asking, answering);
    assert_eq!(reply, Ok("here".into()), "the connection goes on");
}

async fn a_request_without_a_reply_ends_at_its_deadline_and_is_cancelled(via: Via) {
    let mut ground = Ground::new(via, ServerOptions::default()).await;
    let client = ground.client().await;
    let after = Duration::from_millis(50);
    let asked = client.request_at(Priority::High, 1, "x", after).await;
    assert_eq!(asked, Err(RequestError::Timeout { after }));
    // It may not have left in time; then it never will.
    if let Some(mut inbound) = ground.inbound.recv().now_or_never().flatten() {
        within(inbound.cancelled()).await;
    }
}

async fn a_handler_s_error_is_the_asker_s(via: Via) {
    let mut ground = Ground::new(via, ServerOptions::default()).await;
    let client = ground.client().await;
    let retry_after = Some(Duration::from_millis(250));
    let errors = [
        RequestError::Busy { retry_after },
        RequestError::NotSupported,
        RequestError::Malformed("no number".to_owned()),
        RequestError::Banned,
        RequestError::Failed("out of paper".to_owned()),
        RequestError::Cancelled,
    ];
    for error in errors {
        let answering = async { ground.next().await.reply(Err(error.clone())) };
        let (reply, ()) = tokio::join!(client.request(1, "x"), answering);
        assert_eq!(reply, Err(error));
    }
    let dropping = async { drop(ground.next().await) };
    let (reply, ()) = tokio::join!(client.request(1, "x"), dropping);
    assert_eq!(reply, Err(RequestError::Cancelled));
}

async fn as_many_requests_as_allowed_are_under_way_and_one_more_is_busy(via: Via) {
    let options = ServerOptions {
        in_flight_max: 3,
        ..ServerOptions::default()
    };
    let mut ground = Ground::new(via, options).await;
    let client = ground.client().await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let client = client.clone();
        asked.spawn(async move { client.request(1, "x").await });
    }
    let taken = [
        ground.next().await,
        ground.next().await,
        ground.next().await,
    ];
    let retry_after = Some(Duration::from_secs(1));
    let busy = client.request(1, "x").await;
    assert_eq!(busy, Err(RequestError::Busy { retry_after }));
    let [first, _second, _third] = taken;
    first.reply(Ok("done".into()));
    let done = within(asked.join_next()).await.unwrap().unwrap();
    assert_eq!(done, Ok("done".into()));
    let answering = async { ground.next().await.reply(Ok("after".into())) };
    let (reply, ()) = tokio::join!(client.request(1, "x"), answering);
    assert_eq!(reply, Ok("after".into()));
}

async fn as_many_connections_as_allowed_are_let_in_and_one_more_is_closed(via: Via) {
    let options = ServerOptions {
        connections_max: 2,
        ..ServerOptions::default()
    };
    let mut ground = Ground::new(via, options).await;
    let clients = [ground.client().await, ground.client().await];
    for client in &clients {
        let answering = async { ground.next().await.reply(Ok(Bytes::new())) };
        assert!(tokio::join!(client.request(1, "x"), answering).0.is_ok());
    }
    let third = ground.client().await;
    assert_eq!(
        within(third.request(1, "x")).await,
        Err(RequestError::ConnectionLost)
    );
    assert_eq!(
        ground.error().await,
        "there are 2 connections, which is the limit"
    );
    let [first, second] = clients;
    drop(first);
    // Whoever comes after the end was noticed is let in.
    let mut inbound = std::mem::replace(&mut ground.inbound, mpsc::channel(1).1);
    let answering = async { inbound.recv().await.unwrap().reply(Ok("in".into())) };
    let fourth = async {
        loop {
            let client = ground.client().await;
            match client.request(1, "x").await {
                Err(RequestError::ConnectionLost) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let (fourth, ()) = within(futures::future::join(fourth, answering)).await;
    assert_eq!(fourth, Ok("in".into()));
    drop(second);
}

async fn a_payload_as_large_as_allowed_passes_and_one_byte_more_ends_the_connection(via: Via) {
    let options = ServerOptions {
        payload_bytes_max: 100_000,
        ..ServerOptions::default()
    };
    let mut ground = Ground::new(via, options).await;
    let client = ground
        .client_with(|options| options.payload_bytes_max = 100_001)
        .await;
    let answering = async {
        let inbound = ground.next().await;
        let same = inbound.payload().clone();
        inbound.reply(Ok(same));
    };
    let payload = Bytes::from(vec![7; 100_000]);
    let (reply, ()) = tokio::join!(client.request(1, payload.clone()), answering);
    assert_eq!(reply, Ok(payload));
    let answering = async { ground.next().await.reply(Ok(vec![0; 100_001].into())) };
    let (reply, ()) = tokio::join!(client.request(1, "x"), answering);
    assert_eq!(reply, Err(RequestError::TooLarge { limit: 0 }));
    let limit = 100_001;
    let own = ground
        .client_with(|options| options.payload_bytes_max = limit)
        .await;
    assert_eq!(
        own.request(1, vec![7; limit + 1]).await,
        Err(RequestError::TooLarge { limit })
    );
    let larger = client.request(1, vec![7; 100_001]).await;
    assert_eq!(larger, Err(RequestError::ConnectionLost));
    ground
        .error_about("100001 is above the limit of 100000")
        .await;
}

fn impatient() -> ServerOptions {
    ServerOptions {
        frame_timeout: Duration::from_millis(50),
        ..ServerOptions::default()
    }
}

async fn a_connection_that_says_nothing_is_ended(via: Via) {
    let mut ground = Ground::new(via, impatient()).await;
    let mut pipe = ground.pipe().await;
    // A peer's stream comes to be with its first bytes.
    pipe.writer.write_all(&[]).await.unwrap();
    pipe.writer.flush().await.unwrap();
    assert_eq!(ground.error().await, TOO_SLOW);
    // Whatever the kind of end is, it is one.
    let _ = within(pipe.reader.read(&mut [0])).await;
}

async fn a_frame_that_does_not_end_is_not_waited_for(via: Via) {
    let mut ground = Ground::new(via, impatient()).await;
    let mut pipe = ground.pipe().await;
    let _ = pipe.writer.write_all(&[100, 1]).await;
    let _ = pipe.writer.flush().await;
    assert_eq!(ground.error().await, TOO_SLOW);
}

const TOO_SLOW: &str = "the other side is too slow: a message did not come in time";

async fn whoever_is_not_allowed_is_not_let_in(via: Via) {
    let mut ground = Ground::with(via, ServerOptions::default(), false, 1).await;
    let client = ground.client().await;
    let refused = within(client.request(1, "x")).await;
    assert_eq!(refused, Err(RequestError::ConnectionLost));
    assert_eq!(ground.error().await, ServerError::NotAllowed.to_string());
    assert!(client.is_closed());
}

async fn garbage_ends_its_connection(via: Via) {
    let mut ground = Ground::new(via, ServerOptions::default()).await;
    let client = ground.client().await;
    let mut pipe = ground.pipe().await;
    let garbage = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(9);
    let _ = pipe.writer.write_all(&garbage).await;
    let _ = pipe.writer.flush().await;
    if let Way::Peer { asker, server } = &ground.way {
        // A peer that breaks a protocol is disconnected.
        let peer = asker.id();
        let scored = async {
            while server.score(&peer).await > -15.0 {
                tokio::task::yield_now().await;
            }
        };
        return within(scored).await;
    }
    let error = ground.error().await;
    let broken = "the other side broke the protocol";
    assert!(error.starts_with(broken), "{error}");
    let answering = async { ground.next().await.reply(Ok("fine".into())) };
    let (reply, ()) = tokio::join!(client.request(1, "x"), answering);
    assert_eq!(reply, Ok("fine".into()), "other connections go on");
}

async fn a_connection_that_ends_cancels_what_it_asked(via: Via) {
    let mut ground = Ground::new(via, ServerOptions::default()).await;
    let client = ground.client().await;
    let asking = tokio::spawn(async move { client.request(1, "x").await });
    let mut inbound = ground.next().await;
    // The client's task notices that nobody is left to ask, and ends the connection.
    asking.abort();
    within(inbound.cancelled()).await;
}

async fn a_service_that_is_slow_holds_its_senders_back(via: Via) {
    const MESSAGE: usize = 10_000;
    let options = ServerOptions {
        waiting_bytes_max: 5 * MESSAGE,
        ..ServerOptions::default()
    };
    let mut ground = Ground::new(via, options).await;
    let client = ground
        .client_with(|options| options.timeout = Duration::from_secs(600))
        .await;
    let told = tokio::spawn(async move {
        for number in 0..1000u16 {
            let message = [&number.to_be_bytes()[..], &[0; MESSAGE - 2]].concat();
            client.notify(Priority::Normal, 1, message).await.unwrap();
        }
    });
    // All are kept until they are five, which is what the sender may have waiting; the next comes only when one is let go.
    let mut kept = std::collections::VecDeque::new();
    for number in 0..1000u16 {
        if kept.len() == 4 {
            assert!(ground.inbound.try_recv().is_err(), "what is kept counts");
            kept.pop_front();
        }
        let inbound = ground.next().await;
        assert_eq!(inbound.payload()[..2], number.to_be_bytes());
        kept.push_back(inbound);
    }
    within(told).await.unwrap();
}

async fn other_actors_are_heard_and_may_stop_the_server(via: Via) {
    let mut ground = Ground::new(via, ServerOptions::default()).await;
    let client = ground.client().await;
    assert!(ground.internal.send("hello").await.is_ok());
    assert_eq!(
        within(ground.seen.recv()).await,
        Some(Seen::Internal("hello"))
    );
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.request(1, "x").await }
    });
    let mut inbound = ground.next().await;
    assert!(ground.internal.send("stop").await.is_ok());
    let probe = within(&mut ground.running).await.unwrap();
    assert!(probe.allows, "the service comes back");
    assert_eq!(
        within(asking).await.unwrap(),
        Err(RequestError::ConnectionLost)
    );
    within(inbound.cancelled()).await;
}

async fn clients_of_another_domain_are_refused(via: Via) {
    let options = ServerOptions {
        domain: b"mainnet".to_vec(),
        ..ServerOptions::default()
    };
    let mut ground = Ground::new(via, options).await;
    let client = ground
        .client_with(|options| options.domain = b"mainnet".to_vec())
        .await;
    let answering = async { ground.next().await.reply(Ok("welcome".into())) };
    let (reply, ()) = tokio::join!(client.request(1, "x"), answering);
    assert_eq!(reply, Ok("welcome".into()));
    let stranger = ground.client().await;
    assert_eq!(
        within(stranger.request(1, "x")).await,
        Err(RequestError::ConnectionLost)
    );
    ground.error_about("another protocol or domain").await;
}

/// What peers send by `Messages`, in either form, a server answers.
#[tokio::test]
async fn messages_of_peers_are_answered() {
    #[derive(Clone)]
    struct Words(String);

    impl Codec<Words> for Raw {
        fn encode(words: &Words) -> Result<Bytes, CodecError> {
            Ok(words.0.clone().into())
        }

        fn decode(_: Bytes) -> Result<Words, CodecError> {
            Err(CodecError::decode("nobody decodes it here"))
        }
    }

    impl Message for Words {
        const CODE: u16 = 7;
        const PRIORITY: Priority = Priority::High;
        type Reply = Bytes;
        type Codec = Raw;
    }

    let mut ground = Ground::new(Via::Peers, ServerOptions::default()).await;
    let Way::Peer { asker, server } = &ground.way else {
        panic!("there is no other kind");
    };
    let (asker, address, server) = (asker.clone(), server.address(), server.clone());
    for form in [Form::StreamPerRequest, Form::Multiplexed] {
        let messages = Messages::builder(NAME).form(form).start(&asker).unwrap();
        let answering = async {
            let inbound = ground.next().await;
            let said = (inbound.code(), inbound.priority(), &inbound.payload()[..]);
            assert_eq!(said, (7, Priority::High, &b"hello"[..]));
            inbound.reply(Ok("hello yourself".into()));
        };
        let words = Words("hello".into());
        let asking = async {
            let reply = messages.request(address.clone(), &words).await;
            assert_eq!(reply, Ok("hello yourself".into()));
        };
        within(futures::future::join(asking, answering)).await;
    }
    let messages = Messages::builder(NAME).start(&asker).unwrap();
    let pardon = RequestError::Malformed("pardon?".into());
    let answering = async { ground.next().await.reply(Err(pardon.clone())) };
    let words = Words("hello".into());
    let asking = messages.request(address, &words);
    let (refused, ()) = within(futures::future::join(asking, answering)).await;
    assert_eq!(refused, Err(pardon));
    let recorded = async {
        while server.score(&asker.id()).await > -9.0 {
            tokio::task::yield_now().await;
        }
    };
    within(recorded).await;
}

#[tokio::test]
async fn a_unix_socket_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;

    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = fresh_directory();
    let path = directory.join("rpc.sock");
    let mut server = Server::new(NAME, ServerOptions::default());
    server.listen(unix(&path)).await.unwrap();
    assert_eq!((mode(&path), mode(&directory)), (0o600, 0o700));
    drop(server);
    assert!(!path.exists(), "it goes with its server");
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o777)).unwrap();
    let mut server = Server::new(NAME, ServerOptions::default());
    let error = server.listen(unix(&path)).await.unwrap_err();
    assert!(
        error.to_string().contains("directory of your own"),
        "{error}"
    );
    assert!(!path.exists());
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn what_other_machines_could_reach_is_refused() {
    let mut server = Server::new(NAME, ServerOptions::default());
    for (address, why) in [
        ("/ip4/0.0.0.0/tcp/0", "nothing is encrypted"),
        ("/ip6/::/tcp/0", "nothing is encrypted"),
        ("/ip4/127.0.0.1/udp/0/quic-v1", "neither a unix socket nor"),
    ] {
        let error = server.listen(address.parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_nobody_can_reach_any_more_ends() {
    let (internal, from) = mailbox(MailboxOptions::default());
    let (inbound, _) = mpsc::channel(1);
    let (seen, mut saw) = mpsc::channel(1);
    let probe = Probe {
        inbound,
        seen,
        allows: true,
    };
    let running = tokio::spawn(Server::new(NAME, ServerOptions::default()).run(probe, vec![from]));
    assert!(internal.send("last words").await.is_ok());
    drop(internal);
    within(running).await.unwrap();
    assert_eq!(saw.recv().await, Some(Seen::Internal("last words")));
}
