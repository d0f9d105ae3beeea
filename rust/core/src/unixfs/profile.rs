//! Profiles: the named rules that turn a file into a DAG. Frozen; `docs/formats/profiles.md` is normative.

use crate::Cid;
use crate::chunk::{Chunker, ChunkerError};
use crate::cid::codec;
use crate::hash::{self, Hash};
use crate::limits::{FILE_LINKS_MAX, HAMT_FANOUT_MAX, IDENTITY_BYTES_MAX};

/// How a file's chunks are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// All leaves at one depth.
    Balanced,
    /// Leaves near the front are near the root (for streaming).
    Trickle,
    /// No links: a file is one raw CID, whatever its size; above the size of a block, a blob.
    Blob,
}

/// What is compared with the sharding threshold of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectorySize {
    /// Sum over entries of name and CID lengths (IPIP-499 `links-bytes`).
    LinksBytes,
    /// Length of the serialised block (IPIP-499 `block-bytes`).
    BlockBytes,
}

/// Everything that decides a CID, besides the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Name, or `custom` when a field was changed.
    pub name: String,
    /// 0 or 1. Version 0 implies dag-pb leaves and SHA-256.
    pub cid_version: u8,
    /// Hash of every block.
    pub hash: Hash,
    /// Where files are cut.
    pub chunker: Chunker,
    /// Leaves are plain bytes, not dag-pb nodes.
    pub raw_leaves: bool,
    /// How chunks are linked.
    pub layout: Layout,
    /// Most links of a file node.
    pub file_links_max: usize,
    /// Most entries of a basic directory; 0 for no such limit.
    pub directory_links_max: usize,
    /// Children of a HAMT node: a power of two, 8 to 1024.
    pub hamt_fanout: usize,
    /// A directory larger than this many bytes is sharded.
    pub hamt_threshold_bytes: u64,
    /// How that size is measured.
    pub directory_size: DirectorySize,
    /// Blocks of at most this many bytes become identity CIDs; 0 for none.
    pub inline_bytes_max: usize,
    /// dag-pb's Data before its Links (the proposed `unixfs-v1-2026`; spec and all others: links first).
    pub data_first: bool,
}

impl Profile {
    /// The default: BLAKE3 at full speed, readable by Kubo.
    #[must_use]
    pub fn blake3() -> Self {
        Self { name: "blake3".into(), hash: Hash::Blake3, ..Self::unixfs_v1_2025() }
    }

    /// As [`Profile::blake3`], cut where the content says: versions of a file share what did not change, wherever it moved to.
    #[must_use]
    pub fn blake3_cdc() -> Self {
        Self { name: "blake3-cdc".into(), chunker: Chunker::MinCdc { min: 43_691, max: 87_381 }, ..Self::blake3() }
    }

    /// IPIP-499 `unixfs-v1-2025`: the same CIDs as Kubo and Helia.
    #[must_use]
    pub fn unixfs_v1_2025() -> Self {
        Self {
            name: "unixfs-v1-2025".into(),
            cid_version: 1,
            hash: Hash::Sha256,
            chunker: Chunker::Size(1024 * 1024),
            raw_leaves: true,
            layout: Layout::Balanced,
            file_links_max: 1024,
            directory_links_max: 0,
            hamt_fanout: 256,
            hamt_threshold_bytes: 256 * 1024,
            directory_size: DirectorySize::BlockBytes,
            inline_bytes_max: 0,
            data_first: false,
        }
    }

    /// IPIP-499 `unixfs-v0-2015`: the CIDs of Kubo's first ten years.
    #[must_use]
    pub fn unixfs_v0_2015() -> Self {
        Self {
            name: "unixfs-v0-2015".into(),
            cid_version: 0,
            chunker: Chunker::Size(256 * 1024),
            raw_leaves: false,
            file_links_max: 174,
            directory_size: DirectorySize::LinksBytes,
            ..Self::unixfs_v1_2025()
        }
    }

    /// The frozen profile of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::blake3(), Self::blake3_cdc(), Self::unixfs_v1_2025(), Self::unixfs_v0_2015()].into_iter().find(|p| p.name == name)
    }

    /// Names a block: CID version, hash, and identity where the block is small enough to inline (`<=`, as Kubo's
    /// `--inline-limit`). A raw block of a version 0 profile gets CIDv1, the only version it can have.
    #[must_use]
    pub fn cid(&self, codec: u64, data: &[u8]) -> Cid {
        match self.hash {
            Hash::Sha256 | Hash::Blake3 => self.cid_of_digest(codec, &hash::digest_32(self.hash, data), data),
            Hash::Sha512 | Hash::Identity => {
                let hash = if self.inlines(data) { Hash::Identity } else { self.hash };
                hash::cid_v1(hash, codec, data).unwrap_or_else(|_| self.cid_of_digest(codec, &hash::digest_32(Hash::Sha256, data), data))
            }
        }
    }

    /// [`Profile::cid`] of a block whose SHA-256 or BLAKE3 digest is known.
    #[must_use]
    pub fn cid_of_digest(&self, codec: u64, digest: &[u8; 32], data: &[u8]) -> Cid {
        let v1 = |hash: Hash, digest: &[u8]| Cid::v1(codec, hash.code(), digest).unwrap_or_else(|_| Cid::v0(&[0; 32]));
        match self.hash {
            _ if self.inlines(data) => v1(Hash::Identity, data),
            Hash::Blake3 => v1(Hash::Blake3, digest),
            _ if self.cid_version == 0 && codec == codec::DAG_PB => Cid::v0(digest),
            _ => v1(Hash::Sha256, digest),
        }
    }

    fn inlines(&self, data: &[u8]) -> bool {
        self.inline_bytes_max > 0 && data.len() <= self.inline_bytes_max.min(IDENTITY_BYTES_MAX)
    }

    /// Whether the fields can go together.
    pub fn check(&self) -> Result<(), ProfileError> {
        self.chunker.check().map_err(ProfileError::Chunker)?;
        // A balanced tree of one link a node never ends; Kubo hangs.
        let links_min = if self.layout == Layout::Trickle { 1 } else { 2 };
        if self.cid_version > 1 {
            Err(ProfileError::CidVersion(self.cid_version))
        } else if self.hash == Hash::Identity {
            Err(ProfileError::IdentityHash)
        } else if self.cid_version == 0 && self.hash != Hash::Sha256 {
            Err(ProfileError::Version0Hash(self.hash))
        } else if !(links_min..=FILE_LINKS_MAX).contains(&self.file_links_max) {
            Err(ProfileError::FileLinks(self.file_links_max))
        } else if super::hamt::bits_per_level(self.hamt_fanout).is_none() {
            Err(ProfileError::HamtFanout(self.hamt_fanout))
        } else if self.inline_bytes_max > IDENTITY_BYTES_MAX {
            Err(ProfileError::InlineBytes(self.inline_bytes_max))
        } else if self.layout == Layout::Blob && (self.hash != Hash::Blake3 || !self.raw_leaves || self.inline_bytes_max > 0) {
            Err(ProfileError::Blob)
        } else {
            Ok(())
        }
    }
}

/// Why a profile cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileError {
    /// A CID version other than 0 and 1.
    CidVersion(u8),
    /// CIDv0 with another hash than SHA-256.
    Version0Hash(Hash),
    /// The identity hash, which cannot name a block over 128 bytes.
    IdentityHash,
    /// The chunker's parameters.
    Chunker(ChunkerError),
    /// Too few or too many links for a file's node.
    FileLinks(usize),
    /// A HAMT fanout that is not a power of two from 8 to 1024.
    HamtFanout(usize),
    /// Blocks to inline that are larger than an identity CID may be.
    InlineBytes(usize),
    /// Blobs under another hash than BLAKE3, with leaves that are not raw, or inlined.
    Blob,
}

impl std::fmt::Display for ProfileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::CidVersion(v) => write!(f, "CID version {v} is not known (0 and 1 are)"),
            Self::Version0Hash(hash) => write!(f, "CIDv0 only supports sha2-256, not {}", hash.name()),
            Self::IdentityHash => {
                write!(f, "identity cannot be the hash of all blocks, only inline those of up to {IDENTITY_BYTES_MAX} bytes")
            }
            Self::Chunker(e) => e.fmt(f),
            Self::FileLinks(n) => {
                write!(f, "a file node cannot have at most {n} links (2 to {FILE_LINKS_MAX}; trickle: 1 to {FILE_LINKS_MAX})")
            }
            Self::HamtFanout(n) => write!(f, "HAMT fanout {n} is not a power of two from 8 to {HAMT_FANOUT_MAX}"),
            Self::Blob => f.write_str(
                "the layout blob needs the hash blake3, raw leaves, and nothing inlined: a blob is verified along its BLAKE3 tree",
            ),
            Self::InlineBytes(n) => write!(f, "inline limit {n} exceeds the maximum of {IDENTITY_BYTES_MAX} bytes"),
        }
    }
}
impl std::error::Error for ProfileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frozen_profiles_are_sound_and_found_by_name() {
        for name in ["blake3", "blake3-cdc", "unixfs-v1-2025", "unixfs-v0-2015"] {
            let profile = Profile::named(name).unwrap();
            assert_eq!((profile.check(), profile.name.as_str()), (Ok(()), name));
        }
        assert_eq!(Profile::named("unixfs"), None);
    }

    #[test]
    fn impossible_fields_are_refused() {
        let of = |change: fn(&mut Profile)| {
            let mut profile = Profile::unixfs_v1_2025();
            change(&mut profile);
            profile.check()
        };
        assert_eq!(of(|p| p.cid_version = 2), Err(ProfileError::CidVersion(2)));
        assert_eq!(of(|p| (p.cid_version, p.hash) = (0, Hash::Blake3)), Err(ProfileError::Version0Hash(Hash::Blake3)));
        assert_eq!(of(|p| p.hash = Hash::Identity), Err(ProfileError::IdentityHash));
        assert_eq!(of(|p| p.chunker = Chunker::Size(0)), Err(ProfileError::Chunker(ChunkerError::Zero)));
        assert_eq!(of(|p| p.chunker = Chunker::Size(2_096_897)), Err(ProfileError::Chunker(ChunkerError::TooLarge)));
        assert_eq!(of(|p| p.file_links_max = 0), Err(ProfileError::FileLinks(0)));
        assert_eq!(of(|p| p.file_links_max = 1), Err(ProfileError::FileLinks(1)));
        assert_eq!(of(|p| p.file_links_max = 8193), Err(ProfileError::FileLinks(8193)));
        assert_eq!(of(|p| p.hamt_fanout = 4), Err(ProfileError::HamtFanout(4)));
        assert_eq!(of(|p| p.hamt_fanout = 24), Err(ProfileError::HamtFanout(24)));
        assert_eq!(of(|p| p.hamt_fanout = 2048), Err(ProfileError::HamtFanout(2048)));
        assert_eq!(of(|p| p.layout = Layout::Blob), Err(ProfileError::Blob));
        assert_eq!(of(|p| p.inline_bytes_max = 129), Err(ProfileError::InlineBytes(129)));
        let blob = Profile { layout: Layout::Blob, ..Profile::blake3() };
        assert_eq!(blob.check(), Ok(()));
        assert_eq!(Profile { raw_leaves: false, ..blob.clone() }.check(), Err(ProfileError::Blob));
        assert_eq!(Profile { inline_bytes_max: 1, ..blob }.check(), Err(ProfileError::Blob));
        // These Kubo allows too.
        assert_eq!(of(|p| p.cid_version = 0), Ok(()));
        assert_eq!(of(|p| (p.layout, p.file_links_max) = (Layout::Trickle, 1)), Ok(()));
        assert_eq!(of(|p| (p.file_links_max, p.hamt_fanout, p.inline_bytes_max) = (8192, 1024, 128)), Ok(()));
    }

    #[test]
    fn blocks_are_inlined_up_to_the_limit_and_no_further() {
        let profile = Profile { inline_bytes_max: 4, ..Profile::unixfs_v0_2015() };
        assert_eq!(profile.cid(codec::RAW, b"abcd").identity(), Some(&b"abcd"[..]));
        assert_eq!(profile.cid(codec::DAG_PB, b"").to_string(), "bafyaaaa");
        assert_eq!(profile.cid(codec::DAG_PB, b"abcde").version(), 0);
        assert_eq!(profile.cid(codec::RAW, b"abcde").version(), 1);
        let none = Profile::unixfs_v1_2025();
        assert_eq!(none.cid(codec::RAW, b"").to_string(), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
        let sha512 = Profile { hash: Hash::Sha512, inline_bytes_max: 4, ..none };
        assert_eq!(sha512.cid(codec::RAW, b"abcd").identity(), Some(&b"abcd"[..]));
        assert_eq!(sha512.cid(codec::RAW, b"abcde").digest().len(), 64);
    }

    #[test]
    fn a_known_digest_gives_the_same_name() {
        for profile in [Profile::blake3(), Profile::unixfs_v1_2025(), Profile { inline_bytes_max: 8, ..Profile::unixfs_v0_2015() }] {
            for data in [&b""[..], b"12345678", b"123456789"] {
                for codec in [codec::RAW, codec::DAG_PB] {
                    let digest = hash::digest_32(profile.hash, data);
                    assert_eq!(profile.cid(codec, data), profile.cid_of_digest(codec, &digest, data));
                }
            }
        }
    }
}
