//! Sorted tables of fixed-size entries in 4 KiB pages, each page with its checksum, searched by interpolation where they lie.
//!
//! Keys are hashes, hence evenly spread: a guess in the directory of pages is off by a few, and a guess in the page too. A page
//! is checked when it is first touched, so opening a table costs nothing and a damaged one is never believed: [`BadPage`] means
//! "build me again from the packs".
//! Two kinds: a pack's own (`N.idx`), and the merged view of many packs. Format: docs/formats/pack-index.md. A pack's tree file
//! is such a table too (`pack_tree.rs`).

use crate::disk::Map;
use crate::pack::{Entry, Key, Place};
use std::sync::atomic::{AtomicU64, Ordering};

/// §2: unit of checking.
const PAGE_BYTES: usize = 4096;
/// §2: truncated BLAKE3 at the end of every page.
const CHECK_BYTES: usize = 16;
const VERSION: u32 = 1;
/// §6: first prefixes in a page of the directory.
const PREFIXES_PER_PAGE: u64 = entries_per_page(8);
/// §4: key and place.
pub(crate) const PACK_ENTRY_BYTES: usize = 40;
/// §5: eight bytes of the key, pack, slot.
pub(crate) const MERGED_ENTRY_BYTES: usize = 16;
const PACK_MAGIC: &[u8; 8] = b"shoalidx";
const MERGED_MAGIC: &[u8; 8] = b"shoalmrg";

/// A page that does not match its checksum, or a file that is not such a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPage;

fn page_check(page_number: u64, body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&page_number.to_le_bytes());
    hasher.update(body);
    let mut out = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut out);
    out
}

const fn entries_per_page(entry_bytes: usize) -> u64 {
    ((PAGE_BYTES - CHECK_BYTES) / entry_bytes) as u64
}

/// The big-endian number that the first eight bytes of a key are.
fn prefix(key: &[u8]) -> u64 {
    key.first_chunk::<8>().map_or(0, |head| u64::from_be_bytes(*head))
}

/// A table, wherever its bytes lie. `KEY_BYTES` of each entry's front are its key.
pub(crate) struct Table<const ENTRY_BYTES: usize, const KEY_BYTES: usize> {
    map: Map,
    pub entries: u64,
    /// Pages of entries.
    pages: u64,
    /// One bit for each page: found good.
    checked: Vec<AtomicU64>,
}

impl<const ENTRY_BYTES: usize, const KEY_BYTES: usize> Table<ENTRY_BYTES, KEY_BYTES> {
    const PER_PAGE: u64 = entries_per_page(ENTRY_BYTES);

    /// §3: takes the table if its header is good and the file is as long as it says: the table, and the header's other fields.
    pub fn open(map: Map, magic: &[u8; 8]) -> Result<(Self, [u8; 64]), BadPage> {
        let bytes = map.len();
        let (table, head, end) = Self::open_front(map, magic)?;
        if end == bytes { Ok((table, head)) } else { Err(BadPage) }
    }

    /// [`Self::open`] of a file in which something else may follow, from the offset that comes last.
    pub fn open_front(map: Map, magic: &[u8; 8]) -> Result<(Self, [u8; 64], u64), BadPage> {
        let mut table = Self { map, entries: 0, pages: 0, checked: vec![AtomicU64::new(0)] };
        let head: [u8; 64] = table.page(0)?.first_chunk().copied().ok_or(BadPage)?;
        let version = head.get(8..12).and_then(|v| v.try_into().ok()).map(u32::from_le_bytes);
        let entry_bytes = head.get(12..16).and_then(|v| v.try_into().ok()).map(u32::from_le_bytes);
        table.entries = head.get(16..24).and_then(|v| v.try_into().ok()).map(u64::from_le_bytes).ok_or(BadPage)?;
        if !head.starts_with(magic) || version != Some(VERSION) || entry_bytes.map(|n| n as usize) != Some(ENTRY_BYTES) {
            return Err(BadPage);
        }
        table.pages = table.entries.div_ceil(Self::PER_PAGE);
        let pages = table.pages.div_ceil(PREFIXES_PER_PAGE).checked_add(table.pages + 1).ok_or(BadPage)?;
        // Bounds the bitmap by bytes that are really there.
        let end = pages.checked_mul(PAGE_BYTES as u64).filter(|end| *end <= table.map.len()).ok_or(BadPage)?;
        table.checked.resize_with(usize::try_from(pages.div_ceil(64)).map_err(|_| BadPage)?, AtomicU64::default);
        Ok((table, head, end))
    }

    fn page(&self, number: u64) -> Result<&[u8], BadPage> {
        let start = number.checked_mul(PAGE_BYTES as u64).ok_or(BadPage)?;
        let page = self.map.get(start, start.checked_add(PAGE_BYTES as u64).ok_or(BadPage)?).ok_or(BadPage)?;
        let (body, check) = page.split_at_checked(PAGE_BYTES - CHECK_BYTES).ok_or(BadPage)?;
        let bits = usize::try_from(number / 64).ok().and_then(|word| self.checked.get(word)).ok_or(BadPage)?;
        let bit = 1u64 << (number % 64);
        if bits.load(Ordering::Relaxed) & bit == 0 {
            if page_check(number, body) != check {
                return Err(BadPage);
            }
            bits.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(body)
    }

    /// How many entries page `number` (from 0, after the header) holds, side by side.
    fn entries_in(&self, number: u64) -> Result<&[[u8; ENTRY_BYTES]], BadPage> {
        let n = Self::PER_PAGE.min(self.entries.saturating_sub(number * Self::PER_PAGE));
        let (entries, _) = self.page(number + 1)?.as_chunks::<ENTRY_BYTES>();
        usize::try_from(n).ok().and_then(|n| entries.get(..n)).ok_or(BadPage)
    }

    pub fn entry(&self, slot: u64) -> Result<&[u8; ENTRY_BYTES], BadPage> {
        let page = self.entries_in(slot / Self::PER_PAGE)?;
        usize::try_from(slot % Self::PER_PAGE).ok().and_then(|at| page.get(at)).ok_or(BadPage)
    }

    /// Whether the entry's key is less than `key`, whose first eight bytes are `wanted`.
    fn is_before(entry: &[u8; ENTRY_BYTES], key: &[u8; KEY_BYTES], wanted: u64) -> bool {
        match prefix(entry).cmp(&wanted) {
            std::cmp::Ordering::Equal => entry.get(8..KEY_BYTES) < key.get(8..),
            order => order.is_lt(),
        }
    }

    /// §6: the prefix of the first key of page `number`; beyond the last page, more than any.
    fn first_prefix(&self, number: u64) -> Result<u64, BadPage> {
        if number >= self.pages {
            return Ok(u64::MAX);
        }
        let (prefixes, _) = self.page(1 + self.pages + number / PREFIXES_PER_PAGE)?.as_chunks::<8>();
        let at = usize::try_from(number % PREFIXES_PER_PAGE).map_err(|_| BadPage)?;
        prefixes.get(at).map(|prefix| u64::from_be_bytes(*prefix)).ok_or(BadPage)
    }

    /// §6: the first page that begins with `wanted` or more, by its prefix; the number of pages when none does.
    fn page_of(&self, wanted: u64) -> Result<u64, BadPage> {
        // Hashes are evenly spread, so the guess is a few pages off at most; then the steps double, then they halve.
        let guess = u64::try_from((u128::from(wanted) * u128::from(self.pages)) >> 64).unwrap_or(0);
        let (mut low, mut high) = (guess, guess);
        let mut step = 1;
        while low > 0 && self.first_prefix(low - 1)? >= wanted {
            high = low - 1;
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < self.pages && self.first_prefix(high)? < wanted {
            low = high + 1;
            high = high.saturating_add(step).min(self.pages);
            step *= 2;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_prefix(middle)? < wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The page to look for a key in first, and about where in it.
    fn guess(&self, wanted: u64) -> Result<(u64, usize), BadPage> {
        // The page before may end with it.
        let number = self.page_of(wanted)?.saturating_sub(1);
        if number >= self.pages {
            return Ok((number, 0));
        }
        let (from, to) = (self.first_prefix(number)?, self.first_prefix(number + 1)?);
        let entries = Self::PER_PAGE.min(self.entries.saturating_sub(number * Self::PER_PAGE));
        let part = u128::from(wanted.saturating_sub(from)) * u128::from(entries) / (u128::from(to.saturating_sub(from)) + 1);
        Ok((number, usize::try_from(part).unwrap_or(0)))
    }

    /// The slot of the first entry whose key is not less than `key`, looked for from a guess on.
    fn slot_near(&self, key: &[u8; KEY_BYTES], (mut number, guess): (u64, usize)) -> Result<u64, BadPage> {
        let wanted = prefix(key);
        let mut guess = Some(guess);
        while number < self.pages {
            let entries = self.entries_in(number)?;
            let mut at = guess.take().unwrap_or(0).min(entries.len().saturating_sub(1));
            while at > 0 && entries.get(at - 1).is_some_and(|entry| !Self::is_before(entry, key, wanted)) {
                at -= 1;
            }
            while entries.get(at).is_some_and(|entry| Self::is_before(entry, key, wanted)) {
                at += 1;
            }
            if at < entries.len() {
                return Ok(number * Self::PER_PAGE + at as u64);
            }
            number += 1;
        }
        Ok(self.entries)
    }

    /// The slot of the first entry whose key is not less than `key`.
    pub fn lower_bound(&self, key: &[u8; KEY_BYTES]) -> Result<u64, BadPage> {
        self.slot_near(key, self.guess(prefix(key))?)
    }

    /// [`Self::lower_bound`] of many keys. A step is made for all of them before the next, so that the memory of many is waited
    /// for at once, and not for one after the other.
    pub fn lower_bounds(&self, keys: &[&[u8; KEY_BYTES]]) -> Result<Vec<u64>, BadPage> {
        let guesses = keys.iter().map(|key| self.guess(prefix(*key))).collect::<Result<Vec<_>, BadPage>>()?;
        for (number, at) in &guesses {
            self.touch(number * Self::PER_PAGE + *at as u64);
        }
        keys.iter().zip(guesses).map(|(key, guess)| self.slot_near(key, guess)).collect()
    }

    /// Brings an entry nearer, that will be looked at soon. Believes nothing of it.
    pub fn touch(&self, slot: u64) {
        let at = (slot / Self::PER_PAGE + 1) * PAGE_BYTES as u64 + slot % Self::PER_PAGE * ENTRY_BYTES as u64;
        std::hint::black_box(self.map.get(at, at.saturating_add(1)).and_then(|byte| byte.first().copied()));
    }
}

/// Writes a table page by page.
pub(crate) struct Writer<'a, const ENTRY_BYTES: usize> {
    sink: &'a mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    buffer: Vec<u8>,
    page_start: usize,
    in_page: u64,
    page_number: u64,
    /// The directory so far. Eight bytes for each 4 KiB.
    prefixes: Vec<[u8; 8]>,
}

/// Bytes gathered before the sink is called.
const WRITE_BYTES: usize = 64 * PAGE_BYTES;

impl<'a, const ENTRY_BYTES: usize> Writer<'a, ENTRY_BYTES> {
    pub fn new(sink: &'a mut dyn FnMut(&[u8]) -> std::io::Result<()>, magic: &[u8; 8], entries: u64, rest: &[u8]) -> std::io::Result<Self> {
        let mut writer =
            Self { sink, buffer: Vec::with_capacity(WRITE_BYTES), page_start: 0, in_page: 0, page_number: 0, prefixes: Vec::new() };
        writer.buffer.extend_from_slice(magic);
        writer.buffer.extend_from_slice(&VERSION.to_le_bytes());
        writer.buffer.extend_from_slice(&u32::try_from(ENTRY_BYTES).unwrap_or(0).to_le_bytes());
        writer.buffer.extend_from_slice(&entries.to_le_bytes());
        writer.buffer.extend_from_slice(rest);
        writer.end_page()?;
        Ok(writer)
    }

    fn end_page(&mut self) -> std::io::Result<()> {
        self.buffer.resize(self.page_start + PAGE_BYTES - CHECK_BYTES, 0);
        let check = page_check(self.page_number, self.buffer.get(self.page_start..).unwrap_or_default());
        self.buffer.extend_from_slice(&check);
        self.page_start = self.buffer.len();
        self.page_number += 1;
        self.in_page = 0;
        if self.buffer.len() >= WRITE_BYTES {
            (self.sink)(&self.buffer)?;
            self.buffer.clear();
            self.page_start = 0;
        }
        Ok(())
    }

    pub fn push(&mut self, entry: &[u8; ENTRY_BYTES]) -> std::io::Result<()> {
        if self.in_page == 0 {
            self.prefixes.push(entry.first_chunk().copied().unwrap_or_default());
        }
        self.buffer.extend_from_slice(entry);
        self.in_page += 1;
        if self.in_page == entries_per_page(ENTRY_BYTES) { self.end_page() } else { Ok(()) }
    }

    pub fn finish(mut self) -> std::io::Result<()> {
        if self.in_page > 0 {
            self.end_page()?;
        }
        let prefixes = std::mem::take(&mut self.prefixes);
        for page in prefixes.chunks(usize::try_from(PREFIXES_PER_PAGE).unwrap_or(1)) {
            self.buffer.extend_from_slice(page.as_flattened());
            self.end_page()?;
        }
        if self.buffer.is_empty() { Ok(()) } else { (self.sink)(&self.buffer) }
    }
}

/// §4: which blocks a sealed pack holds, and where.
pub(crate) struct PackIndex(Table<PACK_ENTRY_BYTES, 32>);

impl PackIndex {
    /// Writes the index of a pack of `length` bytes. Sorts the entries by key, then place.
    pub fn write(pack: u32, length: u64, entries: &mut [Entry], sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(a.place.cmp(&b.place)));
        let mut rest = Vec::new();
        rest.extend_from_slice(&u64::from(pack).to_le_bytes());
        rest.extend_from_slice(&length.to_le_bytes());
        let mut writer = Writer::<PACK_ENTRY_BYTES>::new(sink, PACK_MAGIC, entries.len() as u64, &rest)?;
        for entry in entries {
            writer.push(&entry.to_bytes())?;
        }
        writer.finish()
    }

    /// Takes an index file, if it is one of this pack at this length, with this many entries.
    pub fn open(map: Map, pack: u32, length: u64, entries: u64) -> Result<Self, BadPage> {
        let (table, head) = Table::open(map, PACK_MAGIC)?;
        let of_pack = head.get(24..32).and_then(|v| v.try_into().ok()).map(u64::from_le_bytes);
        let at_length = head.get(32..40).and_then(|v| v.try_into().ok()).map(u64::from_le_bytes);
        if of_pack == Some(u64::from(pack)) && at_length == Some(length) && table.entries == entries {
            Ok(Self(table))
        } else {
            Err(BadPage)
        }
    }

    /// How many blocks.
    pub fn len(&self) -> u64 {
        self.0.entries
    }

    /// The entry at a slot, in the order of keys.
    pub fn entry(&self, slot: u64) -> Result<Entry, BadPage> {
        self.0.entry(slot).map(Entry::from_bytes)
    }

    /// Every place of a key, in order, until `found` says to stop. Whether it said so.
    pub fn find(&self, key: &Key, found: &mut dyn FnMut(Place) -> bool) -> Result<bool, BadPage> {
        self.find_from(self.0.lower_bound(key)?, key, found)
    }

    fn find_from(&self, mut slot: u64, key: &Key, found: &mut dyn FnMut(Place) -> bool) -> Result<bool, BadPage> {
        while slot < self.0.entries {
            let entry = self.0.entry(slot)?;
            if entry.first_chunk() != Some(key) {
                break;
            }
            if found(Entry::from_bytes(entry).place) {
                return Ok(true);
            }
            slot += 1;
        }
        Ok(false)
    }

    /// [`Self::find`] of many keys: whether `found` said to stop, of each.
    pub fn find_many(&self, keys: &[&Key], found: &mut dyn FnMut(Place) -> bool) -> Result<Vec<bool>, BadPage> {
        let slots = self.0.lower_bounds(keys)?;
        slots.into_iter().zip(keys).map(|(slot, key)| self.find_from(slot, key, found)).collect()
    }

    /// Brings an entry nearer, that will be looked at soon.
    pub fn touch(&self, slot: u64) {
        self.0.touch(slot);
    }
}

/// §5: which sealed pack holds a block, for many packs at once.
pub(crate) struct MergedIndex {
    table: Table<MERGED_ENTRY_BYTES, 8>,
    /// The packs it covers, ascending.
    pub packs: Vec<u32>,
}

/// One entry of a merged index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MergedEntry {
    pub prefix: u64,
    pub pack: u32,
    pub slot: u32,
}

impl MergedEntry {
    fn to_bytes(self) -> [u8; MERGED_ENTRY_BYTES] {
        let value = u128::from(self.prefix) << 64 | u128::from(self.pack) << 32 | u128::from(self.slot);
        value.to_be_bytes()
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes the number apart into its fields")]
    fn from_bytes(bytes: &[u8; MERGED_ENTRY_BYTES]) -> Self {
        let value = u128::from_be_bytes(*bytes);
        Self { prefix: (value >> 64) as u64, pack: (value >> 32) as u32, slot: value as u32 }
    }
}

impl MergedIndex {
    /// §5: most packs one merged index covers: their numbers stand in the header page.
    pub const PACKS_MAX: usize = (PAGE_BYTES - CHECK_BYTES - 32) / 4;

    /// Writes a merged index of `entries` (how many), given in order.
    pub fn write(
        packs: &[u32],
        entries: u64,
        sorted: &mut dyn Iterator<Item = Result<MergedEntry, BadPage>>,
        sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut rest = Vec::new();
        rest.extend_from_slice(&(packs.len() as u64).to_le_bytes());
        for pack in packs {
            rest.extend_from_slice(&pack.to_le_bytes());
        }
        let mut writer = Writer::<MERGED_ENTRY_BYTES>::new(sink, MERGED_MAGIC, entries, &rest)?;
        for entry in sorted {
            writer.push(&entry.map_err(|BadPage| std::io::ErrorKind::InvalidData)?.to_bytes())?;
        }
        writer.finish()
    }

    /// Takes a merged index file.
    pub fn open(map: Map) -> Result<Self, BadPage> {
        let (table, head) = Table::open(map, MERGED_MAGIC)?;
        let count = head.get(24..32).and_then(|v| v.try_into().ok()).map(u64::from_le_bytes).ok_or(BadPage)?;
        let count = usize::try_from(count).ok().filter(|n| *n <= Self::PACKS_MAX).ok_or(BadPage)?;
        let (numbers, _) = table.page(0)?.get(32..).ok_or(BadPage)?.as_chunks::<4>();
        let packs = numbers.get(..count).ok_or(BadPage)?.iter().map(|n| u32::from_le_bytes(*n)).collect();
        Ok(Self { table, packs })
    }

    /// How many blocks.
    pub fn len(&self) -> u64 {
        self.table.entries
    }

    /// The entry at a slot, in order.
    pub fn entry(&self, slot: u64) -> Result<MergedEntry, BadPage> {
        self.table.entry(slot).map(MergedEntry::from_bytes)
    }

    /// Every pack and slot that may hold a key, until `found` says to stop. Whether it said so.
    pub fn find(&self, key: &Key, found: &mut dyn FnMut(u32, u64) -> Result<bool, BadPage>) -> Result<bool, BadPage> {
        let head = key.first_chunk().ok_or(BadPage)?;
        self.find_from(self.table.lower_bound(head)?, prefix(key), found)
    }

    fn find_from(&self, mut slot: u64, wanted: u64, found: &mut dyn FnMut(u32, u64) -> Result<bool, BadPage>) -> Result<bool, BadPage> {
        while slot < self.table.entries {
            let entry = self.entry(slot)?;
            if entry.prefix != wanted {
                break;
            }
            if found(entry.pack, u64::from(entry.slot))? {
                return Ok(true);
            }
            slot += 1;
        }
        Ok(false)
    }

    /// Every pack and slot that may hold one of these keys, with the key's place in `keys`, in order.
    pub fn find_many(&self, keys: &[&Key]) -> Result<Vec<(usize, u32, u64)>, BadPage> {
        let heads = keys.iter().map(|key| key.first_chunk().ok_or(BadPage)).collect::<Result<Vec<_>, BadPage>>()?;
        let slots = self.table.lower_bounds(&heads)?;
        let mut candidates = Vec::with_capacity(keys.len());
        for (at, (slot, key)) in slots.into_iter().zip(keys).enumerate() {
            self.find_from(slot, prefix(*key), &mut |pack, slot| {
                candidates.push((at, pack, slot));
                Ok(false)
            })?;
        }
        Ok(candidates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(n: u64, of: impl Fn(u64) -> Key) -> Vec<Entry> {
        (0..n).map(|i| Entry { key: of(i), place: Place::new(26 + i * 50, 10).unwrap() }).collect()
    }

    fn written(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut copy = entries.to_vec();
        PackIndex::write(3, 999, &mut copy, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
        bytes
    }

    fn places(index: &PackIndex, key: &Key) -> Vec<Place> {
        let mut all = Vec::new();
        index
            .find(key, &mut |place| {
                all.push(place);
                false
            })
            .unwrap();
        all
    }

    #[test]
    fn every_key_is_found_whatever_their_number_and_spread() {
        let spreads: [fn(u64) -> Key; 4] = [
            |i| *blake3::hash(&i.to_le_bytes()).as_bytes(),
            // All keys share their first eight bytes.
            |i| core::array::from_fn(|at| if at < 24 { 7 } else { i.to_be_bytes()[at - 24] }),
            // Exponentially uneven.
            |i| core::array::from_fn(|at| (1u64 << (i % 63)).wrapping_add(i).to_be_bytes()[at % 8]),
            // All the same: one key at many places.
            |_| [9; 32],
        ];
        for (which, of) in spreads.into_iter().enumerate() {
            for n in [0, 1, 2, 101, 102, 103, 204, 205, 5000] {
                let entries = entries(n, of);
                let index = PackIndex::open(Map::from_bytes(written(&entries)), 3, 999, n).unwrap();
                for entry in entries.iter().step_by(if which == 3 { 1000 } else { 1 }) {
                    assert!(places(&index, &entry.key).contains(&entry.place), "spread {which}, {n} entries");
                }
                if which == 3 && n > 0 {
                    assert_eq!(places(&index, &[9; 32]).len() as u64, n);
                }
                let absent = [[0; 32], [0xff; 32], *blake3::hash(b"absent").as_bytes()];
                for absent in &absent {
                    assert!(places(&index, absent).is_empty());
                }
                let asked: Vec<&Key> = entries.iter().map(|entry| &entry.key).chain(&absent).collect();
                let found = index.find_many(&asked, &mut |_| true).unwrap();
                assert_eq!(found, asked.iter().map(|key| !absent.contains(*key)).collect::<Vec<bool>>());
            }
        }
    }

    #[test]
    fn a_flipped_byte_makes_a_key_bad_and_never_absent() {
        let entries = entries(300, |i| *blake3::hash(&i.to_le_bytes()).as_bytes());
        let good = written(&entries);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            let Ok(index) = PackIndex::open(Map::from_bytes(bytes), 3, 999, 300) else { continue };
            for entry in entries.iter().step_by(7) {
                let mut all = Vec::new();
                let found = index.find(&entry.key, &mut |place| {
                    all.push(place);
                    false
                });
                assert!(found.is_err() || all == [entry.place], "byte {at}");
            }
        }
    }

    #[test]
    fn a_truncated_index_is_refused() {
        let good = written(&entries(300, |i| *blake3::hash(&i.to_le_bytes()).as_bytes()));
        for n in (0..good.len()).step_by(97) {
            assert!(PackIndex::open(Map::from_bytes(good[..n].to_vec()), 3, 999, 300).is_err());
        }
    }
}
