//! TLS 1.3 as libp2p uses it (specs/tls): both sides show one self-signed certificate that their identity has signed.
//!
//! `rustls` runs the handshake, here for pipes and inside QUIC alike; what it needs of chance and time it gets for itself.
//! The certificate lives as long as the node, so its signatures are made once.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use carrick_wire::{
    Keypair, PeerId, ProtocolId, PublicKey,
    certificate::{self, Certificate},
};
use rustls::{
    CertificateError, ClientConfig, OtherError, ServerConfig,
    client::Resumption,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{cipher_suite, default_provider, kx_group},
    },
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use self::verifier::Verifier;
pub(crate) use self::{
    handshake::Handshake,
    transport::{Opener, Sealer},
};
use crate::{NoProofs, Proofs, SecureError};

#[cfg(test)]
mod forge;
mod handshake;
mod record;
mod transport;
mod verifier;

/// The protocol id of TLS.
pub(crate) const PROTOCOL: ProtocolId = ProtocolId::from_static("/tls/1.0.0");

/// A node's part in every TLS handshake: its certificate, and the muxers it offers over pipes.
pub struct TlsIdentity {
    client: ClientConfig,
    server: ServerConfig,
    muxers: Vec<ProtocolId>,
    proofs: Arc<dyn Proofs>,
}

impl TlsIdentity {
    /// Makes a certificate with a new P-256 key, signed by the identity, and offers `muxers` in this order within the
    /// handshake over a pipe; an empty list leaves the muxer to multistream-select. `None` if this key cannot sign.
    pub fn new(keypair: &Keypair, muxers: Vec<ProtocolId>) -> Option<Self> {
        Self::with_proofs(keypair, muxers, Arc::new(NoProofs))
    }

    /// As [`new`](Self::new); no peer's certificate is checked twice while `proofs` knows it. Its dates always are.
    pub fn with_proofs(
        keypair: &Keypair,
        muxers: Vec<ProtocolId>,
        proofs: Arc<dyn Proofs>,
    ) -> Option<Self> {
        let provider = provider();
        Self::with(certify(keypair, &provider)?, provider, muxers, proofs)
    }

    fn with(
        certified: CertifiedKey,
        provider: CryptoProvider,
        muxers: Vec<ProtocolId>,
        proofs: Arc<dyn Proofs>,
    ) -> Option<Self> {
        let provider = Arc::new(provider);
        let verifier = Verifier::new(&provider, None, proofs.clone());
        let certified = Arc::new(SingleCertAndKey::from(certified));
        let versions = &[&TLS13];
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(certified.clone());
        client.enable_sni = false;
        client.resumption = Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .ok()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certified);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Some(Self {
            client,
            server,
            muxers,
            proofs,
        })
    }

    /// For one outgoing connection. The handshake is aborted when the peer is not `expected`; [`peer_key`] tells who it
    /// is. rustls gives its reason in an error that [`error`] understands; QUIC passes that on as text only, so the reason
    /// is in the [`Refusal`] as well.
    pub fn client_config(
        &self,
        expected: Option<PeerId>,
        alpn: Vec<Vec<u8>>,
    ) -> (ClientConfig, Refusal) {
        let mut config = self.client.clone();
        let verifier = Verifier::new(config.crypto_provider(), expected, self.proofs.clone());
        let refusal = verifier.refusal();
        config.dangerous().set_certificate_verifier(verifier);
        config.alpn_protocols = alpn;
        (config, refusal)
    }

    /// For incoming connections, any number of them. [`peer_key`] tells who the peer is.
    pub fn server_config(&self, alpn: Vec<Vec<u8>>) -> ServerConfig {
        let mut config = self.server.clone();
        config.alpn_protocols = alpn;
        config
    }
}

/// For a fuzzer: two ends whose secrets are known, without a handshake.
#[cfg(fuzzing)]
pub(crate) fn halves(role: crate::Role) -> Result<(Opener, Sealer), SecureError> {
    let (ours, theirs) = match role {
        crate::Role::Dialer => ([1; 32], [2; 32]),
        crate::Role::Listener => ([2; 32], [1; 32]),
    };
    let suite = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
    transport::split(role, suite, &ours, &theirs)
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("muxers", &self.muxers)
            .finish_non_exhaustive()
    }
}

/// Why a client refused the peer's certificate, for where rustls' error is lost on the way.
#[derive(Clone, Debug, Default)]
pub struct Refusal(Arc<OnceLock<SecureError>>);

impl Refusal {
    /// The reason, once there is one.
    pub fn reason(&self) -> Option<SecureError> {
        self.0.get().cloned()
    }
}

/// The identity key of a peer whose certificate was accepted in a handshake; the certificate is not verified again.
///
/// # Errors
/// It is not a certificate of libp2p's TLS.
pub fn peer_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, SecureError> {
    Ok(Certificate::decode(certificate)?.claimed_key()?)
}

/// What a handshake's error says, typed: [`SecureError::WrongPeer`] comes out of it.
pub fn error(error: &rustls::Error) -> SecureError {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) => reason
            .downcast_ref()
            .cloned()
            .unwrap_or(SecureError::Certificate("it was refused")),
        rustls::Error::AlertReceived(alert) => SecureError::Alert(u8::from(*alert)),
        rustls::Error::NoApplicationProtocol => SecureError::NoCommonMuxer,
        error => SecureError::Tls(error.to_string()),
    }
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        // Where the CPU has AES, it is the faster cipher, and its shorter key is as safe.
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        ..default_provider()
    }
}

/// The certificate, good from 1975 to 4096 as in the spec's examples: its key says who we are, not its age.
fn certify(identity: &Keypair, provider: &CryptoProvider) -> Option<CertifiedKey> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).ok()?;
    let key_info = rcgen::PublicKeyData::subject_public_key_info(&key);
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(
        certificate::EXTENSION_ID,
        certificate::extension(identity, &key_info)?,
    )];
    // rcgen's serial number is a hash of the new key, so it is random.
    let certificate = params.self_signed(&key).ok()?;
    let secret = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = provider.key_provider.load_private_key(secret.into()).ok()?;
    Some(CertifiedKey::new(vec![certificate.into()], key))
}

#[cfg(test)]
mod tests;
