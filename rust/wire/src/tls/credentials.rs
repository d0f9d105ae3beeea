//! Our own certificate: a P-256 key for this process, and libp2p's extension in which our own key vouches for it.
//!
//! Valid for as long as X.509 can say, as rust-libp2p's are: a certificate is worth what the signature in it is, and a
//! machine with a wrong clock is to be reached all the same.

use super::certificate::{EXTENSION_ID, signed};
use super::{TlsError, provider};
use crate::der;
use crate::key::SecretKey;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
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
    /// Makes a certificate in which `key` vouches for a key drawn now. TLS draws its secrets itself, from the system.
    pub fn new(key: &SecretKey) -> Result<Self, TlsError> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(|_| TlsError::Random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).map_err(|_| TlsError::Random)?;
        let body = to_be_signed(key, pair.public_key().as_ref());
        let signature = pair.sign(&random, &body).map_err(|_| TlsError::Random)?;
        let algorithm = der::write(der::SEQUENCE, &[SIGNATURE_ALGORITHM]);
        let signature = der::write(der::BIT_STRING, &[&[0], signature.as_ref()]);
        let certificate = CertificateDer::from(der::write(der::SEQUENCE, &[&body, &algorithm, &signature]));
        let provider = Arc::new(provider());
        let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(document.as_ref().to_vec()));
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
