//! Which files outside blocks are referenced in, and forgetting them.

use super::Change;
use super::check::{is_under, look};
use crate::error::Result;
use crate::operation::Operation;
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// A file outside that has blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referenced {
    /// Where it was when it was added.
    pub path: PathBuf,
    /// Its length then, in bytes.
    pub bytes: u64,
    /// When it was last written to then, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Blocks that stand in it.
    pub blocks: u64,
    /// Their lengths together, in bytes.
    pub block_bytes: u64,
}

/// Every file that blocks are referenced in, by path. One that was added again after it changed comes for each time.
///
/// Looks at no file. Takes memory by the number of files.
pub fn list(store: &Store, operation: &Operation) -> Result<Vec<Referenced>> {
    store.refresh()?;
    let tables = store.0.state().references.clone();
    // One file may stand in two tables.
    let mut all: BTreeMap<(PathBuf, [u8; 16]), Referenced> = BTreeMap::new();
    for table in tables {
        operation.check()?;
        let mut counts: HashMap<u32, (u64, u64)> = HashMap::new();
        for leaf in (0..table.len()).filter_map(|slot| table.leaf(slot).ok()) {
            let count = counts.entry(leaf.file).or_default();
            *count = (count.0 + 1, count.1.saturating_add(u64::from(leaf.bytes)));
        }
        for (at, file) in table.files().flatten() {
            let (blocks, block_bytes) = counts.get(&at).copied().unwrap_or_default();
            let entry = all.entry((file.path.clone(), file.name())).or_insert_with(|| Referenced {
                path: file.path.clone(),
                bytes: file.bytes,
                modified_ns: file.times.modified_ns,
                blocks: 0,
                block_bytes: 0,
            });
            entry.blocks += blocks;
            entry.block_bytes = entry.block_bytes.saturating_add(block_bytes);
        }
    }
    Ok(all.into_values().collect())
}

/// What to forget.
#[derive(Debug, Clone)]
pub enum Forget {
    /// These files, and all below these folders.
    Paths(Vec<PathBuf>),
    /// Files that are not as they were, and what damaged tables named.
    Changed,
}

/// What was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The files, by path.
    pub paths: Vec<PathBuf>,
    /// Blocks that were referenced in them.
    pub blocks: u64,
    /// Their lengths together, in bytes.
    pub block_bytes: u64,
}

/// Forgets where blocks are. Those that stand nowhere else are not in the store any more: `verify` says which pins that hurts.
///
/// The files are left alone. `Forget::Changed` looks at each file and reads none.
pub fn forget(store: &Store, what: &Forget, operation: &Operation) -> Result<Forgotten> {
    let session = store.write()?;
    let wanted = match what {
        Forget::Paths(paths) => paths.iter().flat_map(|path| both_ways(store, path)).collect(),
        Forget::Changed => Vec::new(),
    };
    let disk = &*store.0.disk;
    let mut forgotten = Forgotten::default();
    let mut names = BTreeSet::new();
    let mut goes = |file: &super::ForeignFile| {
        operation.check()?;
        Ok(match what {
            Forget::Paths(_) => is_under(&file.path, &wanted),
            // What cannot be read just now may be as it was.
            Forget::Changed => look(disk, file).is_some_and(|change| change != Change::Unreadable),
        })
    };
    let dropped = session.forget_files(&mut goes, matches!(what, Forget::Changed))?;
    for (file, blocks, bytes) in dropped {
        names.insert(file.path);
        forgotten.blocks += blocks;
        forgotten.block_bytes = forgotten.block_bytes.saturating_add(bytes);
    }
    forgotten.paths = names.into_iter().collect();
    Ok(forgotten)
}

/// A path as it is written, and as the disk finds it, if there still is something there.
fn both_ways(store: &Store, path: &Path) -> Vec<PathBuf> {
    let written = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut ways: Vec<PathBuf> = store.0.disk.resolve(path).into_iter().collect();
    // What is gone may have been reached through a link all the same.
    if let (Some(folder), Some(name)) = (written.parent(), written.file_name()) {
        ways.extend(store.0.disk.resolve(folder).map(|folder| folder.join(name)));
    }
    ways.push(written);
    ways
}
