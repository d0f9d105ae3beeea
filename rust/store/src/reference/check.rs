//! Looking at the files outside: whether they are as they were, and, when asked, whether they still hold the bytes that they held.

use super::{Change, ForeignFile, Leaf, ReferenceTable, path_of};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::inner::locked;
use crate::operation::Operation;
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::hash;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Leaves read and hashed together: fills the hash lanes, and bounds what a worker holds.
const TOGETHER: usize = 16;
/// Workers, each with so many leaves in memory.
const WORKERS_MAX: usize = 16;

/// A file outside, looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Where it is, or was; or the table that is damaged.
    pub path: PathBuf,
    /// What is wrong with it.
    pub change: Option<Change>,
    /// Where its bytes differ first, in bytes. Known only when they were read.
    pub offset: Option<u64>,
    /// Whether this is no file outside but a table of the store's, which nobody can read any more.
    pub is_table: bool,
}

/// Looks at every file that blocks are referenced in: each comes once for each time it was added. `is_full` reads them.
///
/// Changes nothing. `operation` counts bytes when it reads, and files.
pub fn check(store: &Store, is_full: bool, operation: &Operation, each: &mut dyn FnMut(Checked) -> Result<()>) -> Result<()> {
    store.refresh()?;
    let inner = &store.0;
    let (tables, bad) = {
        let state = inner.state();
        (state.references.clone(), state.references_bad.clone())
    };
    let total = tables.iter().fold(0u64, |sum, table| sum.saturating_add(table.about.block_bytes));
    operation.expect(is_full.then_some(total), None);
    let damaged = |table| Checked { path: path_of(&inner.root, table), change: None, offset: None, is_table: true };
    for table in tables {
        let mut first: HashMap<PathBuf, (u64, Change)> = HashMap::new();
        let mut is_damaged = false;
        if is_full {
            let found = hash_leaves(&*inner.disk, &table, operation, &|_| Ok(()))?;
            is_damaged = found.is_damaged;
            for (leaf, path, change) in found.changed {
                let known = first.entry(path).or_insert((leaf.offset, change));
                if leaf.offset < known.0 {
                    *known = (leaf.offset, change);
                }
            }
        }
        for file in table.files() {
            operation.check()?;
            let Ok((_, file)) = file else {
                is_damaged = true;
                continue;
            };
            let change = look(&*inner.disk, &file);
            let found = first.get(&file.path);
            let offset = found.filter(|_| change.is_none()).map(|(offset, _)| *offset);
            operation.add_files(1);
            each(Checked { change: change.or(found.map(|(_, change)| *change)), offset, path: file.path, is_table: false })?;
        }
        if is_damaged {
            each(damaged(table.about.table))?;
        }
    }
    bad.into_iter().try_for_each(|table| each(damaged(table)))
}

/// What is wrong with a file, without reading it.
pub(super) fn look(disk: &dyn Disk, file: &ForeignFile) -> Option<Change> {
    match file.open(disk) {
        Ok(open) => open.err(),
        Err(_) => Some(Change::Unreadable),
    }
}

/// What hashing all leaves of a table found.
#[derive(Default)]
pub(crate) struct Found {
    /// Leaves that are not what they were, by file and offset.
    pub changed: Vec<(Leaf, PathBuf, Change)>,
    /// Whether some of the table could not be read.
    pub is_damaged: bool,
}

/// Reads and hashes every leaf that a table names, on all cores, file by file. `pace` is told how many bytes are about to be read.
pub(crate) fn hash_leaves(
    disk: &dyn Disk,
    table: &ReferenceTable,
    operation: &Operation,
    pace: &(dyn Fn(u64) -> Result<()> + Sync),
) -> Result<Found> {
    let mut found = Found::default();
    let mut leaves = Vec::with_capacity(usize::try_from(table.len()).unwrap_or(0));
    for slot in 0..table.len() {
        match table.leaf(slot) {
            Ok(leaf) => leaves.push(leaf),
            Err(_) => found.is_damaged = true,
        }
    }
    leaves.sort_unstable_by_key(|leaf| (leaf.file, leaf.offset));
    let pieces: Vec<&[Leaf]> = leaves.chunk_by(|one, next| one.file == next.file).flat_map(|leaves| leaves.chunks(TOGETHER)).collect();
    let next = AtomicUsize::new(0);
    let shared = Mutex::new(found);
    let work = || -> Result<()> {
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            operation.check()?;
            pace(piece.iter().map(|leaf| u64::from(leaf.bytes)).sum())?;
            let Some(file) = piece.first().and_then(|leaf| table.file(leaf.file).ok()) else {
                locked(&shared).is_damaged = true;
                continue;
            };
            operation.name_current(&file.path.display());
            let changed = hash_piece(disk, &file, piece, operation);
            locked(&shared).changed.extend(changed.into_iter().map(|(leaf, change)| (leaf, file.path.clone(), change)));
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(WORKERS_MAX).min(pieces.len());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err(Error::Cancelled)))
    })?;
    let mut found = shared.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.changed.sort_by_key(|(leaf, _, _)| (leaf.file, leaf.offset));
    Ok(found)
}

/// The leaves of a piece that are not what they were.
fn hash_piece(disk: &dyn Disk, file: &ForeignFile, piece: &[Leaf], operation: &Operation) -> Vec<(Leaf, Change)> {
    let open = match file.open(disk) {
        Ok(Ok(open)) => open,
        Ok(Err(change)) => return piece.iter().map(|leaf| (*leaf, change)).collect(),
        Err(_) => return piece.iter().map(|leaf| (*leaf, Change::Unreadable)).collect(),
    };
    let mut changed = Vec::new();
    let mut blocks: Vec<(Leaf, Cid, Vec<u8>)> = Vec::with_capacity(piece.len());
    for leaf in piece {
        let Some(cid) = leaf.cid() else { continue };
        match file.read(&*open, leaf.offset, usize::try_from(leaf.bytes).unwrap_or(usize::MAX)) {
            Ok(Ok(data)) => blocks.push((*leaf, cid, data)),
            Ok(Err(change)) => changed.push((*leaf, change)),
            Err(_) => changed.push((*leaf, Change::Unreadable)),
        }
        operation.add_bytes(u64::from(leaf.bytes));
    }
    let inputs: Vec<(&Cid, &[u8])> = blocks.iter().map(|(_, cid, data)| (cid, data.as_slice())).collect();
    let mut failures = Vec::new();
    hash::verify_many(&inputs, &mut failures);
    changed.extend(failures.iter().filter_map(|at| blocks.get(*at)).map(|(leaf, _, _)| (*leaf, Change::Content)));
    changed
}

/// Whether a path is one of these, or below one.
pub(super) fn is_under(path: &Path, wanted: &[PathBuf]) -> bool {
    wanted.iter().any(|wanted| path.starts_with(wanted))
}
