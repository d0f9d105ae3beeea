//! Repair: takes what a verification found damaged or missing from another store or an archive, and nothing else.
//!
//! The rule kept here: what is taken was hashed against the CID that it is wanted under.

use super::{VerifyOptions, VerifyReport, roots, verify_fully};
use crate::error::{Error, Result};
use crate::ingest::{AddOptions, add_stream};
use crate::operation::Operation;
use crate::pack::{Key, key};
use crate::read::FileReader;
use crate::store::{Options, Store};
use shoal_core::Cid;
use shoal_core::hash;
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read};
use std::path::Path;

/// Where sound blocks may be.
pub enum RepairFrom {
    /// Another store.
    Store(Store),
    /// A CAR, version 1 or 2. Read from its beginning for each level of DAGs that have more missing than their first block.
    Archive(std::path::PathBuf),
}

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was found, less what was healed.
    pub report: VerifyReport,
    /// Blocks and blobs that were brought back.
    pub blocks: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
}

/// Levels of a DAG that are brought back one after the other: deeper ones are not made by anybody.
const ROUNDS_MAX: usize = shoal_core::limits::DAG_DEPTH_MAX;
/// Blocks put in one go, by number and by bytes.
const TOGETHER: usize = 256;
const TOGETHER_BYTES: usize = 16 * 1024 * 1024;

impl RepairFrom {
    /// Opens a store's folder for reading, or names an archive.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Store::open_path(path, Options { read_only: true, ..Options::default() }).map(Self::Store);
        }
        match std::fs::File::open(path) {
            Ok(_) => Ok(Self::Archive(path.to_owned())),
            Err(e) => Err(Error::io("opening", path, e)),
        }
    }
}

/// Verifies, brings back what it can, and says what is left.
///
/// Damaged copies go when their block has come. Blocks under a missing node are looked for once the node is here.
pub fn repair(store: &Store, from: &RepairFrom, options: &VerifyOptions, operation: &Operation) -> Result<Repaired> {
    let (mut report, mut lost) = verify_fully(store, options, operation)?;
    let mut done = Repaired::default();
    let mut tried = HashSet::new();
    for _ in 0..ROUNDS_MAX {
        let wanted = wanted(&report, &lost, &mut tried);
        if wanted.is_empty() {
            break;
        }
        let (blobs, blocks): (Vec<Cid>, Vec<Cid>) = wanted.into_iter().partition(|cid| store.0.blob_bytes(cid).is_some());
        let mut healed = bring_blocks(store, from, &blocks, &mut done, operation)?;
        healed.extend(bring_blobs(store, from, &blobs, &mut done, operation)?);
        if healed.is_empty() {
            break;
        }
        let is_healed = |cid: &Cid| key(cid).is_some_and(|key| healed.contains(&key));
        let before = report.damaged.len();
        report.damaged.retain(|damage| !damage.cid.as_ref().is_some_and(is_healed));
        report.damaged_count = report.damaged_count.saturating_sub((before - report.damaged.len()) as u64);
        lost.retain(|key| !healed.contains(key));
        (report.missing, report.hurt_roots, report.hurt_paths, report.hurt_paths_count) = (vec![], vec![], vec![], 0);
        roots::verify_roots(store, &lost, None, &mut report, operation)?;
    }
    done.report = report;
    Ok(done)
}

/// Every CID that is to be brought back and was not looked for yet.
fn wanted(report: &VerifyReport, lost: &HashSet<Key>, tried: &mut HashSet<Key>) -> Vec<Cid> {
    let damaged = report.damaged.iter().filter_map(|damage| damage.cid.as_ref());
    let damaged = damaged.filter(|cid| key(cid).is_some_and(|key| lost.contains(&key)));
    let met = report.hurt_paths.iter().map(|path| &path.cid);
    let all = damaged.chain(&report.missing).chain(met);
    all.filter(|cid| key(cid).is_some_and(|key| tried.insert(key))).cloned().collect()
}

/// Puts sound blocks, in commits of a bounded size.
struct Taking<'a> {
    store: &'a Store,
    blocks: Vec<(Cid, Vec<u8>)>,
    bytes: usize,
    healed: HashSet<Key>,
}

impl Taking<'_> {
    fn take(&mut self, cid: &Cid, data: &[u8], done: &mut Repaired) -> Result<()> {
        if hash::verify(cid, data).is_err() {
            return Ok(());
        }
        self.bytes += data.len();
        done.blocks += 1;
        done.bytes += data.len() as u64;
        self.blocks.push((cid.clone(), data.to_vec()));
        if self.blocks.len() >= TOGETHER || self.bytes >= TOGETHER_BYTES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<()> {
        let blocks = std::mem::take(&mut self.blocks);
        self.bytes = 0;
        if blocks.is_empty() {
            return Ok(());
        }
        let session = self.store.write()?;
        session.put_many(&blocks.iter().map(|(cid, data)| (cid, data.as_slice())).collect::<Vec<_>>())?;
        session.commit()?;
        self.healed.extend(blocks.iter().filter_map(|(cid, _)| key(cid)));
        Ok(())
    }
}

fn bring_blocks(store: &Store, from: &RepairFrom, wanted: &[Cid], done: &mut Repaired, operation: &Operation) -> Result<HashSet<Key>> {
    let mut taking = Taking { store, blocks: Vec::new(), bytes: 0, healed: HashSet::new() };
    match from {
        RepairFrom::Store(other) => {
            for some in wanted.chunks(TOGETHER) {
                operation.check()?;
                for (cid, block) in some.iter().zip(other.blocks(some)) {
                    match block {
                        Ok(block) => taking.take(cid, &block, done)?,
                        // It does not have it, or not sound either.
                        Err(Error::NotFound { .. } | Error::Damaged { .. } | Error::UnsupportedHash { .. } | Error::IsBlob { .. }) => {}
                        Err(Error::ChangedFile { .. } | Error::DamagedReferences { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        RepairFrom::Archive(path) => {
            let by_key: BTreeMap<Key, &Cid> = wanted.iter().filter_map(|cid| Some((key(cid)?, cid))).collect();
            crate::archive::scan(path, operation, &mut |cid, data| {
                let Some(wanted) = key(cid).and_then(|key| by_key.get(&key)) else { return Ok(()) };
                let is_new = key(wanted).is_some_and(|key| !taking.healed.contains(&key));
                if is_new { taking.take(wanted, data, done) } else { Ok(()) }
            })?;
        }
    }
    taking.commit()?;
    Ok(taking.healed)
}

/// A blob of another store, from its beginning, verified group by group.
struct Whole {
    file: FileReader,
    at: u64,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.at, buffer).map_err(io::Error::other)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Stores damaged blobs once more, whole: those that came.
fn bring_blobs(store: &Store, from: &RepairFrom, wanted: &[Cid], done: &mut Repaired, operation: &Operation) -> Result<HashSet<Key>> {
    let mut healed = HashSet::new();
    let RepairFrom::Store(other) = from else { return Ok(healed) };
    for cid in wanted {
        operation.check()?;
        let Some(bytes) = other.blob_bytes(cid)? else { continue };
        let profile = Profile { layout: Layout::Blob, ..Profile::blake3() };
        let options = AddOptions { profile, pin: false, ..AddOptions::default() };
        let mut whole = Whole { file: FileReader::open(other, cid)?, at: 0 };
        let added = add_stream(store, &mut whole, "blob".into(), &options, &Operation::new(), &mut |_| operation.check());
        match added {
            Ok(added) if added.roots.iter().any(|root| root.cid == *cid) => {
                done.blocks += 1;
                done.bytes += bytes;
                healed.extend(key(cid));
            }
            // Damaged there too; what was stored of it under another name is nobody's.
            Ok(_) | Err(Error::Stream(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(healed)
}
