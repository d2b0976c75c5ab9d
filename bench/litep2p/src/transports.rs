//! litep2p's configuration over what is asked for. Two settings differ from the defaults: the keep-alive, or it
//! would close connections between streams, and TCP_NODELAY, in its favour.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use bench_harness::{Over, Security, Transport};
use litep2p::{
    config::ConfigBuilder,
    transport::{
        quic::config::Config as QuicConfig, tcp::config::Config as TcpConfig,
        websocket::config::Config as WebSocketConfig,
    },
};

/// With `streams_max` a connection may have so many streams, and opening one may take as long as that needs; without, as by default.
pub(crate) fn config(
    listen: Option<SocketAddr>,
    over: Over,
    streams_max: Option<usize>,
) -> Result<ConfigBuilder> {
    let config = ConfigBuilder::new().with_keep_alive_timeout(Duration::from_secs(3600));
    let listen = listen.map(|at| over.multiaddr(at).parse()).transpose()?;
    let listen_addresses: Vec<_> = listen.into_iter().collect();
    if over.transport == Transport::QuicV1 {
        let mut quic = QuicConfig::default();
        if streams_max.is_some() {
            quic.substream_open_timeout = OPEN_TIMEOUT;
        }
        // Its dialer needs a socket too; the default is a free port of this machine.
        if !listen_addresses.is_empty() {
            quic.listen_addresses = listen_addresses;
        }
        return Ok(config.with_quic(quic));
    }
    ensure!(
        over.security == Security::Noise,
        "this stack has only Noise"
    );
    let tcp = TcpConfig::default();
    let mut yamux_config = tcp.yamux_config;
    let mut substream_open_timeout = tcp.substream_open_timeout;
    if let Some(max) = streams_max {
        yamux_config.set_max_num_streams(max);
        substream_open_timeout = OPEN_TIMEOUT;
    }
    Ok(match over.transport {
        Transport::Ws => config.with_websocket(WebSocketConfig {
            listen_addresses,
            nodelay: true,
            yamux_config,
            substream_open_timeout,
            ..Default::default()
        }),
        Transport::Tcp | Transport::QuicV1 => config.with_tcp(TcpConfig {
            listen_addresses,
            nodelay: true,
            yamux_config,
            substream_open_timeout,
            ..Default::default()
        }),
    })
}

const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
