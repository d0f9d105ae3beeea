//! Every bound on outside data, with its reason and what the neighbours do.

/// Shortest digest of a CID we accept. Kubo's `verifcid` uses the same: shorter ones can be forged.
pub const DIGEST_BYTES_MIN: usize = 20;
/// Longest digest for most hashes: SHA-512.
pub const DIGEST_BYTES_MAX: usize = 64;
/// Longest BLAKE3 digest, an extendable output. Kubo (boxo `verifcid`) accepts as many.
pub const DIGEST_BYTES_MAX_BLAKE3: usize = 128;
/// Longest content of an identity CID (IPIP-512, boxo 0.35): an inline block must not be a way to send bulk.
pub const IDENTITY_BYTES_MAX: usize = 128;
/// Longest CID in bytes. Kubo's bitswap refuses longer ones.
pub const CID_BYTES_MAX: usize = 168;
/// Largest block. Bitswap and the trustless gateway oblige peers to take 2 MiB, and no more.
pub const BLOCK_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest chunk a chunker may cut: a block less room for its dag-pb envelope (Kubo: the same).
pub const CHUNK_BYTES_MAX: usize = BLOCK_BYTES_MAX - 256;
/// Largest HAMT fanout (CVE-2023-23625: larger ones were a memory bomb).
pub const HAMT_FANOUT_MAX: usize = 1024;
/// Deepest nesting any decoder follows. dag-cbor bombs nest millions deep (CVE-2026-42328).
pub const DECODE_DEPTH_MAX: usize = 128;
/// Most items (map entries, list items, links) one block may hold. A 2 MiB block of 1-byte items is the bound by bytes.
pub const DECODE_ITEMS_MAX: usize = BLOCK_BYTES_MAX;
/// Longest unsigned varint (multiformats unsigned-varint spec: 9 bytes, 63 bits).
pub const VARINT_BYTES_MAX: usize = 9;
/// Longest CAR header. go-car caps at 32 MiB after GHSA-9x4h-8wgm-8xfg; 1 MiB still holds some 25,000 roots.
pub const CAR_HEADER_BYTES_MAX: usize = 1024 * 1024;
/// Longest CAR section: a block and its CID.
pub const CAR_SECTION_BYTES_MAX: usize = BLOCK_BYTES_MAX + CID_BYTES_MAX;
/// Deepest UnixFS file or directory tree we walk. 1024 links a node hold any 64-bit size in 7 levels; CIDv0 trees of 174 in 9;
/// trickle trees and HAMTs are deeper, and paths of directories deeper still.
pub const DAG_DEPTH_MAX: usize = 1024;
/// Links per UnixFS file node a profile may ask for (Kubo's CLI allows any; a node must fit a block).
pub const FILE_LINKS_MAX: usize = 8192;
/// Longest name of a directory entry in bytes (Linux's NAME_MAX; longer ones cannot be exported).
pub const NAME_BYTES_MAX: usize = 255;
/// Longest target of a symbolic link (Linux's PATH_MAX).
pub const SYMLINK_BYTES_MAX: usize = 4096;
