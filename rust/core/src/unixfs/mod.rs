//! Files and directories as DAGs, and back (UnixFS spec, <https://specs.ipfs.tech/unixfs/>).
//!
//! Builders take finished children and give finished blocks; nothing here reads a file or keeps a block.
//! The one rule: for every profile the CIDs are, bit for bit, those that Kubo's `ipfs add` gives.

pub mod claims;
pub mod directory;
pub mod file;
pub mod hamt;
mod message;
pub mod node;
pub mod profile;
mod trickle;

use crate::Cid;
use crate::dag::pb::{self, PbError};
use crate::limits::{BLOCK_BYTES_MAX, NAME_BYTES_MAX, SYMLINK_BYTES_MAX};
pub use claims::{Claim, claims};
pub use directory::{DirectoryBuilder, check_name, encode_symlink};
pub use file::{FileBuilder, encode_leaf};
pub use hamt::slot;
pub use node::{Directory, Entry, File, FileChild, Node, Shard, Slot, Symlink, decode as decode_node};
pub use profile::{Profile, ProfileError};

/// An encoded block and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Name of `data`.
    pub cid: Cid,
    /// The block.
    pub data: Vec<u8>,
}

/// A finished piece of a DAG, as its parent will link it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its root block.
    pub cid: Cid,
    /// Bytes of file content under it (0 for directories).
    pub file_bytes: u64,
    /// Bytes of all its blocks, each link counted once per parent (dag-pb's `Tsize`).
    pub dag_bytes: u64,
}

/// What `--preserve-mode` and `--preserve-mtime` keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits (the low 12).
    pub mode: Option<u32>,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: Option<(i64, u32)>,
}

impl Metadata {
    /// Nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mode.is_none() && self.mtime.is_none()
    }
}

/// Why a name cannot be that of a directory's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// It is empty.
    Empty,
    /// It is `.` or `..`.
    Dots,
    /// It has a `/` in it.
    Slash,
    /// It has a NUL in it.
    Nul,
    /// It is longer than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// The directory has an entry of that name.
    Duplicate,
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("an entry's name is empty"),
            Self::Dots => f.write_str("an entry's name is . or .."),
            Self::Slash => f.write_str("an entry's name has a / in it"),
            Self::Nul => f.write_str("an entry's name has a NUL byte in it"),
            Self::TooLong => write!(f, "an entry's name is longer than {NAME_BYTES_MAX} bytes"),
            Self::Duplicate => f.write_str("two entries have the same name"),
        }
    }
}
impl std::error::Error for NameError {}

/// Why a block is not UnixFS, or a directory cannot be built. Never repeats the input: it may be a stranger's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnixfsError {
    /// Not a block of UnixFS: neither dag-pb nor raw, but this multicodec.
    Codec(u64),
    /// The node around the message is malformed.
    Node(PbError),
    /// A dag-pb node without UnixFS's message.
    NoMessage,
    /// The message is not protobuf of the UnixFS schema.
    Message,
    /// The message has no type.
    NoType,
    /// A type that Shoal does not read (3 is the unused Metadata).
    Type(u64),
    /// A file whose links and block sizes differ in number.
    BlockSizes {
        /// Links in the node.
        links: usize,
        /// Sizes in the message.
        sizes: usize,
    },
    /// A file whose size is not that of its parts, or is beyond 64 bits.
    FileBytes,
    /// A HAMT fanout that is not a power of two from 8 to 1024.
    Fanout(u64),
    /// A HAMT with another hash than murmur3-x64-64.
    HashType(u64),
    /// A HAMT whose bitfield does not fit its links.
    Bitfield,
    /// A name that an entry may not have.
    Name(NameError),
    /// Names of one directory that share all 64 bits of their hash.
    HashExhausted,
    /// A symbolic link with a target over [`SYMLINK_BYTES_MAX`] bytes, or with children.
    Symlink,
    /// A block over [`BLOCK_BYTES_MAX`] would be needed (its bytes).
    BlockTooLarge(usize),
}

impl std::fmt::Display for UnixfsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Codec(codec) => write!(f, "a block with codec 0x{codec:x} is not UnixFS (dag-pb and raw are)"),
            Self::Node(e) => e.fmt(f),
            Self::NoMessage => f.write_str("dag-pb block has no UnixFS data"),
            Self::Message => f.write_str("UnixFS data is malformed"),
            Self::NoType => f.write_str("UnixFS data has no type"),
            Self::Type(kind) => write!(f, "UnixFS type {kind} is not supported"),
            Self::BlockSizes { links, sizes } => write!(f, "UnixFS file has {links} links but {sizes} block sizes"),
            Self::FileBytes => f.write_str("UnixFS file is not as large as it says"),
            Self::Fanout(n) => write!(f, "UnixFS shard has fanout {n}, which is not a power of two from 8 to 1024"),
            Self::HashType(code) => write!(f, "UnixFS shard uses hash 0x{code:x} (only murmur3-x64-64, 0x22, is known)"),
            Self::Bitfield => f.write_str("UnixFS shard has a bitfield that does not fit its links"),
            Self::Name(e) => e.fmt(f),
            Self::HashExhausted => f.write_str("directory has names with equal hashes, which a HAMT cannot hold"),
            Self::Symlink => write!(f, "UnixFS symbolic link has children or a target over {SYMLINK_BYTES_MAX} bytes"),
            Self::BlockTooLarge(n) => write!(f, "directory needs a block of {n} bytes, more than {BLOCK_BYTES_MAX} (let it be sharded)"),
        }
    }
}
impl std::error::Error for UnixfsError {}

impl From<PbError> for UnixfsError {
    fn from(e: PbError) -> Self {
        Self::Node(e)
    }
}

impl From<NameError> for UnixfsError {
    fn from(e: NameError) -> Self {
        Self::Name(e)
    }
}

/// Encodes and names a dag-pb node of `links` around UnixFS's `message`, and pushes it to `out`. `dag_bytes` of the child
/// are the block and all that the links claim.
fn finish_node(profile: &Profile, links: &[pb::Link<'_>], message: &message::Message<'_>, file_bytes: u64, out: &mut Vec<Block>) -> Child {
    let mut encoded = Vec::with_capacity(message.encoded_len_max());
    message.encode(&mut encoded);
    let mut data = Vec::new();
    pb::encode(links, Some(&encoded), profile.data_first, &mut data);
    let cid = profile.cid(crate::cid::codec::DAG_PB, &data);
    let dag_bytes = links.iter().filter_map(|link| link.dag_bytes).fold(data.len() as u64, u64::saturating_add).min(TSIZE_MAX);
    out.push(Block { cid: cid.clone(), data });
    Child { cid, file_bytes, dag_bytes }
}

/// Largest Tsize: other implementations read it as a signed number.
const TSIZE_MAX: u64 = i64::MAX as u64;
