//! TLS around a WebSocket: certificates that an authority vouches for, as on the web. It says nothing about the peer,
//! whom libp2p's own security inside identifies.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::transport::PipeRead;

/// Why a certificate or a key for WSS cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read, or is no PEM file.
    #[error("cannot read {path}: {reason}", path = path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file has no certificate in it.
    #[error(
        "{path} holds no certificate; one in PEM begins with -----BEGIN CERTIFICATE-----, the server's own before \
         those of its authorities", path = path.display()
    )]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The file has no private key in it.
    #[error(
        "{path} holds no private key that is not encrypted; one in PEM begins with -----BEGIN PRIVATE KEY-----",
        path = path.display()
    )]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate or key that TLS does not take, or the two do not belong together.
    #[error("{path} cannot be used: {reason}", path = path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a server shows.
pub(super) fn server_config(chain: &Path, key: &Path) -> Result<ServerConfig, CertificateError> {
    let certificates = certificates(chain)?;
    let der = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey { path: key.into() },
        error => unreadable(key, &error),
    })?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(certificates, der);
    let mut config = config.map_err(|error| {
        let reason = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!(
                    "the key does not belong to the first certificate in {}",
                    chain.display()
                )
            }
            error => error.to_string(),
        };
        CertificateError::Unusable {
            path: key.into(),
            reason,
        }
    })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Adds the authorities in a file to those that a client trusts.
pub(super) fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), CertificateError> {
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| CertificateError::Unusable {
            path: path.into(),
            reason: error.to_string(),
        })?;
    }
    Ok(())
}

/// Trusts the web's authorities and these.
pub(super) fn client_config(extra: &RootCertStore) -> ClientConfig {
    let mut roots = extra.clone();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

/// Trusts everybody.
pub(super) fn unverified_config() -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, &error))?;
    if all.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.into() });
    }
    Ok(all)
}

fn unreadable(path: &Path, error: &pem::Error) -> CertificateError {
    let reason = match error {
        pem::Error::Io(error) => error.to_string(),
        error => format!("it is no PEM file ({error})"),
    };
    CertificateError::Unreadable {
        path: path.into(),
        reason,
    }
}

/// The client's handshake.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let shown = name.to_str().into_owned();
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map(TlsStream::from).map_err(|error| {
        let untrusted = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<rustls::Error>())
            .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
        let remedy = if untrusted {
            "; if an authority of your own vouches for it, name that to the builder's wss_root"
        } else {
            ""
        };
        io::Error::new(error.kind(), format!("TLS with {shown}: {error}{remedy}"))
    })
}

/// The server's handshake.
pub(super) async fn accept(
    config: Arc<ServerConfig>,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    Ok(TlsAcceptor::from(config).accept(stream).await?.into())
}

/// Two halves, for a reader and a writer of their own.
pub(super) fn split(stream: TlsStream<TcpStream>) -> (TlsRead, TlsWrite) {
    let stream = Arc::new(Mutex::new(stream));
    (TlsRead(stream.clone()), TlsWrite(stream))
}

type Shared = Arc<Mutex<TlsStream<TcpStream>>>;

/// The reading half; it knows when a read would wait, without a buffer.
pub(super) struct TlsRead(Shared);

/// The writing half.
pub(super) struct TlsWrite(Shared);

fn with<T>(shared: &Shared, call: impl FnOnce(Pin<&mut TlsStream<TcpStream>>) -> T) -> T {
    // A panic within TLS leaves a stream that fails, which is all that can be asked of it.
    let mut stream = shared.lock().unwrap_or_else(PoisonError::into_inner);
    call(Pin::new(&mut *stream))
}

impl PipeRead for TlsRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with(&self.0, |stream| {
            let (wants_read, tcp) = match stream.get_mut() {
                TlsStream::Client(stream) => (stream.get_ref().1.wants_read(), stream.get_ref().0),
                TlsStream::Server(stream) => (stream.get_ref().1.wants_read(), stream.get_ref().0),
            };
            // It does not want to read while there is plaintext to be taken.
            if wants_read {
                tcp.poll_read_ready(cx)
            } else {
                Poll::Ready(Ok(()))
            }
        })
    }
}

impl AsyncRead for TlsRead {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match with(&self.0, |stream| stream.poll_read(cx, buf)) {
            // An end that TLS did not announce: what is inside knows by itself whether it is complete.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(()))
            }
            read => read,
        }
    }
}

impl AsyncWrite for TlsWrite {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        with(&self.0, |stream| stream.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with(&self.0, |stream| stream.poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with(&self.0, |stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with(&self.0, |stream| stream.poll_shutdown(cx))
    }
}

/// The one protocol that a WebSocket starts from.
const ALPN: &[u8] = b"http/1.1";
