//! Files and directories as DAGs, and back (UnixFS spec, <https://specs.ipfs.tech/unixfs/>).

pub mod profile;

use crate::Cid;
pub use profile::Profile;

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
