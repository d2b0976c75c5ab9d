//! The swarm: one transport, one security and one muxer; ping, identify, request-response, libp2p-stream to open streams and `Inbound` to take them. Whoever owns the `Node` drives it.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, identify,
    identity::Keypair,
    ping,
    request_response::OutboundRequestId,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
};
use rsa::{pkcs8::EncodePrivateKey, rand_core::OsRng};

use crate::inbound::Inbound;
use crate::requests::{self, Answered};
use crate::transport::{BoxError, Options, transport};

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: libp2p_stream::Behaviour,
    pub cbor: requests::Cbor,
    pub json: requests::Json,
    pub inbound: Inbound,
}

pub struct Node {
    pub swarm: Swarm<Behaviour>,
    pub streams: libp2p_stream::Control,
    /// What the last identify exchange brought.
    pub identified: Option<Result<identify::Info, String>>,
    /// Ping's round trips so far.
    pub pings: Vec<Result<Duration, String>>,
    /// What became of requests in CBOR and in JSON, whose numbers are not the same.
    answered: [HashMap<OutboundRequestId, Answered>; 2],
    listening: Option<Multiaddr>,
    dialed: Option<Result<(), String>>,
    hung_up: bool,
}

impl Node {
    pub fn new(options: &Options) -> Result<Self, String> {
        let swarm = SwarmBuilder::with_existing_identity(keypair(&options.key_type)?)
            .with_tokio()
            .with_other_transport(|key| transport(key, options))
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
                cbor: requests::cbor(),
                json: requests::json(),
                inbound: Inbound::default(),
            })
            .map_err(|e| e.to_string())?
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
            .build();
        let streams = swarm.behaviour().stream.new_control();
        Ok(Self {
            swarm,
            streams,
            identified: None,
            pings: Vec::new(),
            answered: Default::default(),
            listening: None,
            dialed: None,
            hung_up: false,
        })
    }

    pub async fn listen(&mut self, address: Multiaddr) -> Result<Multiaddr, String> {
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

    /// Ends all connections with the peer, and waits until they have ended.
    pub async fn hang_up(&mut self, peer: PeerId) -> Result<(), String> {
        self.hung_up = false;
        self.swarm
            .disconnect_peer_id(peer)
            .map_err(|()| "not connected".to_owned())?;
        while !self.hung_up {
            self.step().await;
        }
        Ok(())
    }

    /// Waits for what becomes of a request.
    pub async fn answered(&mut self, is_cbor: bool, id: OutboundRequestId) -> Answered {
        loop {
            match self.answered[usize::from(is_cbor)].remove(&id) {
                Some(answered) => return answered,
                None => self.step().await,
            }
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
            SwarmEvent::ConnectionClosed {
                num_established: 0, ..
            } => self.hung_up = true,
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
            SwarmEvent::Behaviour(BehaviourEvent::Cbor(event)) => {
                if let Some((channel, answer)) = requests::handle(event, &mut self.answered[1]) {
                    // The asker may be gone.
                    let _ = self
                        .swarm
                        .behaviour_mut()
                        .cbor
                        .send_response(channel, answer);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Json(event)) => {
                if let Some((channel, answer)) = requests::handle(event, &mut self.answered[0]) {
                    let _ = self
                        .swarm
                        .behaviour_mut()
                        .json
                        .send_response(channel, answer);
                }
            }
            _ => {}
        }
    }
}

fn keypair(key_type: &str) -> Result<Keypair, String> {
    let rsa = || -> Result<Keypair, BoxError> {
        let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048)?;
        Ok(Keypair::rsa_from_pkcs8(
            &mut key.to_pkcs8_der()?.to_bytes(),
        )?)
    };
    match key_type {
        "ed25519" => Ok(Keypair::generate_ed25519()),
        "secp256k1" => Ok(Keypair::generate_secp256k1()),
        "ecdsa" => Ok(Keypair::generate_ecdsa()),
        _ => rsa().map_err(|e| e.to_string()),
    }
}

/// Ping's results worth remembering.
const PINGS_MAX: usize = 16;
/// A connection stays for as long as the program does.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
