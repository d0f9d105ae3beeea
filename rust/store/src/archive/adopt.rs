//! Taking in an archive as a pack, without copying it: every block is checked, then the file gets a second name (pack.md §10).
//!
//! The caller's thread finds where sections end, workers read and verify. The file is read with plain reads, never mapped, until all
//! of it was checked: somebody else may still be cutting it.

use super::import::{ImportOptions, Imported, Undivided, check_hashes, pin_roots, take_back};
use crate::adopt::Foreign;
use crate::disk::{Disk, DiskFile, read_full_at};
use crate::error::{Error, Result};
use crate::inner::locked;
use crate::operation::Operation;
use crate::pack::{Entry, ForeignHeader, Key, PackPaths, Place, key, temporary_beside};
use crate::queue::{Queue, Work};
use crate::session::Session;
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::car::{CarError, v1, v2};
use shoal_core::limits::{BLOCK_BYTES_MAX, CAR_SECTION_BYTES_MAX, VARINT_BYTES_MAX};
use shoal_core::varint;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What becomes of the file's own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopt {
    /// It goes, once everything is durable: the file is the store's alone.
    Move,
    /// It stays. Where the filesystem can share bytes between two files, each has its own from then on; else both names are one file,
    /// which must not be written to any more.
    Link,
}

/// How the file came into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// It has no other name any more.
    Moved,
    /// It is one file under two names: writing to it damages the store.
    Linked,
    /// The store has a file of its own, which shares its bytes with the other for as long as neither is written to.
    Cloned,
}

/// Bytes read and verified together, give or take a section.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;
/// Pieces that may wait for a worker. They are no more than two offsets each.
const QUEUED_MAX: usize = 64;
/// Workers, each with a buffer of a piece and a section.
const WORKERS_MAX: usize = 16;
/// Bytes read at a time to find where small sections end; large ones cost a read of their head.
const WINDOW_BYTES: usize = 64 * 1024;
/// A section at least so long is passed over.
const LARGE_BYTES: u64 = 16 * 1024;
/// Blocks that an adopted file may have: 40 bytes of memory each, until the index is written.
const ENTRIES_MAX: usize = 4 * 1024 * 1024;
/// Keys looked for together.
const KEYS_TOGETHER: usize = 4096;

/// Takes in a CARv1 file as it is, as a pack.
///
/// All or nothing, as [`super::import_car`]: a block that does not match its CID, a file that is cut or malformed, a section over the
/// limit, a missing block under a root to be pinned, a CARv2, a file of another filesystem: then store and file are as before.
/// When this returns, everything is durable. Blocks that are here already are there twice.
pub fn adopt_car(store: &Store, path: &Path, how: Adopt, options: &ImportOptions, operation: &Operation) -> Result<(Imported, Adopted)> {
    crate::pinning::check_name(options.pin_name.as_deref())?;
    let disk = &*store.0.disk;
    let path = disk.resolve(path).map_err(|e| Error::source("cannot open", path, e))?;
    let bytes = disk.identity(&path).map_err(|e| Error::source("cannot open", &path, e))?.bytes;
    crate::quota::make_room(store, bytes, operation)?;
    let session = store.write()?;
    let staged = Staged::make(disk, &store.0.paths, &path, how)?;
    let before: BTreeMap<u32, u64> = store.packs()?.into_iter().map(|stat| (stat.pack, stat.bytes)).collect();
    let adopted = take_in(store, &session, &staged, &path, options, operation);
    match adopted {
        Ok(imported) => {
            session.commit()?;
            Ok((imported, staged.finish(&path, how)))
        }
        Err(error) => {
            // The reason for the failure is what the caller must hear; what cannot be taken back now is left to the collector.
            let _ = take_back(store, session, &before);
            Err(error)
        }
    }
}

/// The file under a temporary name in the store's folder, which goes when this is dropped.
struct Staged<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    is_clone: bool,
}

impl<'a> Staged<'a> {
    fn make(disk: &'a dyn Disk, paths: &PackPaths, source: &Path, how: Adopt) -> Result<Self> {
        let opened = disk.open_foreign(source).map_err(|e| match e.kind() {
            ErrorKind::InvalidInput => Error::SourceKind { path: source.to_owned() },
            _ => Error::source("cannot open", source, e),
        })?;
        let path = temporary_beside(&paths.folder().join("adopted"));
        let is_clone = how == Adopt::Link && disk.clone_file(source, &path).is_ok();
        if !is_clone {
            disk.link(source, &path).map_err(|e| refused(source, &path, e))?;
        }
        let failed = |e| Error::source("cannot open", source, e);
        let staged = match disk.open_foreign(&path) {
            Ok(file) => Self { disk, path, file, is_clone },
            Err(e) => {
                let _ = disk.remove(&path);
                return Err(failed(e));
            }
        };
        let (named, seen) = (staged.file.identity().map_err(failed)?, opened.identity().map_err(failed)?);
        if !is_clone && !named.is_same_file(&seen) {
            return Err(Error::SourceChanged { path: source.to_owned() });
        }
        Ok(staged)
    }

    /// Takes the file's own name away, if it is to go and still is this file's.
    fn finish(&self, source: &Path, how: Adopt) -> Adopted {
        let is_this = |named: &crate::disk::Identity| self.file.identity().is_ok_and(|own| own.is_same_file(named));
        match how {
            _ if self.is_clone => Adopted::Cloned,
            Adopt::Move if self.disk.identity(source).is_ok_and(|named| is_this(&named)) && self.disk.remove(source).is_ok() => {
                Adopted::Moved
            }
            // The store has it; what could not be removed is a second name.
            Adopt::Move | Adopt::Link => Adopted::Linked,
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // Usually gone already: it has a pack's name.
        let _ = self.disk.remove(&self.path);
    }
}

fn refused(source: &Path, staged: &Path, error: std::io::Error) -> Error {
    let why = match error.kind() {
        ErrorKind::CrossesDevices => "it is on another filesystem than the store",
        ErrorKind::PermissionDenied | ErrorKind::Unsupported => "the system does not let it have a second name",
        _ => return Error::io("linking", staged, error),
    };
    Error::NotAdopted { path: source.to_owned(), why }
}

fn take_in(
    store: &Store,
    session: &Session,
    staged: &Staged<'_>,
    source: &Path,
    options: &ImportOptions,
    operation: &Operation,
) -> Result<Imported> {
    let failed = |e| Error::source("cannot read", source, e);
    let bytes = staged.file.identity().map_err(failed)?.bytes;
    operation.expect(Some(bytes), None);
    let (header, roots) = read_header(&*staged.file, source)?;
    let checked = check_blocks(&*staged.file, source, header.bytes..bytes, operation)?;
    let mut imported = Imported { roots, blocks: checked.blocks, bytes: checked.bytes, ..Imported::default() };
    let mut entries = checked.entries;
    entries.sort_unstable_by_key(|entry| (entry.key, entry.place));
    count_new(session, &entries, &mut imported)?;
    if staged.file.identity().map_err(failed)?.bytes != bytes {
        return Err(Error::SourceChanged { path: source.to_owned() });
    }
    session.adopt(&staged.path, &*staged.file, Foreign { header, length: bytes, entries })?;
    pin_roots(store, session, &imported.roots, options, operation)?;
    Ok(imported)
}

fn read_header(file: &dyn DiskFile, source: &Path) -> Result<(ForeignHeader, Vec<Cid>)> {
    let mut front = vec![0; ForeignHeader::BYTES_MAX];
    let n = read_full_at(file, &mut front, 0).map_err(|e| Error::source("cannot read", source, e))?;
    front.truncate(n);
    if front.starts_with(&v2::PRAGMA) {
        return Err(Error::NotAdopted { path: source.to_owned(), why: "it is a CARv2, whose data do not begin where a pack's do" });
    }
    Ok(ForeignHeader::of(&front)?)
}

/// Counts the blocks that are not here yet, each once. The entries are sorted by key.
fn count_new(session: &Session, entries: &[Entry], imported: &mut Imported) -> Result<()> {
    for entries in entries.chunk_by(|one, next| one.key == next.key).collect::<Vec<_>>().chunks(KEYS_TOGETHER) {
        let firsts: Vec<&Entry> = entries.iter().filter_map(|same| same.first()).collect();
        let keys: Vec<&Key> = firsts.iter().map(|entry| &entry.key).collect();
        for (entry, is_here) in firsts.iter().zip(session.counts_many(&keys)?) {
            if !is_here {
                imported.new_blocks += 1;
                imported.new_bytes += entry.place.block_bytes();
            }
        }
    }
    Ok(())
}

/// What the workers found together.
#[derive(Default)]
struct Checked {
    entries: Vec<Entry>,
    blocks: u64,
    bytes: u64,
    error: Option<Error>,
}

fn check_blocks(file: &dyn DiskFile, source: &Path, range: std::ops::Range<u64>, operation: &Operation) -> Result<Checked> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(WORKERS_MAX);
    let queue: Queue<(u64, u64), Undivided> = Queue::new(QUEUED_MAX);
    let checked = Mutex::new(Checked::default());
    let cut = std::thread::scope(|scope| {
        let _close = queue.close_on_drop();
        for _ in 0..workers {
            scope.spawn(|| {
                let mut buffer = Vec::new();
                while let Some(Work::Job((start, end))) = queue.next() {
                    let _done = queue.done_on_drop();
                    if let Err(error) = check_piece(file, source, start, end, &mut buffer, &checked, operation) {
                        locked(&checked).error.get_or_insert(error);
                        queue.stop();
                        return;
                    }
                }
            });
        }
        let cut = cut(file, source, range, &queue, operation);
        if cut.is_err() {
            queue.stop();
        }
        cut
    });
    let mut checked = checked.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match checked.error.take() {
        Some(error) => Err(error),
        None => cut.map(|()| checked),
    }
}

/// Finds where sections end, and gives the workers pieces of whole ones.
fn cut(
    file: &dyn DiskFile,
    source: &Path,
    range: std::ops::Range<u64>,
    queue: &Queue<(u64, u64), Undivided>,
    operation: &Operation,
) -> Result<()> {
    let mut window = (range.start, Vec::new());
    let (mut from, mut at, mut last) = (range.start, range.start, 0);
    while at < range.end {
        let (bytes, varint_bytes) = {
            let wanted = VARINT_BYTES_MAX.min(usize::try_from(range.end - at).unwrap_or(usize::MAX));
            if head(&window, at).len() < wanted {
                operation.check()?;
                let room = if last >= LARGE_BYTES { VARINT_BYTES_MAX } else { WINDOW_BYTES };
                window.0 = at;
                window.1.resize(room, 0);
                let n = read_full_at(file, &mut window.1, at).map_err(|e| Error::source("cannot read", source, e))?;
                window.1.truncate(n);
            }
            let head = head(&window, at);
            match varint::read(head) {
                Ok(found) => found,
                // A section says in its own words what is wrong with its length.
                Err(_) => return Err(v1::parse_section(head).map_or_else(Error::from, |_| CarError::Truncated.into())),
            }
        };
        if bytes == 0 {
            return Err(CarError::EmptySection.into());
        }
        if bytes > CAR_SECTION_BYTES_MAX as u64 {
            return Err(CarError::TooLong { bytes, bytes_max: CAR_SECTION_BYTES_MAX }.into());
        }
        last = bytes + varint_bytes as u64;
        at = at.checked_add(last).filter(|end| *end <= range.end).ok_or(CarError::Truncated)?;
        if at - from >= PIECE_BYTES {
            if !queue.push((from, at)) {
                return Err(Error::Cancelled);
            }
            from = at;
        }
    }
    if from < at && !queue.push((from, at)) {
        return Err(Error::Cancelled);
    }
    Ok(())
}

/// What a window has from an offset on.
fn head(window: &(u64, Vec<u8>), at: u64) -> &[u8] {
    at.checked_sub(window.0).and_then(|within| usize::try_from(within).ok()).and_then(|within| window.1.get(within..)).unwrap_or_default()
}

/// Reads a piece, which is whole sections, and checks each block of it.
fn check_piece(
    file: &dyn DiskFile,
    source: &Path,
    start: u64,
    end: u64,
    buffer: &mut Vec<u8>,
    checked: &Mutex<Checked>,
    operation: &Operation,
) -> Result<()> {
    operation.check()?;
    let length = usize::try_from(end.saturating_sub(start)).map_err(|_| CarError::Truncated)?;
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let bytes = buffer.get_mut(..length).unwrap_or_default();
    if read_full_at(file, bytes, start).map_err(|e| Error::source("cannot read", source, e))? < length {
        return Err(Error::SourceChanged { path: source.to_owned() });
    }
    let bytes: &[u8] = bytes;
    let (mut at, mut cids, mut entries) = (0, Vec::new(), Vec::new());
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let section = v1::parse_section(rest)?;
        let block = section.data_range;
        if block.len() > BLOCK_BYTES_MAX {
            return Err(Error::BlockTooLarge { cid: section.cid, bytes: block.len() as u64 });
        }
        let place = start.checked_add(at as u64).and_then(|offset| Place::new(offset, block.len()));
        let place = place.ok_or(Error::NotAdopted { path: source.to_owned(), why: "it is larger than 1 TiB" })?;
        entries.extend(key(&section.cid).map(|key| Entry { key, place }));
        cids.push((section.cid, at + block.start..at + block.end));
        at += section.total_len;
    }
    let blocks: Vec<(&Cid, &[u8])> = cids.iter().map(|(cid, range)| (cid, bytes.get(range.clone()).unwrap_or_default())).collect();
    check_hashes(&blocks)?;
    let block_bytes = blocks.iter().map(|(_, data)| data.len() as u64).sum();
    operation.add_bytes(block_bytes);
    operation.add_files(blocks.len() as u64);
    let mut checked = locked(checked);
    checked.blocks += blocks.len() as u64;
    checked.bytes += block_bytes;
    checked.entries.extend(entries);
    if checked.entries.len() > ENTRIES_MAX {
        return Err(Error::NotAdopted { path: source.to_owned(), why: "it has more than 4,194,304 blocks" });
    }
    Ok(())
}
