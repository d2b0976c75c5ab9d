//! TLS 1.3 as the client: rustls does the handshake, the caller says what certificate, ALPN and server name it has, and the
//! peer's certificate is accepted whatever it is, for the case to look at.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    sign::CertifiedKey,
};
use tokio_rustls::TlsConnector;

use super::{
    certificate::{self, Papers},
    channel::Channel,
};
use crate::case::{Step, fail};

/// How we shake hands.
#[derive(Debug)]
pub(crate) struct Hello {
    /// None: we have no certificate.
    pub(crate) papers: Option<Papers>,
    pub(crate) alpn: Vec<&'static str>,
    pub(crate) server_name: Option<&'static str>,
}

/// What was learned of the peer.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    chain: Mutex<Vec<Vec<u8>>>,
    asked: AtomicBool,
}

impl Learned {
    /// The certificates that it sent.
    pub(crate) fn chain(&self) -> Vec<Vec<u8>> {
        self.chain
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether it asked for our certificate.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A connection on which the client's part of the handshake is done.
pub(crate) struct Secure {
    pub(crate) channel: Channel,
    pub(crate) learned: Arc<Learned>,
    pub(crate) alpn: Option<String>,
}

/// rustls' settings for such a hello, for TLS and QUIC alike.
pub(crate) fn config(hello: Hello) -> Step<(ClientConfig, Arc<Learned>)> {
    let learned = Arc::new(Learned::default());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = match hello.papers {
        Some(papers) => match aws_lc_rs::sign::any_supported_type(&papers.key) {
            Ok(key) => Some(Arc::new(CertifiedKey::new(papers.chain, key))),
            Err(error) => return fail(error.to_string()),
        },
        None => None,
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = match builder {
        Ok(builder) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone {
                provider,
                learned: learned.clone(),
            }))
            .with_client_cert_resolver(Arc::new(Ours {
                certified,
                learned: learned.clone(),
            })),
        Err(error) => return fail(error.to_string()),
    };
    config.alpn_protocols = hello
        .alpn
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    config.enable_sni = hello.server_name.is_some();
    Ok((config, learned))
}

/// Shakes hands. What the server thinks of our certificate is not known yet when this is over.
pub(crate) async fn shake(channel: Channel, hello: Hello) -> Step<io::Result<Secure>> {
    let name = hello.server_name.unwrap_or("libp2p.invalid");
    let (config, learned) = config(hello)?;
    let (socket, ahead) = channel.into_socket()?;
    if !ahead.is_empty() {
        return fail("the peer spoke before the client's hello");
    }
    let Ok(name) = ServerName::try_from(name) else {
        return fail("not a server's name");
    };
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect(name, socket).await.map(|stream| {
        let alpn = stream.get_ref().1.alpn_protocol();
        let alpn = alpn.map(|name| String::from_utf8_lossy(name).into_owned());
        Secure {
            channel: Channel::new(Box::new(stream)),
            learned,
            alpn,
        }
    }))
}

#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
    learned: Arc<Learned>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = [end_entity].into_iter().chain(intermediates);
        *self
            .learned
            .chain
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = chain.map(|one| one.to_vec()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is never offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let unreadable = |_| Error::General("an unreadable certificate".to_owned());
        let seen = certificate::read(cert).map_err(unreadable)?;
        let key = SubjectPublicKeyInfoDer::from(seen.spki);
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

#[derive(Debug)]
struct Ours {
    certified: Option<Arc<CertifiedKey>>,
    learned: Arc<Learned>,
}

impl ResolvesClientCert for Ours {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.learned.asked.store(true, Ordering::Relaxed);
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
