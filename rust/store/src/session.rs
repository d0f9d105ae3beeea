//! Sessions: how a store is written to. Many threads share one, and many sessions share the process's lock.
//!
//! Putting is in `append.rs`, committing in `commit.rs`; here is what a session has taken up and what it forgets again.

use crate::adopt::Foreign;
use crate::blob::{Digest, NewBlob, digest_of};
use crate::block::Block;
use crate::disk::DiskFile;
use crate::error::{Error, Result};
use crate::gate::Entered;
use crate::group_list::GroupList;
use crate::inner::{Inner, locked};
use crate::meta::{Op, PIN_NAME_BYTES_MAX, Pin};
use crate::pack::{Key, Place, key};
use crate::reference::NewReferences;
use crate::state::{BadIndex, Found, State};
use shoal_core::Cid;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// What a put has added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutCount {
    /// Blocks that were not there yet.
    pub new_blocks: u64,
    /// Their lengths together, in bytes.
    pub new_bytes: u64,
}

/// Copies of blocks that no longer count as "here" for puts: those that sessions are about to delete, and those found damaged.
#[derive(Default)]
pub(crate) struct Pending {
    pub damaged: HashSet<Found>,
    pub dead: HashSet<Found>,
    pub retiring: HashSet<u32>,
    /// Copies in packs that are given up, of blocks that are about to be moved: they count.
    pub rescued: HashSet<Found>,
    /// Blobs that have their name and are not committed: their length, and how many sessions rely on them.
    blobs: HashMap<Digest, (u64, usize)>,
}

impl Pending {
    /// Whether a session is about to delete it.
    pub fn goes(&self, found: Found) -> bool {
        self.dead.contains(&found) || (self.retiring.contains(&found.pack) && !self.rescued.contains(&found))
    }

    /// Whether a copy counts as "here" for puts.
    pub fn counts(&self, state: &State, found: Found) -> bool {
        !self.goes(found) && !self.damaged.contains(&found) && !state.is_damaged(found)
    }
}

impl Inner {
    pub fn poisoned(&self, error: Error) -> Error {
        self.is_poisoned.store(true, Ordering::Release);
        error
    }

    /// Whether the block has a copy that is to stay.
    pub fn is_kept(state: &State, pending: &Pending, key: &Key) -> std::result::Result<bool, BadIndex> {
        state.find(key, false, &mut |found| pending.counts(state, found))
    }

    /// Whether any block is known to be damaged, so that putting may heal.
    pub fn knows_damage(&self) -> bool {
        self.state().has_damaged || !self.pending().damaged.is_empty()
    }

    pub fn pending(&self) -> std::sync::RwLockReadGuard<'_, Pending> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pending_mut(&self) -> std::sync::RwLockWriteGuard<'_, Pending> {
        self.pending.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The length of a blob that a session is about to commit.
    pub fn pending_blob(&self, digest: &Digest) -> Option<u64> {
        self.pending().blobs.get(digest).map(|(bytes, _)| *bytes)
    }
}

/// What a session will do at its commit, besides keeping blocks.
#[derive(Default)]
pub(crate) struct Work {
    /// Pins and marks.
    pub others: Vec<Op>,
    pub dead: Vec<Found>,
    pub retired: Vec<u32>,
    pub references: Box<NewReferences>,
    /// Blobs it relies on and that were not committed then.
    blobs: Vec<Digest>,
    /// Files that say, until the commit, that a blob has its name without being committed.
    marks: Vec<PathBuf>,
}

impl Work {
    fn ops(&self) -> Vec<Op> {
        let mut by_pack: BTreeMap<u32, Vec<Place>> = BTreeMap::new();
        for found in &self.dead {
            by_pack.entry(found.pack).or_default().push(found.place);
        }
        let mut ops = self.others.clone();
        for (pack, mut places) in by_pack {
            places.sort_unstable();
            ops.push(Op::BlocksDead {
                pack,
                block_bytes: places.iter().map(|place| place.block_bytes()).sum(),
                offsets: places.iter().map(|place| place.offset()).collect(),
            });
        }
        ops.extend(self.retired.iter().map(|&pack| Op::PackRetired { pack }));
        ops
    }
}

/// Writes to a store. Threads share it; dropping it without [`Session::commit`] takes back what it did, unless another session
/// of the process has made it its own by committing, or the pack was sealed.
pub struct Session {
    pub(crate) inner: Arc<Inner>,
    pid: u32,
    number: u64,
    /// Whether it was the only one when it began.
    is_alone: bool,
    pub(crate) work: Mutex<Work>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.inner.root.display())
    }
}

impl Session {
    pub(crate) fn open(inner: &Arc<Inner>, is_exclusive: bool) -> Result<Self> {
        let Entered { pid, number, is_alone } = inner.enter(is_exclusive)?;
        Ok(Self { inner: Arc::clone(inner), pid, number, is_alone, work: Mutex::default() })
    }

    /// Which session of its process it is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn check(&self) -> Result<()> {
        if std::process::id() == self.pid { self.inner.check_poison() } else { Err(Error::Forked) }
    }

    /// Whether the block is here, committed or not, and no session is about to delete it.
    pub fn has(&self, cid: &Cid) -> Result<bool> {
        let Some(key) = key(cid) else { return Ok(true) };
        self.inner.holds.take([&key]);
        let has = |state: &State| Ok(Inner::is_kept(state, &self.inner.pending(), &key)? || state.referenced_bytes(&key)?.is_some());
        Ok(self.inner.look_up(has)? || self.blob_bytes(cid).is_some())
    }

    /// [`Session::has`] of many.
    pub fn has_many(&self, cids: &[Cid]) -> Result<Vec<bool>> {
        self.ask_many(cids, &|state, pending, found| pending.counts(state, found))
    }

    /// Of each block, whether it has a copy that no session is about to delete, sound or not.
    pub(crate) fn stay_many(&self, cids: &[Cid]) -> Result<Vec<bool>> {
        self.ask_many(cids, &|_, pending, found| !pending.goes(found))
    }

    fn ask_many(&self, cids: &[Cid], counts: &dyn Fn(&State, &Pending, Found) -> bool) -> Result<Vec<bool>> {
        let keys: Vec<Option<Key>> = cids.iter().map(key).collect();
        let wanted: Vec<&Key> = keys.iter().flatten().collect();
        self.inner.holds.take(wanted.iter().copied());
        let mut found = self
            .inner
            .look_up(|state| {
                let pending = self.inner.pending();
                state.has_many(&wanted, false, &|found| counts(state, &pending, found))
            })?
            .into_iter();
        let is_here = |(key, cid): (&Option<Key>, &Cid)| {
            let is_in_pack = key.is_none() || found.next() == Some(true);
            Ok(is_in_pack || self.blob_bytes(cid).is_some() || self.inner.referenced_bytes(cid)?.is_some())
        };
        keys.iter().zip(cids).map(is_here).collect()
    }

    /// The length of a blob, committed or not.
    fn blob_bytes(&self, cid: &Cid) -> Option<u64> {
        let digest = digest_of(cid)?;
        let _naming = self.inner.naming();
        self.inner.blob_bytes(cid).or_else(|| self.inner.pending_blob(&digest))
    }

    /// Begins a blob, of so many bytes where that is known.
    pub(crate) fn new_blob(&self, bytes: Option<u64>) -> Result<NewBlob> {
        self.check()?;
        NewBlob::create(&self.inner, bytes)
    }

    /// Begins a blob that shares its bytes with a file, where the filesystem can do that.
    pub(crate) fn clone_blob(&self, source: &Path, bytes: u64) -> Result<Option<NewBlob>> {
        self.check()?;
        NewBlob::cloned(&self.inner, source, bytes)
    }

    /// Relies on a blob, and commits it with the next commit unless it was committed before. Called while `Blobs::deciding` is held.
    pub(crate) fn take_blob(&self, digest: Digest, bytes: u64, is_pending: bool, mark: Option<PathBuf>) {
        if !is_pending {
            return;
        }
        self.inner.pending_mut().blobs.entry(digest).or_insert((bytes, 0)).1 += 1;
        let mut work = locked(&self.work);
        work.others.push(Op::BlobSet { digest, bytes });
        work.blobs.push(digest);
        work.marks.extend(mark);
    }

    /// Stores a block unless it is here: whether it is new. Trusts the caller that the data matches the CID.
    ///
    /// Fails with [`Error::BlockTooLarge`] above 2 MiB, with [`Error::Full`] when the disk is full.
    pub fn put(&self, cid: &Cid, data: &[u8]) -> Result<bool> {
        Ok(self.put_many(&[(cid, data)])?.new_blocks > 0)
    }

    /// Stores many blocks, with one write. Trusts the caller that the data match the CIDs.
    ///
    /// A block whose copies were all found damaged is new: it is stored once more, and the damaged copies go with the commit.
    pub fn put_many(&self, blocks: &[(&Cid, &[u8])]) -> Result<PutCount> {
        self.check()?;
        let count = self.inner.put_many(blocks, None)?;
        if count.new_blocks > 0 && self.inner.knows_damage() {
            self.discard_damaged(blocks)?;
        }
        Ok(count)
    }

    /// Keeps the values of blocks that are put next, so that their ranges need not be checked with the whole block.
    pub(crate) fn note_lists(&self, lists: Vec<Arc<GroupList>>) {
        self.inner.trees.note(lists);
    }

    /// Deletes the damaged copies of blocks that have a sound one now.
    fn discard_damaged(&self, blocks: &[(&Cid, &[u8])]) -> Result<()> {
        for key in blocks.iter().filter_map(|(cid, _)| key(cid)) {
            let damaged = self.inner.look_up(|state| {
                let mut damaged = Vec::new();
                let pending = self.inner.pending();
                state.find(&key, false, &mut |found| {
                    if state.is_damaged(found) || pending.damaged.contains(&found) {
                        damaged.push(found);
                    }
                    false
                })?;
                Ok(damaged)
            })?;
            self.delete_copies(damaged);
        }
        Ok(())
    }

    /// Deletes copies at the commit, whoever holds their blocks: these have others.
    pub(crate) fn delete_places(&self, copies: Vec<Found>) {
        self.delete_copies(copies);
    }

    /// Deletes copies of a block, at the commit, that no session is deleting yet: how many.
    fn delete_copies(&self, copies: Vec<Found>) -> u64 {
        let mut pending = self.inner.pending_mut();
        let mut work = locked(&self.work);
        let before = work.dead.len();
        work.dead.extend(copies.into_iter().filter(|found| pending.dead.insert(*found)));
        (work.dead.len() - before) as u64
    }

    /// Notes, at the commit, that these copies are damaged, by pack and offset: then putting the blocks again stores them again,
    /// in whichever process. Until then they are read as before, after other copies.
    pub fn mark_damaged(&self, copies: &[(u32, u64)]) -> Result<()> {
        self.check()?;
        let mut by_pack: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for (pack, offset) in copies {
            by_pack.entry(*pack).or_default().insert(*offset);
        }
        let ops = by_pack.into_iter().map(|(pack, offsets)| Op::BlocksDamaged { pack, offsets: offsets.into_iter().collect() });
        locked(&self.work).others.extend(ops);
        Ok(())
    }

    /// A block, committed or not, checked against its hash. Those not committed yet come as copies.
    pub fn block(&self, cid: &Cid) -> Result<Block> {
        self.inner.read(cid, false, true)
    }

    /// Many blocks, as [`Session::block`] gives one; faster, since many are hashed side by side.
    #[must_use]
    pub fn blocks(&self, cids: &[Cid]) -> Vec<Result<Block>> {
        self.inner.read_many(cids, false)
    }

    /// Length of a block in bytes, committed or not.
    pub fn size(&self, cid: &Cid) -> Result<u64> {
        if let Some(inline) = cid.identity() {
            return Ok(inline.len() as u64);
        }
        let not_found = || Error::NotFound { cid: cid.clone() };
        let key = key(cid).ok_or_else(not_found)?;
        let found = self.inner.look_up(|state| state.first(&key, false))?;
        match found.map(|found| found.place.block_bytes()).or_else(|| self.blob_bytes(cid)) {
            Some(bytes) => Ok(bytes),
            None => self.inner.referenced_bytes(cid)?.ok_or_else(not_found),
        }
    }

    /// Makes a file of the store's folder, whose blocks were checked, a pack, and commits it.
    pub(crate) fn adopt(&self, staged: &Path, file: &dyn DiskFile, foreign: Foreign) -> Result<u32> {
        self.check()?;
        self.inner.holds.take(foreign.entries.iter().map(|entry| &entry.key));
        self.inner.adopt(staged, file, foreign)
    }

    /// Of each key, whether a block of it is here that counts.
    pub(crate) fn counts_many(&self, keys: &[&Key]) -> Result<Vec<bool>> {
        self.inner.holds.take(keys.iter().copied());
        self.inner.look_up(|state| {
            let pending = self.inner.pending();
            state.has_many(keys, false, &|found| pending.counts(state, found))
        })
    }

    /// Closes a pack for good, if it is the open one. What is in it is committed.
    pub(crate) fn seal(&self, pack: u32) -> Result<()> {
        self.check()?;
        let turn = locked(&self.inner.turn);
        if self.inner.state().active.as_ref().is_some_and(|active| active.id == pack) {
            self.inner.seal(&turn)?;
        }
        Ok(())
    }

    /// Makes the session exclusive and forgets what it did, if from its beginning until now it was the only one: then nobody relies
    /// on what it put. Whether it was.
    pub(crate) fn take_over_alone(&self) -> bool {
        let mut gate = locked(&self.inner.gate);
        if gate.sessions != 1 || !self.is_alone || self.number != gate.opened || std::process::id() != self.pid {
            return false;
        }
        gate.is_exclusive = true;
        drop(gate);
        let done = std::mem::take(&mut *locked(&self.work));
        self.forget(&done);
        self.inner.roll_back();
        true
    }

    /// Pins a DAG, or names it anew, at the commit. Fails when the name is longer than 255 bytes.
    pub fn pin(&self, pin: Pin) -> Result<()> {
        self.check()?;
        if pin.name.as_ref().is_some_and(|name| name.len() > PIN_NAME_BYTES_MAX) {
            return Err(Error::Format(format!("the name of a pin is longer than {PIN_NAME_BYTES_MAX} bytes")));
        }
        locked(&self.work).others.push(Op::PinSet(pin));
        Ok(())
    }

    /// Removes a pin, at the commit: whether there was one.
    pub fn unpin(&self, cid: &Cid) -> Result<bool> {
        self.check()?;
        let mut work = locked(&self.work);
        let latest = work.others.iter().rev().find_map(|op| match op {
            Op::PinSet(pin) if pin.cid == *cid => Some(true),
            Op::PinRemoved(removed) if removed == cid => Some(false),
            _ => None,
        });
        let is_pinned = latest.unwrap_or_else(|| self.inner.state().contents.pins.contains_key(cid));
        if is_pinned {
            work.others.push(Op::PinRemoved(cid.clone()));
        }
        Ok(is_pinned)
    }

    /// Deletes blocks, at the commit: how many of them are here. Their room is free when their pack is retired.
    ///
    /// A block that another live session found here, and relies on, is deleted all the same: collect in an exclusive session.
    pub fn delete(&self, cids: &[Cid]) -> Result<u64> {
        self.check()?;
        let mut count = 0;
        for cid in cids {
            let Some(key) = key(cid) else { continue };
            let copies = self.inner.look_up(|state| {
                let mut copies = Vec::new();
                state.find(&key, false, &mut |found| {
                    copies.push(found);
                    false
                })?;
                Ok(copies)
            })?;
            let is_blob = self.blob_bytes(cid).and_then(|_| digest_of(cid)).is_some_and(|digest| self.delete_blob(digest));
            let is_referenced = self.inner.referenced_bytes(cid)?.is_some() && locked(&self.work).references.forgotten.insert(key);
            count += u64::from(self.delete_copies(copies) > 0 || is_blob || is_referenced);
        }
        if count > 0 {
            // Puts that looked before must look again.
            self.inner.state_mut().version += 1;
        }
        Ok(count)
    }

    /// Removes a blob, at the commit: whether this session had not done so already.
    pub(crate) fn delete_blob(&self, digest: Digest) -> bool {
        let mut work = locked(&self.work);
        let removed = Op::BlobRemoved { digest };
        let last =
            work.others.iter().rev().find(|op| matches!(op, Op::BlobSet { digest: d, .. } | Op::BlobRemoved { digest: d } if *d == digest));
        if last == Some(&removed) {
            return false;
        }
        work.others.push(removed);
        true
    }

    /// Gives up a pack, at the commit; its file is removed after that. Until then its blocks can still be read, but no longer
    /// count as here: put those that are to live on. Seals the pack first if it is open. Needs an exclusive session.
    pub fn retire(&self, pack: u32) -> Result<()> {
        self.check()?;
        if !locked(&self.inner.gate).is_exclusive {
            return Err(Error::Format("a pack can only be retired in an exclusive session".to_owned()));
        }
        self.seal(pack)?;
        if self.inner.state().contents.packs.contains_key(&pack) && self.inner.pending_mut().retiring.insert(pack) {
            locked(&self.work).retired.push(pack);
            self.inner.state_mut().version += 1;
        }
        Ok(())
    }

    /// Deletes single copies of blocks, by pack and offset, at the commit: how many there were. For what `verify` found damaged;
    /// other copies of the same blocks stay.
    pub fn discard(&self, copies: &[(u32, u64)]) -> Result<u64> {
        self.check()?;
        let mut by_pack: BTreeMap<u32, HashSet<u64>> = BTreeMap::new();
        for (pack, offset) in copies {
            by_pack.entry(*pack).or_default().insert(*offset);
        }
        let mut count = 0;
        for (pack, offsets) in by_pack {
            let places = self.inner.look_up(|state| state.places(pack, false))?;
            let places = places.unwrap_or_default().into_iter().filter(|place| offsets.contains(&place.offset()));
            count += self.delete_copies(places.map(|place| Found { pack, place }).collect());
        }
        if count > 0 {
            self.inner.state_mut().version += 1;
        }
        Ok(count)
    }

    /// Makes everything done so far durable, and goes on.
    pub fn flush(&self) -> Result<()> {
        self.check()?;
        let mut done = std::mem::take(&mut *locked(&self.work));
        // Kept until their files are gone: to unmap and to remove a large file takes long, and is done with no lock held.
        let retired: Vec<_> = done.retired.iter().filter_map(|pack| self.inner.state().sealed(*pack).cloned()).collect();
        let mut ops = done.ops();
        ops.extend(self.inner.uses.take());
        let result = if done.references.is_empty() { self.inner.commit(ops) } else { self.commit_references(&done.references, ops) };
        if result.is_ok() {
            done.references = Box::default();
            done.retired.iter().for_each(|pack| self.inner.remove_pack(*pack));
            drop(retired);
            self.forget(&done);
        } else {
            // It may be tried again.
            let mut work = locked(&self.work);
            done.others.append(&mut work.others);
            done.dead.append(&mut work.dead);
            done.retired.append(&mut work.retired);
            done.blobs.append(&mut work.blobs);
            done.marks.append(&mut work.marks);
            done.references.append(&mut work.references)?;
            *work = done;
        }
        result
    }

    /// Makes everything done durable: when this returns, it survives a crash.
    ///
    /// After an error, nothing of this session is kept, except where another has committed since.
    pub fn commit(self) -> Result<()> {
        self.flush()
    }

    /// Commits changes together with the tables of what is referenced, or no more, and nobody else's such changes meanwhile.
    fn commit_references(&self, new: &NewReferences, mut ops: Vec<Op>) -> Result<()> {
        let mut next = locked(&self.inner.referring);
        let changing = self.inner.prepare_references(&mut next, new)?;
        ops.extend(changing.ops());
        let result = self.inner.commit(ops);
        self.inner.settle_references(&changing, result.is_ok(), new);
        result
    }

    fn forget(&self, work: &Work) {
        self.forget_blobs(work);
        self.drop_references(&work.references);
        if !work.dead.is_empty() || !work.retired.is_empty() {
            let mut pending = self.inner.pending_mut();
            for found in &work.dead {
                pending.dead.remove(found);
            }
            for pack in &work.retired {
                pending.retiring.remove(pack);
            }
            if !work.retired.is_empty() {
                pending.rescued.retain(|found| !work.retired.contains(&found.pack));
            }
        }
    }
}

/// Blobs of a session that is over, or has committed.
impl Session {
    fn forget_blobs(&self, work: &Work) {
        if work.blobs.is_empty() || std::process::id() != self.pid {
            return;
        }
        let _deciding = locked(&self.inner.blobs.deciding);
        let mut unused = Vec::new();
        {
            let mut pending = self.inner.pending_mut();
            for digest in &work.blobs {
                if let Some((_, count)) = pending.blobs.get_mut(digest) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        pending.blobs.remove(digest);
                        unused.push(*digest);
                    }
                }
            }
        }
        // After a failed sync the journal on the disk may name what would be removed here: then the next writer decides.
        if self.inner.is_poisoned.load(Ordering::Acquire) {
            return;
        }
        for digest in unused {
            if !self.inner.state().contents.blobs.contains_key(&digest) {
                self.inner.blobs.remove(&*self.inner.disk, &digest);
            }
        }
        for mark in &work.marks {
            let _ = self.inner.disk.remove(mark);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.forget(&locked(&self.work));
        self.inner.leave(self.pid, self.number);
    }
}
