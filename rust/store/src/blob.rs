//! Blobs: files of more than a block's size, each one raw BLAKE3 CID, kept whole beside the packs.
//!
//! A blob is a data file and a tree file (docs/formats/blob.md). It is never read as one block: what is read are groups of 16 KiB,
//! each checked against the digest along the tree. The rule kept here: no byte of a blob leaves unchecked, and a blob is named by the
//! journal only when its files are on the disk.

mod exchange;
mod pages;
mod partial;
mod present;
mod read;
mod recover;
mod write;

pub(crate) use pages::Pages;
pub use partial::{Partial, Present};
pub(crate) use read::{Blob, Cursor};
pub(crate) use recover::found_on_disk;
pub(crate) use write::{NewBlob, NewTree};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::bao::{PAIR_BYTES, groups};
use shoal_core::cid::codec;
use shoal_core::hash::code;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};

/// The BLAKE3 digest of a blob, by which it is known.
pub(crate) type Digest = [u8; 32];

/// The digest of a CID that could be a blob's. Its codec is not asked: blobs are looked up by multihash, as blocks are.
pub(crate) fn digest_of(cid: &Cid) -> Option<Digest> {
    if cid.hash() == code::BLAKE3 { cid.digest().try_into().ok() } else { None }
}

/// The CID of a blob.
pub(crate) fn cid_of(digest: &Digest) -> Cid {
    // 32 bytes are no bad length, so the other arm is never met.
    Cid::v1(codec::RAW, code::BLAKE3, digest).unwrap_or_else(|_| Cid::v0(digest))
}

/// blob §1: where the files of blobs are.
#[derive(Debug, Clone)]
pub(crate) struct BlobPaths(PathBuf);

impl BlobPaths {
    pub fn new(root: &Path) -> Self {
        Self(root.join("blobs"))
    }

    /// The folder of all.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The folder of those that share their first byte.
    pub fn fan(&self, digest: &Digest) -> PathBuf {
        self.0.join(hex(digest.get(..1).unwrap_or_default()))
    }

    pub fn file(&self, digest: &Digest, kind: &str) -> PathBuf {
        self.fan(digest).join(format!("{}.{kind}", hex(digest)))
    }

    pub fn data(&self, digest: &Digest) -> PathBuf {
        self.file(digest, "data")
    }

    pub fn tree(&self, digest: &Digest) -> PathBuf {
        self.file(digest, "tree")
    }

    /// Says that `verify` found the blob damaged.
    pub fn damaged(&self, digest: &Digest) -> PathBuf {
        self.file(digest, "damaged")
    }

    /// The digest and kind that a file's name says.
    pub fn parse(name: &str) -> Option<(Digest, &str)> {
        let (stem, kind) = name.split_once('.')?;
        let mut digest = [0; 32];
        if stem.len() != 64 || !stem.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(stem.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some((digest, kind))
    }
}

/// blob §3.1: the length of the tree of a blob.
pub(crate) fn tree_bytes(bytes: u64) -> u64 {
    (groups(bytes) - 1).saturating_mul(PAIR_BYTES as u64)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the store knows of its blobs besides what the journal says.
pub(crate) struct Blobs {
    pub paths: BlobPaths,
    pub pages: Arc<Pages>,
    /// Blobs that someone reads.
    open: Mutex<HashMap<Digest, Weak<Blob>>>,
    /// Partial blobs that this process is filling.
    pub filling: Mutex<HashMap<Digest, Weak<partial::Filling>>>,
    /// Held by whoever decides whether a blob is new, or takes one back. Taken before the locks of pending and state.
    pub deciding: Mutex<()>,
    /// For names of temporary files.
    pub count: AtomicU64,
}

impl Blobs {
    pub fn new(root: &Path) -> Self {
        Self {
            paths: BlobPaths::new(root),
            pages: Arc::default(),
            open: Mutex::default(),
            filling: Mutex::default(),
            deciding: Mutex::default(),
            count: AtomicU64::new(0),
        }
    }

    /// The next one who opens it shall open its files again.
    pub fn forget(&self, digest: &Digest) {
        locked(&self.open).remove(digest);
    }

    /// Removes the files of a blob, as far as they are there. Readers keep what they have open.
    pub fn remove(&self, disk: &dyn Disk, digest: &Digest) {
        self.forget(digest);
        for path in [self.paths.data(digest), self.paths.tree(digest), self.paths.damaged(digest)] {
            let _ = disk.remove(&path);
        }
    }
}

impl Inner {
    /// The length of a committed blob.
    pub fn blob_bytes(&self, cid: &Cid) -> Option<u64> {
        let digest = digest_of(cid)?;
        self.state().contents.blobs.get(&digest).copied()
    }

    /// A committed blob, open; `None` when there is none.
    pub fn blob(&self, cid: &Cid) -> Result<Option<Arc<Blob>>> {
        let Some(digest) = digest_of(cid) else { return Ok(None) };
        for attempt in 0..2 {
            let Some(bytes) = self.blob_bytes(cid) else { return Ok(None) };
            if let Some(blob) = locked(&self.blobs.open).get(&digest).and_then(Weak::upgrade) {
                return Ok(Some(blob));
            }
            match Blob::open(self, digest, bytes) {
                Ok(blob) => {
                    let blob = Arc::new(blob);
                    let mut open = locked(&self.blobs.open);
                    open.retain(|_, other| other.strong_count() > 0);
                    open.insert(digest, Arc::downgrade(&blob));
                    return Ok(Some(blob));
                }
                // Another process may have removed it since the journal was read.
                Err(Error::Io { source, .. }) if attempt == 0 && source.kind() == ErrorKind::NotFound && self.refresh()? => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Store {
    /// The length of a blob in bytes; `None` when there is no blob with this digest.
    pub fn blob_bytes(&self, cid: &Cid) -> Result<Option<u64>> {
        if digest_of(cid).is_none() {
            return Ok(None);
        }
        if let Some(bytes) = self.0.blob_bytes(cid) {
            return Ok(Some(bytes));
        }
        Ok(if self.0.refresh()? { self.0.blob_bytes(cid) } else { None })
    }

    /// Every blob, with its length, ordered by digest.
    pub fn blobs(&self) -> Result<Vec<(Cid, u64)>> {
        self.0.refresh()?;
        Ok(self.0.state().contents.blobs.iter().map(|(digest, bytes)| (cid_of(digest), *bytes)).collect())
    }
}
