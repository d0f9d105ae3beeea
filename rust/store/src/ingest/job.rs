//! What the walker gives the workers, and what both tell the assembler.

use super::EntryKind;
use super::baton::{Baton, Turn};
use super::blob::{BlobFile, PIECE_BYTES};
use super::place::Place;
use super::work::segment_bytes;
use crate::error::Error;
use crate::queue::Shared;
use shoal_core::chunk::Chunker;
use shoal_core::unixfs::{Child, Metadata, Profile};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
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
    pub segment_bytes: usize,
    pub segments: u64,
    /// Where it goes, if it becomes a blob. Its segments are pieces then.
    pub blob: Option<BlobFile>,
    /// Where it is, if it is to stay there.
    pub place: Option<Place>,
    next: AtomicU64,
    /// Segments that are not done.
    left: AtomicU64,
    /// Where cuts depend on what came before: whose turn it is to cut.
    baton: Option<Arc<Baton>>,
}

impl LargeFile {
    pub fn new(job: FileJob, file: File, bytes: u64, profile: &Profile, place: Option<Place>) -> Self {
        let baton = (!matches!(profile.chunker, Chunker::Size(_))).then(Arc::default);
        Self { baton, place, ..Self::in_segments(job, file, bytes, segment_bytes(profile)) }
    }

    /// One that becomes a blob.
    pub fn blob(job: FileJob, file: File, bytes: u64, blob: BlobFile) -> Self {
        Self { blob: Some(blob), ..Self::in_segments(job, file, bytes, PIECE_BYTES) }
    }

    fn in_segments(job: FileJob, file: File, bytes: u64, segment_bytes: usize) -> Self {
        let segments = bytes.div_ceil(segment_bytes as u64).max(1);
        Self {
            sequence: job.sequence,
            path: job.path,
            file,
            bytes,
            segment_bytes,
            segments,
            blob: None,
            place: None,
            next: AtomicU64::new(0),
            left: AtomicU64::new(segments),
            baton: None,
        }
    }

    /// Called once a segment: whether it was the last one to be done.
    pub fn is_last_to_end(&self) -> bool {
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// A segment of a large file, in the hands of one worker.
pub(super) struct Segment {
    pub index: u64,
    pub turn: Option<Turn>,
}

impl Shared for LargeFile {
    type Segment = Segment;

    fn claim(&self) -> Option<Segment> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = || self.baton.as_ref().map(|baton| Turn::new(Arc::clone(baton), index));
        (index < self.segments).then(|| Segment { index, turn: turn() })
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
