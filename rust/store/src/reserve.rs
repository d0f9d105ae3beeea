//! Room kept back for the day when the disk is full, so that it can be emptied again (docs/formats/store.md §8).
//!
//! A file of bytes that nobody reads. It is given up when a record that makes room meets a full disk (a pin removed, blocks
//! deleted, a pack retired), and made again by the next writer who finds room. The rule kept here: putting blocks never gets at it.

use crate::disk::write_all_at;
use crate::inner::Inner;
use crate::meta::Op;
use std::io::{ErrorKind, IoSlice};
use std::path::PathBuf;

/// Length of the reserve, unless [`crate::Options`] say otherwise: journal records of some hundred thousand deletions.
pub(crate) const RESERVE_BYTES: u64 = 1024 * 1024;
/// Written at a time.
const STEP_BYTES: usize = 64 * 1024;

/// Whether a change makes room, at once or at the next collection. A collection forgets the roots that it deletes.
fn is_freeing(op: &Op) -> bool {
    matches!(
        op,
        Op::PinRemoved(_)
            | Op::BlocksDead { .. }
            | Op::PackRetired { .. }
            | Op::BlobRemoved { .. }
            | Op::ReferencesRemoved { .. }
            | Op::Used { seconds: 0, .. }
    )
}

/// Whether a transaction may have the reserve.
pub(crate) fn may_use_reserve(ops: &[Op]) -> bool {
    ops.iter().any(is_freeing)
}

impl Inner {
    fn reserve_path(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Makes the reserve as long as it should be, or as long as the disk has room. Called with the store's lock held. Whatever
    /// fails here is no error: there is less in reserve, that is all.
    pub fn keep_reserve(&self) {
        let wanted = self.options.reserve_bytes;
        let path = self.reserve_path();
        let found = self.disk.identity(&path);
        if wanted == 0 || found.as_ref().is_ok_and(|found| found.bytes >= wanted) {
            return;
        }
        let file = match found {
            Ok(_) => self.disk.open(&path, true),
            Err(e) if e.kind() == ErrorKind::NotFound => self.disk.create(&path),
            Err(e) => Err(e),
        };
        let Ok(file) = file else { return };
        let Ok(mut at) = file.identity().map(|file| file.bytes) else { return };
        // Bytes that no file system can make smaller: what is compressed away is not kept back.
        let mut noise = blake3::Hasher::new().update(b"shoal reserve").finalize_xof();
        noise.set_position(at);
        let mut step = vec![0; STEP_BYTES];
        while at < wanted {
            let bytes = usize::try_from(wanted - at).map_or(STEP_BYTES, |left| left.min(STEP_BYTES));
            let Some(part) = step.get_mut(..bytes) else { return };
            noise.fill(part);
            if write_all_at(&*file, &mut [IoSlice::new(part)], at).is_err() {
                // What of it was written is kept back all the same.
                return;
            }
            at += bytes as u64;
        }
    }

    /// Gives the reserve up: whether there was one.
    pub fn give_up_reserve(&self) -> bool {
        self.disk.identity(&self.reserve_path()).is_ok_and(|found| found.bytes > 0) && self.disk.remove(&self.reserve_path()).is_ok()
    }
}
