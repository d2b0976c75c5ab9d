//! What the two raw stacks share: the cipher suite, and a certificate that travels in the server's address,
//! `ip:port#hex`. Only the server shows who it is, with a P-256 key; libp2p asks both sides and signs twice.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, anyhow};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, cipher_suite::TLS13_AES_128_GCM_SHA256, kx_group::X25519},
    },
    pki_types::{CertificateDer, PrivateKeyDer},
    version::TLS13,
};

/// The name in the certificate.
pub const SERVER_NAME: &str = "localhost";

/// TLS 1.3 with AES-128-GCM and X25519, whatever else the build has switched on.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![X25519],
        ..aws_lc_rs::default_provider()
    })
}

/// A server with a new certificate, and that certificate.
pub fn server() -> Result<(ServerConfig, CertificateDer<'static>)> {
    let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|e| anyhow!(e))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok((config, certificate))
}

/// A client that trusts this one certificate and never resumes.
pub fn client(certificate: CertificateDer<'static>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What a client needs in order to dial.
pub fn address(at: SocketAddr, certificate: &CertificateDer<'_>) -> String {
    let hex: String = certificate
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{at}#{hex}")
}

/// The parts of [`address`].
pub fn parse(address: &str) -> Result<(SocketAddr, CertificateDer<'static>)> {
    let (at, hex) = address.split_once('#').context("ip:port#hex expected")?;
    let byte = |at| {
        hex.get(at..at + 2)
            .map(|digits| u8::from_str_radix(digits, 16))
    };
    let bytes: Option<Result<Vec<u8>, _>> = (0..hex.len()).step_by(2).map(byte).collect();
    let certificate = bytes.context("half a byte in the certificate")??;
    Ok((at.parse()?, certificate.into()))
}

const ALPN: &[u8] = b"bench";
