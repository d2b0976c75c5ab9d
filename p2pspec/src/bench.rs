//! What a case works with: one address, a key of its own, and connections brought honestly to whatever layer it is about.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libp2p_identity::Keypair;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};

use crate::{
    case::{Step, Stop, ensure},
    speak::{
        certificate::{self, Paper},
        channel::{Channel, Talk},
        connection::Connection,
        mplex::Mplex,
        multistream,
        noise::Handshake,
        quic::{self, Quic},
        tls::{self, Hello, Secure},
        websocket::Frames,
        yamux::{FIN, Yamux, data},
    },
    target::{Place, Transport},
};

pub(crate) const NOISE: &str = "/noise";
pub(crate) const TLS: &str = "/tls/1.0.0";
pub(crate) const YAMUX: &str = "/yamux/1.0.0";
pub(crate) const MPLEX: &str = "/mplex/6.7.0";
pub(crate) const PING: &str = "/ipfs/ping/1.0.0";

/// The time between two connections, whoever makes them.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            next: Mutex::new(Instant::now()),
        }
    }

    async fn turn(&self) {
        let mine = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let mine = (*next).max(Instant::now());
            *next = mine + self.every;
            mine
        };
        sleep_until(mine).await;
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Bench {
    pub(crate) place: Place,
    pub(crate) keypair: Keypair,
    pace: Arc<Pace>,
    stage: Arc<Mutex<&'static str>>,
    local: Arc<Mutex<Option<SocketAddr>>>,
}

impl Bench {
    pub(crate) fn new(place: &Place, pace: &Arc<Pace>) -> Self {
        Self {
            place: place.clone(),
            keypair: Keypair::generate_ed25519(),
            pace: pace.clone(),
            stage: Arc::new(Mutex::new("connecting")),
            local: Arc::default(),
        }
    }

    /// Says what is being waited for, in case it never comes.
    pub(crate) fn stage(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Where our last TCP connection came from.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        *self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn last_stage(&self) -> &'static str {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A TCP connection.
    pub(crate) async fn socket(&self) -> Step<TcpStream> {
        self.pace.turn().await;
        self.stage("connecting");
        let refused = |error: io::Error| Stop::Refused(format!("cannot connect: {error}"));
        let socket = TcpStream::connect(self.place.socket)
            .await
            .map_err(refused)?;
        socket.set_nodelay(true)?;
        *self.local.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket.local_addr()?);
        Ok(socket)
    }

    /// A connection on which nothing was said, the WebSocket upgrade apart.
    pub(crate) async fn pipe(&self) -> Step<Channel> {
        let socket = Box::new(self.socket().await?);
        if self.place.transport == Transport::Tcp {
            return Ok(Channel::new(socket));
        }
        self.stage("upgrading to WebSocket");
        let mut frames = Frames::new(socket);
        frames.upgrade().await?;
        Ok(Channel::websocket(frames))
    }

    /// A connection on which this security was agreed.
    pub(crate) async fn agreed(&self, security: &str) -> Step<Channel> {
        let mut pipe = self.pipe().await?;
        self.stage("negotiating security");
        match multistream::agree(&mut pipe, security).await {
            Err(Stop::Fail(_)) if pipe.heard == 0 => Err(Stop::Refused(
                "the peer closed before it said a word".to_owned(),
            )),
            other => other.map(|()| pipe),
        }
    }

    /// The same with a security that the address offers.
    pub(crate) fn security(&self) -> &'static str {
        if self.place.offers.noise { NOISE } else { TLS }
    }

    /// A Noise handshake up to message 2, whose signature was verified.
    pub(crate) async fn handshake(&self) -> Step<Handshake> {
        let mut handshake = Handshake::new(self.agreed(NOISE).await?);
        self.stage("waiting for message 2 of Noise");
        handshake.begin(&[]).await?;
        let peer = handshake.verify()?;
        ensure(peer == self.place.peer, || {
            format!("the peer proves to be {peer}, not {}", self.place.peer)
        })?;
        Ok(handshake)
    }

    /// A Noise channel; no muxer was agreed within the handshake.
    pub(crate) async fn noise(&self) -> Step<Channel> {
        let handshake = self.handshake().await?;
        let payload = handshake.payload(&self.keypair, &[])?;
        handshake.end(&payload).await
    }

    /// The same, with this muxer agreed on by multistream-select.
    pub(crate) async fn muxed(&self, muxer: &str) -> Step<Channel> {
        let mut channel = self.noise().await?;
        self.stage("negotiating the muxer");
        multistream::agree(&mut channel, muxer).await?;
        self.stage("talking");
        Ok(channel)
    }

    /// A yamux session.
    pub(crate) async fn yamux(&self) -> Step<Yamux> {
        Ok(Yamux::new(self.muxed(YAMUX).await?))
    }

    /// An mplex session.
    pub(crate) async fn mplex(&self) -> Step<Mplex> {
        Ok(Mplex::new(self.muxed(MPLEX).await?))
    }

    /// Our side of a handshake over TLS or QUIC, as it should be.
    pub(crate) fn hello(&self, alpn: Vec<&'static str>) -> Step<Hello> {
        Ok(Hello {
            papers: Some(Paper::default().write(&self.keypair)?),
            alpn,
            server_name: None,
        })
    }

    /// A TLS channel with this ALPN; the server may not have looked at our certificate yet.
    pub(crate) async fn tls(&self, hello: Hello) -> Step<io::Result<Secure>> {
        let channel = self.agreed(TLS).await?;
        self.stage("shaking hands by TLS");
        tls::shake(channel, hello).await
    }

    /// A QUIC connection to the peer that it should be; the server may not have looked at our certificate yet.
    pub(crate) async fn quic(&self) -> Step<Quic> {
        let dialed = self.dial_quic(self.hello(vec!["libp2p"])?).await?;
        let quic = dialed.map_err(Stop::Refused)?;
        let chain = quic.learned.chain();
        let peer = certificate::read(&chain[0])?.identity()?.to_peer_id();
        ensure(peer == self.place.peer, || {
            format!("the peer proves to be {peer}, not {}", self.place.peer)
        })?;
        self.stage("talking");
        Ok(quic)
    }

    pub(crate) async fn dial_quic(&self, hello: Hello) -> Step<Result<Quic, String>> {
        self.pace.turn().await;
        self.stage("shaking hands by QUIC");
        quic::dial(self.place.socket, hello).await
    }

    /// A connection with streams, by what the address offers.
    pub(crate) async fn connection(&self) -> Step<Connection> {
        let (place, offers) = (&self.place, self.place.offers);
        if place.transport == Transport::Quic {
            return Ok(Connection::Quic(Box::new(self.quic().await?)));
        }
        let mut channel = if offers.noise {
            self.noise().await?
        } else {
            let secured = self.tls(self.hello(vec!["libp2p"])?).await?;
            secured?.channel
        };
        let muxer = if offers.yamux { YAMUX } else { MPLEX };
        self.stage("negotiating the muxer");
        multistream::agree(&mut channel, muxer).await?;
        self.stage("talking");
        Ok(if offers.yamux {
            Connection::Yamux(Box::new(Yamux::new(channel)))
        } else {
            Connection::Mplex(Box::new(Mplex::new(channel)))
        })
    }
}

/// Sends a ping and checks its echo.
pub(crate) async fn echo(stream: &mut impl Talk) -> Step<()> {
    let payload: [u8; 32] = rand::random();
    stream.send(&payload).await?;
    let echo = stream.take(32).await?;
    ensure(echo == payload, || {
        "the echo of a ping is not what was sent".to_owned()
    })
}

/// Opens a stream for ping and lets one be echoed.
pub(crate) async fn ping(connection: &mut Connection) -> Step<()> {
    let id = connection.open().await?;
    let mut stream = connection.stream(id);
    multistream::agree(&mut stream, PING).await?;
    echo(&mut stream).await?;
    // Nodes serve few pings at a time.
    connection.finish(id).await
}

/// The same over yamux: the session goes on.
pub(crate) async fn still(session: &mut Yamux) -> Step<()> {
    let id = session.open(&multistream::propose(&[PING])).await?;
    let mut stream = session.stream(id);
    let agreed = async {
        multistream::read_header(&mut stream).await?;
        multistream::expect(&mut stream, PING).await?;
        echo(&mut stream).await
    };
    if let Err(Stop::Fail(why)) = agreed.await {
        return Err(Stop::Fail(format!("a ping afterwards: {why}")));
    }
    Ok(session.send_frame(&data(FIN, id, &[])).await?)
}

/// Whether the node answers a ping at this address.
pub(crate) async fn alive(bench: &Bench) -> Step<()> {
    ping(&mut bench.connection().await?).await
}
