//! `carrick p2pd`, driven as programs of other languages do: over its control socket, message by message.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use carrick::{
    Multiaddr, PeerId, ProtocolId,
    p2pd::{
        self, CallId, Endpoint, PeerInfo, Request, Response, StreamInfo, UnaryRequest,
        UnaryResponse,
    },
};

use crate::process::{CARRICK, Running, carrick, folder};

/// A daemon with its control socket on TCP.
struct Daemon {
    _running: Running,
    control: SocketAddr,
    own: PeerInfo,
}

impl Daemon {
    fn start(args: &[&str]) -> Self {
        let listen = [
            "p2pd",
            "-listen=/ip4/127.0.0.1/tcp/0",
            "-hostAddrs=/ip4/127.0.0.1/tcp/0",
        ];
        let running = Running::start(CARRICK, &[&listen, args].concat(), "Peer Addrs:");
        let endpoint = Endpoint::parse(running.after("Control socket: "));
        let Ok(Endpoint::Tcp(control)) = endpoint else {
            panic!("no TCP: {endpoint:?}");
        };
        let Response::Identify(own) = Client::to(control).ask(&Request::Identify) else {
            panic!("it says who it is");
        };
        assert_eq!(running.after("Peer ID: "), own.peer.to_string());
        Self {
            _running: running,
            control,
            own,
        }
    }

    fn client(&self) -> Client {
        Client::to(self.control)
    }

    fn ask(&self, request: &Request) -> Response {
        self.client().ask(request)
    }

    fn connect(&self, to: &Self) {
        let connect = Request::Connect {
            peer: to.own.peer,
            addresses: to.own.addresses.clone(),
            timeout: None,
        };
        assert_eq!(self.ask(&connect), Response::Ok);
    }
}

/// A program's socket.
struct Client(TcpStream);

impl Client {
    fn to(control: SocketAddr) -> Self {
        let socket = TcpStream::connect(control).expect("the daemon listens");
        Self::of(socket)
    }

    fn of(socket: TcpStream) -> Self {
        let deadline = Some(Duration::from_secs(60));
        socket.set_read_timeout(deadline).expect("a deadline");
        Self(socket)
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the daemon reads");
    }

    /// The next message, read byte by byte as far as its length: what follows may be a stream. `None` at the end.
    fn hear(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            match self.0.read(&mut byte).expect("an answer in time") {
                0 if bytes.is_empty() => return None,
                0 => panic!("the daemon has ended inside of a message"),
                _ => bytes.push(byte[0]),
            }
            if let Some((body, _)) = p2pd::decode_frame(&bytes).expect("a message") {
                return Some(body.to_vec());
            }
        }
    }

    fn ask(&mut self, request: &Request) -> Response {
        self.say(&request.encode());
        Response::decode(&self.hear().expect("an answer")).expect("a response")
    }

    fn open(&mut self, peer: PeerId, protocol: &ProtocolId) -> Response {
        self.ask(&Request::StreamOpen {
            peer,
            protocols: vec![protocol.clone()],
            timeout: None,
        })
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.0.read_to_end(&mut all).expect("a clean end");
        all
    }

    fn upgrade(mut self) -> Self {
        assert_eq!(self.ask(&Request::UnaryUpgrade), Response::Ok);
        self
    }

    fn call(&mut self, call: CallId, request: &UnaryRequest) {
        self.say(&request.encode(call));
    }

    fn told(&mut self) -> (CallId, UnaryResponse) {
        UnaryResponse::decode(&self.hear().expect("an answer")).expect("a response")
    }
}

const ECHO: ProtocolId = ProtocolId::from_static("/echo/1.0.0");
const MINE: ProtocolId = ProtocolId::from_static("/mine/1.0.0");

/// Two that are connected.
fn pair() -> (Daemon, Daemon) {
    let (alice, bob) = (Daemon::start(&[]), Daemon::start(&[]));
    alice.connect(&bob);
    (alice, bob)
}

fn handler(socket: &TcpListener, balanced: Option<bool>) -> Request {
    Request::StreamHandler {
        endpoint: Endpoint::Tcp(socket.local_addr().expect("it is bound")),
        protocols: vec![MINE],
        balanced,
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

#[test]
fn what_is_written_right_behind_the_request_belongs_to_the_stream() {
    let (alice, bob) = pair();
    let mut client = alice.client();
    let open = Request::StreamOpen {
        peer: bob.own.peer,
        protocols: vec![MINE, ECHO],
        timeout: None,
    };
    client.say(&[&open.encode()[..], b"in a hurry"].concat());
    client.0.shutdown(Shutdown::Write).expect("half of it ends");
    let opened = Response::decode(&client.hear().expect("an answer")).expect("a response");
    let info = StreamInfo {
        peer: bob.own.peer,
        address: bob.own.addresses[0].clone(),
        protocol: ECHO,
    };
    assert_eq!(opened, Response::Stream(info));
    assert_eq!(client.read_to_end(), b"in a hurry");
}

#[test]
fn handlers_take_each_others_place_or_turns_and_go_when_they_are_removed() {
    let (alice, bob) = pair();
    let (first, second) = (listener(), listener());
    let refused = alice.client().open(bob.own.peer, &MINE);
    assert!(matches!(refused, Response::Error(why) if why.contains("does not support")));
    let serve = |at: &TcpListener, answer: &[u8]| {
        let mut client = alice.client();
        let opened = client.open(bob.own.peer, &MINE);
        assert!(matches!(opened, Response::Stream(_)), "{opened:?}");
        let mut program = Client::of(at.accept().expect("the daemon connects").0);
        let info = StreamInfo::decode(&program.hear().expect("whose it is")).expect("a stream");
        assert_eq!((info.peer, info.protocol), (alice.own.peer, MINE));
        client.say(b"ping");
        client.0.shutdown(Shutdown::Write).expect("half of it ends");
        assert_eq!(program.read_to_end(), b"ping");
        program.say(answer);
        drop(program);
        assert_eq!(client.read_to_end(), answer);
    };
    assert_eq!(bob.ask(&handler(&first, None)), Response::Ok);
    serve(&first, b"first");
    assert_eq!(bob.ask(&handler(&second, None)), Response::Ok);
    serve(&second, b"in its stead");
    let refused = bob.ask(&handler(&first, Some(false)));
    assert_eq!(
        refused,
        Response::Error(format!("handler for protocol {MINE} already set"))
    );
    assert_eq!(bob.ask(&handler(&first, Some(true))), Response::Ok);
    for _ in 0..2 {
        serve(&second, b"in turns");
        serve(&first, b"in turns");
    }
    let remove = |of: &TcpListener| {
        let endpoint = Endpoint::Tcp(of.local_addr().expect("it is bound"));
        bob.ask(&Request::RemoveStreamHandler {
            endpoint,
            protocols: vec![MINE],
        })
    };
    assert_eq!(remove(&second), Response::Ok);
    assert!(matches!(remove(&second), Response::Error(why) if why.contains("does not exist")));
    serve(&first, b"alone");
    assert_eq!(remove(&first), Response::Ok);
    assert!(matches!(remove(&first), Response::Error(why) if why.contains("does not exist")));
    // It is free at once.
    assert_eq!(bob.ask(&handler(&second, Some(false))), Response::Ok);
    serve(&second, b"anew");
}

#[test]
fn a_stream_that_nobody_takes_is_reset_and_a_reset_is_passed_on() {
    let (alice, bob) = pair();
    let gone = listener();
    assert_eq!(bob.ask(&handler(&gone, None)), Response::Ok);
    drop(gone);
    let mut client = alice.client();
    assert!(matches!(
        client.open(bob.own.peer, &MINE),
        Response::Stream(_)
    ));
    let ended = client.0.read(&mut [0]);
    assert!(ended.is_err(), "a reset is no clean end: {ended:?}");

    let there = listener();
    assert_eq!(bob.ask(&handler(&there, None)), Response::Ok);
    let mut client = alice.client();
    assert!(matches!(
        client.open(bob.own.peer, &MINE),
        Response::Stream(_)
    ));
    let program = Client::of(there.accept().expect("the daemon connects").0);
    client.say(b"never read");
    // Data that is not read makes the end of this socket a reset.
    program.0.peek(&mut [0]).expect("something came");
    drop(program);
    let ended = client.0.read(&mut [0]);
    assert!(ended.is_err(), "a reset is no clean end: {ended:?}");
}

#[test]
fn bad_requests_are_refused_or_end_their_socket_and_no_other() {
    let daemon = Daemon::start(&[]);
    let mut client = daemon.client();
    // A request without its content, and one with a peer that is none.
    for bad in [&[2, 8, 1][..], &[6, 8, 7, 0x3a, 2, 0x0a, 0]] {
        client.say(bad);
        let told = Response::decode(&client.hear().expect("an answer"));
        assert!(matches!(told, Ok(Response::Error(_))), "{told:?}");
    }
    assert!(matches!(
        client.ask(&Request::Identify),
        Response::Identify(_)
    ));
    // An unknown type, no protobuf, lengths above the limit and above all measure.
    for fatal in [
        &[2, 8, 77][..],
        &[2, 0xff, 0xff],
        &[0x81, 0x80, 0x80, 2],
        &[0xff; 9],
    ] {
        let mut client = daemon.client();
        client.say(fatal);
        let ended = client.0.read(&mut [0]);
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    for (request, why) in [
        (Request::Dht, "DHT not enabled"),
        (Request::Pubsub, "PubSub not enabled"),
    ] {
        assert_eq!(client.ask(&request), Response::Error(why.to_owned()));
    }
    let late = Request::Connect {
        peer: daemon.own.peer,
        addresses: Vec::new(),
        timeout: Some(Duration::from_secs(1)),
    };
    assert!(matches!(client.ask(&late), Response::Error(_)));
}

#[test]
fn connections_are_listed_tagged_and_closed() {
    let (alice, bob) = pair();
    let peers = |of: &Daemon| match of.ask(&Request::ListPeers) {
        Response::Peers(peers) => peers,
        Response::Ok => Vec::new(),
        other => panic!("{other:?}"),
    };
    assert_eq!(peers(&alice), std::slice::from_ref(&bob.own));
    // Whoever was dialed knows of it when a stream has come.
    let opened = alice.client().open(bob.own.peer, &ECHO);
    assert!(matches!(opened, Response::Stream(_)), "{opened:?}");
    assert_eq!(peers(&bob)[0].peer, alice.own.peer);
    let peer = bob.own.peer;
    let tag = |tag: &str| Request::TagPeer {
        peer,
        tag: tag.to_owned(),
        weight: i64::MAX,
    };
    assert_eq!(alice.ask(&tag("friend")), Response::Ok);
    assert!(matches!(
        alice.ask(&tag(&"x".repeat(65))),
        Response::Error(_)
    ));
    let tag = "friend".to_owned();
    assert_eq!(alice.ask(&Request::UntagPeer { peer, tag }), Response::Ok);
    assert_eq!(alice.ask(&Request::Trim), Response::Ok);
    let Response::Peer {
        addresses: Some(known),
        ..
    } = alice.ask(&Request::PeerAddresses { peer })
    else {
        panic!("it knows the peer");
    };
    assert!(known.addresses.contains(&bob.own.addresses[0]));
    for _ in 0..2 {
        assert_eq!(alice.ask(&Request::Disconnect { peer }), Response::Ok);
        assert_eq!(peers(&alice), []);
    }
}

fn id(n: u8) -> CallId {
    [n; 16]
}

fn call(to: &Daemon, data: &[u8]) -> UnaryRequest {
    UnaryRequest::Call {
        peer: to.own.peer,
        protocol: MINE,
        data: data.to_vec(),
    }
}

fn add() -> UnaryRequest {
    UnaryRequest::AddHandler {
        protocol: MINE,
        balanced: false,
    }
}

/// One that calls through the one, and one that is called through the other.
fn programs(alice: &Daemon, bob: &Daemon) -> (Client, Client) {
    let (mut caller, mut program) = (alice.client().upgrade(), bob.client().upgrade());
    caller.call(id(1), &call(bob, b"too early"));
    let (number, told) = caller.told();
    assert_eq!(number, id(1));
    assert!(matches!(told, UnaryResponse::Failed(why) if why.contains("does not support")));
    program.call(id(2), &add());
    assert_eq!(program.told(), (id(2), UnaryResponse::Done));
    program.call(id(3), &add());
    let refused = program.told();
    assert!(matches!(refused, (_, UnaryResponse::Failed(why)) if why.contains("already set")));
    (caller, program)
}

#[test]
fn calls_go_to_the_program_that_handles_them_and_back() {
    let (alice, bob) = pair();
    let (mut caller, mut program) = programs(&alice, &bob);
    // Many at once; they are answered in another order.
    for n in 10..20 {
        caller.call(id(n), &call(&bob, &[n]));
    }
    let mut asked = HashMap::new();
    for _ in 10..20 {
        let (number, told) = program.told();
        let UnaryResponse::Call {
            peer,
            protocol,
            data,
        } = told
        else {
            panic!("{told:?}");
        };
        // The daemon says who calls, whatever the caller has written there.
        assert_eq!((peer, protocol), (alice.own.peer, MINE));
        asked.insert(number, data);
    }
    for n in (10..20).rev() {
        assert_eq!(asked[&id(n)], [n]);
        let answer = if n == 15 {
            Err(vec![n])
        } else {
            Ok(vec![n, n])
        };
        program.call(id(n), &UnaryRequest::Reply(answer));
    }
    let answers: HashMap<_, _> = (10..20).map(|_| caller.told()).collect();
    assert_eq!(answers[&id(15)], UnaryResponse::Reply(Err(vec![15])));
    assert_eq!(answers[&id(19)], UnaryResponse::Reply(Ok(vec![19, 19])));
    assert_eq!(answers.len(), 10);
}

#[test]
fn whoever_gives_up_a_call_or_goes_is_missed_on_the_other_side() {
    let (alice, bob) = pair();
    let (mut caller, mut program) = programs(&alice, &bob);
    // Given up, by its caller; the program hears of it.
    caller.call(id(30), &call(&bob, b"never mind"));
    assert!(matches!(program.told(), (_, UnaryResponse::Call { .. })));
    caller.call(id(30), &UnaryRequest::Cancel);
    assert_eq!(caller.told(), (id(30), UnaryResponse::Cancelled));
    assert_eq!(program.told(), (id(30), UnaryResponse::Cancelled));

    // A program that goes takes its handlers and its calls along.
    caller.call(id(31), &call(&bob, b"are you there?"));
    assert!(matches!(program.told(), (_, UnaryResponse::Call { .. })));
    drop(program);
    assert!(matches!(caller.told(), (_, UnaryResponse::Failed(_))));
    let mut other = bob.client().upgrade();
    let mut n = 40;
    loop {
        // Its end is noticed a moment later.
        other.call(id(n), &add());
        match other.told() {
            (_, UnaryResponse::Done) => break,
            (_, UnaryResponse::Failed(why)) => assert!(why.contains("already set"), "{why}"),
            told => panic!("{told:?}"),
        }
        n += 1;
    }
}

#[test]
fn a_call_without_a_number_is_left_out_and_one_without_sense_is_answered() {
    let daemon = Daemon::start(&[]);
    let mut program = daemon.client().upgrade();
    let nothing = [&[18, 0x0a, 16][..], &[7; 16]].concat();
    program.say(&[0]);
    program.say(&[3, 0x0a, 1, 7]);
    program.say(&nothing);
    assert!(matches!(program.told(), (number, UnaryResponse::Failed(_)) if number == [7; 16]));
    program.call([8; 16], &UnaryRequest::RemoveHandler { protocol: MINE });
    assert!(
        matches!(program.told(), (_, UnaryResponse::Failed(why)) if why.contains("does not exist"))
    );
}

#[cfg(unix)]
#[test]
fn called_p2pd_it_is_that_daemon_with_a_socket_of_its_own() {
    use std::os::unix::{
        fs::{PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    };

    // The paths of sockets are short.
    let folder = std::env::temp_dir().join(format!("carrick-p2pd-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let (program, socket) = (folder.join("p2pd"), folder.join("s"));
    symlink(CARRICK, &program).expect("a link");
    // Left behind by a daemon that was killed.
    drop(UnixListener::bind(&socket).expect("a socket"));
    let listen = format!("-listen=/unix{}", socket.display());
    let program = program.to_str().expect("a name");
    let args = [&listen[..], "--noListenAddrs", "-dht=true"];
    let daemon = Running::start(program, &args, "Peer Addrs:");
    assert_eq!(
        daemon.after("Control socket: "),
        &listen["-listen=".len()..]
    );
    let mode = std::fs::metadata(&socket)
        .expect("it is there")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let mut client = UnixStream::connect(&socket).expect("the daemon listens");
    client
        .write_all(&Request::Identify.encode())
        .expect("it reads");
    let mut length = [0];
    client.read_exact(&mut length).expect("it answers");

    let second = carrick(&["p2pd", &listen]);
    second.refused(&["cannot listen on", "answers there already"]);
    daemon.signal("USR1");
    assert_eq!(daemon.line(), "Connections and streams (0):");
    daemon.signal("INT");
    assert_eq!(daemon.wait().0, Some(130));
    assert!(!socket.exists());
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

#[test]
fn it_is_quiet_when_told_to_and_ends_when_no_program_holds_it() {
    let args = [
        "p2pd",
        "-q",
        "-listen=/ip4/127.0.0.1/tcp/0",
        "-noListenAddrs",
        "-idleTimeout=1ms",
    ];
    assert_eq!(carrick(&args).lines(), [""; 0]);
}

#[test]
fn flags_are_refused_in_one_line() {
    carrick(&["p2pd", "-plaintext"]).refused(&["-plaintext is refused"]);
    carrick(&["p2pd", "-hostAddr", "x"]).refused(&["no flag -hostAddr", "-help"]);
}

#[test]
fn a_daemon_answers_these_programs_beside_its_own() {
    let socket = folder("daemon-p2pd").join("own").join("c.sock");
    let (socket, any) = (socket.to_str().expect("a name"), "/ip4/127.0.0.1/tcp/0");
    let args = ["daemon", any, "--socket", socket, "--p2pd", any];
    let daemon = Running::start(CARRICK, &args, "p2pd ");
    let Ok(Endpoint::Tcp(control)) = Endpoint::parse(daemon.after("p2pd ")) else {
        panic!("{:?}", daemon.told);
    };
    let Response::Identify(own) = Client::to(control).ask(&Request::Identify) else {
        panic!("it says who it is");
    };
    let address: Multiaddr = daemon.after("listening ").parse().expect("an address");
    assert!(address.to_string().ends_with(&own.peer.to_string()));
    daemon.signal("TERM");
    assert_eq!(daemon.wait().0, Some(0));
}
