//! Digests: one at a time, and many at once.
//!
//! SHA-256 of one message is a serial chain, so [`digest_many`] hashes many messages side by side, one per SIMD lane
//! (crate `tape-sha256`), or on the SHA unit where that is faster. BLAKE3 is parallel inside a message.

use crate::cid::{Cid, CidError};

/// Multihash codes.
pub mod code {
    /// The digest is the data.
    pub const IDENTITY: u64 = 0x00;
    /// SHA-256.
    pub const SHA2_256: u64 = 0x12;
    /// SHA-512.
    pub const SHA2_512: u64 = 0x13;
    /// BLAKE3, 32 bytes unless asked otherwise.
    pub const BLAKE3: u64 = 0x1e;
}

/// The hashes Shoal makes and checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256: what the IPFS network uses.
    Sha256,
    /// SHA-512.
    Sha512,
    /// BLAKE3 with 32 bytes of output.
    Blake3,
    /// No hash: the CID carries the data.
    Identity,
}

impl Hash {
    /// Multihash code.
    #[must_use]
    pub fn code(self) -> u64 {
        match self {
            Self::Sha256 => code::SHA2_256,
            Self::Sha512 => code::SHA2_512,
            Self::Blake3 => code::BLAKE3,
            Self::Identity => code::IDENTITY,
        }
    }

    /// The hash of a multihash code, where Shoal has it.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        [Self::Sha256, Self::Sha512, Self::Blake3, Self::Identity].into_iter().find(|h| h.code() == code)
    }

    /// The multicodec table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha2-256",
            Self::Sha512 => "sha2-512",
            Self::Blake3 => "blake3",
            Self::Identity => "identity",
        }
    }

    /// Reads a multicodec name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512, Self::Blake3, Self::Identity].into_iter().find(|h| h.name() == name)
    }
}

/// Why a block is not what its CID says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyError {
    /// The bytes have another digest.
    Mismatch,
    /// The CID uses a hash that Shoal does not compute (its multihash code).
    UnknownHash(u64),
}

impl std::fmt::Display for VerifyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mismatch => f.write_str("the bytes do not match the hash"),
            Self::UnknownHash(code) => write!(f, "hash 0x{code:x} is not supported (sha2-256, sha2-512, blake3 and identity are)"),
        }
    }
}
impl std::error::Error for VerifyError {}

/// The CIDv1 of a block. Fails only for the identity hash of a block over 128 bytes.
pub fn cid_v1(hash: Hash, codec: u64, data: &[u8]) -> Result<Cid, CidError> {
    match hash {
        Hash::Identity => Cid::v1(codec, code::IDENTITY, data),
        Hash::Sha512 => Cid::v1(codec, code::SHA2_512, &<sha2::Sha512 as sha2::Digest>::digest(data)),
        Hash::Sha256 | Hash::Blake3 => Cid::v1(codec, hash.code(), &digest_32(hash, data)),
    }
}

/// One 32-byte digest. Only for the hashes that have 32 bytes; others give their first 32.
#[must_use]
pub fn digest_32(hash: Hash, data: &[u8]) -> [u8; 32] {
    let mut out = [[0; 32]];
    digest_many(hash, &[data], &mut out);
    let [digest] = out;
    digest
}

/// The digests of many messages, `out[i]` that of `inputs[i]`, for [`Hash::Sha256`] and [`Hash::Blake3`].
pub fn digest_many(hash: Hash, inputs: &[&[u8]], out: &mut [[u8; 32]]) {
    debug_assert_eq!(inputs.len(), out.len());
    match hash {
        Hash::Sha256 => tape_sha256::hash_many(inputs, out),
        Hash::Sha512 | Hash::Identity | Hash::Blake3 => {
            for (digest, input) in out.iter_mut().zip(inputs) {
                *digest = *blake3::hash(input).as_bytes();
            }
        }
    }
}

/// How many messages of one size fill the machine's hash lanes.
#[must_use]
pub fn lanes(hash: Hash) -> usize {
    if hash == Hash::Sha256 { tape_sha256::lane_width() } else { 1 }
}

/// Checks one block against its CID.
pub fn verify(cid: &Cid, data: &[u8]) -> Result<(), VerifyError> {
    let parts = cid.parts();
    let matches = match Hash::from_code(parts.hash) {
        None => return Err(VerifyError::UnknownHash(parts.hash)),
        Some(Hash::Identity) => parts.digest == data,
        Some(Hash::Sha512) => <sha2::Sha512 as sha2::Digest>::digest(data).starts_with(parts.digest),
        Some(Hash::Sha256) => digest_32(Hash::Sha256, data).starts_with(parts.digest),
        Some(Hash::Blake3) if parts.digest.len() <= 32 => blake3::hash(data).as_bytes().starts_with(parts.digest),
        Some(Hash::Blake3) => {
            let mut digest = vec![0; parts.digest.len()];
            blake3::Hasher::new().update(data).finalize_xof().fill(&mut digest);
            digest == parts.digest
        }
    };
    if matches { Ok(()) } else { Err(VerifyError::Mismatch) }
}
