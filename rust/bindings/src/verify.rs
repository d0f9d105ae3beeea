//! Checking every byte of the store.

use crate::cid::Cid;
use crate::operation::{Watch, run};
use crate::store::Store;
use pyo3::prelude::*;

/// CID, pack (none for a blob), offset, reason.
type Damage = (Option<Cid>, Option<u32>, u64, String);
/// Blocks, their bytes, damages, missing blocks, hurt roots, whether all is sound.
type Report = (u64, u64, Vec<Damage>, Vec<Cid>, Vec<Cid>, bool);

#[pymethods]
impl Store {
    fn verify(&self, py: Python<'_>, watch: Watch) -> PyResult<Report> {
        let open = self.open(py)?;
        let found = run(py, &watch, |operation| shoal_store::verify::verify(&open.store, operation))?;
        let is_sound = found.is_sound();
        let damaged = found.damaged.into_iter();
        let damaged = damaged.map(|damage| (damage.cid.map(Cid), damage.pack, damage.offset, damage.reason.to_string())).collect();
        let cids = |cids: Vec<shoal_core::Cid>| cids.into_iter().map(Cid).collect();
        Ok((found.blocks, found.bytes, damaged, cids(found.missing), cids(found.hurt_roots), is_sound))
    }
}
