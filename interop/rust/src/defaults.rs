//! `serve`: a node as rust-libp2p makes it when nobody asks for anything else, for those who attack it: TCP, QUIC and WebSocket,
//! TLS and Noise, yamux, identify, ping, and an echo. No limit is taken away and none is added: rust-libp2p has none on
//! connections unless `libp2p-connection-limits` is composed in (docs.rs/libp2p-connection-limits).

use futures::StreamExt;
use libp2p::{
    Multiaddr, SwarmBuilder, identify, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, tls, yamux,
};

use crate::{inbound::Inbound, serve, transport::BoxError};

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    inbound: Inbound,
}

/// Serves at these addresses until `stop`.
pub async fn run(addresses: Vec<String>, stop: impl Future<Output = ()>) -> Result<(), BoxError> {
    let mut inbound = Inbound::default();
    serve::echoes(&mut inbound);
    let securities = || (tls::Config::new, noise::Config::new);
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), securities(), yamux::Config::default)?
        .with_quic()
        .with_dns()?
        .with_websocket(securities(), yamux::Config::default)
        .await?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new(
                "ipfs/0.1.0".to_owned(),
                key.public(),
            )),
            ping: ping::Behaviour::default(),
            inbound,
        })?
        .build();
    for address in addresses {
        swarm.listen_on(address.parse::<Multiaddr>()?)?;
    }
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            event = swarm.select_next_some() => {
                if let SwarmEvent::NewListenAddr { address, .. } = event {
                    println!("listening {address}/p2p/{}", swarm.local_peer_id());
                }
            }
        }
    }
}
