//! What the store knows of its packs while it is open, and where in them a block stands.
//!
//! Nothing here reads a block: a place is an answer, its bytes are `lookup.rs`'.

use crate::index::BadPage;
use crate::merge::Merged;
use crate::meta::{Contents, Op};
use crate::pack::{Active, Key, Place, Sealed};
use crate::reference::ReferenceTable;
use shoal_core::Cid;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where a copy of a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Found {
    pub pack: u32,
    pub place: Place,
}

/// Keys looked for side by side: enough to hide how long memory takes, few enough to stay in the processor's nearest cache.
const TOGETHER: usize = 64;

/// An index that must be built again before the lookup can be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BadIndex {
    Pack(u32),
    Merged(usize),
    References(u32),
}

/// Everything lookups need, under one lock.
#[derive(Default)]
pub(crate) struct State {
    pub contents: Contents,
    /// Ascending by number.
    pub sealed: Vec<Arc<Sealed>>,
    pub active: Option<Active>,
    pub merged: Vec<Arc<Merged>>,
    /// The sealed packs that no merged index covers, newest first.
    pub uncovered: Vec<Arc<Sealed>>,
    pub missing: Vec<u32>,
    /// Tables of references to files outside, ascending by number.
    pub references: Vec<Arc<ReferenceTable>>,
    /// Tables of those that the journal names and that cannot be used.
    pub references_bad: BTreeSet<u32>,
    /// Whether the packs are as `contents` says. Not so after a failed refresh, which is then done again.
    pub is_reconciled: bool,
    pub has_dead: bool,
    pub has_damaged: bool,
    /// Grows whenever what a put has looked up may no longer hold.
    pub version: u64,
}

impl State {
    pub fn sealed(&self, pack: u32) -> Option<&Arc<Sealed>> {
        self.sealed.binary_search_by_key(&pack, |sealed| sealed.id).ok().and_then(|at| self.sealed.get(at))
    }

    /// Whether a committed blob has this digest.
    pub fn has_blob(&self, cid: &Cid) -> bool {
        crate::blob::digest_of(cid).is_some_and(|digest| self.contents.blobs.contains_key(&digest))
    }

    pub fn is_live(&self, found: Found) -> bool {
        !self.has_dead || !self.contents.packs.get(&found.pack).is_some_and(|record| record.dead.contains(&found.place.offset()))
    }

    pub fn note_marks(&mut self) {
        self.has_dead = self.contents.packs.values().any(|record| !record.dead.is_empty());
        self.has_damaged = self.contents.packs.values().any(|record| !record.damaged.is_empty());
    }

    /// Whether the journal says that this copy is damaged.
    pub fn is_damaged(&self, found: Found) -> bool {
        self.has_damaged && self.contents.packs.get(&found.pack).is_some_and(|record| record.damaged.contains(&found.place.offset()))
    }

    /// Every live copy of a block, until `each` says to stop. Whether it said so.
    pub fn find(&self, key: &Key, is_committed_only: bool, each: &mut dyn FnMut(Found) -> bool) -> Result<bool, BadIndex> {
        if let Some(active) = &self.active {
            let pack = active.id;
            let mut live = |place| {
                let found = Found { pack, place };
                self.is_live(found) && each(found)
            };
            if active.find(key, is_committed_only, &mut live) {
                return Ok(true);
            }
        }
        for (at, merged) in self.merged.iter().enumerate() {
            let mut bad = BadIndex::Merged(at);
            let found = merged.index.find(key, &mut |pack, slot| {
                // Packs retired since are simply passed over.
                let Some(sealed) = self.sealed(pack) else { return Ok(false) };
                bad = BadIndex::Pack(pack);
                let entry = sealed.index.entry(slot)?;
                bad = BadIndex::Merged(at);
                let found = Found { pack, place: entry.place };
                Ok(entry.key == *key && self.is_live(found) && each(found))
            });
            match found {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(BadPage) => return Err(bad),
            }
        }
        for sealed in &self.uncovered {
            let pack = sealed.id;
            let mut live = |place| {
                let found = Found { pack, place };
                self.is_live(found) && each(found)
            };
            if sealed.index.find(key, &mut live).map_err(|BadPage| BadIndex::Pack(pack))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Of each key, whether `is_wanted` takes one of its live copies: [`Self::find`] for many, which waits for memory once and not for
    /// each in turn.
    pub fn has_many(&self, keys: &[&Key], is_committed_only: bool, is_wanted: &dyn Fn(Found) -> bool) -> Result<Vec<bool>, BadIndex> {
        let mut has = vec![false; keys.len()];
        for (keys, has) in keys.chunks(TOGETHER).zip(has.chunks_mut(TOGETHER)) {
            self.has_some(keys, is_committed_only, &|found| self.is_live(found) && is_wanted(found), has)?;
        }
        Ok(has)
    }

    fn has_some(
        &self,
        keys: &[&Key],
        is_committed_only: bool,
        is_wanted: &dyn Fn(Found) -> bool,
        has: &mut [bool],
    ) -> Result<(), BadIndex> {
        let mut note = |at: usize| has.get_mut(at).into_iter().for_each(|has| *has = true);
        // Those not found yet, and where they stand among all.
        let mut left: Vec<(usize, &Key)> = keys.iter().copied().enumerate().collect();
        if let Some(active) = &self.active {
            let pack = active.id;
            left.retain(|&(at, key)| {
                let is_here = active.find(key, is_committed_only, &mut |place| is_wanted(Found { pack, place }));
                if is_here {
                    note(at);
                }
                !is_here
            });
        }
        for (which, merged) in self.merged.iter().enumerate() {
            let wanted: Vec<&Key> = left.iter().map(|(_, key)| *key).collect();
            let candidates = merged.index.find_many(&wanted).map_err(|BadPage| BadIndex::Merged(which))?;
            // Packs retired since are simply passed over.
            let candidates: Vec<_> = candidates.into_iter().filter_map(|(at, pack, slot)| Some((at, self.sealed(pack)?, slot))).collect();
            candidates.iter().for_each(|(_, sealed, slot)| sealed.index.touch(*slot));
            let mut is_here = vec![false; wanted.len()];
            for (at, sealed, slot) in candidates {
                let entry = sealed.index.entry(slot).map_err(|BadPage| BadIndex::Pack(sealed.id))?;
                if wanted.get(at) == Some(&&entry.key)
                    && is_wanted(Found { pack: sealed.id, place: entry.place })
                    && let Some(is_here) = is_here.get_mut(at)
                {
                    *is_here = true;
                }
            }
            retain_absent(&mut left, is_here, &mut note);
        }
        for sealed in &self.uncovered {
            let pack = sealed.id;
            let wanted: Vec<&Key> = left.iter().map(|(_, key)| *key).collect();
            let is_here = sealed.index.find_many(&wanted, &mut |place| is_wanted(Found { pack, place }));
            retain_absent(&mut left, is_here.map_err(|BadPage| BadIndex::Pack(pack))?, &mut note);
        }
        Ok(())
    }

    pub fn first(&self, key: &Key, is_committed_only: bool) -> Result<Option<Found>, BadIndex> {
        let mut first = None;
        self.find(key, is_committed_only, &mut |found| {
            first = Some(found);
            true
        })?;
        Ok(first)
    }

    /// Of some places of a pack, those of live blocks.
    pub fn retain_live(&self, pack: u32, places: &[Place]) -> Vec<Place> {
        places.iter().copied().filter(|place| self.is_live(Found { pack, place: *place })).collect()
    }

    /// The places of a pack's live blocks, in the order of the file; `None` when there is no such pack.
    pub fn places(&self, pack: u32, is_committed_only: bool) -> Result<Option<Vec<Place>>, BadIndex> {
        let mut places = Vec::new();
        if let Some(active) = self.active.as_ref().filter(|active| active.id == pack) {
            let limit = if is_committed_only { active.committed_entries } else { usize::MAX };
            places.extend(active.entries().iter().take(limit).map(|entry| entry.place));
        } else if let Some(sealed) = self.sealed(pack) {
            for slot in 0..sealed.index.len() {
                places.push(sealed.index.entry(slot).map_err(|BadPage| BadIndex::Pack(pack))?.place);
            }
            places.sort_unstable();
        } else {
            return Ok(None);
        }
        places.retain(|place| self.is_live(Found { pack, place: *place }));
        Ok(Some(places))
    }

    /// Notes changes that were made to the journal. The packs themselves are the caller's to put right.
    pub fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            self.contents.apply(op);
        }
        self.note_marks();
    }

    /// Works out again which packs are not covered.
    pub fn arrange(&mut self) {
        let covered: std::collections::HashSet<u32> = self.merged.iter().flat_map(|merged| merged.index.packs.iter().copied()).collect();
        self.uncovered = self.sealed.iter().rev().filter(|sealed| !covered.contains(&sealed.id)).cloned().collect();
    }
}

/// Keeps those that are not here, and notes the others.
fn retain_absent(left: &mut Vec<(usize, &Key)>, is_here: Vec<bool>, note: &mut dyn FnMut(usize)) {
    let mut is_here = is_here.into_iter();
    left.retain(|(at, _)| {
        let is_here = is_here.next().unwrap_or(false);
        if is_here {
            note(*at);
        }
        !is_here
    });
}
