//! Keys of peers: what they sign with, and how others check it.
//!
//! Ed25519 keys are made here, from 32 secret bytes that the caller drew. Keys of others may be Ed25519, RSA of 2048 to 8192
//! bits (the IPFS bootstrap nodes), ECDSA on P-256, or secp256k1.
//! A [`PublicKey`] is its own protobuf, in the one form that peer ids are made of: anything else is refused, since two forms
//! of one key would be two peers. Spec: <https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md>.

use crate::der;
use crate::limits::{KEY_BYTES_MAX, RSA_BITS_MAX, RSA_BITS_MIN};
use crate::peer_id::PeerId;
use crate::protobuf::{self, Reader};
use k256::ecdsa::signature::Verifier as _;
use ring::signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;

const FIELD_KIND: u32 = 1;
const FIELD_DATA: u32 = 2;
/// SubjectPublicKeyInfo of a P-256 key, up to its point: both lengths, the two OIDs and the bit string's header.
const P256_PREFIX: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// An uncompressed point of P-256: `04` and two coordinates.
const P256_POINT_BYTES: usize = 65;
/// AlgorithmIdentifier of an RSA key: rsaEncryption and NULL.
const RSA_ALGORITHM: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

/// Kinds of keys, by their numbers in the protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// RSA with PKCS#1 v1.5 and SHA-256.
    Rsa = 0,
    /// Ed25519.
    Ed25519 = 1,
    /// ECDSA on secp256k1 with SHA-256.
    Secp256k1 = 2,
    /// ECDSA on P-256 with SHA-256.
    Ecdsa = 3,
}

/// Why bytes are not a key, or a signature not one of its.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// More bytes than any key takes.
    TooLong,
    /// Not the one protobuf form of a key.
    Form,
    /// A kind that libp2p does not have.
    Kind(u64),
    /// The key's own bytes are not of its kind.
    Data(KeyKind),
    /// An RSA key of so many bits; 2048 to 8192 are taken.
    RsaBits(usize),
    /// The signature is not of this key and message.
    Signature,
    /// A secret key whose public half is not its own.
    Halves,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "key is longer than {KEY_BYTES_MAX} bytes"),
            Self::Form => f.write_str("key is not in the one form that peer ids are made of"),
            Self::Kind(kind) => write!(f, "key has the unknown kind {kind} (0 to 3 are RSA, Ed25519, secp256k1 and ECDSA)"),
            Self::Data(kind) => write!(f, "key of kind {kind:?} has malformed bytes"),
            Self::RsaBits(bits) => write!(f, "RSA key has {bits} bits; {RSA_BITS_MIN} to {RSA_BITS_MAX} are taken"),
            Self::Signature => f.write_str("signature is not of this key and message"),
            Self::Halves => f.write_str("the public half of the secret key belongs to another one"),
        }
    }
}
impl std::error::Error for KeyError {}

fn encode(kind: KeyKind, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 6);
    protobuf::write_varint(FIELD_KIND, u64::from(kind as u8), &mut out);
    protobuf::write_bytes(FIELD_DATA, data, &mut out);
    out
}

/// Kind and data of a key's protobuf, which must be the one that [`encode`] writes.
fn decode(bytes: &[u8]) -> Result<(KeyKind, &[u8]), KeyError> {
    if bytes.len() > KEY_BYTES_MAX {
        return Err(KeyError::TooLong);
    }
    let mut reader = Reader::new(bytes);
    let mut field = |number| match reader.field() {
        Ok(Some((found, value))) if found == number => Ok(value),
        _ => Err(KeyError::Form),
    };
    let kind = match field(FIELD_KIND)?.varint().map_err(|_| KeyError::Form)? {
        0 => KeyKind::Rsa,
        1 => KeyKind::Ed25519,
        2 => KeyKind::Secp256k1,
        3 => KeyKind::Ecdsa,
        kind => return Err(KeyError::Kind(kind)),
    };
    let data = field(FIELD_DATA)?.bytes().map_err(|_| KeyError::Form)?;
    if encode(kind, data) == bytes { Ok((kind, data)) } else { Err(KeyError::Form) }
}

/// The PKCS#1 key inside an RSA key's SubjectPublicKeyInfo, with its length checked.
fn rsa_key(data: &[u8]) -> Result<&[u8], KeyError> {
    let parts = || {
        let mut info = der::only(der::SEQUENCE, data)?;
        (der::take(der::SEQUENCE, &mut info)? == RSA_ALGORITHM).then_some(())?;
        let key = der::only(der::BIT_STRING, info)?.strip_prefix(&[0])?;
        let modulus = der::take(der::INTEGER, &mut der::only(der::SEQUENCE, key)?)?;
        let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
        let bits = (8 * modulus.len()).checked_sub(modulus.first()?.leading_zeros() as usize)?;
        Some((key, bits))
    };
    let (key, bits) = parts().ok_or(KeyError::Data(KeyKind::Rsa))?;
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) { Ok(key) } else { Err(KeyError::RsaBits(bits)) }
}

fn p256_point(data: &[u8]) -> Option<&[u8]> {
    data.strip_prefix(P256_PREFIX).filter(|point| point.len() == P256_POINT_BYTES && point.first() == Some(&4))
}

/// Both forms of a signature are taken, the one with the low half and its twin, as go-libp2p does: a handshake is no ledger.
fn verify_secp256k1(point: &[u8], message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
    let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| KeyError::Data(KeyKind::Secp256k1))?;
    let signature = k256::ecdsa::Signature::from_der(signature).map_err(|_| KeyError::Signature)?;
    key.verify(message, &signature.normalize_s()).map_err(|_| KeyError::Signature)
}

/// What a peer is known by. Compared by its protobuf, which is the one it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    kind: KeyKind,
    protobuf: Vec<u8>,
    data_bytes: usize,
}

impl PublicKey {
    /// Reads a key as peers send it. Points are checked when a signature is, their length and form now.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, KeyError> {
        let (kind, data) = decode(bytes)?;
        let is_well_formed = match kind {
            KeyKind::Rsa => rsa_key(data).map(|_| true)?,
            KeyKind::Ed25519 => data.len() == signature::ED25519_PUBLIC_KEY_LEN,
            KeyKind::Secp256k1 => data.len() == 33 && matches!(data.first(), Some(2 | 3)),
            KeyKind::Ecdsa => p256_point(data).is_some(),
        };
        if !is_well_formed {
            return Err(KeyError::Data(kind));
        }
        Ok(Self { kind, protobuf: bytes.to_vec(), data_bytes: data.len() })
    }

    fn ed25519(point: &[u8]) -> Self {
        Self { kind: KeyKind::Ed25519, protobuf: encode(KeyKind::Ed25519, point), data_bytes: point.len() }
    }

    /// As peers send it, and as peer ids are made of it.
    #[must_use]
    pub fn as_protobuf(&self) -> &[u8] {
        &self.protobuf
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key in its kind's own form: a point, or a SubjectPublicKeyInfo.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.protobuf.get(self.protobuf.len() - self.data_bytes..).unwrap_or_default()
    }

    /// The peer that has this key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId::of_key(&self.protobuf)
    }

    /// Checks that this key signed `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let data = self.data();
        let verified = match self.kind {
            KeyKind::Rsa => UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, rsa_key(data)?).verify(message, signature),
            KeyKind::Ed25519 => UnparsedPublicKey::new(&signature::ED25519, data).verify(message, signature),
            KeyKind::Ecdsa => {
                let point = p256_point(data).ok_or(KeyError::Data(self.kind))?;
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            KeyKind::Secp256k1 => return verify_secp256k1(data, message, signature),
        };
        verified.map_err(|_| KeyError::Signature)
    }
}

/// The secret half of an Ed25519 key. Its `Debug` shows the public half only.
pub struct SecretKey {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
    public: PublicKey,
}

impl SecretKey {
    /// The key of 32 bytes, which the caller drew from a source fit for secrets.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Data(KeyKind::Ed25519))?;
        let public = PublicKey::ed25519(pair.public_key().as_ref());
        Ok(Self { pair, seed, public })
    }

    /// Reads a key file of libp2p: seed and public half, or (old files) seed and twice the public half.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, KeyError> {
        let (kind, data) = decode(bytes)?;
        if kind != KeyKind::Ed25519 {
            return Err(KeyError::Data(kind));
        }
        let (seed, halves) = data.split_first_chunk::<32>().ok_or(KeyError::Data(kind))?;
        let key = Self::from_seed(*seed)?;
        let public = key.public.data();
        match halves.split_at_checked(32) {
            Some((half, [])) if half == public => Ok(key),
            Some((half, again)) if half == public && again == public => Ok(key),
            Some((_, again)) if again.is_empty() || again.len() == 32 => Err(KeyError::Halves),
            _ => Err(KeyError::Data(kind)),
        }
    }

    /// As a key file of libp2p: secret bytes, to be kept as such.
    #[must_use]
    pub fn to_protobuf(&self) -> Vec<u8> {
        encode(KeyKind::Ed25519, &[&self.seed[..], self.public.data()].concat())
    }

    /// What others know it by.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The 64 bytes that only this key can make of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public", &self.public).finish_non_exhaustive()
    }
}
