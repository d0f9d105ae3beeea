//! Peer ids: the multihash of a peer's public key.
//!
//! A key of up to 42 bytes stands in the id itself (`12D3Koo…`), a longer one as its SHA-256 (`Qm…`). Both texts are read:
//! plain base58btc, and the CIDv1 of codec `libp2p-key` in any base.

use crate::key::PublicKey;
use crate::limits::INLINE_KEY_BYTES_MAX;
use shoal_core::cid::{Cid, codec};
use shoal_core::hash::{Hash, code, digest_32};
use shoal_core::limits::CID_BYTES_MAX;
use std::fmt;
use std::str::FromStr;

const SHA256_PREFIX: [u8; 2] = [0x12, 0x20];

/// Who a peer is. Compared by its bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(Vec<u8>);

/// Bytes or text that name no peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerIdError {
    /// Neither a SHA-256 nor a key of up to 42 bytes.
    Multihash,
    /// Not base58btc, and not a CID of codec libp2p-key.
    Text,
}

impl fmt::Display for PeerIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multihash => "peer id is neither a SHA-256 nor a short key",
            Self::Text => "text is not a peer id (12D3Koo…, Qm…, or a CID of codec libp2p-key)",
        })
    }
}
impl std::error::Error for PeerIdError {}

impl PeerId {
    /// The peer of a key's protobuf.
    pub(crate) fn of_key(protobuf: &[u8]) -> Self {
        match u8::try_from(protobuf.len()) {
            Ok(len) if protobuf.len() <= INLINE_KEY_BYTES_MAX => Self([&[0, len], protobuf].concat()),
            _ => Self([&SHA256_PREFIX[..], &digest_32(Hash::Sha256, protobuf)].concat()),
        }
    }

    /// Reads the binary form. A key inside it must be one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerIdError> {
        let is_peer = match bytes {
            [0x12, 0x20, digest @ ..] => digest.len() == 32,
            [0, len, key @ ..] => {
                usize::from(*len) == key.len() && key.len() <= INLINE_KEY_BYTES_MAX && PublicKey::from_protobuf(key).is_ok()
            }
            _ => false,
        };
        if is_peer { Ok(Self(bytes.to_vec())) } else { Err(PeerIdError::Multihash) }
    }

    /// The multihash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key, where the id holds it.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        if let [0, _, key @ ..] = self.as_bytes() { PublicKey::from_protobuf(key).ok() } else { None }
    }

    /// The id as a CID, for names (IPNS).
    #[must_use]
    pub fn to_cid(&self) -> Option<Cid> {
        let (hash, digest) = match self.as_bytes() {
            [0, _, key @ ..] => (code::IDENTITY, key),
            [_, _, digest @ ..] => (code::SHA2_256, digest),
            _ => return None,
        };
        Cid::v1(codec::LIBP2P_KEY, hash, digest).ok()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&multibase::Base::Base58Btc.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        if text.len() > 2 * CID_BYTES_MAX {
            return Err(PeerIdError::Text);
        }
        if text.starts_with("Qm") || text.starts_with('1') {
            let bytes = multibase::Base::Base58Btc.decode(text).map_err(|_| PeerIdError::Text)?;
            return Self::from_bytes(&bytes);
        }
        let cid: Cid = text.parse().map_err(|_| PeerIdError::Text)?;
        if cid.codec() == codec::LIBP2P_KEY { Self::from_bytes(cid.multihash()) } else { Err(PeerIdError::Text) }
    }
}
