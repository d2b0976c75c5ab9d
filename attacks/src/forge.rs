//! Certificates of libp2p's TLS (specs/tls), put together by hand so that each can be wrong in one way; and who shows one to the
//! victim, over TCP and over QUIC, and sees whether it is let in.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use carrick::Keypair;
use carrick_session::TlsIdentity;
use carrick_wire::certificate;
use quinn::crypto::rustls::QuicClientConfig;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rustls::{
    ClientConfig, SignatureScheme,
    client::ResolvesClientCert,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, alg_id},
    sign::CertifiedKey,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{attack::Scene, source, speaker::proposal};

/// What goes into a certificate. As it comes from [`Forge::new`], nothing is wrong with it.
pub(crate) struct Forge {
    pub(crate) key: KeyPair,
    /// What it signs itself with.
    pub(crate) signer: Option<KeyPair>,
    pub(crate) dates: [&'static str; 2],
    /// Between key and extensions.
    pub(crate) unique_ids: Vec<u8>,
    pub(crate) extensions: Vec<u8>,
}

impl Forge {
    /// Of a new peer.
    pub(crate) fn new() -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let identity = Keypair::generate_ed25519();
        let content = certificate::extension(&identity, &key.subject_public_key_info());
        let content = content.ok_or_else(|| io::Error::other("this key does not sign"))?;
        Ok(Self {
            extensions: libp2p(&[], &content),
            key,
            signer: None,
            dates: ["20000101000000Z", "40960101000000Z"],
            unique_ids: Vec::new(),
        })
    }

    /// The key, as the identity signs it.
    pub(crate) fn key_info(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The certificate.
    pub(crate) fn certificate(&self) -> io::Result<Vec<u8>> {
        let algorithm = der(SEQUENCE, &[&alg_id::ECDSA_SHA256]);
        let dates = self.dates.map(|time| der(0x18, &[time.as_bytes()]));
        let signed = der(
            SEQUENCE,
            &[
                &[0xa0, 3, 2, 1, 2],
                &[2, 1, 1],
                &algorithm,
                &der(SEQUENCE, &[]),
                &der(SEQUENCE, &[&dates.concat()]),
                &der(SEQUENCE, &[]),
                &self.key_info(),
                &self.unique_ids,
                &der(0xa3, &[&der(SEQUENCE, &[&self.extensions])]),
            ],
        );
        let signer = self.signer.as_ref().unwrap_or(&self.key);
        let signature = der(3, &[&[0], &signer.sign(&signed).map_err(io::Error::other)?]);
        Ok(der(SEQUENCE, &[&signed, &algorithm, &signature]))
    }

    /// Whoever shows these certificates with this one's key.
    pub(crate) fn shows(&self, chain: Vec<Vec<u8>>) -> io::Result<Shown> {
        let secret = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let key = default_provider()
            .key_provider
            .load_private_key(secret.into());
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let certified = CertifiedKey::new(chain, key.map_err(io::Error::other)?);
        Ok(Shown(Some(Arc::new(certified))))
    }
}

/// The libp2p extension with this content.
pub(crate) fn libp2p(critical: &[u8], content: &[u8]) -> Vec<u8> {
    extension(LIBP2P_ID, critical, content)
}

/// Any extension.
pub(crate) fn extension(id: &[u8], critical: &[u8], content: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[&der(6, &[id]), critical, &der(4, &[content])])
}

/// A value in DER.
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len().to_be_bytes();
    let head = match content.len() {
        0..0x80 => vec![tag, len[7]],
        0x80..0x100 => vec![tag, 0x81, len[7]],
        0x100..0x1_0000 => vec![tag, 0x82, len[6], len[7]],
        _ => vec![tag, 0x83, len[5], len[6], len[7]],
    };
    [head, content].concat()
}

pub(crate) const CRITICAL: &[u8] = &[1, 1, 0xff];
pub(crate) const SEQUENCE: u8 = 0x30;
/// 1.3.6.1.4.1.53594.1.1
pub(crate) const LIBP2P_ID: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xa2, 0x5a, 1, 1];

/// What is shown to whoever asks for a certificate: perhaps nothing.
#[derive(Clone, Debug)]
pub(crate) struct Shown(pub(crate) Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// A client that believes any server, as libp2p's do until they have seen its certificate.
fn client(shown: &Shown, alpn: &[&[u8]]) -> io::Result<ClientConfig> {
    let identity = TlsIdentity::new(&Keypair::generate_ed25519(), Vec::new());
    let identity = identity.ok_or_else(|| io::Error::other("this key makes no identity"))?;
    let alpn = alpn.iter().map(|name| name.to_vec()).collect();
    let (mut config, _) = identity.client_config(None, alpn);
    config.client_auth_cert_resolver = Arc::new(shown.clone());
    Ok(config)
}

/// A pipe on which both have agreed on TLS.
pub(crate) async fn agree(scene: &Scene, source: IpAddr) -> io::Result<TcpStream> {
    let mut socket = source::connect(source, scene.tcp()).await?;
    let words = proposal("/tls/1.0.0");
    socket.write_all(&words).await?;
    let mut answer = vec![0; words.len()];
    socket.read_exact(&mut answer).await?;
    Ok(socket)
}

/// Whether whoever shows this is spoken with over TCP; the second is the victim's own certificate.
pub(crate) async fn over_tcp(
    scene: &Scene,
    source: IpAddr,
    shown: &Shown,
    alpn: &[&[u8]],
) -> io::Result<(bool, Vec<u8>)> {
    let config = Arc::new(client(shown, alpn)?);
    let mut theirs = Vec::new();
    let talk = async {
        let socket = agree(scene, source).await?;
        let name = ServerName::try_from("libp2p").map_err(io::Error::other)?;
        let mut stream = TlsConnector::from(config).connect(name, socket).await?;
        let chain = stream.get_ref().1.peer_certificates();
        theirs = chain
            .and_then(|chain| chain.first())
            .map(|own| own.to_vec())
            .unwrap_or_default();
        stream.write_all(&proposal("/yamux/1.0.0")).await?;
        stream.read_u8().await
    };
    let answered = timeout(PATIENCE, talk).await;
    Ok((matches!(answered, Ok(Ok(_))), theirs))
}

/// Whether whoever shows this is spoken with over QUIC.
pub(crate) async fn over_quic(
    scene: &Scene,
    source: IpAddr,
    shown: &Shown,
    alpn: &[&[u8]],
) -> io::Result<bool> {
    let config = QuicClientConfig::try_from(client(shown, alpn)?).map_err(io::Error::other)?;
    let mut endpoint = quinn::Endpoint::client((source, 0).into())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
    let connecting = endpoint
        .connect(scene.quic(), "libp2p")
        .map_err(io::Error::other)?;
    let talk = async {
        let connection = connecting.await.map_err(io::Error::other)?;
        let (mut send, mut recv) = connection.open_bi().await.map_err(io::Error::other)?;
        send.write_all(&proposal("/ipfs/ping/1.0.0"))
            .await
            .map_err(io::Error::other)?;
        let mut answer = [0];
        recv.read_exact(&mut answer).await.map_err(io::Error::other)
    };
    Ok(matches!(timeout(PATIENCE, talk).await, Ok(Ok(_))))
}

/// Longer than the deadline of a handshake.
const PATIENCE: Duration = Duration::from_secs(13);
