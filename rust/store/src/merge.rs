//! The merged view over many sealed packs (`index/`), so that a lookup does not probe each of them.
//!
//! Made when more than eight sealed packs are uncovered. A new one swallows the ones that are not larger than it, so every entry
//! is written again some log2(packs) times and no more. All of it is disposable: without it lookups probe each pack and are
//! right all the same. Format: docs/formats/pack-index.md §5.

use crate::disk::Disk;
use crate::index::{BadPage, MergedEntry, MergedIndex};
use crate::inner::Inner;
use crate::pack::{Sealed, write_disposable};
use crate::state::State;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, TryLockError};

/// §5: sealed packs that lookups may probe one by one.
const UNCOVERED_MAX: usize = 8;

/// A merged index, and its file.
pub(crate) struct Merged {
    pub index: MergedIndex,
    path: PathBuf,
}

/// All packs that the next merged index is to cover, by number, and the merged ones among its sources.
type Inputs = (Vec<Arc<Sealed>>, Vec<Arc<Merged>>);

fn is_merged_name(name: &str) -> bool {
    name.strip_suffix(".mrg").is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_digit()))
}

fn open(disk: &dyn Disk, path: &Path) -> Option<MergedIndex> {
    let file = disk.open(path, false).ok()?;
    let bytes = file.identity().ok()?.bytes;
    MergedIndex::open(file.map(bytes).ok()?).ok()
}

impl Inner {
    fn index_folder(&self) -> PathBuf {
        self.root.join("index")
    }

    /// Takes in the merged indexes on disk, where they would help: the largest first, and none that overlap.
    pub fn load_merged(&self, state: &mut State) {
        if state.uncovered.len() <= UNCOVERED_MAX {
            return;
        }
        let folder = self.index_folder();
        let Ok(names) = self.disk.list(&folder) else { return };
        let known: HashSet<PathBuf> = state.merged.iter().map(|merged| merged.path.clone()).collect();
        let paths = names.iter().filter(|name| is_merged_name(name)).map(|name| folder.join(name)).filter(|path| !known.contains(path));
        let mut all = std::mem::take(&mut state.merged);
        all.extend(paths.filter_map(|path| Some(Arc::new(Merged { index: open(&*self.disk, &path)?, path }))));
        all.sort_by_key(|merged| Reverse(merged.index.packs.len()));
        let mut covered = HashSet::new();
        for merged in all {
            // Its slots are right only for indexes that hold all that the pack ever held.
            let is_sound = |pack: &u32| {
                let entries = state.contents.packs.get(pack).map(|record| record.entries);
                state.sealed(*pack).is_none_or(|sealed| Some(sealed.index.len()) == entries)
            };
            let packs = &merged.index.packs;
            if packs.iter().all(is_sound) && packs.iter().all(|pack| !covered.contains(pack)) {
                covered.extend(packs.iter().copied());
                state.merged.push(merged);
            }
        }
        state.arrange();
    }

    /// Makes a merged index when too many packs are uncovered. Holds no lock while it works; failing is not an error.
    pub fn merge_if_many(&self) {
        let _alone = match self.merging.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let Some((packs, swallowed)) = self.inputs() else { return };
        let folder = self.index_folder();
        let Ok(names) = self.disk.list(&folder) else { return };
        let last = names.iter().filter(|name| is_merged_name(name)).filter_map(|name| name.strip_suffix(".mrg")?.parse::<u64>().ok()).max();
        let path = folder.join(format!("{:08}.mrg", last.map_or(0, |last| last.saturating_add(1))));
        let numbers: Vec<u32> = packs.iter().map(|sealed| sealed.id).collect();
        let entries = packs.iter().map(|sealed| sealed.index.len()).sum();
        let written = write_disposable(&*self.disk, &path, &mut |sink| {
            MergedIndex::write(&numbers, entries, &mut Merge::new(&packs, &swallowed), sink)
        });
        if written.is_err() {
            return;
        }
        let Some(index) = open(&*self.disk, &path) else { return };
        {
            let mut state = self.state_mut();
            state.merged.retain(|merged| !swallowed.iter().any(|other| Arc::ptr_eq(merged, other)));
            state.merged.push(Arc::new(Merged { index, path }));
            state.arrange();
        }
        for merged in &swallowed {
            let _ = self.disk.remove(&merged.path);
        }
    }

    /// What the next merged index is made of; `None` while there is no need for one.
    fn inputs(&self) -> Option<Inputs> {
        let state = self.state();
        if state.uncovered.len() <= UNCOVERED_MAX {
            return None;
        }
        let is_whole =
            |sealed: &&Arc<Sealed>| state.contents.packs.get(&sealed.id).is_some_and(|record| record.entries == sealed.index.len());
        let mut packs: Vec<Arc<Sealed>> = state.uncovered.iter().filter(is_whole).take(MergedIndex::PACKS_MAX).cloned().collect();
        if packs.len() <= UNCOVERED_MAX {
            return None;
        }
        let mut by_size: Vec<Arc<Merged>> = state.merged.clone();
        by_size.sort_by_key(|merged| merged.index.packs.len());
        let mut swallowed = Vec::new();
        for merged in by_size {
            if merged.index.packs.len() > packs.len() || merged.index.packs.len() + packs.len() > MergedIndex::PACKS_MAX {
                break;
            }
            packs.extend(merged.index.packs.iter().filter_map(|pack| state.sealed(*pack).cloned()));
            swallowed.push(merged);
        }
        packs.sort_by_key(|sealed| sealed.id);
        Some((packs, swallowed))
    }

    /// Gives up a merged index that turned out bad.
    pub fn drop_merged(&self, state: &mut State, at: usize) {
        if at < state.merged.len() {
            let merged = state.merged.remove(at);
            if !self.options.read_only {
                let _ = self.disk.remove(&merged.path);
            }
        }
    }

    /// Removes merged indexes that are not in use: swallowed by others, bad, or of packs long gone; and temporary files.
    pub fn tidy_merged(&self) {
        let folder = self.index_folder();
        let Ok(names) = self.disk.list(&folder) else { return };
        let used: HashSet<PathBuf> = self.state().merged.iter().map(|merged| merged.path.clone()).collect();
        for name in names {
            let path = folder.join(&name);
            // While few packs are uncovered none is loaded, and those on disk may still serve; they are small then.
            let is_unused = is_merged_name(&name) && !used.is_empty() && !used.contains(&path);
            if is_unused || name.ends_with(".new") {
                let _ = self.disk.remove(&path);
            }
        }
    }
}

enum Source {
    Pack(Arc<Sealed>),
    Merged(Arc<Merged>),
}

/// Many sorted sources as one.
struct Merge {
    sources: Vec<(Source, u64)>,
    heads: BinaryHeap<Reverse<(MergedEntry, usize)>>,
    live: HashSet<u32>,
    failed: bool,
}

impl Merge {
    fn new(packs: &[Arc<Sealed>], swallowed: &[Arc<Merged>]) -> Self {
        let inside: HashSet<u32> = swallowed.iter().flat_map(|merged| merged.index.packs.iter().copied()).collect();
        let single = packs.iter().filter(|sealed| !inside.contains(&sealed.id)).map(|sealed| (Source::Pack(Arc::clone(sealed)), 0));
        let merged = swallowed.iter().map(|merged| (Source::Merged(Arc::clone(merged)), 0));
        let live = packs.iter().map(|sealed| sealed.id).collect();
        let mut merge = Self { sources: single.chain(merged).collect(), heads: BinaryHeap::new(), live, failed: false };
        for at in 0..merge.sources.len() {
            merge.advance(at);
        }
        merge
    }

    fn advance(&mut self, at: usize) {
        while let Some((source, slot)) = self.sources.get_mut(at) {
            let entry = match source {
                Source::Pack(sealed) if *slot < sealed.index.len() => sealed.index.entry(*slot).map(|entry| MergedEntry {
                    prefix: entry.key.first_chunk::<8>().map_or(0, |head| u64::from_be_bytes(*head)),
                    pack: sealed.id,
                    slot: u32::try_from(*slot).unwrap_or(u32::MAX),
                }),
                Source::Merged(merged) if *slot < merged.index.len() => merged.index.entry(*slot),
                _ => return,
            };
            *slot += 1;
            match entry {
                // Of a pack that was retired since.
                Ok(entry) if !self.live.contains(&entry.pack) => {}
                Ok(entry) => {
                    self.heads.push(Reverse((entry, at)));
                    return;
                }
                Err(BadPage) => {
                    self.failed = true;
                    return;
                }
            }
        }
    }
}

impl Iterator for Merge {
    type Item = Result<MergedEntry, BadPage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return Some(Err(BadPage));
        }
        let Reverse((entry, at)) = self.heads.pop()?;
        self.advance(at);
        Some(Ok(entry))
    }
}
