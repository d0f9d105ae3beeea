//! Blocks that stand in files outside the store, and are left there.
//!
//! A table says which block is where in which file, and what the file looked like when it was added ([`table`], [`file`]); the journal
//! names the tables ([`change`]). Only raw leaves are referenced: inner nodes are ordinary blocks.
//! The rules kept here: a file that is not ours is never mapped, each read opens it and looks at it anew, and nothing of it is handed
//! out that does not match its hash. Format: docs/formats/references.md.

mod change;
mod check;
mod file;
mod list;
mod read;
mod table;

pub(crate) use change::NewReferences;
pub(crate) use check::hash_leaves;
pub use check::{Checked, check};
pub use file::Change;
pub(crate) use file::ForeignFile;
pub use list::{Forget, Forgotten, Referenced, forget, list};
pub(crate) use table::{Leaf, ReferenceTable};

use crate::disk::Disk;
use crate::meta::References;
use std::path::{Path, PathBuf};

/// store.md §1: the tables' folder.
pub(crate) fn folder(root: &Path) -> PathBuf {
    root.join("references")
}

/// The path of a table.
pub(crate) fn path_of(root: &Path, table: u32) -> PathBuf {
    folder(root).join(format!("{table:08}.ref"))
}

/// The tables that stand in the folder, sound to their last page.
pub(crate) fn found_on_disk(disk: &dyn Disk, root: &Path) -> Vec<References> {
    let names = disk.list(&folder(root)).unwrap_or_default();
    names.iter().filter_map(|name| parse_name(name)).filter_map(|table| ReferenceTable::open_whole(disk, root, table)).collect()
}

/// The table of one of our file names.
pub(crate) fn parse_name(name: &str) -> Option<u32> {
    let stem = name.strip_suffix(".ref")?;
    (stem.len() >= 8 && stem.bytes().all(|byte| byte.is_ascii_digit())).then(|| stem.parse().ok()).flatten()
}
