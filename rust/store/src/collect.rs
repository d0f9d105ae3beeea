//! Collection: gives back the room of blocks that no pin keeps.
//!
//! Marks from the pins, then sweeps pack by pack, in short steps between which others of the process write; `hold.rs` says what of
//! theirs stays. Readers go on, here and in other processes: a pack's file lives until the last of them lets go of it.
//! The rules kept here: a DAG that cannot be walked to its end stops everything before anything is deleted; and a block that moves
//! is durable at its new place before the old one goes.

use crate::blob::tree_bytes;
use crate::error::{Error, Result};
use crate::hold::Holding;
use crate::meta::PinKind;
use crate::operation::Operation;
use crate::pack::{HEADER_BYTES, Key, Place, key};
use crate::reference::Leaf;
use crate::session::Session;
use crate::state::Found;
use crate::store::{Store, StoredBlock};
use crate::walk::{Seen, Visited, WalkOptions, walk_on};
use shoal_core::Cid;
use shoal_core::car::v1::section_bytes;
use std::collections::HashSet;
use std::sync::TryLockError;
use std::time::{Duration, Instant};

/// How to collect.
#[derive(Debug, Clone, Copy)]
pub struct CollectOptions {
    /// Only count. The figures are the same.
    pub dry_run: bool,
    /// A pack is written anew when more than this share of it is dead, in percent.
    pub dead_percent_max: u8,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self { dry_run: false, dead_percent_max: 25 }
    }
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blocks deleted, blobs among them.
    pub freed_blocks: u64,
    /// Their lengths together, in bytes.
    pub freed_bytes: u64,
    /// How much less the packs and blobs take on disk, in bytes: less than `freed_bytes` where dead blocks stay behind in packs that are
    /// mostly live, more where earlier deletions go now. Headers of new packs (26 bytes each) and indexes are not counted.
    pub freed_disk_bytes: u64,
    /// Blocks kept.
    pub kept_blocks: u64,
    /// Their lengths together, in bytes.
    pub kept_bytes: u64,
    /// References to blocks in files outside that were dropped: each as often as a file was known to have the block. They take no room
    /// in packs, and are not among the blocks above.
    pub references_dropped: u64,
    /// Pack files removed, those that were written anew too.
    pub packs_removed: u64,
    /// Pack files whose live blocks were moved.
    pub packs_rewritten: u64,
    /// Packs that should have been written anew and were left as they are, because a block in them is damaged, or for want of
    /// room on the disk. Their dead blocks are deleted all the same.
    pub packs_left: u64,
}

/// What is in a pack, by the marks.
#[derive(Debug)]
struct Census {
    pack: u32,
    /// Length of the file.
    file_bytes: u64,
    live_blocks: u64,
    live_bytes: u64,
    /// Bytes of the live sections in the file.
    live_file_bytes: u64,
    dead_blocks: u64,
    dead_bytes: u64,
    /// Sections that cannot be read: nobody knows whose they are.
    is_damaged: bool,
}

impl Census {
    fn is_empty(&self) -> bool {
        self.live_blocks == 0 && !self.is_damaged
    }

    fn is_sparse(&self, options: &CollectOptions) -> bool {
        let dead = self.file_bytes.saturating_sub(HEADER_BYTES).saturating_sub(self.live_file_bytes);
        let share = u128::from(dead) * 100 > u128::from(self.file_bytes) * u128::from(options.dead_percent_max);
        !self.is_empty() && !self.is_damaged && share
    }
}

/// Live blocks moved with one read and one write, at most, and their lengths together, in bytes, unless it is one.
const MOVED_TOGETHER: usize = 256;
const MOVED_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes moved before they are synced, while nobody waits for it.
const MOVED_UNSYNCED: u64 = 32 * 1024 * 1024;
/// Dead blocks given up under one lock, for which others wait.
const GIVEN_UP_TOGETHER: usize = 4096;
/// Dead blocks deleted in one commit, for which other commits wait. Bounds memory, and the journal's record.
const DELETED_TOGETHER: usize = 16_384;
/// How long it works before it lets others go first, and how long it does that at most.
const WORK: Duration = Duration::from_millis(1);
const REST_MAX: Duration = Duration::from_millis(5);
/// How often another collection of the process is asked whether it is over.
const RETRY: Duration = Duration::from_millis(15);

/// Deletes every block that no pin keeps, and gives back its room, while others of the process go on.
///
/// Whoever began to write before is waited for; what those look for or put who begin later stays, pinned or not, until the next
/// collection. Other processes wait, as for any writer; a dry run needs no lock at all. Fails with
/// [`Error::InDag`] (or the bare reason, where it is the root itself) when something under a pin is missing or damaged; then nothing
/// was deleted. Repair it, or remove the pin. One that was stopped, or whose process died, has lost nothing; the next one goes on.
pub fn collect(store: &Store, options: CollectOptions, operation: &Operation) -> Result<Collected> {
    collect_in_steps(store, options, operation, &mut politely(store))
}

/// A pause that takes half of the time while others write, so that they find a processor and the locks free.
fn politely(store: &Store) -> impl FnMut() {
    let mut since = Instant::now();
    move || {
        let worked = since.elapsed();
        if worked < WORK {
            return;
        }
        if store.0.is_shared() {
            std::thread::sleep(worked.min(REST_MAX));
        }
        since = Instant::now();
    }
}

/// As [`collect`]; `pause` is called between any two steps, when no lock is held but the store's against other processes.
pub fn collect_in_steps(store: &Store, options: CollectOptions, operation: &Operation, pause: &mut dyn FnMut()) -> Result<Collected> {
    run(store, options, None, operation, pause)
}

/// Keeps what pins keep, and of the roots that nothing pins the most recently used ones, as long as all that is kept has at most so many
/// bytes: what the quota asks for.
pub(crate) fn collect_down_to(store: &Store, options: CollectOptions, live_bytes_max: u64, operation: &Operation) -> Result<Collected> {
    run(store, options, Some(live_bytes_max), operation, &mut politely(store))
}

fn run(
    store: &Store,
    options: CollectOptions,
    live_bytes_max: Option<u64>,
    operation: &Operation,
    pause: &mut dyn FnMut(),
) -> Result<Collected> {
    if options.dry_run {
        let (marks, _) = mark(store, live_bytes_max, operation, pause)?;
        let packs = take_census(store, None, &marks, operation, pause)?;
        let mut foreseen = Collected::of(&packs);
        foreseen.count_blobs(store, &marks)?;
        foreseen.references_dropped = store.dead_references(&marks, operation)?;
        packs.iter().filter(|pack| pack.is_empty()).for_each(|pack| foreseen.count_removed(pack));
        packs.iter().filter(|pack| pack.is_sparse(&options)).for_each(|pack| foreseen.count_rewritten(pack));
        return Ok(foreseen);
    }
    let deadline = Instant::now() + store.0.options.lock_wait;
    let _collecting = loop {
        match store.0.collecting.try_lock() {
            Ok(guard) => break guard,
            Err(TryLockError::Poisoned(guard)) => break guard.into_inner(),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Err(Error::Locked { pid: Some(std::process::id()) }),
            Err(TryLockError::WouldBlock) => std::thread::sleep(RETRY),
        }
        operation.check()?;
    };
    let session = store.write()?;
    let inner = std::sync::Arc::clone(&store.0);
    let holding = Holding::begin(&inner, &session);
    holding.wait(operation, pause)?;
    let (marks, forgotten) = mark(store, live_bytes_max, operation, pause)?;
    session.forget_uses(&forgotten);
    let packs = take_census(store, Some(&session), &marks, operation, pause)?;
    let mut collected = Collected::of(&packs);
    let dead = collected.count_blobs(store, &marks)?;
    let gone = session.sweep_blobs(&dead, pause)?;
    collected.uncount_blobs(store, &dead, &gone);
    session.sweep_orphans(pause);
    let lives = |leaf: &Leaf| leaf.cid().is_none_or(|cid| marks.has_block(&cid)) || session.is_held(&leaf.key);
    collected.references_dropped = session.sweep_references(&lives, pause)?.0;
    let mut sweep = Sweep { store, session: Some(session), marks: &marks, operation, pause };
    sweep.delete(&packs, &mut collected)?;
    let mut sparse: Vec<&Census> = packs.iter().filter(|pack| pack.is_sparse(&options)).collect();
    // Those that give most room for the least moving come first.
    sparse.sort_by_key(|pack| pack.live_file_bytes);
    sweep.rewrite_all(&sparse, &mut collected)?;
    if sweep.session.is_some() {
        inner.keep_reserve();
    }
    Ok(collected)
}

impl Collected {
    fn of(packs: &[Census]) -> Self {
        let mut collected = Self::default();
        for pack in packs {
            collected.freed_blocks += pack.dead_blocks;
            collected.freed_bytes += pack.dead_bytes;
            collected.kept_blocks += pack.live_blocks;
            collected.kept_bytes += pack.live_bytes;
        }
        collected
    }

    /// Counts the blobs, each as one block: those that go.
    fn count_blobs(&mut self, store: &Store, marks: &Seen) -> Result<Vec<Cid>> {
        let mut dead = Vec::new();
        for (cid, bytes) in store.blobs()? {
            if marks.has_block(&cid) {
                self.kept_blocks += 1;
                self.kept_bytes += bytes;
            } else {
                self.freed_blocks += 1;
                self.freed_bytes += bytes;
                self.freed_disk_bytes += bytes + tree_bytes(bytes);
                dead.push(cid);
            }
        }
        Ok(dead)
    }

    /// Takes those back that stayed after all.
    fn uncount_blobs(&mut self, store: &Store, dead: &[Cid], gone: &[Cid]) {
        let gone: HashSet<&Cid> = gone.iter().collect();
        for cid in dead.iter().filter(|cid| !gone.contains(cid)) {
            let bytes = store.0.blob_bytes(cid).unwrap_or(0);
            self.kept_blocks += 1;
            self.kept_bytes += bytes;
            self.freed_blocks = self.freed_blocks.saturating_sub(1);
            self.freed_bytes = self.freed_bytes.saturating_sub(bytes);
            self.freed_disk_bytes = self.freed_disk_bytes.saturating_sub(bytes + tree_bytes(bytes));
        }
    }

    fn count_removed(&mut self, pack: &Census) {
        self.packs_removed += 1;
        self.freed_disk_bytes += pack.file_bytes;
    }

    fn count_rewritten(&mut self, pack: &Census) {
        self.packs_removed += 1;
        self.packs_rewritten += 1;
        self.freed_disk_bytes += pack.file_bytes.saturating_sub(pack.live_file_bytes);
    }
}

impl Store {
    /// Whether a block takes no room here, since it stands in a file outside.
    fn is_only_outside(&self, visited: &Visited<'_>) -> Result<bool> {
        let Some(key) = key(visited.cid).filter(|_| visited.block.is_none()) else { return Ok(false) };
        self.0.look_up(|state| {
            let is_outside = !state.references.is_empty() && !state.has_blob(visited.cid);
            Ok(is_outside && state.first(&key, false)?.is_none())
        })
    }

    /// How many references the marks do not keep.
    fn dead_references(&self, marks: &Seen, operation: &Operation) -> Result<u64> {
        let mut dead = 0;
        for table in self.0.state().references.clone() {
            operation.check()?;
            let leaves = (0..table.len()).filter_map(|slot| table.leaf(slot).ok()?.cid());
            dead += leaves.filter(|cid| !marks.has_block(cid)).count() as u64;
        }
        Ok(dead)
    }
}

/// Roots that go, with the time of their last use.
type Forgotten = Vec<(Cid, u64)>;

/// Everything the pins keep, and the most recently used of other roots as far as there is room; the roots that are not kept.
fn mark(store: &Store, live_bytes_max: Option<u64>, operation: &Operation, pause: &mut dyn FnMut()) -> Result<(Seen, Forgotten)> {
    // Roots that are pinned between the two are held.
    let pins = store.pins()?;
    let mut evictable = store.evictable()?;
    let mut seen = Seen::new(false);
    let mut live_bytes = 0u64;
    let recursive: Vec<Cid> = pins.iter().filter(|pin| pin.kind == PinKind::Recursive).map(|pin| pin.cid.clone()).collect();
    let options = WalkOptions::default();
    let mut visit = |visited: Visited<'_>| {
        pause();
        if !store.is_only_outside(&visited)? {
            live_bytes = live_bytes.saturating_add(visited.bytes);
        }
        Ok(())
    };
    walk_on(store, &recursive, options, &mut seen, operation, &mut visit, &mut |lost, error| Err(lost.because(error)))?;
    for pin in pins.iter().filter(|pin| pin.kind == PinKind::Direct) {
        operation.check()?;
        match store.blob_bytes(&pin.cid)? {
            Some(bytes) => live_bytes = live_bytes.saturating_add(bytes),
            None => live_bytes = live_bytes.saturating_add(store.block(&pin.cid)?.len() as u64),
        }
        seen.insert(&pin.cid);
    }
    let Some(live_bytes_max) = live_bytes_max else { return Ok((seen, evictable)) };
    let mut room = Room { live_bytes, live_bytes_max, is_over: false };
    let mut forgotten = Vec::new();
    while let Some((cid, seconds)) = evictable.pop() {
        if room.is_over || !room.takes(store, &cid, &mut seen, operation, pause)? {
            forgotten.push((cid, seconds));
        }
    }
    Ok((seen, forgotten))
}

/// How much more may be kept that nothing pins.
struct Room {
    live_bytes: u64,
    live_bytes_max: u64,
    is_over: bool,
}

impl Room {
    /// Keeps what is under a root, if it is whole and there is room for all of it.
    fn takes(&mut self, store: &Store, root: &Cid, seen: &mut Seen, operation: &Operation, pause: &mut dyn FnMut()) -> Result<bool> {
        let mut under = Seen::new(false);
        let mut bytes = self.live_bytes;
        let mut visit = |visited: Visited<'_>| {
            pause();
            if !seen.has_block(visited.cid) && !store.is_only_outside(&visited)? {
                bytes = bytes.saturating_add(visited.bytes);
            }
            // Ends the walk: there is no room for it, nor then for those that were used less recently.
            if bytes > self.live_bytes_max { Err(Error::Cancelled) } else { Ok(()) }
        };
        let mut lost = |lost: crate::walk::Lost<'_>, error| Err(lost.because(error));
        let walked = walk_on(store, std::slice::from_ref(root), WalkOptions::default(), &mut under, operation, &mut visit, &mut lost);
        self.is_over = bytes > self.live_bytes_max;
        operation.check()?;
        match walked {
            Ok(()) => {
                self.live_bytes = bytes;
                seen.take_in(under);
                Ok(true)
            }
            Err(_) if self.is_over => Ok(false),
            // Not whole: nobody can use it.
            Err(Error::InDag { .. } | Error::NotFound { .. } | Error::Damaged { .. } | Error::Dag { .. }) => Ok(false),
            Err(Error::ChangedFile { .. } | Error::DamagedReferences { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// With a session, what is held counts as live.
fn take_census(
    store: &Store,
    session: Option<&Session>,
    marks: &Seen,
    operation: &Operation,
    pause: &mut dyn FnMut(),
) -> Result<Vec<Census>> {
    let is_held = |cid: &Cid| session.is_some_and(|session| key(cid).is_none_or(|key| session.is_held(&key)));
    let mut packs = Vec::new();
    for stat in store.packs()? {
        pause();
        let mut census = Census {
            pack: stat.pack,
            file_bytes: stat.bytes,
            live_blocks: 0,
            live_bytes: 0,
            live_file_bytes: 0,
            dead_blocks: 0,
            dead_bytes: 0,
            is_damaged: false,
        };
        for (at, entry) in store.pack_entries(stat.pack)?.enumerate() {
            operation.check()?;
            if at % GIVEN_UP_TOGETHER == GIVEN_UP_TOGETHER - 1 {
                pause();
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(Error::DamagedSection { .. }) => {
                    census.is_damaged = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if marks.has_block(&entry.cid) || is_held(&entry.cid) {
                census.live_blocks += 1;
                census.live_bytes += entry.bytes;
                census.live_file_bytes += file_bytes(&entry);
            } else {
                census.dead_blocks += 1;
                census.dead_bytes += entry.bytes;
            }
        }
        packs.push(census);
    }
    Ok(packs)
}

/// Bytes of the block's section in its pack.
fn file_bytes(entry: &StoredBlock) -> u64 {
    section_bytes(&entry.cid, usize::try_from(entry.bytes).unwrap_or(usize::MAX)) as u64
}

/// Entries of a pack that can be read.
fn readable(store: &Store, pack: u32) -> Result<impl Iterator<Item = Result<StoredBlock>>> {
    Ok(store.pack_entries(pack)?.filter(|entry| !matches!(entry, Err(Error::DamagedSection { .. }))))
}

/// The part that deletes.
struct Sweep<'a> {
    store: &'a Store,
    /// None only after it could not be opened again.
    session: Option<Session>,
    marks: &'a Seen,
    operation: &'a Operation,
    pause: &'a mut dyn FnMut(),
}

impl Sweep<'_> {
    fn session(&self) -> Result<&Session> {
        self.session.as_ref().ok_or(Error::Locked { pid: None })
    }

    /// Whether a block is to stay, and for whom it is asked: a pin, or somebody who writes.
    fn stays(&self, session: &Session, cid: &Cid) -> bool {
        self.marks.has_block(cid) || key(cid).is_none_or(|key| session.is_held(&key))
    }

    /// Gives up empty packs, and then deletes what is dead in the others. What needs least room comes first.
    fn delete(&mut self, packs: &[Census], collected: &mut Collected) -> Result<()> {
        let mut rest: Vec<&Census> = Vec::new();
        for pack in packs {
            (self.pause)();
            if !pack.is_empty() {
                rest.push(pack);
                continue;
            }
            match self.give_up_empty(pack.pack) {
                Ok(true) => collected.count_removed(pack),
                // Somebody needs something of it by now; or it is the open pack, which has to be sealed before it can go.
                Ok(false) | Err(Error::Full { .. }) => rest.push(pack),
                Err(error) => return Err(error),
            }
        }
        self.session()?.flush()?;
        for pack in rest.into_iter().filter(|pack| pack.dead_blocks > 0) {
            collected.packs_left += u64::from(pack.is_empty());
            self.delete_dead(pack.pack)?;
        }
        Ok(())
    }

    /// Gives up a pack of which nothing was live, unless somebody needs something of it by now: whether it goes.
    fn give_up_empty(&mut self, pack: u32) -> Result<bool> {
        self.session()?.seal(pack)?;
        let held = self.session()?.held();
        let mut entries = readable(self.store, pack)?.peekable();
        while entries.peek().is_some() {
            self.operation.check()?;
            (self.pause)();
            for entry in entries.by_ref().take(GIVEN_UP_TOGETHER) {
                if self.stays(self.session()?, &entry?.cid) {
                    return Ok(false);
                }
            }
        }
        Ok(self.session()?.give_up(pack, held, true)?.is_empty())
    }

    fn delete_dead(&mut self, pack: u32) -> Result<()> {
        let mut dead: Vec<(Key, Found)> = Vec::new();
        let mut waiting = 0;
        let mut entries = readable(self.store, pack)?;
        loop {
            self.operation.check()?;
            (self.pause)();
            let session = self.session()?;
            let mut is_over = true;
            for entry in entries.by_ref().take(GIVEN_UP_TOGETHER) {
                let entry = entry?;
                is_over = false;
                if !self.stays(session, &entry.cid) {
                    dead.extend(place_of(&entry));
                }
            }
            waiting += session.discard_unheld(&dead);
            dead.clear();
            if is_over || waiting >= DELETED_TOGETHER as u64 {
                session.flush()?;
                waiting = 0;
            }
            if is_over {
                return Ok(());
            }
        }
    }

    /// Rewrites packs for as long as the disk has room. All dead blocks are deleted already.
    fn rewrite_all(&mut self, sparse: &[&Census], collected: &mut Collected) -> Result<()> {
        for (at, pack) in sparse.iter().enumerate() {
            let mut done = self.rewrite(pack.pack);
            if matches!(done, Err(Error::Full { .. })) {
                if !self.begin_again()? {
                    collected.packs_left += (sparse.len() - at) as u64;
                    return Ok(());
                }
                // Once more, with the room that is there for this.
                if self.store.0.give_up_reserve() {
                    done = self.rewrite(pack.pack);
                }
            }
            match done {
                Ok(true) => collected.count_rewritten(pack),
                Ok(false) => collected.packs_left += 1,
                Err(Error::Full { .. }) => {
                    collected.packs_left += 1;
                    if !self.begin_again()? {
                        collected.packs_left += (sparse.len() - at - 1) as u64;
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.session()?.flush()
    }

    /// Takes back what was moved and not committed, unless others write, and so its room: whether the store could be locked again.
    fn begin_again(&mut self) -> Result<bool> {
        self.session = None;
        self.session = match self.store.write() {
            Ok(session) => Some(session),
            Err(Error::Locked { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(self.session.is_some())
    }

    /// Moves what is left in a pack into the open one, and gives it up. False when a damaged block keeps it where it is.
    fn rewrite(&mut self, pack: u32) -> Result<bool> {
        // Or the blocks would be moved to where they are.
        self.session()?.seal(pack)?;
        let held = self.session()?.held();
        let mut moving = Moving { pack, left_behind: Vec::new(), is_whole: true, unsynced: 0 };
        let mut entries = readable(self.store, pack)?;
        loop {
            self.operation.check()?;
            (self.pause)();
            let (mut together, mut bytes) = (Vec::new(), 0);
            while together.len() < MOVED_TOGETHER && (together.is_empty() || bytes < MOVED_BYTES) {
                let Some(entry) = entries.next() else { break };
                let entry = entry?;
                if self.stays(self.session()?, &entry.cid) {
                    bytes += entry.bytes;
                    together.push(entry);
                }
            }
            if together.is_empty() {
                break;
            }
            self.move_some(&together, &mut moving)?;
        }
        if moving.is_whole {
            // What somebody took hold of meanwhile.
            let last: HashSet<Found> = self.session()?.give_up(pack, held, false)?.into_iter().collect();
            if !last.is_empty() {
                let entries = readable(self.store, pack)?.collect::<Result<Vec<StoredBlock>>>()?;
                let last: Vec<StoredBlock> =
                    entries.into_iter().filter(|entry| place_of(entry).is_some_and(|(_, found)| last.contains(&found))).collect();
                for some in last.chunks(MOVED_TOGETHER) {
                    self.move_some(some, &mut moving)?;
                }
            }
        }
        let session = self.session()?;
        if !moving.is_whole {
            session.keep(pack);
            session.delete_places(moving.left_behind);
        }
        session.sync_ahead()?;
        (self.pause)();
        self.session()?.flush()?;
        Ok(moving.is_whole)
    }

    fn move_some(&self, together: &[StoredBlock], moving: &mut Moving) -> Result<()> {
        let session = self.session()?;
        let cids: Vec<Cid> = together.iter().map(|entry| entry.cid.clone()).collect();
        let mut moved = Vec::with_capacity(cids.len());
        for (entry, block) in together.iter().zip(self.store.blocks(&cids)) {
            match block {
                Ok(block) => {
                    self.store.0.take_list_along(&entry.cid)?;
                    moved.push((&entry.cid, block));
                    moving.left_behind.extend(place_of(entry).map(|(_, found)| found));
                }
                // Where it is, it can still be repaired.
                Err(
                    Error::Damaged { .. } | Error::UnsupportedHash { .. } | Error::ChangedFile { .. } | Error::DamagedReferences { .. },
                ) => {
                    moving.is_whole = false;
                }
                Err(error) => return Err(error),
            }
        }
        let blocks: Vec<(&Cid, &[u8])> = moved.iter().map(|(cid, block)| (*cid, &**block)).collect();
        let bytes = blocks.iter().map(|(_, block)| block.len() as u64).sum();
        session.move_out(moving.pack, &blocks)?;
        self.operation.add_files(blocks.len() as u64);
        self.operation.add_bytes(bytes);
        moving.unsynced += bytes;
        if moving.unsynced >= MOVED_UNSYNCED {
            session.sync_ahead()?;
            moving.unsynced = 0;
        }
        Ok(())
    }
}

/// A pack whose live blocks are being moved.
struct Moving {
    pack: u32,
    /// Where they were.
    left_behind: Vec<Found>,
    is_whole: bool,
    unsynced: u64,
}

/// The key of a block, and where it is; `None` for those that carry themselves.
fn place_of(entry: &StoredBlock) -> Option<(Key, Found)> {
    let place = Place::new(entry.offset, usize::try_from(entry.bytes).ok()?)?;
    Some((key(&entry.cid)?, Found { pack: entry.pack, place }))
}
