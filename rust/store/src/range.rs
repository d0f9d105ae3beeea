//! Reading a part of a block: only the groups it touches are hashed, where the block's list of values is known.
//!
//! A list is looked for in memory, then in the pack's tree file; else the block is checked whole, as ever, and its list kept, so that
//! it is fast from then on. Tree files grow in this way, and those that lie are written anew: nobody waits for one.
//! The rule kept here: a list that does not fit proves nothing against a block; only the block's own hash does.

use crate::block::Block;
use crate::error::Result;
use crate::group_list::{GroupList, GroupLists, has_list};
use crate::index::BadPage;
use crate::inner::{Inner, locked};
use crate::pack::{Entry, Place, key, replace};
use crate::pack_tree::PackTree;
use crate::state::{BadIndex, Found};
use shoal_core::Cid;
use shoal_core::bao::{GROUP_BYTES, Value, groups};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What is known of a pack's tree file.
#[derive(Default)]
struct TreeFile {
    /// None where it was not looked for yet.
    open: Option<Option<Arc<PackTree>>>,
    /// Whether it has lied: nothing of it is taken over into the next one.
    is_distrusted: bool,
    /// Whether it could not be written: then it is left alone.
    is_unwritable: bool,
    /// Values made since it was written, by readers of the pack.
    unsaved: u64,
}

/// The lists of a store: those in memory, and the tree files.
#[derive(Default)]
pub(crate) struct Trees {
    pub lists: GroupLists,
    files: Mutex<HashMap<u32, TreeFile>>,
    /// Values made by writers since a tree file was last written.
    noted: AtomicU64,
    /// Held by whoever writes a tree file.
    saving: Mutex<()>,
}

/// So many values are worth a tree file that is not due otherwise: those of 16 MiB, whose hashing takes longer than writing it.
const SAVED_VALUES_MIN: u64 = 1024;

/// Part of a block that was asked for, checked.
pub(crate) enum Part {
    /// All of the block.
    Whole(Block),
    /// In the buffer given: from this place in the block on, which has so many bytes in all.
    Groups { start: u64, block_bytes: u64 },
}

/// What a reader knows of the reads to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// The rest of the block is likely to be asked for next: a list is used, and not made.
    Sequential,
    /// Any place is.
    Random,
}

impl Trees {
    /// Keeps the lists of blocks that are about to be put.
    pub fn note(&self, lists: Vec<Arc<GroupList>>) {
        let values = lists.iter().map(|list| AsRef::<[Value]>::as_ref(&**list).len() as u64).sum();
        self.noted.fetch_add(values, Ordering::Relaxed);
        self.lists.put(lists);
    }

    /// Looks for the tree files again, of the packs that there are now: others may have written them.
    pub fn look_again(&self, is_there: impl Fn(u32) -> bool) {
        locked(&self.files).retain(|&pack, file| {
            file.open = None;
            is_there(pack)
        });
    }

    fn is_distrusted(&self, pack: u32) -> bool {
        locked(&self.files).get(&pack).is_some_and(|file| file.is_distrusted)
    }

    /// Nothing that the pack's tree file says is believed from now on, until it is written anew.
    pub fn distrust(&self, pack: u32) {
        let mut files = locked(&self.files);
        let file = files.entry(pack).or_default();
        (file.open, file.is_distrusted, file.unsaved) = (Some(None), true, file.unsaved.max(SAVED_VALUES_MIN));
    }
}

impl Inner {
    /// Bytes of a block, at least those of `within`, which is not empty: checked, in `buffer` or as the whole block.
    pub fn read_part(&self, cid: &Cid, within: Range<u64>, ahead: Ahead, buffer: &mut Vec<u8>) -> Result<Part> {
        buffer.clear();
        let whole = || self.read(cid, true, true).map(Part::Whole);
        let Some(found) = key(cid).map(|key| self.look_up(|state| state.first(&key, true))).transpose()?.flatten() else {
            return whole();
        };
        let bytes = found.place.block_bytes();
        let first = within.start / GROUP_BYTES as u64;
        let (start, end) = (first * GROUP_BYTES as u64, within.end.min(bytes).next_multiple_of(GROUP_BYTES as u64).min(bytes));
        if !has_list(bytes) || start >= end || end - start > bytes / 2 {
            return whole();
        }
        let Some(list) = self.group_list(cid, found) else {
            return if ahead == Ahead::Sequential { whole() } else { self.read_and_list(cid, found).map(Part::Whole) };
        };
        if let Some(block) = self.unverified_at(cid, found)?
            && let (Ok(from), Ok(to), Ok(first)) = (usize::try_from(start), usize::try_from(end), usize::try_from(first))
            && let Some(groups) = block.get(from..to)
        {
            // Copied, then checked: what is handed out is what was hashed.
            buffer.extend_from_slice(groups);
            if list.fits(first, buffer) {
                return Ok(Part::Groups { start, block_bytes: bytes });
            }
            buffer.clear();
        }
        // The copy is damaged, and the next line finds another or says so; or the list is not the block's.
        let block = self.read(cid, true, true)?;
        if !list.is_sound(&block) {
            self.trees.distrust(found.pack);
            self.keep_list(found, GroupList::check(cid, &block));
        }
        Ok(Part::Whole(block))
    }

    /// The block, checked, and its list made on the way.
    fn read_and_list(&self, cid: &Cid, found: Found) -> Result<Block> {
        if let Some(block) = self.unverified_at(cid, found)?
            && let Some(list) = GroupList::check(cid, &block)
        {
            self.keep_list(found, Some(list));
            return Ok(block);
        }
        self.read(cid, true, true)
    }

    /// Keeps a list that a reader made, and writes the pack's tree file where that is worth it.
    fn keep_list(&self, found: Found, list: Option<GroupList>) {
        let Some(list) = list.map(Arc::new) else { return };
        let is_due = {
            let mut files = locked(&self.trees.files);
            let file = files.entry(found.pack).or_default();
            file.unsaved += groups(found.place.block_bytes());
            let saved = file.open.iter().flatten().map(|tree| tree.len()).sum::<u64>();
            // So a file is written as often as its length doubles.
            !file.is_unwritable && file.unsaved >= SAVED_VALUES_MIN.max(saved)
        };
        self.trees.lists.put([list]);
        if is_due {
            self.save_tree(found.pack);
        }
    }

    /// The list of a block, from memory or from the tree file of the pack that it was found in.
    pub fn group_list(&self, cid: &Cid, found: Found) -> Option<Arc<GroupList>> {
        if let Some(list) = self.trees.lists.find(cid) {
            return Some(list);
        }
        let stored = self.tree_file(found.pack)?.find(found.place);
        let list = match stored {
            Ok(None) => return None,
            Ok(Some(values)) => GroupList::bind(cid, values).map(Arc::new),
            Err(BadPage) => None,
        };
        match &list {
            Some(list) => self.trees.lists.put([Arc::clone(list)]),
            None => self.trees.distrust(found.pack),
        }
        list
    }

    /// Keeps the list of a block that is about to move, so that it is in the tree file of its new pack too.
    pub fn take_list_along(&self, cid: &Cid) -> Result<()> {
        let found = key(cid).map(|key| self.look_up(|state| state.first(&key, true))).transpose()?.flatten();
        if let Some(found) = found.filter(|found| has_list(found.place.block_bytes()))
            && let Some(list) = self.group_list(cid, found)
        {
            self.trees.note(vec![list]);
        }
        Ok(())
    }

    /// The tree file of a pack, where there is a good one.
    pub fn tree_file(&self, pack: u32) -> Option<Arc<PackTree>> {
        if let Some(open) = locked(&self.trees.files).get(&pack).and_then(|file| file.open.clone()) {
            return open;
        }
        let length = self.state().contents.packs.get(&pack)?.length;
        let opened = self.disk.open(&self.paths.tree(pack), false).ok().map(|file| {
            let map = file.identity().and_then(|identity| file.map(identity.bytes)).map_err(|_| BadPage)?;
            PackTree::open(map, pack, length).map(Arc::new)
        });
        if matches!(opened, Some(Err(BadPage))) {
            self.trees.distrust(pack);
        }
        let mut files = locked(&self.trees.files);
        let file = files.entry(pack).or_default();
        // What has lied is not asked again.
        file.open.get_or_insert_with(|| opened.and_then(std::result::Result::ok)).clone()
    }

    /// Compares what the pack's tree file says of a block with the block, which was checked. Of a block that is not BLAKE3, one group
    /// only: hashing all of them took longer than checking the block.
    pub fn verify_list(&self, cid: &Cid, found: Found, block: &[u8]) {
        if !has_list(found.place.block_bytes()) {
            return;
        }
        let stored = self.tree_file(found.pack).map(|tree| tree.find(found.place));
        let is_right = match stored {
            None => !self.trees.is_distrusted(found.pack),
            Some(Ok(None)) => true,
            Some(Ok(Some(values))) => GroupList::bind(cid, values).is_some_and(|list| list.seems_sound(block)),
            Some(Err(BadPage)) => false,
        };
        if !is_right {
            self.trees.distrust(found.pack);
            self.trees.lists.put(GroupList::check(cid, block).map(Arc::new));
        }
    }

    /// Writes anew all tree files that have lied: of which packs.
    pub fn save_distrusted_trees(&self) -> Vec<u32> {
        let distrusted =
            |files: &HashMap<u32, TreeFile>| files.iter().filter(|(_, file)| file.is_distrusted).map(|(pack, _)| *pack).collect();
        let mut packs: Vec<u32> = distrusted(&locked(&self.trees.files));
        packs.sort_unstable();
        packs.iter().for_each(|pack| self.save_tree(*pack));
        packs
    }

    /// Writes the tree file of the open pack, if writers made enough lists since one was written.
    pub fn save_open_tree(&self) {
        let pack = self.state().active.as_ref().map(|active| active.id);
        if let Some(pack) = pack.filter(|_| self.trees.noted.load(Ordering::Relaxed) >= SAVED_VALUES_MIN) {
            self.trees.noted.store(0, Ordering::Relaxed);
            self.save_tree(pack);
        }
    }

    /// Writes the tree file of a pack that was just sealed, if anyone made lists meanwhile.
    pub fn save_sealed_tree(&self, pack: u32) {
        let noted = self.trees.noted.swap(0, Ordering::Relaxed);
        if noted > 0 || locked(&self.trees.files).get(&pack).is_some_and(|file| file.unsaved > 0) {
            self.save_tree(pack);
        }
    }

    /// Writes the tree file of a pack: the lists that are in memory, and what a good old file says of other blocks. A file that
    /// cannot be written is done without.
    pub fn save_tree(&self, pack: u32) {
        if self.options.read_only {
            return;
        }
        let _one = locked(&self.trees.saving);
        let is_written = (0..2).any(|_| self.save_tree_once(pack));
        let mut files = locked(&self.trees.files);
        let file = files.entry(pack).or_default();
        file.unsaved = 0;
        if is_written {
            // Opened when it is needed.
            (file.open, file.is_distrusted) = (None, false);
        } else {
            file.is_unwritable = true;
        }
    }

    /// False when it could not be written, for now or because the old one turned out bad.
    fn save_tree_once(&self, pack: u32) -> bool {
        let Some((length, blocks)) = self.blocks_with_lists(pack) else { return false };
        let is_distrusted = self.trees.is_distrusted(pack);
        let old = if is_distrusted { None } else { self.tree_file(pack) };
        let mut lists: Vec<(Place, Option<Arc<GroupList>>)> = Vec::new();
        let (mut count, mut has_news) = (0, is_distrusted);
        for entry in blocks {
            let values = groups(entry.place.block_bytes());
            let fresh = self.trees.lists.peek(&entry.key).filter(|list| AsRef::<[Value]>::as_ref(&**list).len() as u64 == values);
            let is_old = match old.as_ref().map(|old| old.find(entry.place)) {
                None | Some(Ok(None)) => false,
                Some(Ok(Some(_))) => true,
                Some(Err(BadPage)) => {
                    self.trees.distrust(pack);
                    return false;
                }
            };
            has_news |= fresh.is_some() && !is_old;
            if fresh.is_some() || is_old {
                count += values;
                lists.push((entry.place, fresh));
            }
        }
        if !has_news {
            return true;
        }
        let list = |(place, fresh): (Place, Option<Arc<GroupList>>)| match (fresh, &old) {
            (Some(list), _) => Ok((place, List::Fresh(list))),
            (None, Some(old)) => old.find(place)?.map(|values| (place, List::Old(values))).ok_or(BadPage),
            (None, None) => Err(BadPage),
        };
        let mut lists = lists.into_iter().map(list);
        let path = self.paths.tree(pack);
        replace(&*self.disk, &path, false, &mut |sink| PackTree::write(pack, length, count, &mut lists, sink)).is_ok()
    }

    /// The committed blocks of a pack that have lists, by place, and the length up to which they stand.
    fn blocks_with_lists(&self, pack: u32) -> Option<(u64, Vec<Entry>)> {
        let mut blocks = self
            .look_up(|state| {
                let mut blocks = Vec::new();
                let mut push = |entry: Entry| {
                    if has_list(entry.place.block_bytes()) {
                        blocks.push(entry);
                    }
                };
                if let Some(active) = state.active.as_ref().filter(|active| active.id == pack) {
                    active.entries().iter().take(active.committed_entries).copied().for_each(&mut push);
                } else if let Some(sealed) = state.sealed(pack) {
                    for slot in 0..sealed.index.len() {
                        push(sealed.index.entry(slot).map_err(|BadPage| BadIndex::Pack(pack))?);
                    }
                }
                Ok(blocks)
            })
            .ok()?;
        blocks.sort_unstable_by_key(|entry| entry.place);
        blocks.dedup_by_key(|entry| entry.place);
        let length = self.state().contents.packs.get(&pack)?.length;
        Some((length, blocks))
    }
}

/// A list on its way into a tree file.
enum List {
    Fresh(Arc<GroupList>),
    Old(Vec<Value>),
}

impl AsRef<[Value]> for List {
    fn as_ref(&self) -> &[Value] {
        match self {
            Self::Fresh(list) => (**list).as_ref(),
            Self::Old(values) => values,
        }
    }
}
