//! What a stack runs over, as the command line says it and as a multiaddr to listen on.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

/// Transport and security of all connections of a run.
#[derive(Clone, Copy, Debug, Args)]
pub struct Over {
    /// Transport of all connections
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    pub transport: Transport,
    /// Security on the transports that have none of their own
    #[arg(long, value_enum, default_value_t = Security::Noise)]
    pub security: Security,
    /// ask: the form of requests, where a stack has several
    #[arg(long, value_enum, default_value_t = Form::Plain)]
    pub form: Form,
}

impl Over {
    /// The multiaddr of this transport at a socket address.
    pub fn multiaddr(&self, at: SocketAddr) -> String {
        let ip = match at {
            SocketAddr::V4(at) => format!("/ip4/{}", at.ip()),
            SocketAddr::V6(at) => format!("/ip6/{}", at.ip()),
        };
        let port = at.port();
        match self.transport {
            Transport::Tcp => format!("{ip}/tcp/{port}"),
            Transport::Ws => format!("{ip}/tcp/{port}/ws"),
            Transport::QuicV1 => format!("{ip}/udp/{port}/quic-v1"),
        }
    }
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// TCP
    Tcp,
    /// WebSocket over TCP
    Ws,
    /// QUIC version 1, which is also the security
    QuicV1,
}

/// What secures the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Security {
    /// Noise, hence ChaCha20-Poly1305
    Noise,
    /// TLS 1.3
    Tls,
    /// None: only the limits do that
    None,
}

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Bytes on a stream of their own
    Plain,
    /// Typed messages, each request on a stream of its own
    Streams,
    /// Typed messages that share one stream
    Multiplexed,
}
