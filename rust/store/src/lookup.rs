//! Reading blocks: finds the copies of one, and checks what stands there.
//!
//! Bytes are read and hashed outside every lock. A copy that fails its hash is never returned; others are tried, and the bad one
//! no longer counts as "here" for puts, which so heal it.

use crate::block::Block;
use crate::disk::{DiskFile, Map};
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::pack::{Key, PackPaths, key, read_copy, section_at};
use crate::state::{Found, State};
use shoal_core::Cid;
use shoal_core::hash::{self, Hash, VerifyError};
use shoal_core::limits::CAR_SECTION_BYTES_MAX;
use std::sync::Arc;

/// From this size on, one system call to map a block's pages is cheaper than a fault for every 64 KiB.
const POPULATE_BYTES_MIN: u64 = 256 * 1024;
/// Blocks hashed side by side at a time by [`Store::blocks`]: as many as SIMD lanes take, twice over.
const VERIFY_BATCH: usize = 32;

enum Source {
    Map(Map, u64),
    File(Arc<dyn DiskFile>),
}

/// A copy of a block, about to be read.
struct Reading {
    found: Found,
    source: Source,
}

/// What stands at a place.
enum Copy {
    Block(Block),
    /// Another block, whose digest is the same number under another hash.
    Other,
    Damaged,
}

impl Reading {
    /// The block's bytes, not yet checked against its hash. All of them are about to be read.
    fn read(&self, cid: &Cid, paths: &PackPaths) -> Result<Copy> {
        let copy = self.locate(cid, paths)?;
        if let Copy::Block(block) = &copy
            && self.found.place.block_bytes() >= POPULATE_BYTES_MIN
        {
            block.will_need();
        }
        Ok(copy)
    }

    /// Where the block's bytes are, of which perhaps few are about to be read.
    fn locate(&self, cid: &Cid, paths: &PackPaths) -> Result<Copy> {
        let place = self.found.place;
        let (map, base, limit) = match &self.source {
            Source::Map(map, limit) => (map.clone(), 0, *limit),
            Source::File(file) => {
                let end = place.offset() + (CAR_SECTION_BYTES_MAX as u64).min(place.block_bytes() + 256);
                let copy = read_copy(&**file, place.offset(), end).map_err(|e| Error::io("reading", &paths.car(self.found.pack), e))?;
                let bytes = copy.len() as u64;
                (Map::from_bytes(copy), place.offset(), bytes)
            }
        };
        let Some(section) = section_at(&map, place.offset() - base, limit) else { return Ok(Copy::Damaged) };
        if section.end - section.block_start != place.block_bytes() || key(&section.cid) != key(cid) {
            return Ok(Copy::Damaged);
        }
        if section.cid.multihash() != cid.multihash() {
            return Ok(Copy::Other);
        }
        Ok(Copy::Block(Block::mapped(map, section.block_start, section.end)))
    }
}

impl State {
    fn reading(&self, found: Found, paths: &PackPaths) -> Result<Option<Reading>> {
        if let Some(active) = self.active.as_ref().filter(|active| active.id == found.pack) {
            let limit = active.committed.min(active.readable);
            let source = if found.place.offset() < active.committed {
                Source::Map(active.map_to(limit).map_err(|e| Error::io("mapping", &paths.car(active.id), e))?, limit)
            } else {
                // It may yet be rolled back and cut off, so no map of it may be handed out.
                Source::File(Arc::clone(&active.file))
            };
            return Ok(Some(Reading { found, source }));
        }
        Ok(self.sealed(found.pack).map(|sealed| Reading { found, source: Source::Map(sealed.map.clone(), sealed.readable) }))
    }
}

impl Inner {
    pub fn has(&self, cid: &Cid, is_committed_only: bool) -> Result<bool> {
        let Some(key) = key(cid) else { return Ok(true) };
        let has = |state: &State| Ok(state.first(&key, is_committed_only)?.is_some() || state.referenced_bytes(&key)?.is_some());
        Ok(self.look_up(has)? || self.blob_bytes(cid).is_some())
    }

    /// The block, checked against its hash unless told otherwise.
    pub fn read(&self, cid: &Cid, is_committed_only: bool, is_verified: bool) -> Result<Block> {
        if let Some(inline) = cid.identity() {
            return Ok(Block::owned(inline));
        }
        if is_verified {
            check_hash(cid)?;
        }
        match self.read_anywhere(cid, is_committed_only, is_verified) {
            Err(Error::NotFound { .. }) if self.blob_bytes(cid).is_some() => Err(self.not_a_block(cid)),
            Err(Error::NotFound { .. } | Error::Damaged { .. } | Error::ChangedFile { .. } | Error::DamagedReferences { .. })
                if self.refresh()? =>
            {
                let again = self.read_anywhere(cid, is_committed_only, is_verified);
                again.map_err(|error| if matches!(error, Error::NotFound { .. }) { self.not_a_block(cid) } else { error })
            }
            other => other,
        }
    }

    /// Out of a pack, or else out of a file outside.
    fn read_anywhere(&self, cid: &Cid, is_committed_only: bool, is_verified: bool) -> Result<Block> {
        match self.read_once(cid, is_committed_only, is_verified) {
            Err(Error::NotFound { .. }) if self.blob_bytes(cid).is_none() => {
                let referenced = self.read_referenced(cid, is_verified)?;
                referenced.ok_or_else(|| Error::NotFound { cid: cid.clone() })
            }
            Err(error @ Error::Damaged { .. }) => match self.read_referenced(cid, is_verified) {
                Ok(Some(block)) => Ok(block),
                Ok(None) | Err(_) => Err(error),
            },
            other => other,
        }
    }

    /// Why a CID that no pack has is no block.
    fn not_a_block(&self, cid: &Cid) -> Error {
        match self.blob_bytes(cid) {
            Some(bytes) => Error::IsBlob { cid: cid.clone(), bytes },
            None => Error::NotFound { cid: cid.clone() },
        }
    }

    fn read_once(&self, cid: &Cid, is_committed_only: bool, is_verified: bool) -> Result<Block> {
        let not_found = || Error::NotFound { cid: cid.clone() };
        let Some(key) = key(cid) else { return Err(not_found()) };
        let Some(found) = self.look_up(|state| state.first(&key, is_committed_only))? else { return Err(not_found()) };
        let reading = self.state().reading(found, &self.paths)?;
        if let Some(reading) = reading
            && let Copy::Block(block) = reading.read(cid, &self.paths)?
            && (!is_verified || hash::verify(cid, &block).is_ok())
        {
            return Ok(block);
        }
        self.read_any_copy(cid, &key, is_committed_only, is_verified)
    }

    /// A copy of a block, not checked against its hash: `None` where no such block stands.
    pub fn unverified_at(&self, cid: &Cid, found: Found) -> Result<Option<Block>> {
        let Some(reading) = self.state().reading(found, &self.paths)? else { return Ok(None) };
        Ok(match reading.locate(cid, &self.paths)? {
            Copy::Block(block) => Some(block),
            Copy::Other | Copy::Damaged => None,
        })
    }

    /// Tries every copy of a block: the first one is bad. Bad ones no longer count as "here" for puts, which so heal them.
    fn read_any_copy(&self, cid: &Cid, key: &Key, is_committed_only: bool, is_verified: bool) -> Result<Block> {
        let copies = self.look_up(|state| {
            let mut all = Vec::new();
            state.find(key, is_committed_only, &mut |found| {
                all.push(found);
                false
            })?;
            Ok(all)
        })?;
        let mut damaged = None;
        for found in copies {
            let Some(reading) = self.state().reading(found, &self.paths)? else { continue };
            match reading.read(cid, &self.paths)? {
                Copy::Block(block) if !is_verified || hash::verify(cid, &block).is_ok() => return Ok(block),
                Copy::Other => {}
                Copy::Block(_) | Copy::Damaged => {
                    self.pending_mut().damaged.insert(found);
                    damaged.get_or_insert(Error::Damaged { cid: cid.clone(), pack: found.pack, offset: found.place.offset() });
                }
            }
        }
        Err(damaged.unwrap_or_else(|| Error::NotFound { cid: cid.clone() }))
    }

    pub fn read_many(&self, cids: &[Cid], is_committed_only: bool) -> Vec<Result<Block>> {
        let mut blocks: Vec<Result<Block>> = Vec::with_capacity(cids.len());
        for batch in cids.chunks(VERIFY_BATCH) {
            let from = blocks.len();
            blocks
                .extend(batch.iter().map(|cid| self.read(cid, is_committed_only, false).and_then(|block| check_hash(cid).map(|()| block))));
            let mut is_good = vec![false; batch.len()];
            let mut lanes = Vec::new();
            for (at, (cid, block)) in batch.iter().zip(blocks.iter().skip(from)).enumerate() {
                let Ok(block) = block else { continue };
                let parts = cid.parts();
                if parts.hash == Hash::Sha256.code() && parts.digest.len() == 32 {
                    lanes.push((at, cid, block));
                } else if let Some(good) = is_good.get_mut(at) {
                    *good = hash::verify(cid, block) != Err(VerifyError::Mismatch);
                }
            }
            let inputs: Vec<&[u8]> = lanes.iter().map(|(_, _, block)| &***block).collect();
            let mut digests = vec![[0; 32]; inputs.len()];
            hash::digest_many(Hash::Sha256, &inputs, &mut digests);
            for ((at, cid, _), digest) in lanes.iter().zip(&digests) {
                if let Some(good) = is_good.get_mut(*at) {
                    *good = cid.digest() == digest;
                }
            }
            for ((cid, block), good) in batch.iter().zip(blocks.iter_mut().skip(from)).zip(is_good) {
                if !good && block.is_ok() {
                    // Once more, alone: tries other copies, and names the damage.
                    *block = self.read(cid, is_committed_only, true);
                }
            }
        }
        blocks
    }
}

fn check_hash(cid: &Cid) -> Result<()> {
    if Hash::from_code(cid.hash()).is_some() { Ok(()) } else { Err(Error::UnsupportedHash { cid: cid.clone() }) }
}
