//! Verification: every byte of every pack hashed again, and which pinned DAGs are hurt.
//!
//! Reads at the speed of the hash, on all cores. Mends what can be made again from the packs (their indexes and tree files), and nothing else:
//! damaged blocks are named, for someone who has them to bring back.
//! The rule kept here: what was not looked at is not called sound.

mod blob;
mod checkpoint;
mod links;
mod pace;
mod pack;
mod paths;
mod reference;
mod repair;
mod roots;

pub use paths::HurtPath;
pub use repair::{RepairFrom, Repaired, repair};

use crate::error::Result;
use crate::operation::Operation;
use crate::pack::Key;
use crate::reference::Change;
use crate::store::Store;
use checkpoint::Checkpoint;
use links::Links;
use pace::Pace;
use shoal_core::Cid;
use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;

/// What is wrong at a place of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The block does not match its CID.
    Block,
    /// What stands in front of the block, its length and CID, is not what was written.
    Head,
    /// The block's hash is one that Shoal cannot compute.
    UnknownHash,
    /// Bytes that belong to no block.
    Stray,
    /// The pack does not begin as a pack does.
    Header,
    /// The file ends here, before what was committed.
    Cut,
    /// There is no such file.
    Missing,
    /// A group of a blob does not lead up to its digest.
    Group,
    /// Neither the tree of a blob nor its data as a whole lead up to its digest.
    Tree,
    /// The file outside that the block is in is not as it was.
    File(Change),
    /// A table of references to files outside cannot be read, or not all of it.
    References,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(change) => return write!(f, "the file {change}"),
            Self::References => "the table is damaged, and nobody knows which files it named",
            Self::Block => "the block does not match its hash",
            Self::Head => "the length or CID in front of the block is damaged",
            Self::UnknownHash => "the block's hash is not supported, so it cannot be checked",
            Self::Stray => "bytes that belong to no block",
            Self::Header => "the pack's header is damaged",
            Self::Cut => "the file was cut short here",
            Self::Missing => "the file is missing",
            Self::Group => "16 KiB of the blob from here on do not match its hash",
            Self::Tree => "the blob's tree is damaged, and its data do not match its hash",
        })
    }
}

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The block that is lost there. None where its name is lost too, or no block is.
    pub cid: Option<Cid>,
    /// The pack; none for a blob, which has files of its own, and for files outside.
    pub pack: Option<u32>,
    /// The file outside, or the table that names such files.
    pub path: Option<PathBuf>,
    /// Where the section begins in the pack, the damage in the blob, or the block in the file outside, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks and blobs looked at.
    pub blocks: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// Damaged places, by pack and offset: the first [`DAMAGES_MAX`] of them.
    pub damaged: Vec<Damage>,
    /// All of them.
    pub damaged_count: u64,
    /// Blocks under pins that are nowhere in the store, as far as they can be told: the first [`DAMAGES_MAX`].
    pub missing: Vec<Cid>,
    /// Pins that do not keep what they promise: something of theirs is missing or damaged.
    pub hurt_roots: Vec<Cid>,
    /// What is lost under them, by name: the first [`PATHS_MAX`], each by the first way that leads to it.
    pub hurt_paths: Vec<HurtPath>,
    /// All of them.
    pub hurt_paths_count: u64,
    /// Packs and blobs that were not looked at, since an earlier verification that was stopped had found them sound.
    pub resumed: u64,
    /// Packs whose index was missing, bad, or did not say what the pack says, and was made again: now, or since the store was
    /// opened.
    pub indexes_rebuilt: Vec<u32>,
    /// Whether the merged index did not say what those of the packs say. It is done without, until it is made again.
    pub is_merged_rebuilt: bool,
    /// Packs whose tree file did not say what the pack says, and was made again where it can be written.
    pub pack_trees_rebuilt: Vec<u32>,
    /// Blobs whose tree was bad, and was made again from their data.
    pub blob_trees_rebuilt: Vec<Cid>,
    /// Packs whose log of commits is bad. It is done without, and goes when the pack is full.
    pub logs_damaged: Vec<u32>,
}

/// Most places and CIDs a report names. The counts go on.
pub const DAMAGES_MAX: usize = 65_536;
/// Most lost blocks a report names with their paths.
pub const PATHS_MAX: usize = 1000;

/// How to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Read no faster than this.
    pub bytes_per_second: Option<NonZeroU64>,
    /// A file, none of the store's, in which to note what was found sound, and to go on from if it is there. It is removed at the end.
    pub checkpoint: Option<PathBuf>,
}

/// What the parts of a verification share.
struct Run<'a> {
    store: &'a Store,
    operation: &'a Operation,
    pace: Pace,
    checkpoint: Option<Checkpoint>,
}

impl VerifyReport {
    /// Counts a damaged place, and names it while there is room.
    fn note(&mut self, damage: Damage) {
        self.damaged_count += 1;
        if self.damaged.len() < DAMAGES_MAX {
            self.damaged.push(damage);
        }
    }

    /// Whether every block is sound and every pin whole. Indexes and tree files that were made again are no harm.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged_count == 0 && self.missing.is_empty() && self.hurt_roots.is_empty()
    }
}

/// Hashes every live block and blob of the store again, and looks whether the pins are whole.
///
/// Finds every changed byte of the packs but one: the codec in the CID in front of a block, which no hash covers. Nothing rests on
/// it: blocks are looked up by their multihash, and links name the codec themselves.
/// `operation` counts blocks as files. Needs no lock: what is added meanwhile is not looked at. Damage is in the report; an error
/// means that the verification could not be done.
pub fn verify(store: &Store, operation: &Operation) -> Result<VerifyReport> {
    verify_with(store, &VerifyOptions::default(), operation)
}

/// As [`verify`], at a rate, or in several goes.
pub fn verify_with(store: &Store, options: &VerifyOptions, operation: &Operation) -> Result<VerifyReport> {
    verify_fully(store, options, operation).map(|(report, _)| report)
}

/// The report, and the keys of blocks and blobs that are lost: damaged, with no sound copy.
fn verify_fully(store: &Store, options: &VerifyOptions, operation: &Operation) -> Result<(VerifyReport, HashSet<Key>)> {
    let mut report = VerifyReport::default();
    store.refresh()?;
    let checkpoint = options.checkpoint.as_deref().map(Checkpoint::open).transpose()?;
    let run = Run { store, operation, pace: Pace::new(options.bytes_per_second), checkpoint };
    let links = Links::default();
    let damaged = pack::verify_packs(&run, &links, &mut report)?;
    let mut lost = pack::without_other_copy(store, &damaged)?;
    let blobs = blob::verify_blobs(&run, &mut report)?;
    lost.extend(blobs.iter().filter_map(crate::pack::key));
    reference::verify_references(&run, &mut report, &mut lost)?;
    // Where something is damaged, or was not looked at, or was looked up in an index that lied, they say nothing.
    let is_index_sound = report.indexes_rebuilt.is_empty() && !report.is_merged_rebuilt;
    let links = Some(links).filter(|_| is_index_sound && report.damaged_count == 0 && report.resumed == 0 && lost.is_empty());
    roots::verify_roots(store, &lost, links, &mut report, operation)?;
    report.indexes_rebuilt.extend(store.recovery().unwrap_or_default().indexes_rebuilt);
    report.indexes_rebuilt.sort_unstable();
    report.indexes_rebuilt.dedup();
    if let Some(checkpoint) = run.checkpoint {
        checkpoint.finish()?;
    }
    Ok((report, lost))
}
