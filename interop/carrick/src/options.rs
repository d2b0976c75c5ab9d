//! What the command line says of the node, and the builder that comes of it.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use carrick::{Builder, Config, Keypair, Muxer, Node, Security};

use super::Result;

pub(crate) struct Options {
    transport: String,
    security: Security,
    muxer: Muxer,
    key_type: String,
    ip: String,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    tls_ca: Option<String>,
    checks: Option<Vec<String>>,
    /// How many times as long as usual everything may take, where the network is slow on purpose.
    pub(crate) slow: u32,
    /// Peers that may come from one address, where a crowd is to.
    peers_per_ip: Option<usize>,
    /// What the bulk check sends each way.
    pub(crate) bulk_bytes: u64,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self::default();
        while let Some(option) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{option} needs a value"))?;
            match (option.as_str(), value.as_str()) {
                ("--transport", "tcp" | "ws" | "wss" | "quic-v1") => parsed.transport = value,
                ("--security", "noise") => parsed.security = Security::Noise,
                ("--security", "tls") => parsed.security = Security::Tls,
                ("--muxer", "yamux") => parsed.muxer = Muxer::Yamux,
                ("--muxer", "mplex") => parsed.muxer = Muxer::Mplex,
                ("--key-type", "ed25519" | "rsa" | "secp256k1" | "ecdsa") => {
                    parsed.key_type = value
                }
                ("--ip", "4" | "6") => parsed.ip = value,
                ("--tls-cert", _) => parsed.tls_cert = Some(value),
                ("--tls-key", _) => parsed.tls_key = Some(value),
                ("--tls-ca", _) => parsed.tls_ca = Some(value),
                ("--slow", times) => parsed.slow = times.parse()?,
                ("--peers-per-ip", peers) => parsed.peers_per_ip = Some(peers.parse()?),
                ("--bulk-bytes", bytes) => parsed.bulk_bytes = bytes.parse()?,
                ("--checks", list) => {
                    parsed.checks = Some(list.split(',').map(str::to_owned).collect())
                }
                _ => return Err(format!("unknown option {option} {value}").into()),
            }
        }
        Ok(parsed)
    }

    /// A node that offers only what is asked for.
    pub(crate) fn builder(&self) -> Result<Builder> {
        let mut config = Config {
            idle_timeout: None,
            ..Config::default()
        };
        if let Some(peers) = self.peers_per_ip {
            let swarm = &mut config.swarm;
            (swarm.connections_per_ip_max, swarm.connection_burst_per_ip) = (peers, peers);
            (
                swarm.connections_per_site_max,
                swarm.connection_burst_per_site,
            ) = (peers, peers);
        }
        let mut builder = Node::builder()
            .identity(self.keypair()?)
            .securities([self.security])
            .muxers([self.muxer])
            .config(config);
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            builder = builder.wss_certificate(certificate, key)?;
        }
        if let Some(authority) = &self.tls_ca {
            builder = builder.wss_root(authority)?;
        }
        Ok(builder)
    }

    /// The loopback address with a free port.
    pub(crate) fn listen_address(&self) -> String {
        let ip = match self.ip.as_str() {
            "6" => "/ip6/::1",
            _ => "/ip4/127.0.0.1",
        };
        let rest = match self.transport.as_str() {
            "ws" => "/tcp/0/ws",
            "wss" => "/tcp/0/tls/ws",
            "quic-v1" => "/udp/0/quic-v1",
            _ => "/tcp/0",
        };
        format!("{ip}{rest}")
    }

    /// Whether this check is to run.
    pub(crate) fn asks(&self, check: &str) -> bool {
        let checks = self.checks.as_ref();
        checks.is_none_or(|checks| checks.iter().any(|asked| asked == check))
    }

    /// Whether this check is asked for by its name.
    pub(crate) fn names(&self, check: &str) -> bool {
        self.checks.is_some() && self.asks(check)
    }

    fn keypair(&self) -> Result<Keypair> {
        Ok(match self.key_type.as_str() {
            "secp256k1" => Keypair::generate_secp256k1(),
            "ecdsa" => Keypair::generate_ecdsa(),
            "rsa" => {
                let key = KeyPair::generate(KeySize::Rsa2048)?;
                let mut der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key)?.as_ref().to_vec();
                Keypair::rsa_from_pkcs8(&mut der)?
            }
            _ => Keypair::generate_ed25519(),
        })
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: "tcp".to_owned(),
            security: Security::Noise,
            muxer: Muxer::Yamux,
            key_type: "ed25519".to_owned(),
            ip: "4".to_owned(),
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            checks: None,
            slow: 1,
            peers_per_ip: None,
            bulk_bytes: 64 << 20,
        }
    }
}
