//! What rustls asks of us: whether the peer's certificate proves a peer, and whether its key signed this handshake.

use super::TlsError;
use super::certificate::{CertificateError, Unchecked};
use crate::key::PublicKey;
use crate::peer_id::PeerId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, SignatureScheme};
use std::sync::Arc;

/// For one connection: whom it expects, and what time it is.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) expected: Option<PeerId>,
    pub(super) unix_seconds: i64,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// The peer's key, where its certificates are one, and prove it.
    pub(super) fn check(&self, certificates: &[&CertificateDer<'_>]) -> Result<PublicKey, TlsError> {
        let [certificate] = certificates else { return Err(CertificateError::Number(certificates.len()).into()) };
        let key = Unchecked::read(certificate)?.check(self.unix_seconds, &self.algorithms)?;
        match &self.expected {
            Some(expected) if *expected != key.peer_id() => Err(TlsError::AnotherPeer),
            _ => Ok(key),
        }
    }

    /// As rustls wants it, which hands our error back unread.
    fn check_for_rustls(&self, end: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let certificates: Vec<_> = std::iter::once(end).chain(others).collect();
        let outcome = self.check(&certificates).map(|_| ());
        outcome.map_err(|e| Error::InvalidCertificate(rustls::CertificateError::Other(OtherError(Arc::new(e)))))
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let parts = Unchecked::read(certificate).map_err(|_| rustls::CertificateError::BadEncoding)?;
        verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(parts.key_info), signed, &self.algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_for_rustls(end, others).map(|()| ServerCertVerified::assertion())
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
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
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_for_rustls(end, others).map(|()| ClientCertVerified::assertion())
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
