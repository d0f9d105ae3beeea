//! A table of references: which block is where in which file. Written once, sorted by key, searched where it lies.
//!
//! It is a table as the index of a pack is, with a list of files behind it. Unlike an index it cannot be made again: what a bad page
//! said is lost. Format: docs/formats/references.md; the numbers in comments are its paragraphs.

use super::file::{ForeignFile, PATH_BYTES_MAX};
use super::path_of;
use crate::disk::{Disk, Map};
use crate::error::Error;
use crate::index::{BadPage, Table, Writer};
use crate::meta::References;
use crate::pack::{Key, replace};
use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::limits::BLOCK_BYTES_MAX;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// §2: key, offset, length and hash, file.
const ENTRY_BYTES: usize = 48;
const MAGIC: &[u8; 8] = b"shoalref";
/// Leaves of one table, at most: 50 MB, and as much memory while one is written.
pub(crate) const LEAVES_MAX: usize = 1 << 20;
/// Bytes of a list of files after which a table takes no further ones.
const LIST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A block in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub key: Key,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Its length.
    pub bytes: u32,
    /// Which hash, by its code.
    pub hash: u8,
    /// Where in the table's list the file is.
    pub file: u32,
}

/// §2: bits of a length; the hash is above them.
const LENGTH_BITS: u32 = 24;
const LENGTH_MASK: u32 = (1 << LENGTH_BITS) - 1;

impl Leaf {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let length = self.bytes | u32::from(self.hash) << LENGTH_BITS;
        let parts = [&self.key[..], &self.offset.to_le_bytes(), &length.to_le_bytes(), &self.file.to_le_bytes()];
        bytes.iter_mut().zip(parts.concat()).for_each(|(to, from)| *to = from);
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<32>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (length, file) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        // No block is longer, and as much memory is taken to read one.
        if (length & LENGTH_MASK) as usize > BLOCK_BYTES_MAX {
            return None;
        }
        Some(Self {
            key: *key,
            offset: u64::from_le_bytes(*offset),
            bytes: length & LENGTH_MASK,
            hash: u8::try_from(length >> LENGTH_BITS).ok()?,
            file: u32::from_le_bytes(file.try_into().ok()?),
        })
    }

    /// The CID of the block, as raw bytes.
    pub fn cid(&self) -> Option<Cid> {
        Cid::v1(codec::RAW, u64::from(self.hash), &self.key).ok()
    }

    /// The order of entries, and when two are one.
    fn order(&self) -> (Key, u32, u64) {
        (self.key, self.file, self.offset)
    }
}

/// A table, open.
pub(crate) struct ReferenceTable {
    /// What the journal says of it.
    pub about: References,
    table: Table<ENTRY_BYTES, 32>,
    map: Map,
    list_start: u64,
}

impl ReferenceTable {
    /// §2: takes a file, if it is this table.
    pub fn open(map: Map, about: References) -> Result<Self, BadPage> {
        let (found, table) = Self::open_any(map)?;
        if found == about { Ok(table) } else { Err(BadPage) }
    }

    /// Takes a file, if it is a table: what the journal should say of it.
    pub fn open_any(map: Map) -> Result<(References, Self), BadPage> {
        let (table, head, list_start) = Table::<ENTRY_BYTES, 32>::open_front(map.clone(), MAGIC)?;
        let number = |at: usize| head.get(at..at + 8).and_then(|v| v.try_into().ok()).map(u64::from_le_bytes).ok_or(BadPage);
        let about = References {
            table: number(24)?.try_into().map_err(|_| BadPage)?,
            files: number(40)?,
            blocks: table.entries,
            block_bytes: number(48)?,
        };
        if list_start.checked_add(number(32)?) != Some(map.len()) {
            return Err(BadPage);
        }
        Ok((about, Self { about, table, map, list_start }))
    }

    /// Opens the file of a table that the journal names.
    pub fn open_file(disk: &dyn Disk, root: &Path, about: References) -> std::io::Result<Result<Self, BadPage>> {
        Ok(Self::open(map_of(disk, &path_of(root, about.table))?, about))
    }

    /// The table in a file of this number, sound to its last page.
    pub fn open_whole(disk: &dyn Disk, root: &Path, number: u32) -> Option<References> {
        let (about, table) = Self::open_any(map_of(disk, &path_of(root, number)).ok()?).ok()?;
        (0..table.len()).try_for_each(|slot| table.leaf(slot).map(drop)).ok()?;
        let files = table.files().try_fold(0, |files, file| file.map(|_| files + 1)).ok()?;
        (about.table == number && about.files == files).then_some(about)
    }

    pub fn len(&self) -> u64 {
        self.table.entries
    }

    /// Length of its list of files.
    pub fn list_bytes(&self) -> u64 {
        self.map.len().saturating_sub(self.list_start)
    }

    /// The entry at a slot, in the order of keys.
    pub fn leaf(&self, slot: u64) -> Result<Leaf, BadPage> {
        Leaf::from_bytes(self.table.entry(slot)?).ok_or(BadPage)
    }

    /// Every place of a block, with its slot, until `each` says to stop. Whether it said so.
    pub fn find(&self, key: &Key, each: &mut dyn FnMut(u64, Leaf) -> bool) -> Result<bool, BadPage> {
        let mut slot = self.table.lower_bound(key)?;
        while slot < self.table.entries {
            let leaf = self.leaf(slot)?;
            if leaf.key != *key {
                break;
            }
            if each(slot, leaf) {
                return Ok(true);
            }
            slot += 1;
        }
        Ok(false)
    }

    /// The file that a leaf names.
    pub fn file(&self, at: u32) -> Result<ForeignFile, BadPage> {
        self.record(u64::from(at)).map(|(file, _)| file)
    }

    fn record(&self, at: u64) -> Result<(ForeignFile, u64), BadPage> {
        let get = |from: u64, to: u64| self.map.get(self.list_start.checked_add(from)?, self.list_start.checked_add(to)?);
        ForeignFile::read_record(at, get).ok_or(BadPage)
    }

    /// Every file, with its place in the list.
    pub fn files(&self) -> impl Iterator<Item = Result<(u32, ForeignFile), BadPage>> {
        let mut next = Some(0u64);
        std::iter::from_fn(move || {
            let at = next.filter(|at| *at < self.list_bytes())?;
            let record = self.record(at).and_then(|(file, bytes)| {
                next = at.checked_add(bytes);
                Ok((u32::try_from(at).map_err(|_| BadPage)?, file))
            });
            // What follows a damaged record cannot be found.
            if record.is_err() {
                next = None;
            }
            Some(record)
        })
    }
}

fn map_of(disk: &dyn Disk, path: &Path) -> std::io::Result<Map> {
    let file = disk.open(path, false)?;
    let bytes = file.identity()?.bytes;
    file.map(bytes)
}

/// A table in the making.
#[derive(Default)]
pub(crate) struct Builder {
    list: Vec<u8>,
    files: HashMap<[u8; 16], u32>,
    pub leaves: Vec<Leaf>,
}

impl Builder {
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Whether so many further leaves may be too many.
    pub fn is_full(&self, further: usize) -> bool {
        self.leaves.len().saturating_add(further) > LEAVES_MAX || self.list.len() > LIST_BYTES_MAX
    }

    /// The place of a file in the list, to which it is added if need be.
    pub fn file(&mut self, file: &ForeignFile) -> crate::Result<u32> {
        let name = file.name();
        if let Some(at) = self.files.get(&name) {
            return Ok(*at);
        }
        let refused = |why| Error::NotReferenced { path: file.path.clone(), why };
        if file.path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(refused("its path is too long"));
        }
        // Lists stay far below what 32 bits can say; see `is_full`.
        let at = u32::try_from(self.list.len()).map_err(|_| refused("there are too many files"))?;
        file.write(u64::from(at), &mut self.list);
        self.files.insert(name, at);
        Ok(at)
    }

    /// What was written as a file of the list.
    pub fn file_at(&self, at: u32) -> Option<ForeignFile> {
        let get = |from: u64, to: u64| self.list.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?);
        ForeignFile::read_record(u64::from(at), get).map(|(file, _)| file)
    }

    /// Writes the table, durable but for its name, and opens it.
    pub fn write(&mut self, disk: &dyn Disk, root: &Path, number: u32) -> crate::Result<Arc<ReferenceTable>> {
        let path = path_of(root, number);
        self.leaves.sort_unstable_by_key(Leaf::order);
        self.leaves.dedup_by_key(|leaf| leaf.order());
        let about = References {
            table: number,
            files: self.files.len() as u64,
            blocks: self.leaves.len() as u64,
            block_bytes: self.leaves.iter().map(|leaf| u64::from(leaf.bytes)).sum(),
        };
        let mut rest = Vec::new();
        for number in [u64::from(number), self.list.len() as u64, about.files, about.block_bytes] {
            rest.extend_from_slice(&number.to_le_bytes());
        }
        let (leaves, list) = (&self.leaves, &self.list);
        let written = replace(disk, &path, true, &mut |sink| {
            let mut writer = Writer::<ENTRY_BYTES>::new(sink, MAGIC, leaves.len() as u64, &rest)?;
            leaves.iter().try_for_each(|leaf| writer.push(&leaf.to_bytes()))?;
            writer.finish()?;
            if list.is_empty() { Ok(()) } else { sink(list) }
        });
        let opened = written.and_then(|()| ReferenceTable::open_file(disk, root, about));
        let opened = opened.map_err(|e| {
            let _ = disk.remove(&path);
            Error::io("writing", &path, e)
        })?;
        opened.map(Arc::new).map_err(|BadPage| Error::io("reading", &path, std::io::Error::other("it is not what was just written")))
    }
}
