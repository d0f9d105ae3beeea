//! Checking every byte of the store, and bringing back what is lost.

use crate::cid::Cid;
use crate::operation::{Watch, run};
use crate::store::Store;
use pyo3::prelude::*;
use shoal_store::verify::{self, RepairFrom, Repaired, VerifyOptions, repair, verify_with};
use std::ffi::OsString;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// CID, pack (none for a blob, and outside), offset, reason, path outside.
type Damage = (Option<Cid>, Option<u32>, u64, String, Option<OsString>);
/// Root, names, offset in the file, CID, whether it is missing.
type Hurt = (Cid, Vec<OsString>, Option<u64>, Cid, bool);
/// Blocks, their bytes, damages, missing blocks, hurt roots, whether all is sound, hurt paths, how many of them, packs and blobs
/// passed over, blocks repaired, their bytes.
type Report = (u64, u64, Vec<Damage>, Vec<Cid>, Vec<Cid>, bool, Vec<Hurt>, u64, u64, u64, u64);

#[pymethods]
impl Store {
    #[pyo3(signature = (rate, checkpoint, repair_from, watch))]
    fn verify(
        &self,
        py: Python<'_>,
        rate: Option<NonZeroU64>,
        checkpoint: Option<PathBuf>,
        repair_from: Option<PathBuf>,
        watch: Watch,
    ) -> PyResult<Report> {
        let open = self.open(py)?;
        let options = VerifyOptions { bytes_per_second: rate, checkpoint };
        let done = run(py, &watch, |operation| match repair_from {
            Some(path) => repair(&open.store, &RepairFrom::open(&path)?, &options, operation),
            None => Ok(Repaired { report: verify_with(&open.store, &options, operation)?, ..Repaired::default() }),
        })?;
        let is_sound = done.report.is_sound();
        let found = done.report;
        let damaged = found.damaged.into_iter();
        let row = |damage: verify::Damage| {
            let path = damage.path.map(PathBuf::into_os_string);
            (damage.cid.map(Cid), damage.pack, damage.offset, damage.reason.to_string(), path)
        };
        let damaged = damaged.map(row).collect();
        let hurt = found.hurt_paths.into_iter().map(|path| {
            let names = path.names.into_iter().map(OsString::from_vec).collect();
            (Cid(path.root), names, path.offset, Cid(path.cid), path.is_missing)
        });
        let cids = |cids: Vec<shoal_core::Cid>| cids.into_iter().map(Cid).collect();
        Ok((
            found.blocks,
            found.bytes,
            damaged,
            cids(found.missing),
            cids(found.hurt_roots),
            is_sound,
            hurt.collect(),
            found.hurt_paths_count,
            found.resumed,
            done.blocks,
            done.bytes,
        ))
    }
}
