//! Verifying blobs: every group of every blob against its tree, and the tree against the digest, on all cores.
//!
//! A tree that is damaged is made again from the data if those lead to the digest. Damaged groups are named.

use super::checkpoint::Part;
use super::{DAMAGES_MAX, Damage, Reason, Run, VerifyReport};
use crate::blob::{Blob, NewTree};
use crate::disk::DiskFile;
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::operation::Operation;
use shoal_core::Cid;
use shoal_core::bao::{GROUP_BYTES, Value, group_values, groups};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Groups of a piece: those of one page of values.
const PIECE_GROUPS: u64 = 256;
const PIECE_BYTES: u64 = PIECE_GROUPS * GROUP_BYTES as u64;
/// Read and hashed together.
const STEP_BYTES: usize = 16 * GROUP_BYTES;

/// What was found of one blob.
#[derive(Default)]
struct Findings {
    damaged: Vec<(u64, Reason)>,
    count: u64,
    is_tree_damaged: bool,
}

impl Findings {
    fn add(&mut self, offset: u64, reason: Reason) {
        self.count += 1;
        if self.damaged.len() < DAMAGES_MAX {
            self.damaged.push((offset, reason));
        }
    }
}

/// Verifies all blobs: those that are damaged.
pub(super) fn verify_blobs(run: &Run<'_>, report: &mut VerifyReport) -> Result<Vec<Cid>> {
    let (store, operation) = (run.store, run.operation);
    let mut bad = Vec::new();
    for (cid, bytes) in store.blobs()? {
        operation.check()?;
        let line = format!("blob {cid}");
        if run.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.has(&line)) {
            report.resumed += 1;
            report.blocks += 1;
            report.bytes = report.bytes.saturating_add(bytes);
            operation.add_files(1);
            operation.add_bytes(bytes);
            continue;
        }
        let part = Part::new(line, run.checkpoint.as_ref());
        let found = match store.0.blob(&cid) {
            Ok(Some(blob)) => check(run, &blob, report)?,
            // Removed meanwhile.
            Ok(None) => continue,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Findings { damaged: vec![(0, Reason::Missing)], count: 1, is_tree_damaged: false }
            }
            Err(error) => return Err(error),
        };
        report.blocks += 1;
        report.bytes = report.bytes.saturating_add(bytes);
        operation.add_files(1);
        if found.count > 0 {
            mark(&store.0, &cid);
            report.damaged_count += found.count;
            let room = DAMAGES_MAX.saturating_sub(report.damaged.len());
            let named = found.damaged.into_iter().take(room);
            report.damaged.extend(named.map(|(offset, reason)| Damage { cid: Some(cid.clone()), pack: None, path: None, offset, reason }));
            bad.push(cid);
        } else {
            part.done(true);
        }
    }
    Ok(bad)
}

/// Notes that a blob is damaged, so that adding it again stores it again, in whichever process.
fn mark(inner: &Inner, cid: &Cid) {
    if let Some(digest) = crate::blob::digest_of(cid).filter(|_| !inner.options.read_only) {
        let _ = inner.disk.create(&inner.blobs.paths.damaged(&digest));
    }
}

fn check(run: &Run<'_>, blob: &Blob, report: &mut VerifyReport) -> Result<Findings> {
    let (inner, operation) = (&run.store.0, run.operation);
    let mut findings = check_groups(run, blob)?;
    if !findings.is_tree_damaged {
        return Ok(findings);
    }
    // The tree says nothing any more: what do the data say by themselves?
    if rebuild_tree(inner, blob, operation)? {
        report.blob_trees_rebuilt.push(blob.cid());
        return Ok(Findings::default());
    }
    findings.add(0, Reason::Tree);
    findings.damaged.sort_by_key(|(offset, _)| *offset);
    Ok(findings)
}

fn check_groups(run: &Run<'_>, blob: &Blob) -> Result<Findings> {
    let operation = run.operation;
    let findings = Mutex::new(Findings::default());
    let next = AtomicU64::new(0);
    let pieces = blob.bytes.div_ceil(PIECE_BYTES);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(usize::try_from(pieces).unwrap_or(1));
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    return Ok(());
                }
                operation.check()?;
                run.pace.take(PIECE_BYTES.min(blob.bytes - piece * PIECE_BYTES), operation)?;
                let (values, readable) = hash_piece(blob, piece)?;
                compare(blob, piece, &values, readable, &findings)?;
                operation.add_bytes(PIECE_BYTES.min(blob.bytes - piece * PIECE_BYTES));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err(Error::Cancelled)))
    })?;
    let mut findings = findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    findings.damaged.sort_by_key(|(offset, _)| *offset);
    Ok(findings)
}

/// The values of the groups of a piece as the data have them, and how many bytes of it are there.
fn hash_piece(blob: &Blob, piece: u64) -> Result<(Vec<Value>, u64)> {
    let start = piece * PIECE_BYTES;
    let end = start.saturating_add(PIECE_BYTES).min(blob.bytes);
    let mut buffer = vec![0; STEP_BYTES];
    let mut values = Vec::new();
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(STEP_BYTES);
        let step = buffer.get_mut(..length).unwrap_or_default();
        let read = blob.read_data(step, at)?;
        group_values(at / GROUP_BYTES as u64, step.get(..read).unwrap_or_default(), &mut values);
        at += read as u64;
        if read < length {
            break;
        }
    }
    Ok((values, at))
}

fn compare(blob: &Blob, piece: u64, values: &[Value], readable: u64, findings: &Mutex<Findings>) -> Result<()> {
    let page = match blob.page(0, piece) {
        Ok(page) => page,
        Err(Error::DamagedBlob { is_tree: true, .. }) => {
            locked(findings).is_tree_damaged = true;
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for (at, expected) in page.iter().enumerate() {
        let offset = piece * PIECE_BYTES + at as u64 * GROUP_BYTES as u64;
        if offset >= readable {
            locked(findings).add(offset, Reason::Cut);
            break;
        }
        if values.get(at) != Some(expected) {
            locked(findings).add(offset, Reason::Group);
        }
    }
    Ok(())
}

/// Makes the tree again, if the data lead to the digest: whether they do.
fn rebuild_tree(inner: &Arc<Inner>, blob: &Blob, operation: &Operation) -> Result<bool> {
    let (path, temporary) = (inner.blobs.paths.tree(&blob.digest), inner.blobs.paths.file(&blob.digest, "tree.new"));
    let file = if inner.options.read_only {
        None
    } else {
        let _ = inner.disk.remove(&temporary);
        Some(inner.disk.create(&temporary).map_err(|e| Error::io("creating", &temporary, e))?)
    };
    let rebuilt = fill_tree(blob, file.as_ref().map(|file| (Arc::clone(file), temporary.clone())), operation);
    let is_good = matches!(rebuilt, Ok(true));
    if let Some(file) = file {
        if is_good {
            file.sync_data().map_err(|e| Error::io("syncing", &temporary, e))?;
            inner.disk.rename(&temporary, &path).map_err(|e| Error::io("renaming", &path, e))?;
            let fan = inner.blobs.paths.fan(&blob.digest);
            inner.disk.sync_dir(&fan).map_err(|e| Error::io("syncing", &fan, e))?;
            inner.blobs.forget(&blob.digest);
        } else {
            let _ = inner.disk.remove(&temporary);
        }
    }
    rebuilt
}

fn fill_tree(blob: &Blob, file: Option<(Arc<dyn DiskFile>, std::path::PathBuf)>, operation: &Operation) -> Result<bool> {
    let tree = NewTree::new(file);
    for piece in 0..blob.bytes.div_ceil(PIECE_BYTES) {
        operation.check()?;
        let (values, _) = hash_piece(blob, piece)?;
        if values.len() as u64 != PIECE_GROUPS.min(blob.groups() - piece * PIECE_GROUPS) {
            return Ok(false);
        }
        tree.add(piece * PIECE_GROUPS, &values)?;
    }
    Ok(tree.finish(groups(blob.bytes))? == Some(blob.digest))
}
