//! What the command line says of the node, and the transport that comes of it.

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    identity::Keypair,
    noise, quic, tcp, tls, websocket, yamux,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub struct Options {
    pub transport: String,
    pub security: String,
    pub muxer: String,
    pub key_type: String,
    pub ip: String,
    /// PEM files for wss: what the listener shows, and who the dialer trusts.
    pub tls_cert: Option<String>,
    pub tls_key: Option<String>,
    pub tls_ca: Option<String>,
    /// What the bulk check sends each way.
    pub bulk_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: "tcp".to_owned(),
            security: "noise".to_owned(),
            muxer: "yamux".to_owned(),
            key_type: "ed25519".to_owned(),
            ip: "4".to_owned(),
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            bulk_bytes: 64 << 20,
        }
    }
}

impl Options {
    /// Why this program cannot do what is asked.
    pub fn unsupported(&self) -> Option<String> {
        let known = [
            ("transport", &self.transport, TRANSPORTS.as_slice()),
            ("security", &self.security, &["noise", "tls"]),
            ("muxer", &self.muxer, &["yamux", "mplex"]),
            (
                "key type",
                &self.key_type,
                &["ed25519", "rsa", "secp256k1", "ecdsa"],
            ),
            ("IP version", &self.ip, &["4", "6"]),
        ];
        known
            .into_iter()
            .find(|(_, value, values)| !values.contains(&value.as_str()))
            .map(|(what, value, _)| format!("unknown {what}: {value}"))
    }

    pub fn is_quic(&self) -> bool {
        self.transport == "quic-v1"
    }

    /// The loopback address with a free port.
    pub fn listen_address(&self) -> Result<Multiaddr, String> {
        let ip = match self.ip.as_str() {
            "6" => "/ip6/::1",
            _ => "/ip4/127.0.0.1",
        };
        let rest = match self.transport.as_str() {
            "ws" => "/tcp/0/ws",
            "wss" => "/tcp/0/wss",
            "quic-v1" => "/udp/0/quic-v1",
            _ => "/tcp/0",
        };
        format!("{ip}{rest}").parse().map_err(|e| format!("{e}"))
    }
}

pub fn transport(key: &Keypair, options: &Options) -> Result<Connections, BoxError> {
    let pipe = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    match options.transport.as_str() {
        "tcp" => upgrade(pipe, key, options),
        "quic-v1" => {
            let quic = quic::tokio::Transport::new(quic::Config::new(key));
            Ok(quic
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed())
        }
        _ => {
            let mut websocket = websocket::Config::new(pipe);
            websocket.set_tls_config(certificates(options)?);
            upgrade(websocket, key, options)
        }
    }
}

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

const TRANSPORTS: [&str; 4] = ["tcp", "ws", "wss", "quic-v1"];

fn upgrade<T>(pipe: T, key: &Keypair, options: &Options) -> Result<Connections, BoxError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let pipe = pipe.upgrade(Version::V1);
    let (yamux, mplex) = (yamux::Config::default, libp2p_mplex::Config::new);
    Ok(match (options.security.as_str(), options.muxer.as_str()) {
        ("tls", "mplex") => pipe
            .authenticate(tls::Config::new(key)?)
            .multiplex(mplex())
            .boxed(),
        ("tls", _) => pipe
            .authenticate(tls::Config::new(key)?)
            .multiplex(yamux())
            .boxed(),
        (_, "mplex") => pipe
            .authenticate(noise::Config::new(key)?)
            .multiplex(mplex())
            .boxed(),
        _ => pipe
            .authenticate(noise::Config::new(key)?)
            .multiplex(yamux())
            .boxed(),
    })
}

fn certificates(options: &Options) -> Result<websocket::tls::Config, BoxError> {
    let read = |path: &str| -> Result<_, BoxError> {
        let certificate = CertificateDer::from_pem_file(path)?;
        Ok(websocket::tls::Certificate::new(certificate.to_vec()))
    };
    let mut config = websocket::tls::Config::builder();
    if let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) {
        let key = PrivateKeyDer::from_pem_file(key)?.secret_der().to_vec();
        config.server(websocket::tls::PrivateKey::new(key), [read(certificate)?])?;
    }
    if let Some(authority) = &options.tls_ca {
        config.add_trust(&read(authority)?)?;
    }
    Ok(config.finish())
}
