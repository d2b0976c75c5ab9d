//! Whom a certificate proves the peer to be. The same rules for both roles; only a client expects somebody.

use std::sync::Arc;

use carrick_wire::{PeerId, certificate::Certificate};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::Refusal;
use crate::{Proofs, SecureError, proofs};

/// Tells what is remembered of TLS from what is of Noise.
const PROOF: &[u8] = b"tls";

#[derive(Debug)]
pub(super) struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    expected: Option<PeerId>,
    proofs: Arc<dyn Proofs>,
    /// A client's verifier serves one connection, so it can say what came of it.
    refusal: Refusal,
}

impl Verifier {
    pub(super) fn new(
        provider: &CryptoProvider,
        expected: Option<PeerId>,
        proofs: Arc<dyn Proofs>,
    ) -> Arc<Self> {
        Arc::new(Self {
            algorithms: provider.signature_verification_algorithms,
            expected,
            proofs,
            refusal: Refusal::default(),
        })
    }

    pub(super) fn refusal(&self) -> Refusal {
        self.refusal.clone()
    }

    /// The rules of specs/tls, "Peer Authentication".
    pub(super) fn verify(
        &self,
        certificate: &[u8],
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), SecureError> {
        if !others.is_empty() {
            return Err(SecureError::Certificate("there is more than one"));
        }
        let proof = [PROOF, certificate];
        let certificate = Certificate::decode(certificate)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < certificate.not_before {
            return Err(SecureError::Certificate("it is not valid yet"));
        }
        if now > certificate.not_after {
            return Err(SecureError::Certificate("it has expired"));
        }
        proofs::check(&*self.proofs, &proof, || {
            self.verify_own_signature(&certificate)?;
            certificate.host_key()?;
            Ok::<_, SecureError>(())
        })?;
        let found = certificate.claimed_key()?.to_peer_id();
        match self.expected {
            Some(expected) if expected != found => Err(SecureError::WrongPeer { expected, found }),
            _ => Ok(()),
        }
    }

    fn verify_own_signature(&self, certificate: &Certificate<'_>) -> Result<(), SecureError> {
        let algorithm = self.algorithms.all.iter().find(|algorithm| {
            algorithm.signature_alg_id().as_ref() == certificate.algorithm
                && algorithm.public_key_alg_id().as_ref() == certificate.key_algorithm
        });
        let algorithm =
            algorithm.ok_or(SecureError::Certificate("its algorithm is not supported"))?;
        algorithm
            .verify_signature(certificate.key, certificate.signed, certificate.signature)
            .map_err(|_| SecureError::Certificate("its own signature is invalid"))
    }

    /// That the peer holds the certificate's key.
    fn verify_handshake(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = Certificate::decode(certificate)
            .map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let key = SubjectPublicKeyInfoDer::from(certificate.key_info);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

fn refused(reason: SecureError) -> Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.verify(certificate, others, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(reason) => {
                let _ = self.refusal.0.set(reason.clone());
                Err(refused(reason))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_handshake(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(certificate, others, now).map_err(refused)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_handshake(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
