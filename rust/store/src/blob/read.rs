//! Reading blobs: any range, of which only the groups touched are read and hashed.

use super::pages::{PAGE_VALUES, Page, Pages};
use super::partial::{self, Filling, Present};
use super::{Digest, cid_of};
use crate::disk::{DiskFile, read_full_at};
use crate::error::{Error, Result};
use crate::inner::Inner;
use shoal_core::Cid;
use shoal_core::bao::{
    GROUP_BYTES, Groups, Node, PAIR_BYTES, Pair, Value, group_value, groups, halves_of, parent_root, parent_value, subtree_start,
};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whole groups read with one call, in bytes.
const STEP_BYTES: usize = 1024 * 1024;

/// Numbers for blobs as they are opened, so that pages of one that was replaced are not taken for those of its successor.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// A blob, open for reading.
pub(crate) struct Blob {
    pub digest: Digest,
    pub bytes: u64,
    number: u64,
    data: Arc<dyn DiskFile>,
    tree: Arc<dyn DiskFile>,
    data_path: PathBuf,
    tree_path: PathBuf,
    pages: Arc<Pages>,
    /// What is here of it; none when it is whole.
    present: Option<Here>,
}

/// What is here of a partial blob.
enum Here {
    /// As its writer in this process says.
    Filling(Arc<Filling>),
    /// As its log said when it was opened.
    Logged(Groups),
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} of {} bytes)", self.cid(), self.bytes)
    }
}

/// Where a reader is: the page and the group it used last. Reading on costs no lock and no second hash.
#[derive(Default)]
pub(crate) struct Cursor {
    page: Option<(u64, Arc<Page>)>,
    /// The last group that was read in part, checked.
    group: Vec<u8>,
    group_index: Option<u64>,
}

impl Blob {
    pub(super) fn open(inner: &Inner, digest: Digest, bytes: u64) -> Result<Self> {
        Self::open_files(inner, digest, bytes, inner.blobs.paths.data(&digest), inner.blobs.paths.tree(&digest), None)
    }

    pub(super) fn open_partial(inner: &Inner, digest: Digest, present: Present) -> Result<Self> {
        let [data, tree, _] = partial::paths(&inner.blobs.paths, &digest);
        let here = inner.filling(&digest).map_or(Here::Logged(present.groups), Here::Filling);
        Self::open_files(inner, digest, present.bytes, data, tree, Some(here))
    }

    fn open_files(
        inner: &Inner,
        digest: Digest,
        bytes: u64,
        data_path: PathBuf,
        tree_path: PathBuf,
        present: Option<Here>,
    ) -> Result<Self> {
        let data = inner.disk.open(&data_path, false).map_err(|e| Error::io("opening", &data_path, e))?;
        let tree = inner.disk.open(&tree_path, false).map_err(|e| Error::io("opening", &tree_path, e))?;
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        Ok(Self { digest, bytes, number, data, tree, data_path, tree_path, pages: Arc::clone(&inner.blobs.pages), present })
    }

    pub fn cid(&self) -> Cid {
        cid_of(&self.digest)
    }

    pub fn groups(&self) -> u64 {
        groups(self.bytes)
    }

    fn damaged(&self, offset: u64, is_tree: bool) -> Error {
        Error::DamagedBlob { cid: self.cid(), offset, is_tree }
    }

    /// [`Error::NotHere`] unless all of these groups are here.
    pub fn check_here(&self, run: Range<u64>) -> Result<()> {
        let missing = match &self.present {
            None => None,
            Some(Here::Logged(groups)) => groups.first_missing(run),
            Some(Here::Filling(filling)) => filling.present().first_missing(run),
        };
        match missing {
            None => Ok(()),
            Some(group) => Err(Error::NotHere { cid: self.cid(), offset: self.range(group).start }),
        }
    }

    fn check_group_here(&self, group: u64) -> Result<()> {
        match &self.present {
            // Without a copy of the set, for the sake of many small reads.
            Some(Here::Filling(filling)) if filling.has(group) => Ok(()),
            None => Ok(()),
            Some(_) => self.check_here(group..group.saturating_add(1)),
        }
    }

    /// The value of a group of a partial blob, of whose tree only some paths are here: down from the digest.
    pub fn value_by_path(&self, group: u64) -> Result<Value> {
        let mut node = Node::root(self.bytes);
        let mut expected = None;
        while let Some((left, right)) = node.halves() {
            let (left_value, right_value) = halves_of(&self.pair(node)?);
            let is_good = match expected {
                None => parent_root(&left_value, &right_value) == self.digest,
                Some(value) => parent_value(&left_value, &right_value) == value,
            };
            if !is_good {
                return Err(self.damaged(node.bytes(self.bytes).start, true));
            }
            let is_left = group < right.first;
            node = if is_left { left } else { right };
            expected = Some(if is_left { left_value } else { right_value });
        }
        expected.ok_or_else(|| self.damaged(0, true))
    }

    /// Bytes of the data file, not checked: how many were there.
    pub fn read_data(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        read_full_at(&*self.data, buffer, offset).map_err(|e| Error::io("reading", &self.data_path, e))
    }

    /// A node, not checked.
    pub fn pair(&self, node: Node) -> Result<Pair> {
        let mut pair = [0; PAIR_BYTES];
        let at = node.post_order(self.groups()).saturating_mul(PAIR_BYTES as u64);
        let read = read_full_at(&*self.tree, &mut pair, at).map_err(|e| Error::io("reading", &self.tree_path, e))?;
        if read == PAIR_BYTES { Ok(pair) } else { Err(self.damaged(node.bytes(self.bytes).start, true)) }
    }

    /// The checked page of groups (height 0) or of pages below, at a place.
    pub fn page(&self, height: u32, index: u64) -> Result<Arc<Page>> {
        let key = (self.number, height, index);
        if let Some(page) = self.pages.get(key) {
            return Ok(page);
        }
        let span = PAGE_VALUES.saturating_pow(height + 1);
        let first = index.saturating_mul(span);
        let node = Node { first, count: span.min(self.groups().saturating_sub(first)), pre_order: 0 };
        // The page of the whole is checked against the digest, any other against its value in the page above.
        let expected = if span >= self.groups() {
            None
        } else {
            let above = self.page(height + 1, index / PAGE_VALUES)?;
            let within = usize::try_from(index % PAGE_VALUES).unwrap_or(usize::MAX);
            Some(*above.get(within).ok_or_else(|| self.damaged(node.bytes(self.bytes).start, true))?)
        };
        let page = Arc::new(self.load(node, span / PAGE_VALUES, expected)?);
        self.pages.put(key, Arc::clone(&page));
        Ok(page)
    }

    /// The values of the parts of `node` that have at most `part` groups, each checked up to `expected`, or the digest.
    fn load(&self, node: Node, part: u64, expected: Option<Value>) -> Result<Page> {
        // Those of neighbouring groups stand side by side (blob §3.3); others are far apart, and few.
        let start = subtree_start(node.first);
        let mut side_by_side = vec![0; if part == 1 { usize::try_from(node.count.saturating_sub(1)).unwrap_or(0) * PAIR_BYTES } else { 0 }];
        let offset = start.saturating_mul(PAIR_BYTES as u64);
        let read = read_full_at(&*self.tree, &mut side_by_side, offset).map_err(|e| Error::io("reading", &self.tree_path, e))?;
        side_by_side.truncate(read);
        let mut page = Vec::new();
        let mut stack = vec![(node, expected)];
        while let Some((node, expected)) = stack.pop() {
            let Some((left, right)) = node.halves().filter(|_| node.count > part) else {
                page.extend(expected);
                continue;
            };
            let pair = if part == 1 {
                let at = node.post_order(self.groups()).saturating_sub(start);
                let at = usize::try_from(at).unwrap_or(usize::MAX).saturating_mul(PAIR_BYTES);
                let pair = side_by_side.get(at..).and_then(|rest| rest.first_chunk());
                *pair.ok_or_else(|| self.damaged(node.bytes(self.bytes).start, true))?
            } else {
                self.pair(node)?
            };
            let (left_value, right_value) = halves_of(&pair);
            let is_good = match expected {
                None => parent_root(&left_value, &right_value) == self.digest,
                Some(value) => parent_value(&left_value, &right_value) == value,
            };
            if !is_good {
                return Err(self.damaged(node.bytes(self.bytes).start, true));
            }
            stack.push((right, Some(right_value)));
            stack.push((left, Some(left_value)));
        }
        Ok(page.into_boxed_slice())
    }

    /// The checked value of a group.
    fn value(&self, group: u64, cursor: &mut Cursor) -> Result<Value> {
        if self.present.is_some() {
            return self.value_by_path(group);
        }
        let index = group / PAGE_VALUES;
        let within = usize::try_from(group % PAGE_VALUES).unwrap_or(usize::MAX);
        let page = match &cursor.page {
            Some((at, page)) if *at == index => page,
            _ => &cursor.page.insert((index, self.page(0, index)?)).1,
        };
        page.get(within).copied().ok_or_else(|| self.damaged(group.saturating_mul(GROUP_BYTES as u64), true))
    }

    /// Where a group stands in the data.
    pub fn range(&self, group: u64) -> Range<u64> {
        let start = group.saturating_mul(GROUP_BYTES as u64);
        start..start.saturating_add(GROUP_BYTES as u64).min(self.bytes)
    }

    fn check(&self, group: u64, data: &[u8], cursor: &mut Cursor) -> Result<()> {
        self.check_group_here(group)?;
        let range = self.range(group);
        if data.len() as u64 == range.end.saturating_sub(range.start) && group_value(group, data) == self.value(group, cursor)? {
            return Ok(());
        }
        Err(self.damaged(range.start, false))
    }

    /// Fills `buffer` from `offset` on, checked; fewer bytes only at the end. After an error, what is in the buffer is not to be used.
    pub fn read_at(&self, cursor: &mut Cursor, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let wanted = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        let mut rest = buffer.get_mut(..wanted).unwrap_or_default();
        let mut at = offset;
        while !rest.is_empty() {
            let group = at / GROUP_BYTES as u64;
            let range = self.range(group);
            let n = if at == range.start && rest.len() as u64 >= range.end - range.start {
                self.read_whole(cursor, at, rest)?
            } else {
                self.read_part(cursor, group, at, rest)?
            };
            at = at.saturating_add(n as u64);
            rest = rest.get_mut(n..).unwrap_or_default();
        }
        Ok(wanted)
    }

    /// Reads whole groups to where they are wanted, and checks them there: how many bytes.
    fn read_whole(&self, cursor: &mut Cursor, at: u64, rest: &mut [u8]) -> Result<usize> {
        let to_end = usize::try_from(self.bytes.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut n = rest.len().min(STEP_BYTES);
        if n < to_end {
            n -= n % GROUP_BYTES;
        }
        let step = rest.get_mut(..n).unwrap_or_default();
        let read = self.read_data(step, at)?;
        let first = at / GROUP_BYTES as u64;
        for (group, data) in (first..).zip(step.chunks(GROUP_BYTES)) {
            let is_there = self.range(group).end.saturating_sub(at) <= read as u64;
            self.check(group, if is_there { data } else { &[] }, cursor)?;
        }
        Ok(n)
    }

    /// Reads a part of a group, which is checked as a whole and kept: how many bytes.
    fn read_part(&self, cursor: &mut Cursor, group: u64, at: u64, rest: &mut [u8]) -> Result<usize> {
        let range = self.range(group);
        if cursor.group_index != Some(group) {
            cursor.group_index = None;
            let mut data = std::mem::take(&mut cursor.group);
            data.resize(usize::try_from(range.end - range.start).unwrap_or(0), 0);
            let read = self.read_data(&mut data, range.start)?;
            data.truncate(read);
            self.check(group, &data, cursor)?;
            cursor.group = data;
            cursor.group_index = Some(group);
        }
        let within = usize::try_from(at - range.start).unwrap_or(usize::MAX);
        let found = cursor.group.get(within..).unwrap_or_default();
        let n = found.len().min(rest.len());
        if let (Some(to), Some(from)) = (rest.get_mut(..n), found.get(..n)) {
            to.copy_from_slice(from);
        }
        // The group has its full length, so there is at least one byte.
        Ok(n.max(1))
    }
}
