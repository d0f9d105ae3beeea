//! Reading blocks that stand in files outside.
//!
//! A read opens the file, looks whether it is as it was, reads the leaf and hashes it. No handle is kept: opening costs a hundredth of
//! what hashing a leaf does, and what is not kept open cannot be stale, nor run out.

use super::{Change, Leaf, ReferenceTable, path_of};
use crate::block::Block;
use crate::error::{Error, Result};
use crate::index::BadPage;
use crate::inner::Inner;
use crate::pack::{Key, key};
use crate::state::{BadIndex, State};
use shoal_core::Cid;
use shoal_core::hash;
use std::sync::Arc;

impl State {
    /// Every place of a block in files outside, the newest table first, until `each` says to stop. Whether it said so.
    pub fn find_referenced(
        &self,
        key: &Key,
        each: &mut dyn FnMut(&Arc<ReferenceTable>, Leaf) -> bool,
    ) -> std::result::Result<bool, BadIndex> {
        for table in self.references.iter().rev() {
            let found = table.find(key, &mut |_, leaf| each(table, leaf));
            if found.map_err(|BadPage| BadIndex::References(table.about.table))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The length of a block that is referenced, as far as the tables say.
    pub fn referenced_bytes(&self, key: &Key) -> std::result::Result<Option<u64>, BadIndex> {
        let mut bytes = None;
        self.find_referenced(key, &mut |_, leaf| {
            bytes = Some(u64::from(leaf.bytes));
            true
        })?;
        Ok(bytes)
    }
}

impl Inner {
    /// The length of a block that is referenced. Its file is not looked at.
    pub fn referenced_bytes(&self, cid: &Cid) -> Result<Option<u64>> {
        let Some(key) = key(cid) else { return Ok(None) };
        self.look_up(|state| state.referenced_bytes(&key))
    }

    /// A block out of a file outside, whichever of them still has it; `None` when none is known to. Fails with what is wrong with the
    /// first that should have it.
    pub fn read_referenced(&self, cid: &Cid, is_verified: bool) -> Result<Option<Block>> {
        let Some(key) = key(cid) else { return Ok(None) };
        let sources = self.look_up(|state| {
            let mut sources = Vec::new();
            state.find_referenced(&key, &mut |table, leaf| {
                if u64::from(leaf.hash) == cid.hash() {
                    sources.push((Arc::clone(table), leaf));
                }
                false
            })?;
            Ok(sources)
        })?;
        let mut failure = None;
        for (table, leaf) in sources {
            match self.read_leaf(cid, &table, &leaf, is_verified) {
                Ok(block) => return Ok(Some(block)),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        let damaged = || self.state().references_bad.first().map(|table| Error::DamagedReferences { path: path_of(&self.root, *table) });
        failure.or_else(damaged).map_or(Ok(None), Err)
    }

    fn read_leaf(&self, cid: &Cid, table: &ReferenceTable, leaf: &Leaf, is_verified: bool) -> Result<Block> {
        let file = table.file(leaf.file).map_err(|BadPage| Error::DamagedReferences { path: path_of(&self.root, table.about.table) })?;
        let bytes = usize::try_from(leaf.bytes).unwrap_or(usize::MAX);
        let read = match file.open(&*self.disk)? {
            Ok(open) => file.read(&*open, leaf.offset, bytes)?,
            Err(change) => Err(change),
        };
        let change = match read {
            Ok(data) if !is_verified || hash::verify(cid, &data).is_ok() => return Ok(Block::owned(&data)),
            Ok(_) => Change::Content,
            Err(change) => change,
        };
        Err(Error::ChangedFile { cid: cid.clone(), path: file.path, offset: leaf.offset, change })
    }

    /// Whether some file outside has the block, sound.
    pub fn has_sound_reference(&self, key: &Key) -> Result<bool> {
        let cid = self.look_up(|state| {
            let mut cid = None;
            state.find_referenced(key, &mut |_, leaf| {
                cid = leaf.cid();
                true
            })?;
            Ok(cid)
        })?;
        Ok(cid.is_some_and(|cid| matches!(self.read_referenced(&cid, true), Ok(Some(_)))))
    }
}
