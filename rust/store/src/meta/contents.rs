//! Everything the journal says, after its last record: docs/formats/meta.md §5.

use super::{Check, Op, Pin, References};
use crate::pack::ForeignHeader;
use shoal_core::Cid;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What the journal says of one pack.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PackRecord {
    pub is_sealed: bool,
    /// Committed bytes of the pack file.
    pub length: u64,
    /// Committed blocks, dead ones too.
    pub entries: u64,
    /// Sum of the committed blocks' lengths, dead ones too.
    pub block_bytes: u64,
    pub log_check: Check,
    /// The header of a pack that was adopted, where it is not ours.
    pub header: Option<ForeignHeader>,
    /// Offsets of the sections of dead blocks.
    pub dead: HashSet<u64>,
    pub dead_bytes: u64,
    /// Offsets of the sections of blocks that were found damaged, and are not dead.
    pub damaged: HashSet<u64>,
}

/// §5: everything the journal says, after its last record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Contents {
    pub packs: BTreeMap<u32, PackRecord>,
    /// Packs whose files are to go, or are gone.
    pub retired: BTreeSet<u32>,
    pub pins: BTreeMap<Cid, Pin>,
    /// Blobs by digest, with their lengths in bytes.
    pub blobs: BTreeMap<[u8; 32], u64>,
    /// Blobs whose files are to go, or are gone.
    pub blobs_gone: BTreeSet<[u8; 32]>,
    /// What the blobs and their trees take on the disk, in bytes.
    pub blob_disk_bytes: u64,
    /// Roots with the seconds since 1970 of their last use.
    pub used: BTreeMap<Cid, u64>,
    /// The number of the next pack: no number is used twice.
    pub pack_next: u32,
    /// Tables of references to files elsewhere, by number.
    pub references: BTreeMap<u32, References>,
    /// The number of the next such table: no number is used twice.
    pub references_next: u32,
}

/// What a blob of this length takes with its tree.
fn disk_bytes(bytes: Option<u64>) -> u64 {
    bytes.map_or(0, |bytes| bytes.saturating_add(crate::blob::tree_bytes(bytes)))
}

impl Contents {
    /// Applies one change. Changes to packs that are not there any more have no effect.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::PackOpened { pack } => {
                self.packs.entry(*pack).or_default();
                self.pack_next = self.pack_next.max(pack.saturating_add(1));
            }
            Op::PackCommitted { pack, length, entries, block_bytes, log_check } => {
                if let Some(record) = self.packs.get_mut(pack) {
                    (record.length, record.entries, record.block_bytes) = (*length, *entries, *block_bytes);
                    record.log_check = *log_check;
                }
            }
            Op::PackSealed { pack, length, entries, block_bytes } => {
                if let Some(record) = self.packs.get_mut(pack) {
                    (record.length, record.entries, record.block_bytes) = (*length, *entries, *block_bytes);
                    (record.is_sealed, record.log_check) = (true, Check::default());
                }
            }
            Op::PackAdopted { pack, header } => {
                if let Some(record) = self.packs.get_mut(pack) {
                    record.header = Some(*header);
                }
            }
            Op::PackRetired { pack } => {
                self.packs.remove(pack);
                self.retired.insert(*pack);
            }
            Op::BlocksDead { pack, block_bytes, offsets } => {
                if let Some(record) = self.packs.get_mut(pack) {
                    record.damaged.retain(|offset| offsets.binary_search(offset).is_err());
                    record.dead.extend(offsets);
                    record.dead_bytes = record.dead_bytes.saturating_add(*block_bytes);
                }
            }
            Op::BlocksDamaged { pack, offsets } => {
                if let Some(record) = self.packs.get_mut(pack) {
                    record.damaged.extend(offsets.iter().filter(|offset| !record.dead.contains(offset)));
                }
            }
            Op::PinSet(pin) => {
                self.pins.insert(pin.cid.clone(), pin.clone());
            }
            Op::PinRemoved(cid) => {
                self.pins.remove(cid);
            }
            Op::PackNext { pack } => self.pack_next = self.pack_next.max(*pack),
            Op::BlobSet { digest, bytes } => {
                self.blobs_gone.remove(digest);
                let old = self.blobs.insert(*digest, *bytes);
                self.blob_disk_bytes = self.blob_disk_bytes.saturating_sub(disk_bytes(old)).saturating_add(disk_bytes(Some(*bytes)));
            }
            Op::BlobRemoved { digest } => {
                let old = self.blobs.remove(digest);
                self.blob_disk_bytes = self.blob_disk_bytes.saturating_sub(disk_bytes(old));
                self.blobs_gone.insert(*digest);
            }
            Op::Used { cid, seconds: 0 } => {
                self.used.remove(cid);
            }
            Op::Used { cid, seconds } => {
                self.used.insert(cid.clone(), *seconds);
            }
            Op::ReferencesSet(references) => {
                self.references.insert(references.table, *references);
                self.references_next = self.references_next.max(references.table.saturating_add(1));
            }
            Op::ReferencesRemoved { table } => {
                self.references.remove(table);
                self.references_next = self.references_next.max(table.saturating_add(1));
            }
        }
    }

    /// Length of the snapshot, but for the heads of records.
    pub fn live_bytes(&self) -> u64 {
        let mut one = Vec::new();
        let size = |op: Op| {
            one.clear();
            op.write(&mut one);
            one.len() as u64
        };
        self.snapshot().into_iter().map(size).sum()
    }

    /// §7: the fewest changes that lead from nothing to here.
    pub fn snapshot(&self) -> Vec<Op> {
        let mut ops = vec![Op::PackNext { pack: self.pack_next }];
        for (&pack, record) in &self.packs {
            ops.push(Op::PackOpened { pack });
            ops.extend(record.header.map(|header| Op::PackAdopted { pack, header }));
            let (length, entries, block_bytes) = (record.length, record.entries, record.block_bytes);
            ops.push(if record.is_sealed {
                Op::PackSealed { pack, length, entries, block_bytes }
            } else {
                Op::PackCommitted { pack, length, entries, block_bytes, log_check: record.log_check }
            });
            if !record.dead.is_empty() {
                let mut offsets: Vec<u64> = record.dead.iter().copied().collect();
                offsets.sort_unstable();
                ops.push(Op::BlocksDead { pack, block_bytes: record.dead_bytes, offsets });
            }
            if !record.damaged.is_empty() {
                let mut offsets: Vec<u64> = record.damaged.iter().copied().collect();
                offsets.sort_unstable();
                ops.push(Op::BlocksDamaged { pack, offsets });
            }
        }
        ops.extend(self.retired.iter().map(|&pack| Op::PackRetired { pack }));
        ops.extend(self.pins.values().cloned().map(Op::PinSet));
        ops.extend(self.blobs_gone.iter().map(|&digest| Op::BlobRemoved { digest }));
        ops.extend(self.blobs.iter().map(|(&digest, &bytes)| Op::BlobSet { digest, bytes }));
        // Says which numbers are given out, where the last of them is gone.
        let last = self.references_next.checked_sub(1).filter(|table| !self.references.contains_key(table));
        ops.extend(last.map(|table| Op::ReferencesRemoved { table }));
        ops.extend(self.references.values().copied().map(Op::ReferencesSet));
        ops.extend(self.used.iter().map(|(cid, &seconds)| Op::Used { cid: cid.clone(), seconds }));
        ops
    }
}
