//! The swarm: TCP, Noise and one muxer; ping, identify and libp2p-stream. Whoever owns the `Node` drives it.

use std::{convert::Infallible, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    identify,
    identity::Keypair,
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};

use crate::PROGRAM_TIMEOUT;

#[derive(Clone, Copy)]
pub enum Muxer {
    Yamux,
    Mplex,
}

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: libp2p_stream::Behaviour,
}

pub struct Node {
    pub swarm: Swarm<Behaviour>,
    pub streams: libp2p_stream::Control,
    /// What the last identify exchange brought.
    pub identified: Option<Result<identify::Info, String>>,
    /// Ping's round trips so far.
    pub pings: Vec<Result<Duration, String>>,
    listening: Option<Multiaddr>,
    dialed: Option<Result<(), String>>,
}

impl Node {
    pub fn new(muxer: Muxer) -> Result<Self, String> {
        let swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_other_transport(|key| transport(key, muxer))
            .map_err(|e| e.to_string())?
            .with_behaviour(|key| Behaviour {
                identify: identify::Behaviour::new(identify::Config::new(
                    "interop/1.0.0".to_owned(),
                    key.public(),
                )),
                ping: ping::Behaviour::new(
                    ping::Config::new().with_interval(Duration::from_millis(100)),
                ),
                stream: libp2p_stream::Behaviour::new(),
            })
            .map_err(|e| e.to_string())?
            .with_swarm_config(|config| config.with_idle_connection_timeout(PROGRAM_TIMEOUT))
            .build();
        let streams = swarm.behaviour().stream.new_control();
        Ok(Self {
            swarm,
            streams,
            identified: None,
            pings: Vec::new(),
            listening: None,
            dialed: None,
        })
    }

    pub async fn listen(&mut self) -> Result<Multiaddr, String> {
        let address = "/ip4/127.0.0.1/tcp/0".parse().map_err(|e| format!("{e}"))?;
        self.swarm.listen_on(address).map_err(|e| e.to_string())?;
        loop {
            if let Some(address) = self.listening.take() {
                return Ok(address);
            }
            self.step().await;
        }
    }

    /// Dials exactly this address and expects this peer there.
    pub async fn dial(&mut self, peer: PeerId, address: Multiaddr) -> Result<(), String> {
        self.dialed = None;
        let options = DialOpts::peer_id(peer).addresses(vec![address]).build();
        self.swarm.dial(options).map_err(|e| e.to_string())?;
        loop {
            if let Some(result) = self.dialed.take() {
                return result;
            }
            self.step().await;
        }
    }

    /// Drives the swarm for as long as it is polled.
    pub async fn drive(&mut self) -> Infallible {
        loop {
            self.step().await;
        }
    }

    /// Handles one event.
    pub async fn step(&mut self) {
        match self.swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => self.listening = Some(address),
            SwarmEvent::ConnectionEstablished { endpoint, .. } if endpoint.is_dialer() => {
                self.dialed = Some(Ok(()))
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                self.dialed = Some(Err(error.to_string()))
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                info,
                ..
            })) => {
                self.identified = Some(Ok(info));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Error {
                error,
                ..
            })) => {
                self.identified = Some(Err(error.to_string()));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) if self.pings.len() < PINGS_MAX => {
                self.pings.push(ping.result.map_err(|e| e.to_string()));
            }
            _ => {}
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn transport(key: &Keypair, muxer: Muxer) -> Result<Boxed<(PeerId, StreamMuxerBox)>, BoxError> {
    let secured = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(key)?);
    Ok(match muxer {
        Muxer::Yamux => secured.multiplex(yamux::Config::default()).boxed(),
        Muxer::Mplex => secured.multiplex(libp2p_mplex::Config::new()).boxed(),
    })
}

/// Ping's results worth remembering.
const PINGS_MAX: usize = 16;
