//! Packs that others wrote: how a file becomes one as it is.
//!
//! Its blocks were all checked before (`archive/adopt.rs`, `recover.rs`). The rule kept here: such a file is never written to, since
//! somebody else may know it by another name.

use crate::disk::DiskFile;
use crate::error::{Error, Result};
use crate::index::PackIndex;
use crate::inner::{Inner, locked};
use crate::meta::Op;
use crate::pack::{Entry, ForeignHeader, HEADER, HEADER_BYTES, Sealed};
use std::path::Path;
use std::sync::{Arc, MutexGuard};

/// A file of sound sections.
pub(crate) struct Foreign {
    pub header: ForeignHeader,
    /// End of the last section.
    pub length: u64,
    /// Of the blocks that have a key, each time they come.
    pub entries: Vec<Entry>,
}

/// More tries than other sessions have packs to open between two looks.
const TRIES_MAX: usize = 16;

impl Inner {
    /// Makes a file of the store's folder a pack, and commits it: the pack's number. pack.md §10
    ///
    /// Its index is durable before it has a pack's name, so that a recovery tells it from a pack that may be written to.
    pub fn adopt(&self, staged: &Path, file: &dyn DiskFile, mut foreign: Foreign) -> Result<u32> {
        let turn = locked(&self.turn);
        self.check_poison()?;
        let pack = self.reserve(&turn)?;
        let path = self.paths.car(pack);
        let folder = self.paths.folder();
        let named = self.write_foreign_index(pack, &mut foreign).and_then(|index| {
            self.disk.sync_dir(folder).map_err(|e| Error::io("syncing", folder, e))?;
            self.disk.link(staged, &path).map_err(|e| Error::io("naming", &path, e))?;
            self.disk.sync_dir(folder).map_err(|e| Error::io("syncing", folder, e))?;
            let _ = self.disk.remove(staged);
            self.take_in_sealed(&turn, pack, file, &foreign, index)
        });
        if named.is_err() && self.check_poison().is_ok() {
            // After a failed sync of the journal the next writer decides.
            let _ = self.disk.remove(&path);
            let _ = self.disk.remove(&self.paths.idx(pack));
        }
        named.map(|()| pack)
    }

    /// Takes in a file that has the name of a pack and that the journal does not know.
    pub fn take_in(&self, pack: u32, file: &dyn DiskFile, mut foreign: Foreign) -> Result<()> {
        let turn = locked(&self.turn);
        let index = Sealed::write_index(&*self.disk, &self.paths, pack, foreign.length, &mut foreign.entries, false)?;
        let folder = self.paths.folder();
        self.disk.sync_dir(folder).map_err(|e| self.poisoned(Error::io("syncing", folder, e)))?;
        self.take_in_sealed(&turn, pack, file, &foreign, index)
    }

    /// A number that no pack has or will have, above that of the open pack, which the journal knows then.
    fn reserve(&self, turn: &MutexGuard<'_, ()>) -> Result<u32> {
        for _ in 0..TRIES_MAX {
            self.commit_now(turn, Vec::new())?;
            let append = locked(&self.append);
            let mut state = self.state_mut();
            // Numbers below the next one are taken to be committed: the open pack must be so first (store.md §7.4).
            if state.active.as_ref().is_none_or(|active| active.is_named) {
                let mut pack = state.contents.pack_next;
                while self.disk.identity(&self.paths.car(pack)).is_ok() {
                    pack = pack.saturating_add(1);
                }
                state.contents.pack_next = pack.saturating_add(1);
                return Ok(pack);
            }
            let is_empty = state.active.as_ref().is_some_and(|active| active.entries().is_empty());
            drop(state);
            drop(append);
            if is_empty {
                self.seal(turn)?;
            }
        }
        Err(Error::Locked { pid: Some(std::process::id()) })
    }

    /// The index of a pack to be, sure to stand on the disk.
    fn write_foreign_index(&self, pack: u32, foreign: &mut Foreign) -> Result<PackIndex> {
        let _ = self.disk.remove(&self.paths.idx(pack));
        Sealed::write_index_file(&*self.disk, &self.paths, pack, foreign.length, &mut foreign.entries)
    }

    /// Commits a file that has the name of a pack, as a sealed one.
    fn take_in_sealed(
        &self,
        _turn: &MutexGuard<'_, ()>,
        pack: u32,
        file: &dyn DiskFile,
        foreign: &Foreign,
        index: PackIndex,
    ) -> Result<()> {
        let &Foreign { header, length, ref entries } = foreign;
        let path = self.paths.car(pack);
        file.sync_data().map_err(|e| Error::io("syncing", &path, e))?;
        let readable = file.identity().map_err(|e| Error::io("reading", &path, e))?.bytes.min(length);
        let map = file.map(readable).map_err(|e| Error::io("mapping", &path, e))?;
        let block_bytes = entries.iter().map(|entry| entry.place.block_bytes()).sum();
        let count = entries.len() as u64;
        let mut ops = vec![Op::PackOpened { pack }];
        if map.get(0, HEADER_BYTES) != Some(&HEADER[..]) {
            ops.push(Op::PackAdopted { pack, header });
        }
        ops.push(Op::PackSealed { pack, length, entries: count, block_bytes });
        self.write_journal(&ops)?;
        let mut state = self.state_mut();
        state.version += 1;
        state.apply(&ops);
        let at = state.sealed.partition_point(|other| other.id < pack);
        state.sealed.insert(at, Arc::new(Sealed { id: pack, readable, map, index }));
        state.arrange();
        Ok(())
    }
}
