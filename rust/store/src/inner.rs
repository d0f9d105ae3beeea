//! The open store behind its handles: what is shared, under which lock, and how it follows the journal.

use crate::append::Scratch;
use crate::blob::Blobs;
use crate::commit::Queue;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::hold::Holds;
use crate::meta::{Journal, News};
use crate::pack::{Active, PackPaths, Sealed};
use crate::quota::Uses;
use crate::range::Trees;
use crate::recover::RecoveryReport;
use crate::session::Pending;
use crate::state::{BadIndex, State};
use crate::store::Options;
use shoal_core::limits::CAR_SECTION_BYTES_MAX;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while holding a lock left data that is still checked wherever it is used.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More bad indexes than this in one lookup are a broken disk, not damage.
const MEND_ROUNDS_MAX: usize = 100;

pub(crate) struct Inner {
    pub disk: Arc<dyn Disk>,
    pub root: PathBuf,
    pub paths: PackPaths,
    pub blobs: Blobs,
    pub options: Options,
    pub state: RwLock<State>,
    pub journal: Mutex<Journal>,
    pub gate: Mutex<Gate>,
    pub gate_changed: Condvar,
    /// Held by whoever commits or seals.
    pub turn: Mutex<()>,
    pub queue: Mutex<Queue>,
    pub queue_changed: Condvar,
    /// Held by whoever appends. Locks are taken in this order: gate, turn, append, journal, state.
    pub append: Mutex<Scratch>,
    /// Held by whoever changes what is referenced, from before it looks until after its commit: the number that this process gives to
    /// the next table. Taken before `gate` and all after it.
    pub referring: Mutex<u32>,
    /// Held by whoever makes a merged index; never waited for.
    pub merging: Mutex<()>,
    pub pending: RwLock<Pending>,
    pub holds: Holds,
    pub uses: Uses,
    /// Held by whoever collects: one at a time. Taken before all other locks.
    pub collecting: Mutex<()>,
    /// Held for reading by whoever finishes a blob, for writing by whoever removes some. Taken before the other locks but `collecting`.
    pub naming: RwLock<()>,
    pub is_poisoned: AtomicBool,
    /// Whether a session of this process lives, so that nobody else can have written.
    pub is_writing: AtomicBool,
    pub report: Mutex<Option<RecoveryReport>>,
    /// The values of groups, in memory and in tree files.
    pub trees: Trees,
}

impl Inner {
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers from the state, after building again any index that turned out bad.
    pub fn look_up<T>(&self, answer: impl Fn(&State) -> std::result::Result<T, BadIndex>) -> Result<T> {
        // Each round mends one index for good.
        let mut rounds = 0;
        loop {
            let bad = match answer(&self.state()) {
                Ok(value) => return Ok(value),
                Err(bad) => bad,
            };
            rounds += 1;
            self.mend(bad, rounds > 2)?;
            if rounds > MEND_ROUNDS_MAX {
                return Err(Error::Format(format!("the index of {} cannot be made ({bad:?}): check the disk", self.root.display())));
            }
        }
    }

    /// Makes an index again that turned out bad.
    pub fn mend(&self, bad: BadIndex, is_in_memory: bool) -> Result<()> {
        let mut state = self.state_mut();
        match bad {
            BadIndex::References(table) => {
                state.references.retain(|other| other.about.table != table);
                state.references_bad.insert(table);
            }
            BadIndex::Merged(at) => self.drop_merged(&mut state, at),
            BadIndex::Pack(pack) => {
                let old = state.sealed(pack).cloned();
                let record = state.contents.packs.get(&pack).cloned();
                if let (Some(old), Some(record)) = (old, record) {
                    let index = Sealed::rebuild_index(
                        &*self.disk,
                        &self.paths,
                        pack,
                        &record,
                        &old.map,
                        old.readable,
                        self.options.read_only || is_in_memory,
                    )?;
                    let new = Arc::new(Sealed { id: pack, readable: old.readable, map: old.map.clone(), index });
                    if let Ok(at) = state.sealed.binary_search_by_key(&pack, |sealed| sealed.id)
                        && let Some(slot) = state.sealed.get_mut(at)
                    {
                        *slot = new;
                    }
                    let mut report = locked(&self.report);
                    report.get_or_insert_default().indexes_rebuilt.push(pack);
                }
                // Slots may have moved, if the pack itself is damaged.
                state.merged.retain(|merged| !merged.index.packs.contains(&pack));
            }
        }
        state.arrange();
        Ok(())
    }

    /// Makes the state say what the journal says. Packs that are open already stay open.
    pub fn reconcile(&self, state: &mut State) -> Result<()> {
        state.is_reconciled = false;
        let active_id = state.contents.packs.iter().rev().find(|(_, record)| !record.is_sealed).map(|(id, _)| *id);
        let contents = &state.contents;
        state.missing.clear();
        let is_gone = |id: u32| contents.retired.contains(&id) || contents.packs.get(&id).is_some_and(|record| record.is_sealed);
        if let Some(active) = &state.active
            && (is_gone(active.id) || active_id.is_some_and(|id| id != active.id))
        {
            state.active = None;
        }
        state.sealed.retain(|sealed| contents.packs.contains_key(&sealed.id));
        for (&id, record) in &contents.packs {
            if Some(id) == active_id || state.sealed.binary_search_by_key(&id, |sealed| sealed.id).is_ok() {
                continue;
            }
            match Sealed::open(&*self.disk, &self.paths, id, record, self.options.read_only) {
                Ok((sealed, is_rebuilt)) => {
                    if is_rebuilt {
                        locked(&self.report).get_or_insert_default().indexes_rebuilt.push(id);
                    }
                    let at = state.sealed.partition_point(|other| other.id < id);
                    state.sealed.insert(at, Arc::new(sealed));
                }
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => state.missing.push(id),
                Err(e) => return Err(e),
            }
        }
        if let Some(id) = active_id
            && let Some(record) = contents.packs.get(&id)
        {
            if state.active.is_none() {
                let path = self.paths.car(id);
                match self.disk.open(&path, !self.options.read_only) {
                    Ok(file) => state.active = Some(Active::new(id, file, self.map_bytes(), true)),
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => state.missing.push(id),
                    Err(e) => return Err(Error::io("opening", &path, e)),
                }
            }
            if let Some(active) = &mut state.active {
                active.catch_up(&*self.disk, &self.paths, record)?;
            }
        }
        self.open_references(state)?;
        state.note_marks();
        state.arrange();
        self.load_merged(state);
        self.trees.look_again(|pack| state.contents.packs.contains_key(&pack));
        state.is_reconciled = true;
        Ok(())
    }

    /// How much of an active pack is mapped at once: as large as it can grow.
    pub fn map_bytes(&self) -> u64 {
        self.options.pack_bytes_max.saturating_add(2 * CAR_SECTION_BYTES_MAX as u64)
    }

    /// Takes in what other processes have written. Whether there was anything.
    pub fn refresh(&self) -> Result<bool> {
        if self.is_writing.load(Ordering::Acquire) {
            return Ok(false);
        }
        let mut journal = locked(&self.journal);
        self.refresh_from(&mut journal)
    }

    pub fn refresh_from(&self, journal: &mut Journal) -> Result<bool> {
        let mut has_news = false;
        // Another process may retire a pack between our reading of the journal and our opening of the pack. Then the journal
        // says so by now; a pack that is still named after that is really missing.
        for _ in 0..8 {
            let news = journal.refresh(&*self.disk, !self.options.read_only)?;
            let mut state = self.state_mut();
            match news {
                News::Nothing if state.is_reconciled => break,
                News::Nothing => {}
                News::More(ops) => state.apply(&ops),
                News::All(contents) => state.contents = contents,
            }
            has_news = true;
            self.reconcile(&mut state)?;
            if state.missing.is_empty() && state.references_bad.is_empty() {
                break;
            }
        }
        Ok(has_news)
    }

    /// While this is held, no blob is being removed.
    pub fn naming(&self) -> RwLockReadGuard<'_, ()> {
        self.naming.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn check_poison(&self) -> Result<()> {
        if self.is_poisoned.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }
}
