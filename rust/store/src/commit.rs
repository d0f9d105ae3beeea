//! Making what was appended durable: commits that come together share one sync, and a full pack is sealed.
//!
//! Order of a commit: the pack's data is synced, then its log is appended, then the journal names it and is synced
//! (docs/formats/store.md §6). The rule it keeps: after a failed sync nothing is acknowledged any more.

use crate::disk::{DiskFile, write_all_at};
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::meta::{Check, Op};
use crate::pack::{Active, LogEnd, Sealed};
use crate::reserve::may_use_reserve;
use std::io::IoSlice;
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};

/// Commits that wait for the next sync.
#[derive(Default)]
pub(crate) struct Queue {
    ops: Vec<Op>,
    batch: Arc<Batch>,
    is_running: bool,
}

#[derive(Default)]
struct Batch {
    result: OnceLock<std::result::Result<(), Error>>,
}

/// What a commit is about to make durable.
struct Fresh {
    pack: u32,
    file: Arc<dyn DiskFile>,
    is_named: bool,
    committed_entries: usize,
    entries: usize,
    length: u64,
    block_bytes: u64,
    log: Option<LogEnd>,
}

impl Fresh {
    fn of(active: &Active) -> Self {
        Self {
            pack: active.id,
            file: Arc::clone(&active.file),
            is_named: active.is_named,
            committed_entries: active.committed_entries,
            entries: active.entries().len(),
            length: active.written,
            block_bytes: active.block_bytes,
            log: active.log,
        }
    }
}

impl Inner {
    pub fn seal_if_full(&self) -> Result<()> {
        let turn = locked(&self.turn);
        if self.state().active.as_ref().is_some_and(|active| self.is_full(active)) {
            self.seal(&turn)?;
        }
        drop(turn);
        self.merge_if_many();
        Ok(())
    }

    /// Commits what is in the open pack, and closes it for good.
    pub fn seal(&self, _turn: &MutexGuard<'_, ()>) -> Result<()> {
        self.check_poison()?;
        let _append = locked(&self.append);
        let (id, file, length, block_bytes, is_named, is_new, mut entries) = {
            let state = self.state();
            let Some(active) = &state.active else { return Ok(()) };
            let is_new = active.written > active.committed;
            (active.id, Arc::clone(&active.file), active.written, active.block_bytes, active.is_named, is_new, active.entries().to_vec())
        };
        let path = self.paths.car(id);
        let count = entries.len() as u64;
        if is_new {
            file.sync_data().map_err(|e| self.poisoned(Error::io("syncing", &path, e)))?;
        }
        let index = Sealed::write_index(&*self.disk, &self.paths, id, length, &mut entries, false)?;
        drop(entries);
        self.disk.sync_dir(self.paths.folder()).map_err(|e| self.poisoned(Error::io("syncing", self.paths.folder(), e)))?;
        let readable = file.identity().map_err(|e| Error::io("reading", &path, e))?.bytes.min(length);
        let map = file.map(readable).map_err(|e| Error::io("mapping", &path, e))?;
        let mut ops = vec![];
        if !is_named {
            ops.push(Op::PackOpened { pack: id });
        }
        ops.push(Op::PackSealed { pack: id, length, entries: count, block_bytes });
        self.write_journal(&ops)?;
        let mut state = self.state_mut();
        state.version += 1;
        state.active = None;
        state.apply(&ops);
        let at = state.sealed.partition_point(|other| other.id < id);
        state.sealed.insert(at, Arc::new(Sealed { id, readable, map, index }));
        state.arrange();
        drop(state);
        let _ = self.disk.remove(&self.paths.log(id));
        self.save_sealed_tree(id);
        Ok(())
    }

    fn write_journal(&self, ops: &[Op]) -> Result<()> {
        let mut journal = locked(&self.journal);
        let mut written = journal.append(ops);
        if let Err((Error::Full { .. }, false)) = &written
            && may_use_reserve(ops)
            && self.give_up_reserve()
        {
            written = journal.append(ops);
        }
        written.map_err(|(e, is_lost)| if is_lost { self.poisoned(e) } else { e })
    }

    /// Commits everything appended so far, and `ops`, together with whoever else is committing now.
    pub fn commit(&self, ops: Vec<Op>) -> Result<()> {
        let mut queue = locked(&self.queue);
        queue.ops.extend(ops);
        let batch = Arc::clone(&queue.batch);
        loop {
            if let Some(result) = batch.result.get() {
                return result.as_ref().copied().map_err(Error::duplicate);
            }
            if !queue.is_running {
                break;
            }
            queue = self.queue_changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        // We lead this batch. Those who come from now on gather for the next one.
        queue.is_running = true;
        let ops = std::mem::take(&mut queue.ops);
        queue.batch = Arc::default();
        drop(queue);
        let result = self.commit_now(&locked(&self.turn), ops);
        let shared = result.as_ref().copied().map_err(Error::duplicate);
        let mut queue = locked(&self.queue);
        let _ = batch.result.set(shared);
        queue.is_running = false;
        drop(queue);
        self.queue_changed.notify_all();
        result
    }

    /// Commits everything appended so far, and `ops`.
    pub fn commit_now(&self, _turn: &MutexGuard<'_, ()>, mut ops: Vec<Op>) -> Result<()> {
        self.check_poison()?;
        // Not while a put is between its write and its taking in: what is synced here must be all that is counted here.
        let fresh = {
            let _append = locked(&self.append);
            self.state().active.as_ref().filter(|active| active.written > active.committed).map(Fresh::of)
        };
        let mut log = None;
        if let Some(fresh) = &fresh {
            fresh.file.sync_data().map_err(|e| self.poisoned(Error::io("syncing", &self.paths.car(fresh.pack), e)))?;
            if !fresh.is_named {
                let folder = self.paths.folder();
                self.disk.sync_dir(folder).map_err(|e| self.poisoned(Error::io("syncing", folder, e)))?;
            }
            log = self.write_log(fresh);
            let mut first = Vec::with_capacity(ops.len() + 2);
            if !fresh.is_named {
                first.push(Op::PackOpened { pack: fresh.pack });
            }
            first.push(Op::PackCommitted {
                pack: fresh.pack,
                length: fresh.length,
                entries: fresh.entries as u64,
                block_bytes: fresh.block_bytes,
                log_check: log.map_or(Check::default(), |log| log.check),
            });
            first.append(&mut ops);
            ops = first;
        }
        if ops.is_empty() && locked(&self.journal).is_synced {
            return Ok(());
        }
        self.write_journal(&ops)?;
        {
            let mut state = self.state_mut();
            if let Some(fresh) = &fresh
                && let Some(active) = &mut state.active
            {
                active.set_committed(fresh.entries, fresh.length, fresh.block_bytes);
                active.log = log;
            }
            state.apply(&ops);
            let retired = |id: u32| ops.contains(&Op::PackRetired { pack: id });
            if ops.iter().any(|op| matches!(op, Op::PackRetired { .. })) {
                state.sealed.retain(|sealed| !retired(sealed.id));
                state.version += 1;
                state.arrange();
            }
        }
        for op in &ops {
            if let Op::BlobRemoved { digest } = op {
                let _deciding = locked(&self.blobs.deciding);
                // Another session may have brought it again, in this commit or for the next one.
                if !self.state().contents.blobs.contains_key(digest) && self.pending_blob(digest).is_none() {
                    self.blobs.remove(&*self.disk, digest);
                }
            }
        }
        self.compact_if_large()
    }

    /// Removes the files of a retired pack. The next writer removes what cannot be removed now.
    pub fn remove_pack(&self, pack: u32) {
        for path in [self.paths.car(pack), self.paths.idx(pack), self.paths.tree(pack), self.paths.log(pack)] {
            let _ = self.disk.remove(&path);
        }
    }

    fn compact_if_large(&self) -> Result<()> {
        let mut journal = locked(&self.journal);
        let state = self.state();
        match journal.compact_if_large(&*self.disk, &state.contents) {
            // What was committed stays so, in the old journal.
            Ok(()) | Err((_, false)) => Ok(()),
            Err((e, true)) => Err(self.poisoned(e)),
        }
    }

    /// Appends to the log of the open pack; `None` where that failed, and readers must look into the pack.
    fn write_log(&self, fresh: &Fresh) -> Option<LogEnd> {
        let log = fresh.log?;
        let (group, end) = {
            let state = self.state();
            let entries = state.active.as_ref()?.entries().get(fresh.committed_entries..fresh.entries)?;
            log.group(entries, fresh.length)
        };
        let path = self.paths.log(fresh.pack);
        let file = match self.disk.open(&path, true) {
            Ok(file) => file,
            Err(_) if log.bytes == 0 => self.disk.create(&path).ok()?,
            Err(_) => return None,
        };
        if file.identity().ok()?.bytes > log.bytes {
            file.set_len(log.bytes).ok()?;
        }
        write_all_at(&*file, &mut [IoSlice::new(&group)], log.bytes).ok()?;
        Some(end)
    }
}
