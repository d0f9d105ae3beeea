//! The quota: how large packs and blobs may be together, and what makes room in them.
//!
//! Roots that no pin keeps are remembered with the time of their last use (docs/formats/meta.md §5.7). When an add needs room, those
//! that were used least recently go first; pinned data never do. The rule kept here: what would be too much is refused before a byte
//! of it is written.

use crate::collect::{CollectOptions, collect_down_to};
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::meta::Op;
use crate::operation::Operation;
use crate::pack::HEADER_BYTES;
use crate::session::Session;
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::car::v1::section_bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// A use is written down again when so many seconds have gone by: so reading a root over and over costs nothing.
const USE_SECONDS: u64 = 60;
/// Uses that wait for a commit, at most; others are not remembered.
const USES_MAX: usize = 4096;

/// Uses that wait for the next commit of this process.
#[derive(Default)]
pub(crate) struct Uses(Mutex<BTreeMap<Cid, u64>>);

impl Uses {
    pub fn take(&self) -> Vec<Op> {
        let waiting = std::mem::take(&mut *locked(&self.0));
        waiting.into_iter().map(|(cid, seconds)| Op::Used { cid, seconds }).collect()
    }
}

/// Seconds since 1970, never 0: that would be "forgotten".
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs().max(1))
}

impl Inner {
    /// What counts for the quota, in bytes: packs, dead blocks in them too, and blobs with their trees.
    pub fn size_bytes(&self) -> u64 {
        let state = self.state();
        let committed: u64 = state.contents.packs.values().fold(0, |sum, record| sum.saturating_add(record.length));
        // A pack that is not open yet has a header to come.
        let open = state.active.as_ref().map_or(HEADER_BYTES, |active| {
            let known = state.contents.packs.get(&active.id).map_or(0, |record| record.length);
            active.written.saturating_sub(known)
        });
        committed.saturating_add(open).saturating_add(state.contents.blob_disk_bytes)
    }

    /// Refuses so many bytes more than the quota has room for.
    pub fn check_quota(&self, bytes: u64) -> Result<()> {
        let bytes_max = self.options.size_max;
        if bytes_max == 0 || self.size_bytes().saturating_add(bytes) <= bytes_max {
            return Ok(());
        }
        Err(Error::OverQuota { bytes, bytes_max })
    }
}

impl Session {
    /// Says, at the commit, that a root was used at this time, in seconds since 1970: where nothing pins it, the quota takes those
    /// first that were used least recently.
    pub fn used(&self, cid: &Cid, seconds: u64) -> Result<()> {
        self.check()?;
        locked(&self.work).others.push(Op::Used { cid: cid.clone(), seconds: seconds.max(1) });
        Ok(())
    }

    pub(crate) fn used_now(&self, cid: &Cid) -> Result<()> {
        self.used(cid, now())
    }

    /// Forgets roots that go, unless they were used since they were looked at.
    pub(crate) fn forget_uses(&self, roots: &[(Cid, u64)]) {
        let state = self.inner.state();
        let unused = roots.iter().filter(|(cid, seconds)| state.contents.used.get(cid) == Some(seconds));
        locked(&self.work).others.extend(unused.map(|(cid, _)| Op::Used { cid: cid.clone(), seconds: 0 }));
    }
}

impl Store {
    /// Takes note that a root is being used, if it is one that the quota may take. Written down with the next commit of this process:
    /// a process that only reads cannot.
    pub fn note_used(&self, cid: &Cid) {
        let now = now();
        let is_news = self.0.state().contents.used.get(cid).is_some_and(|last| now >= last.saturating_add(USE_SECONDS));
        if is_news && !self.0.options.read_only {
            let mut waiting = locked(&self.0.uses.0);
            if waiting.len() < USES_MAX || waiting.contains_key(cid) {
                waiting.insert(cid.clone(), now);
            }
        }
    }

    /// The roots that nothing pins and the quota may take, with the seconds since 1970 of their last use; least recently used first.
    pub fn evictable(&self) -> Result<Vec<(Cid, u64)>> {
        self.0.refresh()?;
        let state = self.0.state();
        let unpinned = state.contents.used.iter().filter(|(cid, _)| !state.contents.pins.contains_key(cid));
        let mut roots: Vec<(Cid, u64)> = unpinned.map(|(cid, seconds)| (cid.clone(), *seconds)).collect();
        drop(state);
        roots.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        Ok(roots)
    }
}

/// Makes room for so many bytes within the quota, as far as pins allow: what nothing keeps goes, and then roots that nothing pins, the
/// least recently used first. Waits for those who began to write before, as a collection does; so not for one's own session.
pub fn make_room(store: &Store, bytes: u64, operation: &Operation) -> Result<()> {
    let bytes_max = store.0.options.size_max;
    if bytes_max == 0 || bytes > bytes_max {
        return Ok(());
    }
    store.0.refresh()?;
    // Packs that are a little dead are written anew only if there is no other way.
    for dead_percent_max in [10, 0] {
        if store.0.check_quota(bytes).is_ok() {
            break;
        }
        let live_bytes_max = (bytes_max - bytes) / 10 * 9;
        let options = CollectOptions { dead_percent_max, ..CollectOptions::default() };
        collect_down_to(store, options, live_bytes_max, operation)?;
    }
    Ok(())
}

/// [`make_room`] for those of some blocks that are not here.
pub fn make_room_for_blocks(store: &Store, blocks: &[(&Cid, &[u8])], operation: &Operation) -> Result<()> {
    if store.0.options.size_max == 0 {
        return Ok(());
    }
    let cids: Vec<Cid> = blocks.iter().map(|(cid, _)| (*cid).clone()).collect();
    let missing = store.has_many(&cids)?.into_iter().zip(blocks).filter(|(is_here, _)| !is_here);
    make_room(store, missing.map(|(_, (cid, data))| section_bytes(cid, data.len()) as u64).sum(), operation)
}

/// Room that a stream of unknown length finds, as a part of the quota.
const STREAM_PART: u64 = 16;

/// [`make_room`] for a stream, whose length may be unknown.
pub(crate) fn make_room_for_stream(store: &Store, bytes: Option<u64>, operation: &Operation) -> Result<()> {
    make_room(store, bytes.unwrap_or(store.0.options.size_max / STREAM_PART), operation)
}

/// [`make_room`] for files and folders.
pub(crate) fn make_room_for(store: &Store, sources: &[PathBuf], operation: &Operation) -> Result<()> {
    if store.0.options.size_max == 0 {
        return Ok(());
    }
    let mut bytes = 0u64;
    for source in sources {
        bytes = bytes.saturating_add(bytes_under(source, operation)?);
    }
    make_room(store, bytes, operation)
}

/// The lengths of all files under a path together. What cannot be read is for whoever adds it to say.
fn bytes_under(path: &Path, operation: &Operation) -> Result<u64> {
    let mut waiting = vec![path.to_owned()];
    let mut bytes = 0u64;
    while let Some(path) = waiting.pop() {
        operation.check()?;
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.is_dir() {
            waiting.extend(path.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            bytes = bytes.saturating_add(metadata.len());
        }
    }
    Ok(bytes)
}
