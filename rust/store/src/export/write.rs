//! The workers of an export: read, verify, write.

use super::tree::{Folder, set_metadata};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::queue::{Shared, Work};
use crate::read::{FileReader, Leaf, Leaves, read_leaves};
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::hash::{self, Hash};
use shoal_core::unixfs::Metadata;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Files of more than this many bytes are written by several workers.
const SHARED_FILE_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Content a worker takes of a shared file at once.
const SEGMENT_BYTES: u64 = 1024 * 1024;

/// A file to write.
pub(super) struct FileJob {
    pub folder: Arc<Folder>,
    pub name: OsString,
    pub cid: Cid,
    pub force: bool,
}

pub(super) type Queue = crate::queue::Queue<Vec<FileJob>, SharedFile>;

/// What has been written so far.
#[derive(Default)]
pub(super) struct Written {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Written {
    pub fn add(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Files, and their bytes.
    pub fn totals(&self) -> (u64, u64) {
        (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A large file that several workers write.
pub(super) struct SharedFile {
    target: Target,
    metadata: Metadata,
    /// Leaves taken together: as many as fill the hash lanes, or a megabyte.
    leaves_per_segment: usize,
    state: Mutex<SharedState>,
}

struct SharedState {
    leaves: Leaves,
    segments_in_hand: u64,
    all_given: bool,
}

impl SharedFile {
    fn lock(&self) -> std::sync::MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment is written. True for the last one.
    fn segment_done(&self) -> bool {
        let mut state = self.lock();
        state.segments_in_hand -= 1;
        state.all_given && state.segments_in_hand == 0
    }
}

impl Shared for SharedFile {
    type Segment = Result<Vec<Leaf>>;

    fn claim(&self) -> Option<Self::Segment> {
        let mut state = self.lock();
        if state.all_given {
            return None;
        }
        let mut leaves = Vec::new();
        let mut bytes = 0;
        while leaves.len() < self.leaves_per_segment || bytes < SEGMENT_BYTES {
            match state.leaves.next() {
                Some(Ok(leaf)) => {
                    bytes += leaf.bytes();
                    leaves.push(leaf);
                }
                Some(Err(error)) => {
                    state.all_given = true;
                    state.segments_in_hand += 1;
                    return Some(Err(error));
                }
                None => {
                    state.all_given = true;
                    break;
                }
            }
        }
        // An empty segment still goes out when it is the last: whoever finishes last completes the file.
        state.segments_in_hand += 1;
        Some(Ok(leaves))
    }
}

/// A file being written under its own name in a new tree, or under a temporary one where something may be in its place.
struct Target {
    file: File,
    folder: Arc<Folder>,
    /// Temporary and final name.
    rename: Option<(OsString, OsString)>,
}

impl Target {
    fn create(job: &FileJob) -> Result<Self> {
        let rename = job.force.then(|| (super::temporary_name(&job.name), job.name.clone()));
        let name: &OsStr = rename.as_ref().map_or(&job.name, |(temporary, _)| temporary);
        Ok(Self { file: job.folder.create(name)?, folder: Arc::clone(&job.folder), rename })
    }

    fn finish(&self, metadata: Metadata) -> Result<()> {
        if !metadata.is_empty() {
            set_metadata(self.file.as_fd(), metadata).map_err(|e| Error::Output(e.into()))?;
        }
        match &self.rename {
            Some((temporary, name)) => self.folder.rename(temporary, name, true),
            None => Ok(()),
        }
    }

    /// Nothing half-written stays, also where the folder itself stays.
    fn give_up(&self) {
        if let Some((temporary, _)) = &self.rename {
            self.folder.remove_all(temporary);
        }
    }
}

/// Takes work until there is none. On an error everybody stops.
pub(super) fn run(store: &Store, operation: &Operation, queue: &Queue, written: &Written) -> Result<()> {
    let worker = Worker { store, operation, queue, written };
    while let Some(work) = queue.next() {
        let done = operation.check().and_then(|()| match work {
            Work::Job(files) => {
                let _done = queue.done_on_drop();
                worker.files(&files)
            }
            Work::Segment(shared, leaves) => {
                let done = leaves.and_then(|leaves| worker.segment(&shared, &leaves));
                if done.is_err() {
                    shared.target.give_up();
                }
                done
            }
        });
        if done.is_err() {
            queue.stop();
            return done;
        }
    }
    Ok(())
}

struct Worker<'a> {
    store: &'a Store,
    operation: &'a Operation,
    queue: &'a Queue,
    written: &'a Written,
}

impl Worker<'_> {
    fn files(&self, jobs: &[FileJob]) -> Result<()> {
        // Files of one raw block are read together, so that their hashes are checked side by side.
        let (plain, others): (Vec<&FileJob>, Vec<&FileJob>) = jobs.iter().partition(|job| job.cid.codec() == codec::RAW);
        let cids: Vec<Cid> = plain.iter().map(|job| job.cid.clone()).collect();
        for (job, block) in plain.into_iter().zip(self.store.blocks(&cids)) {
            self.operation.check()?;
            match block {
                Err(Error::IsBlob { .. }) => self.file(job)?,
                block => self.whole(job, &block?, Metadata::default())?,
            }
        }
        for job in others {
            self.operation.check()?;
            self.file(job)?;
        }
        Ok(())
    }

    fn whole(&self, job: &FileJob, content: &[u8], metadata: Metadata) -> Result<()> {
        let mut target = Target::create(job)?;
        let done = target.file.write_all(content).map_err(Error::Output).and_then(|()| target.finish(metadata));
        if done.is_err() {
            target.give_up();
        }
        done?;
        self.count(content.len() as u64, 1);
        Ok(())
    }

    fn count(&self, bytes: u64, files: u64) {
        self.operation.add_bytes(bytes);
        self.operation.add_files(files);
        self.written.add(files, bytes);
    }

    fn file(&self, job: &FileJob) -> Result<()> {
        let mut reader = FileReader::open(self.store, &job.cid)?;
        self.operation.name_current(&job.name.display());
        if reader.size() < SHARED_FILE_BYTES_MIN {
            let mut content = vec![0; usize::try_from(reader.size()).unwrap_or(0)];
            let n = reader.read_at(0, &mut content)?;
            content.truncate(n);
            return self.whole(job, &content, reader.metadata());
        }
        let lanes = Hash::from_code(job.cid.hash()).map_or(1, hash::lanes);
        let state = SharedState { leaves: reader.leaves(0..reader.size()), segments_in_hand: 0, all_given: false };
        self.queue.offer(SharedFile {
            target: Target::create(job)?,
            metadata: reader.metadata(),
            leaves_per_segment: lanes,
            state: Mutex::new(state),
        });
        Ok(())
    }

    fn segment(&self, shared: &SharedFile, leaves: &[Leaf]) -> Result<()> {
        let mut bytes = 0;
        for (leaf, (block, range)) in leaves.iter().zip(read_leaves(self.store, leaves)?) {
            self.operation.check()?;
            let content = block.get(range).unwrap_or_default();
            shared.target.file.write_all_at(content, leaf.offset).map_err(Error::Output)?;
            bytes += content.len() as u64;
        }
        let last = shared.segment_done();
        if last {
            shared.target.finish(shared.metadata)?;
        }
        self.count(bytes, u64::from(last));
        Ok(())
    }
}
