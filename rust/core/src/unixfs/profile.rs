//! Profiles: the named rules that turn a file into a DAG. Frozen; `docs/formats/profiles.md` is normative.

use crate::chunk::Chunker;
use crate::hash::Hash;

/// How a file's chunks are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// All leaves at one depth.
    Balanced,
    /// Leaves near the front are near the root (for streaming).
    Trickle,
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
        [Self::blake3(), Self::unixfs_v1_2025(), Self::unixfs_v0_2015()].into_iter().find(|p| p.name == name)
    }
}
