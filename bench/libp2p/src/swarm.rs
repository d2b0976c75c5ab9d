//! A node of rust-libp2p with any behaviour.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, bail};
use bench_harness::{Over, Security, Transport};
use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder,
    multiaddr::Protocol,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, tls, yamux,
};

/// With `streams_max` a connection may have so many streams, and negotiate so many at once; without, as many as by default.
pub(crate) async fn with<B: NetworkBehaviour>(
    behaviour: B,
    over: Over,
    streams_max: Option<usize>,
) -> Result<Swarm<B>> {
    let builder = SwarmBuilder::with_new_identity().with_tokio();
    let tcp = tcp::Config::default();
    let muxer = || {
        let mut muxer = yamux::Config::default();
        if let Some(max) = streams_max {
            muxer.set_max_num_streams(max);
        }
        muxer
    };
    // Each transport makes a builder of another type that cannot be named.
    macro_rules! finish {
        ($builder:expr) => {
            $builder
                .with_behaviour(|_| behaviour)?
                .with_swarm_config(|config| {
                    let config = config.with_idle_connection_timeout(IDLE_TIMEOUT);
                    match streams_max {
                        Some(max) => config.with_max_negotiating_inbound_streams(max),
                        None => config,
                    }
                })
                .build()
        };
    }
    Ok(match (over.transport, over.security) {
        (Transport::QuicV1, _) => finish!(builder.with_quic_config(|mut quic| {
            if let Some(max) = streams_max {
                quic.max_concurrent_stream_limit = max as u32;
            }
            quic
        })),
        (_, Security::None) => bail!("this stack secures every connection"),
        (Transport::Tcp, Security::Noise) => {
            finish!(builder.with_tcp(tcp, noise::Config::new, muxer)?)
        }
        (Transport::Tcp, Security::Tls) => {
            finish!(builder.with_tcp(tcp, tls::Config::new, muxer)?)
        }
        (Transport::Ws, Security::Noise) => {
            finish!(builder.with_websocket(noise::Config::new, muxer).await?)
        }
        (Transport::Ws, Security::Tls) => {
            finish!(builder.with_websocket(tls::Config::new, muxer).await?)
        }
    })
}

/// Listens, and gives what others dial.
pub(crate) async fn listen<B: NetworkBehaviour>(
    swarm: &mut Swarm<B>,
    at: SocketAddr,
    over: Over,
) -> Result<Multiaddr> {
    swarm.listen_on(over.multiaddr(at).parse()?)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return Ok(address.with(Protocol::P2p(*swarm.local_peer_id())));
        }
    }
}

const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
