//! Getting: a DAG becomes files, directories and links below one target, and nowhere else.
//!
//! Every entry is made relative to the open folder that holds it, with a checked name, never through a link; links are
//! made last, and only where they stay below the target. What is being written has a hidden temporary name beside the
//! target and takes its place in one rename, so a half-written result is never seen under its final name.

mod link;
mod tree;
mod write;

use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::store::Store;
use shoal_core::Cid;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How to get.
#[derive(Debug, Clone, Copy, Default)]
pub struct GetOptions {
    /// Replace files that are there, and add to directories that are there.
    pub force: bool,
    /// Worker threads; 0 for one a core (or `SHOAL_THREADS`).
    pub threads: usize,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Where.
    pub path: PathBuf,
    /// Files and links.
    pub files: u64,
    /// Content bytes.
    pub bytes: u64,
}

/// Writes the file, directory or link `cid` to `target`, which must not exist unless `force` is set.
pub fn get(store: &Store, cid: &Cid, target: &Path, options: GetOptions, operation: &Operation) -> Result<Exported> {
    store.note_used(cid);
    let exists = target.symlink_metadata().is_ok();
    if exists && !options.force {
        return Err(Error::TargetExists { path: target.to_path_buf() });
    }
    let (Some(parent), Some(name)) = (parent_of(target), target.file_name()) else {
        return Err(Error::TargetName { path: target.to_path_buf() });
    };
    let parent = tree::Folder::open(&parent)?;
    let threads = if options.threads == 0 { crate::ingest::default_threads() } else { options.threads };
    let export = tree::Export { store, operation, threads, written: write::Written::default() };
    if exists && target.is_dir() && !target.is_symlink() && tree::is_directory(store, cid)? {
        export.fill_existing(cid, &parent, name)?;
    } else {
        let temporary = temporary_name(name);
        let made = export.new_entry(cid, &parent, &temporary).and_then(|()| parent.rename(&temporary, name, options.force));
        if let Err(error) = made {
            parent.remove_all(&temporary);
            return Err(error);
        }
    }
    let (files, bytes) = export.written.totals();
    Ok(Exported { path: target.to_path_buf(), files, bytes })
}

fn parent_of(target: &Path) -> Option<PathBuf> {
    target.parent().map(|parent| if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_path_buf() })
}

/// A name nobody else in this folder has: hidden, with the process and a count in it.
fn temporary_name(name: &OsStr) -> std::ffi::OsString {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Long names are cut so that the temporary one still fits.
    let short = name.as_bytes().get(..name.len().min(100)).unwrap_or_default();
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(OsStr::from_bytes(short));
    temporary.push(format!(".{}-{count}.partial", std::process::id()));
    temporary
}
