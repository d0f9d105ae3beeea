//! What the walker gives the workers, and what both tell the assembler.

use super::EntryKind;
use super::blob::BlobFile;
use crate::error::Error;
use crate::queue::Shared;
use shoal_core::unixfs::{Child, Metadata};
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file to add, found by the walker. `sequence` is its place in the order of the walk.
pub(super) struct FileJob {
    pub sequence: u64,
    pub path: PathBuf,
    pub name: Vec<u8>,
}

/// A piece of a stream, cut already.
pub(super) struct DataJob {
    pub sequence: u64,
    pub segment: u64,
    /// Of the file.
    pub metadata: Metadata,
    pub buffer: Vec<u8>,
    /// Lengths of the chunks at the front of `buffer`.
    pub cuts: Vec<usize>,
    pub last: bool,
}

/// What a worker is given by the walker or by a stream.
pub(super) enum Job {
    Files(Vec<FileJob>),
    Data(DataJob),
}

/// A large file whose segments several workers read.
pub(super) struct LargeFile {
    pub sequence: u64,
    pub path: PathBuf,
    pub file: File,
    pub bytes: u64,
    pub chunk_bytes: usize,
    /// Chunks a segment holds.
    pub segment_chunks: usize,
    pub segments: u64,
    /// Where it goes, if it becomes a blob. Its segments are pieces then.
    pub blob: Option<BlobFile>,
    next: AtomicU64,
}

impl LargeFile {
    pub fn new(sequence: u64, path: PathBuf, file: File, bytes: u64, chunk_bytes: usize, segment_chunks: usize) -> Self {
        let segments = bytes.div_ceil((chunk_bytes * segment_chunks) as u64).max(1);
        Self { sequence, path, file, bytes, chunk_bytes, segment_chunks, segments, blob: None, next: AtomicU64::new(0) }
    }
}

impl LargeFile {
    /// One that becomes a blob.
    pub fn blob(job: FileJob, file: File, bytes: u64, blob: BlobFile) -> Self {
        let pieces = (shoal_core::bao::GROUP_BYTES, super::blob::PIECE_GROUPS);
        Self { blob: Some(blob), ..Self::new(job.sequence, job.path, file, bytes, pieces.0, pieces.1) }
    }
}

impl Shared for LargeFile {
    type Segment = u64;

    fn claim(&self) -> Option<u64> {
        let segment = self.next.fetch_add(1, Ordering::Relaxed);
        (segment < self.segments).then_some(segment)
    }
}

pub(super) type Queue = crate::queue::Queue<Job, LargeFile>;

/// A finished thing, to be taken in the order of its sequence number.
pub(super) enum Item {
    Enter { name: Vec<u8>, metadata: Metadata },
    Leave,
    Symlink { name: Vec<u8>, target: Vec<u8>, metadata: Metadata },
    Entry { name: Vec<u8>, child: Child, kind: EntryKind },
}

/// What walker and workers tell the assembler.
pub(super) enum Message {
    Item {
        sequence: u64,
        item: Item,
    },
    /// A file that comes in segments. Sent before its first segment.
    Opened {
        sequence: u64,
        name: Vec<u8>,
        metadata: Metadata,
    },
    Leaves {
        sequence: u64,
        segment: u64,
        leaves: Vec<Child>,
        last: bool,
    },
    Failed(Error),
}
