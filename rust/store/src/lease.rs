//! Leases: blocks that stay for as long as somebody says so, without a pin.
//!
//! A block is noted before it is looked for, so what a lease was told is here stays here, whichever collection begins meanwhile. Nobody
//! waits for a lease, and it is not durable: it ends with the value, or with the process.

use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::pack::{Key, key};
use crate::session::Session;
use crate::store::Store;
use crate::walk::{Source, WalkOptions, walk};
use crate::{Block, inner::locked};
use shoal_core::Cid;

/// Blocks that one lease keeps, at most: some 40 bytes of memory for each.
pub const LEASE_BLOCKS_MAX: usize = 1 << 24;

/// Keeps what is looked up through it from every collection, until it is dropped. Holds the store's lock against other processes.
#[derive(Debug)]
pub struct Lease {
    session: Session,
}

impl Store {
    /// Opens a lease. Waits up to `Options::lock_wait` for other processes that write, then fails with [`Error::Locked`].
    pub fn lease(&self) -> Result<Lease> {
        let session = self.write()?;
        // What it keeps is noted from its beginning, so no collection has to wait for it.
        locked(&session.inner.gate).alive.remove(&session.number());
        Ok(Lease { session })
    }
}

impl Lease {
    /// Of each block, whether it is here; if so it stays. Those that are not here stay from when somebody puts them.
    pub fn has_many(&self, cids: &[Cid]) -> Result<Vec<bool>> {
        let keys: Vec<Key> = cids.iter().filter_map(key).collect();
        if !self.session.inner.holds.lease(self.session.number(), &keys, LEASE_BLOCKS_MAX) {
            return Err(Error::Options(format!("a lease keeps at most {LEASE_BLOCKS_MAX} blocks; pin what is to stay")));
        }
        self.session.stay_many(cids)
    }

    /// Keeps all that is under a root: how many blocks. Fails as [`crate::pinning::add`] does where it is not whole.
    pub fn keep(&self, root: &Cid, operation: &Operation) -> Result<u64> {
        let mut blocks = 0;
        walk(self, std::slice::from_ref(root), WalkOptions::default(), operation, &mut |_| {
            blocks += 1;
            Ok(())
        })?;
        Ok(blocks)
    }
}

impl Source for Lease {
    fn blocks(&self, cids: &[Cid]) -> Vec<Result<Block>> {
        match self.has_many(cids) {
            Ok(_) => Source::blocks(&self.session, cids),
            Err(error) => cids.iter().map(|_| Err(error.duplicate())).collect(),
        }
    }

    fn size(&self, cid: &Cid) -> Result<u64> {
        self.has_many(std::slice::from_ref(cid))?;
        Source::size(&self.session, cid)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.session.inner.holds.end_lease(self.session.number());
    }
}
