//! Reading ahead of a walk, so that the hashes of siblings are checked side by side.
//!
//! A block is read once: what was read ahead waits, within bounds, until the walk takes it.

use super::Source;
use crate::block::Block;
use crate::error::{Error, Result};
use shoal_core::Cid;
use shoal_core::cid::codec;
use std::collections::HashMap;

/// What was found of one block.
#[derive(Debug)]
pub(super) struct Found {
    pub bytes: u64,
    /// None for leaves that were only looked up.
    pub block: Option<Block>,
}

/// Siblings read together: as many as SHA-256 takes side by side, twice over.
const READ_TOGETHER: usize = 32;
/// Links looked at to find them.
const LOOK_AHEAD: usize = 256;
/// Blocks that may wait to be visited. Beyond that, blocks are read one at a time.
const AHEAD_MAX: usize = 4096;
/// Bytes of copied (not mapped) blocks that may wait.
const AHEAD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What was read and not yet visited.
pub(super) struct Ahead {
    read_leaves: bool,
    waiting: HashMap<Cid, Result<Found>>,
    copied_bytes: usize,
}

impl Ahead {
    pub fn new(read_leaves: bool) -> Self {
        Self { read_leaves, waiting: HashMap::new(), copied_bytes: 0 }
    }

    /// The block `cid`; and with it, some of those that will be wanted `next` are read.
    pub fn take<'c>(&mut self, source: &dyn Source, cid: &Cid, next: impl Iterator<Item = &'c Cid>) -> Result<Found> {
        if self.is_leaf(cid) {
            return source.size(cid).map(|bytes| Found { bytes, block: None });
        }
        if let Some(content) = cid.identity() {
            return Ok(Found { bytes: content.len() as u64, block: Some(Block::owned(content)) });
        }
        if !self.waiting.contains_key(cid) {
            self.read(source, cid, next);
        }
        let found = self.waiting.remove(cid).unwrap_or_else(|| Err(Error::NotFound { cid: cid.clone() }))?;
        self.copied_bytes = self.copied_bytes.saturating_sub(copied_bytes(&found));
        Ok(found)
    }

    /// Whether a look into the index is enough.
    fn is_leaf(&self, cid: &Cid) -> bool {
        cid.codec() == codec::RAW && !self.read_leaves
    }

    fn read<'c>(&mut self, source: &dyn Source, cid: &Cid, next: impl Iterator<Item = &'c Cid>) {
        let mut wanted = vec![cid.clone()];
        if self.waiting.len() < AHEAD_MAX && self.copied_bytes < AHEAD_BYTES_MAX {
            for cid in next.take(LOOK_AHEAD) {
                let is_read = self.is_leaf(cid) || cid.identity().is_some() || self.waiting.contains_key(cid);
                if !is_read && !wanted.contains(cid) {
                    wanted.push(cid.clone());
                    if wanted.len() == READ_TOGETHER {
                        break;
                    }
                }
            }
        }
        let blocks = source.blocks(&wanted);
        for (cid, block) in wanted.into_iter().zip(blocks) {
            let found = block.map(|block| Found { bytes: block.len() as u64, block: Some(block) });
            self.copied_bytes += found.as_ref().map_or(0, copied_bytes);
            self.waiting.insert(cid, found);
        }
    }
}

fn copied_bytes(found: &Found) -> usize {
    found.block.as_ref().filter(|block| !block.is_mapped()).map_or(0, |block| block.len())
}
