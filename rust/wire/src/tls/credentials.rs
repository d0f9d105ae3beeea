//! Our own certificate: a P-256 key for this process, and libp2p's extension in which our own key vouches for it.
//!
//! Valid for as long as X.509 can say, as rust-libp2p's are: a certificate is worth what the signature in it is, and a
//! machine with a wrong clock is to be reached all the same.

use super::certificate::{EXTENSION_ID, signed};
use super::{TlsError, provider};
use crate::der;
use crate::key::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use ring::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::fmt;
use std::sync::Arc;

/// ecdsa-with-SHA256.
const SIGNATURE_ALGORITHM: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// id-ecPublicKey on prime256v1.
const KEY_ALGORITHM: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// organizationName.
const ORGANIZATION: &[u8] = b"\x55\x04\x0a";

/// A certificate with its key, for any number of connections, and what they share.
#[derive(Clone)]
pub struct Credentials {
    pub(super) certified: Arc<SingleCertAndKey>,
    pub(super) provider: Arc<CryptoProvider>,
    certificate: CertificateDer<'static>,
}

impl Credentials {
    /// Makes a certificate in which `key` vouches for the P-256 key of `secret`, which the caller drew. One secret in four
    /// billion is none: [`TlsError::Secret`] asks for another.
    pub fn new(key: &SecretKey, secret: &[u8; 32]) -> Result<Self, TlsError> {
        let pair = SigningKey::from_slice(secret).map_err(|_| TlsError::Secret)?;
        let point = pair.verifying_key().to_sec1_point(false);
        let body = to_be_signed(key, point.as_bytes());
        let signature: DerSignature = pair.sign(&body);
        let algorithm = der::write(der::SEQUENCE, &[SIGNATURE_ALGORITHM]);
        let signature = der::write(der::BIT_STRING, &[&[0], signature.as_bytes()]);
        let certificate = CertificateDer::from(der::write(der::SEQUENCE, &[&body, &algorithm, &signature]));
        let provider = Arc::new(provider());
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(to_pkcs8(secret, point.as_bytes())));
        let signing = provider.key_provider.load_private_key(secret).map_err(TlsError::Protocol)?;
        let certified = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate.clone()], signing)));
        Ok(Self { certified, provider, certificate })
    }

    /// The certificate, in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// PKCS#8, version 0, around an elliptic curve's private key, version 1, with its point.
fn to_pkcs8(secret: &[u8; 32], point: &[u8]) -> Vec<u8> {
    let public = der::write(0xa1, &[&der::write(der::BIT_STRING, &[&[0], point])]);
    let inner = [der::write(der::INTEGER, &[&[1]]), der::write(der::OCTET_STRING, &[secret]), public].concat();
    let inner = der::write(der::OCTET_STRING, &[&der::write(der::SEQUENCE, &[&inner])]);
    der::write(der::SEQUENCE, &[&der::write(der::INTEGER, &[&[0]]), &der::write(der::SEQUENCE, &[KEY_ALGORITHM]), &inner])
}

fn to_be_signed(key: &SecretKey, point: &[u8]) -> Vec<u8> {
    let key_info = der::write(der::SEQUENCE, &[&der::write(der::SEQUENCE, &[KEY_ALGORITHM]), &der::write(der::BIT_STRING, &[&[0], point])]);
    let name_part = [der::write(der::OBJECT_ID, &[ORGANIZATION]), der::write(der::UTF8_STRING, &[b"libp2p.io"])].concat();
    let name = der::write(der::SEQUENCE, &[&der::write(der::SET, &[&der::write(der::SEQUENCE, &[&name_part])])]);
    let validity = [der::write(der::UTC_TIME, &[b"750101000000Z"]), der::write(der::GENERALIZED_TIME, &[b"40960101000000Z"])].concat();
    // Any positive number that no other certificate of this name has.
    let number = digest(&SHA256, point);
    let number = [&[1], number.as_ref().get(..15).unwrap_or_default()].concat();
    let proof =
        [der::write(der::OCTET_STRING, &[key.public().as_protobuf()]), der::write(der::OCTET_STRING, &[&key.sign(&signed(&key_info))])]
            .concat();
    let extension =
        [der::write(der::OBJECT_ID, &[EXTENSION_ID]), der::write(der::OCTET_STRING, &[&der::write(der::SEQUENCE, &[&proof])])].concat();
    let extensions = der::write(der::SEQUENCE, &[&der::write(der::SEQUENCE, &[&extension])]);
    der::write(
        der::SEQUENCE,
        &[
            &der::write(0xa0, &[&der::write(der::INTEGER, &[&[2]])]),
            &der::write(der::INTEGER, &[&number]),
            &der::write(der::SEQUENCE, &[SIGNATURE_ALGORITHM]),
            &name,
            &der::write(der::SEQUENCE, &[&validity]),
            &name,
            &key_info,
            &der::write(0xa3, &[&extensions]),
        ],
    )
}
