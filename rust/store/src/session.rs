//! Sessions: how a store is written to. Many threads share one, many sessions share the process's lock, and commits that come
//! together share one sync.
//!
//! Order of a commit: the pack's data is synced, then its log is appended, then the journal names it and is synced
//! (docs/formats/store.md §6). A write that fails leaves the pack as long as it was, so there are never holes.
//! The rule it keeps: after a failed sync nothing is acknowledged any more.

use crate::blob::{Digest, NewBlob, digest_of};
use crate::block::Block;
use crate::disk::{DiskFile, Lock, write_all_at};
use crate::error::{Error, Result};
use crate::group_list::GroupList;
use crate::meta::{Check, Op, PIN_NAME_BYTES_MAX, Pin};
use crate::pack::{Active, Entry, HEADER, Key, LogEnd, Place, Sealed, key, write_section_head};
use crate::store::{BadIndex, Found, Inner, State, locked};
use shoal_core::Cid;
use shoal_core::limits::BLOCK_BYTES_MAX;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What a put has added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutCount {
    /// Blocks that were not there yet.
    pub new_blocks: u64,
    /// Their lengths together, in bytes.
    pub new_bytes: u64,
}

/// Who may write: the sessions of this process, and its lock against others.
#[derive(Default)]
pub(crate) struct Gate {
    sessions: usize,
    /// Sessions opened so far.
    opened: u64,
    is_exclusive: bool,
    lock: Option<Box<dyn Send>>,
    pid: u32,
    pub has_taken_over: bool,
}

/// How a session came in.
struct Entered {
    pid: u32,
    /// Which session it is, if there was no other then.
    alone_at: Option<u64>,
}

/// Copies of blocks that no longer count as "here" for puts: those that sessions are about to delete, and those found damaged.
#[derive(Default)]
pub(crate) struct Pending {
    pub damaged: HashSet<Found>,
    dead: HashSet<Found>,
    retiring: HashSet<u32>,
    /// Blobs that have their name and are not committed: their length, and how many sessions rely on them.
    blobs: HashMap<Digest, (u64, usize)>,
}

impl Pending {
    fn ignores(&self, found: Found) -> bool {
        self.dead.contains(&found) || self.retiring.contains(&found.pack) || self.damaged.contains(&found)
    }
}

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

/// Buffers of whoever appends.
#[derive(Default)]
pub(crate) struct Scratch {
    heads: Vec<u8>,
}

/// How often the lock is tried while another process has it.
const LOCK_RETRY: Duration = Duration::from_millis(15);
/// Blocks up to this size are gathered into one buffer; larger ones are written from where they are.
const GATHER_BYTES_MAX: usize = 8 * 1024;
/// Most bytes handed to one write.
const WRITE_BYTES_MAX: u64 = 16 * 1024 * 1024;

impl Inner {
    fn enter(self: &Arc<Self>, is_exclusive: bool) -> Result<Entered> {
        if self.options.read_only {
            return Err(Error::ReadOnly);
        }
        self.check_poison()?;
        let pid = std::process::id();
        let deadline = Instant::now() + self.options.lock_wait;
        let mut gate = locked(&self.gate);
        loop {
            let mut holder = Some(pid);
            if gate.sessions > 0 {
                if gate.pid != pid {
                    return Err(Error::Forked);
                }
                if !is_exclusive && !gate.is_exclusive {
                    break;
                }
            } else {
                let path = self.root.join("lock");
                match self.disk.lock(&path).map_err(|e| Error::io("locking", &path, e))? {
                    Lock::Taken(lock) => {
                        crate::recover::take_over(self, !gate.has_taken_over)?;
                        gate.has_taken_over = true;
                        gate.lock = Some(lock);
                        gate.pid = pid;
                        self.is_writing.store(true, Ordering::Release);
                        break;
                    }
                    Lock::Held(pid) => holder = pid,
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Locked { pid: holder });
            }
            let waited = self.gate_changed.wait_timeout(gate, left.min(LOCK_RETRY));
            gate = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        gate.sessions += 1;
        gate.opened += 1;
        gate.is_exclusive = is_exclusive;
        Ok(Entered { pid, alone_at: (gate.sessions == 1).then_some(gate.opened) })
    }

    fn leave(&self, pid: u32) {
        if std::process::id() != pid {
            // A forked child drops its copy of the parent's session: the pack and the lock are the parent's.
            return;
        }
        let mut gate = locked(&self.gate);
        if gate.sessions == 1 {
            self.roll_back();
            self.save_open_tree();
            self.is_writing.store(false, Ordering::Release);
            gate.lock = None;
        }
        gate.sessions = gate.sessions.saturating_sub(1);
        gate.is_exclusive = false;
        drop(gate);
        self.gate_changed.notify_all();
    }

    /// Forgets what was appended and not committed.
    fn roll_back(&self) {
        let _turn = locked(&self.turn);
        let _append = locked(&self.append);
        let mut state = self.state_mut();
        if let Some(active) = &mut state.active
            && active.written > active.committed
        {
            // After a failed sync the journal on the disk may name what is cut here: then the next writer decides.
            // It also does if the cut fails.
            if !self.is_poisoned.load(Ordering::Acquire) {
                let _ = active.file.set_len(active.committed);
            }
            active.roll_back();
            state.version += 1;
        }
    }

    pub fn poisoned(&self, error: Error) -> Error {
        self.is_poisoned.store(true, Ordering::Release);
        error
    }

    /// Whether the block has a copy that is to stay.
    fn is_kept(state: &State, pending: &Pending, key: &Key) -> std::result::Result<bool, BadIndex> {
        state.find(key, false, &mut |found| !pending.ignores(found) && !state.is_damaged(found))
    }

    /// Whether any block is known to be damaged, so that putting may heal.
    fn knows_damage(&self) -> bool {
        self.state().has_damaged || !self.pending().damaged.is_empty()
    }

    fn pending(&self) -> std::sync::RwLockReadGuard<'_, Pending> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn pending_mut(&self) -> std::sync::RwLockWriteGuard<'_, Pending> {
        self.pending.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_many(&self, blocks: &[(&Cid, &[u8])]) -> Result<PutCount> {
        self.check_poison()?;
        let mut wanted: Vec<(Key, &Cid, &[u8])> = Vec::with_capacity(blocks.len());
        for (cid, data) in blocks {
            if data.len() > BLOCK_BYTES_MAX {
                return Err(Error::BlockTooLarge { cid: (*cid).clone(), bytes: data.len() as u64 });
            }
            if let Some(key) = key(cid) {
                wanted.push((key, cid, data));
            }
        }
        if wanted.len() > 1 {
            let mut seen = HashSet::with_capacity(wanted.len());
            wanted.retain(|(key, ..)| seen.insert(*key));
        }
        let mut looked_at = self.retain_missing(&mut wanted)?;
        let mut count = PutCount::default();
        let mut rest = wanted.as_slice();
        let mut again;
        while !rest.is_empty() {
            let mut scratch = locked(&self.append);
            if self.state().version != looked_at {
                // Someone has appended or sealed since. Nobody can now, while we hold the lock.
                again = rest.to_vec();
                looked_at = self.retain_missing(&mut again)?;
                rest = again.as_slice();
            }
            let Some(room) = self.room(&mut scratch)? else {
                drop(scratch);
                self.seal_if_full()?;
                continue;
            };
            let written = self.append(&mut scratch, &room, rest)?;
            looked_at += 1;
            let (done, later) = rest.split_at_checked(written).unwrap_or((rest, &[]));
            count.new_blocks += done.len() as u64;
            count.new_bytes += done.iter().map(|(_, _, data)| data.len() as u64).sum::<u64>();
            rest = later;
        }
        Ok(count)
    }

    /// Drops what is here already; the state's version that this was true of.
    fn retain_missing(&self, wanted: &mut Vec<(Key, &Cid, &[u8])>) -> Result<u64> {
        let (is_here, version) = self.look_up(|state| {
            let pending = self.pending();
            let is_here = wanted.iter().map(|(key, ..)| Self::is_kept(state, &pending, key));
            Ok((is_here.collect::<std::result::Result<Vec<bool>, BadIndex>>()?, state.version))
        })?;
        let mut is_here = is_here.into_iter();
        wanted.retain(|_| !is_here.next().unwrap_or(false));
        Ok(version)
    }

    fn is_full(&self, active: &Active) -> bool {
        let entries = active.entries().len();
        entries > 0 && (active.written >= self.options.pack_bytes_max || entries >= self.options.pack_entries_max)
    }

    /// The open pack, opened if need be; `None` when it must be sealed first.
    fn room(&self, _append: &mut Scratch) -> Result<Option<Room>> {
        loop {
            if let Some(active) = &self.state().active {
                let room = Room {
                    file: Arc::clone(&active.file),
                    pack: active.id,
                    start: active.written,
                    entries_max: self.options.pack_entries_max.saturating_sub(active.entries().len()),
                };
                return Ok(if self.is_full(active) { None } else { Some(room) });
            }
            let id = self.state().contents.pack_next;
            let path = self.paths.car(id);
            let mut state = self.state_mut();
            match self.disk.create(&path) {
                Ok(file) => {
                    if let Err(e) = write_all_at(&*file, &mut [IoSlice::new(&HEADER)], 0) {
                        let _ = self.disk.remove(&path);
                        return Err(Error::io("writing", &path, e));
                    }
                    state.active = Some(Active::new(id, file, self.map_bytes(), false));
                }
                // Not one of ours, or we would have taken it over: leave it alone.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => state.contents.pack_next = id.saturating_add(1),
                Err(e) => return Err(Error::io("creating", &path, e)),
            }
        }
    }

    /// Writes as many of the blocks as fit in one go, and takes them in: how many.
    fn append(&self, scratch: &mut Scratch, room: &Room, blocks: &[(Key, &Cid, &[u8])]) -> Result<usize> {
        let heads = &mut scratch.heads;
        heads.clear();
        let mut entries: Vec<(Entry, u64)> = Vec::with_capacity(blocks.len());
        // What stands in `heads` up to here, and then perhaps one large block.
        let mut pieces: Vec<(usize, &[u8])> = Vec::new();
        let mut at = room.start;
        for (key, cid, data) in blocks.iter().take(room.entries_max) {
            if !entries.is_empty() && (at >= self.options.pack_bytes_max || at - room.start >= WRITE_BYTES_MAX) {
                break;
            }
            let place = Place::new(at, data.len()).ok_or_else(|| Error::Format(format!("pack {} is too large", room.pack)))?;
            let before = heads.len();
            write_section_head(cid, data.len(), heads);
            if data.len() <= GATHER_BYTES_MAX {
                heads.extend_from_slice(data);
                at += (heads.len() - before) as u64;
            } else {
                at += (heads.len() - before + data.len()) as u64;
                pieces.push((heads.len(), data));
            }
            entries.push((Entry { key: *key, place }, at));
        }
        pieces.push((heads.len(), &[]));
        let mut buffers = Vec::with_capacity(2 * pieces.len());
        let mut from = 0;
        for (to, data) in pieces {
            buffers.push(IoSlice::new(heads.get(from..to).unwrap_or_default()));
            buffers.push(IoSlice::new(data));
            from = to;
        }
        buffers.retain(|buffer| !buffer.is_empty());
        if let Err(e) = write_all_at(&*room.file, &mut buffers, room.start) {
            let _ = room.file.set_len(room.start);
            return Err(Error::io("writing", &self.paths.car(room.pack), e));
        }
        let mut state = self.state_mut();
        state.version += 1;
        let written = entries.len();
        if let Some(active) = &mut state.active {
            for (entry, end) in entries {
                active.push(entry, end);
            }
        }
        Ok(written)
    }

    fn seal_if_full(&self) -> Result<()> {
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
        journal.append(ops).map_err(|(e, is_lost)| if is_lost { self.poisoned(e) } else { e })
    }

    /// Commits everything appended so far, and `ops`, together with whoever else is committing now.
    fn commit(&self, ops: Vec<Op>) -> Result<()> {
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
            if let Op::PackRetired { pack } = op {
                // The next writer removes what could not be removed now.
                for path in [self.paths.car(*pack), self.paths.idx(*pack), self.paths.tree(*pack), self.paths.log(*pack)] {
                    let _ = self.disk.remove(&path);
                }
            }
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

    fn compact_if_large(&self) -> Result<()> {
        let mut journal = locked(&self.journal);
        let state = self.state();
        match journal.compact_if_large(&*self.disk, &state.contents) {
            // What was committed stays so, in the old journal.
            Ok(()) | Err((_, false)) => Ok(()),
            Err((e, true)) => Err(self.poisoned(e)),
        }
    }

    /// The length of a blob that a session is about to commit.
    pub fn pending_blob(&self, digest: &Digest) -> Option<u64> {
        self.pending().blobs.get(digest).map(|(bytes, _)| *bytes)
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

struct Room {
    file: Arc<dyn DiskFile>,
    pack: u32,
    start: u64,
    entries_max: usize,
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

/// What a session will do at its commit, besides keeping blocks.
#[derive(Default)]
struct Work {
    /// Pins and marks.
    others: Vec<Op>,
    dead: Vec<Found>,
    retired: Vec<u32>,
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
    alone_at: Option<u64>,
    work: Mutex<Work>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.inner.root.display())
    }
}

impl Session {
    pub(crate) fn open(inner: &Arc<Inner>, is_exclusive: bool) -> Result<Self> {
        let Entered { pid, alone_at } = inner.enter(is_exclusive)?;
        Ok(Self { inner: Arc::clone(inner), pid, alone_at, work: Mutex::default() })
    }

    fn check(&self) -> Result<()> {
        if std::process::id() == self.pid { self.inner.check_poison() } else { Err(Error::Forked) }
    }

    /// Whether the block is here, committed or not, and no session is about to delete it.
    pub fn has(&self, cid: &Cid) -> Result<bool> {
        let Some(key) = key(cid) else { return Ok(true) };
        Ok(self.inner.look_up(|state| Inner::is_kept(state, &self.inner.pending(), &key))? || self.blob_bytes(cid).is_some())
    }

    /// [`Session::has`] of many.
    pub fn has_many(&self, cids: &[Cid]) -> Result<Vec<bool>> {
        let mut all: Vec<bool> = self.inner.look_up(|state| {
            let pending = self.inner.pending();
            cids.iter().map(|cid| key(cid).map_or(Ok(true), |key| Inner::is_kept(state, &pending, &key))).collect()
        })?;
        for (has, cid) in all.iter_mut().zip(cids) {
            *has = *has || self.blob_bytes(cid).is_some();
        }
        Ok(all)
    }

    /// The length of a blob, committed or not.
    fn blob_bytes(&self, cid: &Cid) -> Option<u64> {
        self.inner.blob_bytes(cid).or_else(|| self.inner.pending_blob(&digest_of(cid)?))
    }

    /// Begins a blob.
    pub(crate) fn new_blob(&self) -> Result<NewBlob> {
        self.check()?;
        NewBlob::create(&self.inner)
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
        let count = self.inner.put_many(blocks)?;
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
        found.map(|found| found.place.block_bytes()).or_else(|| self.blob_bytes(cid)).ok_or_else(not_found)
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
        if gate.sessions != 1 || self.alone_at != Some(gate.opened) || std::process::id() != self.pid {
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
            count += u64::from(self.delete_copies(copies) > 0 || is_blob);
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
        let result = self.inner.commit(done.ops());
        if result.is_ok() {
            self.forget(&done);
        } else {
            // It may be tried again.
            let mut work = locked(&self.work);
            done.others.append(&mut work.others);
            done.dead.append(&mut work.dead);
            done.retired.append(&mut work.retired);
            done.blobs.append(&mut work.blobs);
            done.marks.append(&mut work.marks);
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

    fn forget(&self, work: &Work) {
        self.forget_blobs(work);
        if !work.dead.is_empty() || !work.retired.is_empty() {
            let mut pending = self.inner.pending_mut();
            for found in &work.dead {
                pending.dead.remove(found);
            }
            for pack in &work.retired {
                pending.retiring.remove(pack);
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
        self.inner.leave(self.pid);
    }
}
