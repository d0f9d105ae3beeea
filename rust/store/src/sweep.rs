//! What the collector gives up while others write: never what a session holds.
//!
//! Each step takes its locks for a moment. A copy is given up under the lock under which puts look, so that whoever comes later
//! stores the block again, and whoever came before is seen to hold it.

use crate::blob::{BlobPaths, digest_of};
use crate::error::{Error, Result};
use crate::inner::locked;
use crate::pack::Key;
use crate::session::{Pending, Session};
use crate::state::{BadIndex, Found, State};
use shoal_core::Cid;
use std::sync::PoisonError;

/// Blobs removed in one commit, during which no blob is finished.
const BLOBS_TOGETHER: usize = 256;

/// Holds looked at under the lock under which puts look, at most, as long as the disk's indexes are sound.
const HELD_TOGETHER: usize = 1000;

/// Of these blocks, those that have a live copy in a pack and none elsewhere that counts.
fn only_in(state: &State, pending: &Pending, pack: u32, keys: &[Key]) -> std::result::Result<Vec<Found>, BadIndex> {
    let mut only = Vec::new();
    for key in keys {
        let mut here = None;
        let is_elsewhere = state.find(key, false, &mut |found| {
            if found.pack == pack {
                here.get_or_insert(found);
            }
            found.pack != pack && pending.counts(state, found)
        })?;
        only.extend(here.filter(|found| !is_elsewhere && !pending.goes(*found)));
    }
    Ok(only)
}

impl Session {
    /// How many blocks are held so far: what [`Self::give_up`] asks for.
    pub(crate) fn held(&self) -> usize {
        self.inner.holds.len()
    }

    /// Moves blocks out of a pack, into the open one.
    pub(crate) fn move_out(&self, pack: u32, blocks: &[(&Cid, &[u8])]) -> Result<()> {
        self.check()?;
        self.inner.put_many(blocks, Some(pack)).map(|_| ())
    }

    /// Gives up a sealed pack, at the commit, whoever else writes. Everything that is to stay was moved out of it, as far as it was
    /// held when the holds were `held` many. What was taken hold of since, and has no copy elsewhere, is still the caller's to move:
    /// it is returned. When it `must_be_empty` and is not, nothing is given up.
    pub(crate) fn give_up(&self, pack: u32, mut held: usize, must_be_empty: bool) -> Result<Vec<Found>> {
        self.check()?;
        // Without the lock for as long as there is much to look at.
        let mut wanted = Vec::new();
        loop {
            let more = self.inner.holds.since(held);
            held += more.len();
            wanted.extend(self.only_here(pack, &more)?);
            if more.len() < HELD_TOGETHER {
                break;
            }
        }
        loop {
            let bad = {
                let state = self.inner.state();
                let mut pending = self.inner.pending_mut();
                // Nobody is told of a copy in the pack while we look.
                let last = self.inner.holds.since(held);
                match only_in(&state, &pending, pack, &last) {
                    Ok(last) => {
                        wanted.extend(last);
                        if must_be_empty && !wanted.is_empty() {
                            return Ok(wanted);
                        }
                        if state.contents.packs.contains_key(&pack) && pending.retiring.insert(pack) {
                            pending.rescued.extend(&wanted);
                            locked(&self.work).retired.push(pack);
                        }
                        None
                    }
                    Err(bad) => Some(bad),
                }
            };
            let Some(bad) = bad else { break };
            self.inner.mend(bad, false)?;
        }
        self.inner.state_mut().version += 1;
        Ok(wanted)
    }

    fn only_here(&self, pack: u32, keys: &[Key]) -> Result<Vec<Found>> {
        self.inner.look_up(|state| only_in(state, &self.inner.pending(), pack, keys))
    }

    /// Takes [`Self::give_up`] back, before the commit.
    pub(crate) fn keep(&self, pack: u32) {
        let mut pending = self.inner.pending_mut();
        let mut work = locked(&self.work);
        if let Some(at) = work.retired.iter().position(|retired| *retired == pack) {
            work.retired.swap_remove(at);
            pending.retiring.remove(&pack);
            pending.rescued.retain(|found| found.pack != pack);
        }
    }

    /// Whether a session holds the block.
    pub(crate) fn is_held(&self, key: &Key) -> bool {
        self.inner.holds.has(key)
    }

    /// Deletes copies at the commit, except for blocks that sessions hold: how many.
    pub(crate) fn discard_unheld(&self, copies: &[(Key, Found)]) -> u64 {
        let mut pending = self.inner.pending_mut();
        let mut work = locked(&self.work);
        let before = work.dead.len();
        work.dead.extend(
            copies.iter().filter(|(key, found)| !self.inner.holds.has(key) && pending.dead.insert(*found)).map(|(_, found)| *found),
        );
        (work.dead.len() - before) as u64
    }

    /// Syncs what was appended so far, with no lock held, so that the commit finds little left to sync.
    pub(crate) fn sync_ahead(&self) -> Result<()> {
        let Some((file, pack)) = self.inner.state().active.as_ref().map(|active| (std::sync::Arc::clone(&active.file), active.id)) else {
            return Ok(());
        };
        file.sync_data().map_err(|e| self.inner.poisoned(Error::io("syncing", &self.inner.paths.car(pack), e)))
    }

    /// Removes blobs, in commits that are made here, except for those that sessions hold: the ones that went.
    pub(crate) fn sweep_blobs(&self, dead: &[Cid], pause: &mut dyn FnMut()) -> Result<Vec<Cid>> {
        let mut gone = Vec::new();
        for some in dead.chunks(BLOBS_TOGETHER) {
            pause();
            let _naming = self.inner.naming.write().unwrap_or_else(PoisonError::into_inner);
            for cid in some {
                let Some(digest) = digest_of(cid) else { continue };
                if !self.is_held(&digest) && self.inner.pending_blob(&digest).is_none() && self.delete_blob(digest) {
                    gone.push(cid.clone());
                }
            }
            self.flush()?;
        }
        Ok(gone)
    }

    /// Removes files of blobs that nobody knows, which a crash may have left.
    pub(crate) fn sweep_orphans(&self, pause: &mut dyn FnMut()) {
        let (disk, blobs) = (&*self.inner.disk, &self.inner.blobs);
        for fan in disk.list(blobs.paths.folder()).unwrap_or_default().into_iter().filter(|name| name.len() == 2) {
            pause();
            let folder = blobs.paths.folder().join(&fan);
            for name in disk.list(&folder).unwrap_or_default() {
                let Some((digest, "data" | "tree" | "tree.new" | "damaged")) = BlobPaths::parse(&name) else { continue };
                let _deciding = locked(&blobs.deciding);
                if !self.inner.state().contents.blobs.contains_key(&digest) && self.inner.pending_blob(&digest).is_none() {
                    let _ = disk.remove(&folder.join(name));
                }
            }
        }
    }
}
