//! Changing what is referenced. Tables are never changed: new ones are written, and the journal names them in the place of old ones.
//!
//! Small tables go into larger ones as they come, so that there are few, and a leaf is written about log2(leaves) times.
//! The rule kept here: a table is on the disk before the journal names it, and goes after the journal has forgotten it.

use super::table::{Builder, LEAVES_MAX};
use super::{ForeignFile, Leaf, ReferenceTable, folder, parse_name, path_of};
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::meta::Op;
use crate::pack::Key;
use crate::session::Session;
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A table goes into the one that is being written if that has at least half as many leaves.
const MERGE_FACTOR: usize = 2;
/// How often the collector looks again for what was taken hold of meanwhile.
const SWEEP_ROUNDS_MAX: usize = 8;

/// Files that a session has added, and blocks that it forgets.
#[derive(Default)]
pub(crate) struct NewReferences {
    builder: Builder,
    /// What did not fit one table: written, and not named yet.
    written: Vec<Arc<ReferenceTable>>,
    /// Blocks of which all references go.
    pub forgotten: HashSet<Key>,
}

impl NewReferences {
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty() && self.written.is_empty() && self.forgotten.is_empty()
    }

    /// Takes in what was done since, and could not be committed either.
    pub fn append(&mut self, later: &mut Self) -> Result<()> {
        self.written.append(&mut later.written);
        self.forgotten.extend(later.forgotten.drain());
        for leaf in std::mem::take(&mut later.builder.leaves) {
            if let Some(file) = later.builder.file_at(leaf.file) {
                let file = self.builder.file(&file)?;
                self.builder.leaves.push(Leaf { file, ..leaf });
            }
        }
        Ok(())
    }
}

/// Tables to come and to go.
#[derive(Default)]
pub(crate) struct Changing {
    added: Vec<Arc<ReferenceTable>>,
    removed: Vec<u32>,
}

impl Changing {
    pub fn ops(&self) -> impl Iterator<Item = Op> {
        let added = self.added.iter().map(|table| Op::ReferencesSet(table.about));
        added.chain(self.removed.iter().map(|&table| Op::ReferencesRemoved { table }))
    }
}

/// New tables, as they are filled.
struct Writing<'a> {
    inner: &'a Inner,
    next: &'a mut u32,
    builder: Builder,
    changing: Changing,
    /// Tables that were written before, and are somebody else's to take back.
    written: usize,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // Empty once it is finished.
        self.inner.take_back(self.changing.added.get(self.written..).unwrap_or_default());
    }
}

impl<'a> Writing<'a> {
    fn new(inner: &'a Inner, next: &'a mut u32, written: &[Arc<ReferenceTable>]) -> Self {
        let changing = Changing { added: written.to_vec(), removed: Vec::new() };
        Self { inner, next, builder: Builder::default(), changing, written: written.len() }
    }

    fn push(&mut self, file: &ForeignFile, leaf: Leaf) -> Result<()> {
        if self.builder.is_full(1) {
            self.write()?;
        }
        let file = self.builder.file(file)?;
        self.builder.leaves.push(Leaf { file, ..leaf });
        Ok(())
    }

    /// Takes over the leaves of an old table that are to stay, as far as they can be read.
    fn take(&mut self, table: &ReferenceTable, stays: &mut dyn FnMut(u64, &Leaf) -> bool) -> Result<()> {
        let files: HashMap<u32, ForeignFile> = table.files().flatten().collect();
        for slot in 0..table.len() {
            let Ok(leaf) = table.leaf(slot) else { continue };
            if let Some(file) = files.get(&leaf.file).filter(|_| stays(slot, &leaf)) {
                self.push(file, leaf)?;
            }
        }
        self.changing.removed.push(table.about.table);
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        if !self.builder.is_empty() {
            let table = self.inner.write_table(self.next, &mut std::mem::take(&mut self.builder))?;
            self.changing.added.push(table);
        }
        Ok(())
    }

    /// The tables, all of them on the disk.
    fn finish(mut self) -> Result<Changing> {
        self.write()?;
        Ok(std::mem::take(&mut self.changing))
    }
}

impl Inner {
    /// Writes a table, sure to stand on the disk. `next` is the number that the process gives out next.
    fn write_table(&self, next: &mut u32, builder: &mut Builder) -> Result<Arc<ReferenceTable>> {
        let folder = folder(&self.root);
        if self.disk.identity(&folder).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            self.disk.create_dir(&folder).map_err(|e| Error::io("creating", &folder, e))?;
            self.disk.sync_dir(&self.root).map_err(|e| Error::io("syncing", &self.root, e))?;
        }
        let number = self.state().contents.references_next.max(*next);
        *next = number.saturating_add(1);
        let table = builder.write(&*self.disk, &self.root, number)?;
        if let Err(e) = self.disk.sync_dir(&folder) {
            self.take_back(&[table]);
            return Err(Error::io("syncing", &folder, e));
        }
        Ok(table)
    }

    /// Removes tables that the journal does not name.
    fn take_back(&self, tables: &[Arc<ReferenceTable>]) {
        // After a failed sync the journal on the disk may name them: then the next writer decides.
        if self.is_poisoned.load(Ordering::Acquire) {
            return;
        }
        for table in tables {
            if !self.state().contents.references.contains_key(&table.about.table) {
                let _ = self.disk.remove(&path_of(&self.root, table.about.table));
            }
        }
    }

    /// Works out and writes the tables for what a session did. Called while `referring` is held, whose number `next` is.
    pub fn prepare_references(&self, next: &mut u32, new: &NewReferences) -> Result<Changing> {
        let mut tables = self.state().references.clone();
        let mut known = vec![false; new.builder.leaves.len()];
        // Slots of old tables that are to go: of blocks forgotten, and of files added again after they changed.
        let mut gone: HashMap<u32, HashSet<u64>> = HashMap::new();
        let mut files: HashMap<u32, Option<ForeignFile>> = HashMap::new();
        for (leaf, known) in new.builder.leaves.iter().zip(&mut known) {
            let Some(file) = files.entry(leaf.file).or_insert_with(|| new.builder.file_at(leaf.file)) else { continue };
            for table in &tables {
                // What cannot be read of a table is kept beside the new leaf.
                let _ = table.find(&leaf.key, &mut |slot, old| {
                    if (old.offset, old.bytes) == (leaf.offset, leaf.bytes)
                        && let Ok(old) = table.file(old.file)
                        && old.path == file.path
                    {
                        if old.is_as(file) {
                            *known = true;
                        } else {
                            gone.entry(table.about.table).or_default().insert(slot);
                        }
                    }
                    false
                });
            }
        }
        for key in &new.forgotten {
            for table in &tables {
                let _ = table.find(key, &mut |slot, _| {
                    gone.entry(table.about.table).or_default().insert(slot);
                    false
                });
            }
        }
        let mut writing = Writing::new(self, next, &new.written);
        for (leaf, _) in new.builder.leaves.iter().zip(&known).filter(|(_, known)| !**known) {
            if let Some(Some(file)) = files.get(&leaf.file) {
                writing.push(file, *leaf)?;
            }
        }
        tables.sort_by_key(|table| table.len());
        let mut total = writing.builder.leaves.len();
        for table in &tables {
            let leaves = usize::try_from(table.len()).unwrap_or(usize::MAX);
            let gone = gone.get(&table.about.table);
            let merges = total > 0 && leaves <= MERGE_FACTOR.saturating_mul(total) && leaves.saturating_add(total) <= LEAVES_MAX;
            if gone.is_some() || merges {
                writing.take(table, &mut |slot, _| gone.is_none_or(|gone| !gone.contains(&slot)))?;
                total = total.saturating_add(leaves);
            }
        }
        writing.finish()
    }

    /// The commit that names the tables is over: takes them in, and removes those that are gone; or takes them back.
    pub fn settle_references(&self, changing: &Changing, is_committed: bool, new: &NewReferences) {
        if !is_committed {
            // What did not fit one table is kept for another try, and goes with the session.
            let fresh = changing.added.get(new.written.len()..).unwrap_or_default();
            self.take_back(fresh);
            return;
        }
        let mut state = self.state_mut();
        changing.swap(&mut state);
        drop(state);
        for table in &changing.removed {
            let _ = self.disk.remove(&path_of(&self.root, *table));
        }
    }

    /// Opens the tables that the journal names and that are not open. What cannot be used is noted as bad.
    pub fn open_references(&self, state: &mut State) -> Result<()> {
        let contents = &state.contents;
        state.references.retain(|table| contents.references.contains_key(&table.about.table));
        state.references_bad.clear();
        let open: BTreeSet<u32> = state.references.iter().map(|table| table.about.table).collect();
        for (number, about) in contents.references.iter().filter(|(number, _)| !open.contains(number)) {
            match ReferenceTable::open_file(&*self.disk, &self.root, *about) {
                Ok(Ok(table)) => state.references.push(Arc::new(table)),
                Ok(Err(_)) => {
                    state.references_bad.insert(*number);
                }
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    state.references_bad.insert(*number);
                }
                Err(e) => return Err(Error::io("opening", &path_of(&self.root, *number), e)),
            }
        }
        state.references.sort_by_key(|table| table.about.table);
        Ok(())
    }

    /// Removes what a dead writer left: tables that the journal does not name. Called with the store's lock held.
    pub fn tidy_references(&self) {
        let folder = folder(&self.root);
        for name in self.disk.list(&folder).unwrap_or_default() {
            let is_named = |table: u32| self.state().contents.references.contains_key(&table);
            if name.ends_with(".new") || parse_name(&name).is_some_and(|table| !is_named(table)) {
                let _ = self.disk.remove(&folder.join(&name));
            }
        }
    }
}

impl Changing {
    fn swap(&self, state: &mut State) {
        state.references.retain(|table| !self.removed.contains(&table.about.table));
        state.references_bad.retain(|table| !self.removed.contains(table));
        for table in &self.added {
            if state.references.iter().all(|other| other.about.table != table.about.table) {
                state.references.push(Arc::clone(table));
            }
        }
        state.references.sort_by_key(|table| table.about.table);
    }
}

impl Session {
    /// Says, at the commit, where blocks are in a file outside. `file` of the leaves is of no account.
    pub(crate) fn refer(&self, file: &ForeignFile, leaves: &[Leaf]) -> Result<()> {
        self.check()?;
        self.inner.holds.take(leaves.iter().map(|leaf| &leaf.key));
        let mut work = locked(&self.work);
        let new = &mut work.references;
        if new.builder.is_full(leaves.len()) {
            let table = self.inner.write_table(&mut locked(&self.inner.referring), &mut std::mem::take(&mut new.builder))?;
            new.written.push(table);
        }
        let at = new.builder.file(file)?;
        new.builder.leaves.extend(leaves.iter().map(|leaf| Leaf { file: at, ..*leaf }));
        Ok(())
    }

    /// Removes the tables of a session that is over and did not commit them.
    pub(crate) fn drop_references(&self, new: &NewReferences) {
        self.inner.take_back(&new.written);
    }

    /// Forgets all references into some files, in a commit that is made here: the files, with how many blocks were referenced in each
    /// and their bytes. With `is_thorough`, what tables have that cannot be read goes too.
    pub(crate) fn forget_files(
        &self,
        goes: &mut dyn FnMut(&ForeignFile) -> Result<bool>,
        is_thorough: bool,
    ) -> Result<Vec<(ForeignFile, u64, u64)>> {
        self.check()?;
        let inner = &self.inner;
        let mut next = locked(&inner.referring);
        let (tables, bad) = {
            let state = inner.state();
            (state.references.clone(), state.references_bad.clone())
        };
        let mut dropped = Vec::new();
        let mut writing = Writing::new(inner, &mut next, &[]);
        for table in &tables {
            let mut gone: BTreeMap<u32, (ForeignFile, u64, u64)> = BTreeMap::new();
            let mut is_damaged = false;
            for file in table.files() {
                match file {
                    Ok((at, file)) => {
                        if goes(&file)? {
                            gone.insert(at, (file, 0, 0));
                        }
                    }
                    Err(_) => is_damaged = true,
                }
            }
            is_damaged |= is_thorough && (0..table.len()).any(|slot| table.leaf(slot).is_err());
            if gone.is_empty() && !(is_thorough && is_damaged) {
                continue;
            }
            writing.take(table, &mut |_, leaf| match gone.get_mut(&leaf.file) {
                Some((_, blocks, bytes)) => {
                    (*blocks, *bytes) = (*blocks + 1, bytes.saturating_add(u64::from(leaf.bytes)));
                    false
                }
                None => true,
            })?;
            dropped.extend(gone.into_values());
        }
        if is_thorough {
            writing.changing.removed.extend(bad);
        }
        let changing = writing.finish()?;
        let result = inner.commit(changing.ops().collect());
        inner.settle_references(&changing, result.is_ok(), &NewReferences::default());
        result.map(|()| dropped)
    }

    /// Forgets references to blocks that are not to live, in a commit that is made here: how many, and the bytes of the blocks.
    ///
    /// The new tables are looked at before the commit: what sessions take hold of after that, they find in them or not at all.
    pub(crate) fn sweep_references(&self, is_live: &dyn Fn(&Leaf) -> bool, pause: &mut dyn FnMut()) -> Result<(u64, u64)> {
        let inner = &self.inner;
        let mut next = locked(&inner.referring);
        for _ in 0..SWEEP_ROUNDS_MAX {
            let held = inner.holds.len();
            let before = inner.state().references.clone();
            let mut count = (0u64, 0u64);
            let mut writing = Writing::new(inner, &mut next, &[]);
            for table in &before {
                pause();
                let is_dead = |slot| table.leaf(slot).is_ok_and(|leaf| !is_live(&leaf));
                if !(0..table.len()).any(is_dead) {
                    continue;
                }
                writing.take(table, &mut |_, leaf| {
                    let lives = is_live(leaf);
                    if !lives {
                        count = (count.0 + 1, count.1.saturating_add(u64::from(leaf.bytes)));
                    }
                    lives
                })?;
            }
            let changing = writing.finish()?;
            if changing.removed.is_empty() {
                return Ok(count);
            }
            changing.swap(&mut inner.state_mut());
            let is_missed = {
                let state = inner.state();
                let was = |key: &Key| before.iter().any(|table| table.find(key, &mut |_, _| true).unwrap_or(false));
                inner.holds.since(held).iter().any(|key| was(key) && !state.find_referenced(key, &mut |_, _| true).unwrap_or(true))
            };
            let result = if is_missed { Ok(()) } else { inner.commit(changing.ops().collect()) };
            if is_missed || result.is_err() {
                inner.state_mut().references = before;
                inner.take_back(&changing.added);
                result?;
                continue;
            }
            inner.settle_references(&changing, true, &NewReferences::default());
            return Ok(count);
        }
        // Whoever writes takes hold of what would go, again and again: the next collection has another try.
        Ok((0, 0))
    }
}
