//! Carrick's node for one run: exactly the protocols that the suite names, so that nothing else can be negotiated.

use std::{fs, net::IpAddr, path::PathBuf, process};

use carrick::{Builder, Config, Muxer, Node, Security, transport::WebSocketTransport};
use multibase::Base;

use crate::{
    Result,
    environment::{self, Stack, Transport},
    perf,
};

/// A node that can dial.
pub(crate) async fn dialer(stack: Stack) -> Result<Node> {
    // The listeners of the suites sign their certificates themselves.
    let websocket = WebSocketTransport::new().with_any_certificate();
    Ok(builder(stack, websocket).spawn().await?)
}

/// A node that listens, and serves whatever a suite asks.
pub(crate) async fn listener(stack: Stack, ip: IpAddr, port: u16) -> Result<Node> {
    let family = if ip.is_ipv4() { "ip4" } else { "ip6" };
    let tail = match stack.transport {
        Transport::Tcp => format!("tcp/{port}"),
        Transport::Ws => format!("tcp/{port}/ws"),
        Transport::Wss => format!("tcp/{port}/tls/ws"),
        Transport::QuicV1 => format!("udp/{port}/quic-v1"),
    };
    let mut websocket = WebSocketTransport::new();
    if stack.transport == Transport::Wss {
        let certificate = Certificate::make()?;
        websocket = websocket.with_certificate(&certificate.chain, &certificate.key)?;
    }
    let builder = builder(stack, websocket).handle(perf::PROTOCOL, perf::serve);
    let address = format!("/{family}/{ip}/{tail}");
    Ok(builder.listen(address)?.spawn().await?)
}

fn builder(stack: Stack, websocket: WebSocketTransport) -> Builder {
    let mut builder = Node::builder().transport(websocket).config(Config {
        idle_timeout: None,
        ..Config::default()
    });
    if let Some(security) = stack.security {
        builder = builder.securities([match security {
            environment::Security::Noise => Security::Noise,
            environment::Security::Tls => Security::Tls,
        }]);
    }
    if let Some(muxer) = stack.muxer {
        builder = builder.muxers([match muxer {
            environment::Muxer::Yamux => Muxer::Yamux,
            environment::Muxer::Mplex => Muxer::Mplex,
        }]);
    }
    builder
}

/// A certificate that vouches for itself, in files for as long as it takes to read them.
struct Certificate {
    folder: PathBuf,
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn make() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let folder = std::env::temp_dir().join(format!("carrick-interop-{}", process::id()));
        fs::create_dir_all(&folder)?;
        let certificate = Self {
            chain: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            folder,
        };
        fs::write(&certificate.chain, pem("CERTIFICATE", made.cert.der()))?;
        fs::write(
            &certificate.key,
            pem("PRIVATE KEY", made.signing_key.serialized_der()),
        )?;
        Ok(certificate)
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = Base::Base64Pad.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
