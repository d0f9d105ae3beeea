//! Collection: gives back the room of blocks that no pin keeps.
//!
//! Marks from the pins, then sweeps pack by pack, with nobody else writing. Readers go on, here and in other processes: a pack's
//! file lives until the last of them lets go of it.
//! The rules kept here: a DAG that cannot be walked to its end stops everything before anything is deleted; and a block that moves
//! is durable at its new place before the old one goes.

use crate::blob::tree_bytes;
use crate::error::{Error, Result};
use crate::meta::PinKind;
use crate::operation::Operation;
use crate::pack::HEADER_BYTES;
use crate::session::Session;
use crate::store::{Store, StoredBlock};
use crate::walk::{Seen, WalkOptions, walk_on};
use shoal_core::Cid;
use shoal_core::car::v1::section_bytes;

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

/// Live blocks moved with one read and one write.
const MOVED_TOGETHER: usize = 32;
/// Dead blocks deleted in one commit. Bounds memory, and the journal's record.
const DELETED_TOGETHER: usize = 65_536;

/// Deletes every block that no pin keeps, and gives back its room.
///
/// Waits until no session of this process or another writes, and keeps them waiting; a dry run does not. Fails with
/// [`Error::InDag`] (or the bare reason, where it is the root itself) when something under a pin is missing or damaged; then nothing
/// was deleted. Repair it, or remove the pin.
pub fn collect(store: &Store, options: CollectOptions, operation: &Operation) -> Result<Collected> {
    if options.dry_run {
        let (marks, packs) = survey(store, operation)?;
        let mut foreseen = Collected::of(&packs);
        foreseen.count_blobs(store, &marks)?;
        packs.iter().filter(|pack| pack.is_empty()).for_each(|pack| foreseen.count_removed(pack));
        packs.iter().filter(|pack| pack.is_sparse(&options)).for_each(|pack| foreseen.count_rewritten(pack));
        return Ok(foreseen);
    }
    // Before the pins are read: nobody adds any from here on.
    let session = store.write_exclusive()?;
    let (marks, packs) = survey(store, operation)?;
    let mut collected = Collected::of(&packs);
    let blobs = collected.count_blobs(store, &marks)?;
    session.sweep_blobs(&blobs)?;
    delete(store, &session, &packs, &marks, &mut collected, operation)?;
    let mut sparse: Vec<&Census> = packs.iter().filter(|pack| pack.is_sparse(&options)).collect();
    // Those that give most room for the least moving come first.
    sparse.sort_by_key(|pack| pack.live_file_bytes);
    rewrite_all(store, session, &sparse, &mut collected, operation)?;
    Ok(collected)
}

/// What the pins keep, and what of it and of the rest is in which pack.
fn survey(store: &Store, operation: &Operation) -> Result<(Seen, Vec<Census>)> {
    let marks = mark(store, operation)?;
    let packs = take_census(store, &marks, operation)?;
    Ok((marks, packs))
}

/// Gives up empty packs, and then deletes what is dead in the others. What needs least room comes first.
fn delete(
    store: &Store,
    session: &Session,
    packs: &[Census],
    marks: &Seen,
    collected: &mut Collected,
    operation: &Operation,
) -> Result<()> {
    let mut rest: Vec<&Census> = Vec::new();
    for pack in packs {
        if !pack.is_empty() {
            rest.push(pack);
            continue;
        }
        match session.retire(pack.pack) {
            Ok(()) => collected.count_removed(pack),
            // The open pack has to be sealed before it can go.
            Err(Error::Full { .. }) => rest.push(pack),
            Err(error) => return Err(error),
        }
    }
    session.flush()?;
    for pack in rest.into_iter().filter(|pack| pack.dead_blocks > 0) {
        collected.packs_left += u64::from(pack.is_empty());
        delete_dead(store, session, pack.pack, marks, operation)?;
    }
    Ok(())
}

/// Rewrites packs for as long as the disk has room. All dead blocks are deleted already.
fn rewrite_all(store: &Store, mut session: Session, sparse: &[&Census], collected: &mut Collected, operation: &Operation) -> Result<()> {
    for (at, pack) in sparse.iter().enumerate() {
        match rewrite(store, &session, pack.pack, operation) {
            Ok(true) => collected.count_rewritten(pack),
            Ok(false) => collected.packs_left += 1,
            Err(Error::Full { .. }) => {
                collected.packs_left += 1;
                // What was moved and not committed is taken back, and its room with it. Whoever writes in between does no harm:
                // a rewrite moves everything that is not deleted, by then.
                drop(session);
                session = match store.write_exclusive() {
                    Ok(session) => session,
                    Err(Error::Locked { .. }) => {
                        collected.packs_left += (sparse.len() - at - 1) as u64;
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                };
            }
            Err(error) => return Err(error),
        }
    }
    session.commit()
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

/// Everything the pins keep.
fn mark(store: &Store, operation: &Operation) -> Result<Seen> {
    let pins = store.pins()?;
    let mut seen = Seen::new(false);
    let recursive: Vec<Cid> = pins.iter().filter(|pin| pin.kind == PinKind::Recursive).map(|pin| pin.cid.clone()).collect();
    let options = WalkOptions::default();
    walk_on(store, &recursive, options, &mut seen, operation, &mut |_| Ok(()), &mut |lost, error| Err(lost.because(error)))?;
    for pin in pins.iter().filter(|pin| pin.kind == PinKind::Direct) {
        operation.check()?;
        if store.blob_bytes(&pin.cid)?.is_none() {
            store.block(&pin.cid)?;
        }
        seen.insert(&pin.cid);
    }
    Ok(seen)
}

fn take_census(store: &Store, marks: &Seen, operation: &Operation) -> Result<Vec<Census>> {
    let mut packs = Vec::new();
    for stat in store.packs()? {
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
        for entry in store.pack_entries(stat.pack)? {
            operation.check()?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(Error::DamagedSection { .. }) => {
                    census.is_damaged = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if marks.has_block(&entry.cid) {
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

fn delete_dead(store: &Store, session: &Session, pack: u32, marks: &Seen, operation: &Operation) -> Result<()> {
    let mut dead = Vec::new();
    for entry in readable(store, pack)? {
        operation.check()?;
        let entry = entry?;
        if !marks.has_block(&entry.cid) {
            dead.push(entry.cid);
        }
        if dead.len() >= DELETED_TOGETHER {
            session.delete(&dead)?;
            session.flush()?;
            dead.clear();
        }
    }
    session.delete(&dead)?;
    session.flush()
}

/// Moves what is left in a pack into the open one, and retires it. False when a damaged block keeps it where it is.
fn rewrite(store: &Store, session: &Session, pack: u32, operation: &Operation) -> Result<bool> {
    // Else the blocks would be moved to where they are.
    session.seal(pack)?;
    let mut entries = readable(store, pack)?;
    let mut is_whole = true;
    loop {
        operation.check()?;
        let cids = entries.by_ref().take(MOVED_TOGETHER).map(|entry| entry.map(|entry| entry.cid)).collect::<Result<Vec<Cid>>>()?;
        if cids.is_empty() {
            break;
        }
        let mut moved = Vec::with_capacity(cids.len());
        for (cid, block) in cids.iter().zip(store.blocks(&cids)) {
            match block {
                Ok(block) => {
                    store.0.take_list_along(cid)?;
                    moved.push((cid, block));
                }
                // Where it is, it can still be repaired.
                Err(Error::Damaged { .. } | Error::UnsupportedHash { .. }) => is_whole = false,
                Err(error) => return Err(error),
            }
        }
        // All copies go, this one and any other, and one that was just verified comes: in one commit.
        session.delete(&moved.iter().map(|(cid, _)| (*cid).clone()).collect::<Vec<Cid>>())?;
        let blocks: Vec<(&Cid, &[u8])> = moved.iter().map(|(cid, block)| (*cid, &**block)).collect();
        session.put_many(&blocks)?;
        operation.add_files(blocks.len() as u64);
        operation.add_bytes(blocks.iter().map(|(_, block)| block.len() as u64).sum());
    }
    if is_whole {
        session.retire(pack)?;
    }
    session.flush()?;
    Ok(is_whole)
}
