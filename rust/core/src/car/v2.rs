//! CARv2: a CARv1 wrapped in a header that says where it lies, with an index behind it.
//!
//! Reading uses the header alone. The index is skipped and never trusted: it comes from whoever made the archive, cannot be
//! checked without reading the data, and an offset from it would let a stranger choose which bytes are taken for a block.
//! Whoever needs one builds it from the sections.
//! Writing makes a MultihashIndexSorted (0x0401), which other tools look for.

use super::CarError;
use crate::cid::Cid;
use crate::hash::code::IDENTITY;
use crate::varint;
use std::collections::BTreeMap;

/// What a version 2 begins with: a version 1 header of `{version: 2}`.
pub const PRAGMA: [u8; 11] = *b"\x0a\xa1\x67version\x02";
/// Bytes of the header behind the pragma.
pub const HEADER_BYTES: usize = 40;
/// Bytes before the data when nothing is between.
pub const PREFIX_BYTES: usize = PRAGMA.len() + HEADER_BYTES;
/// Multicodec of a MultihashIndexSorted.
const MULTIHASH_INDEX_SORTED: u64 = 0x0401;

/// The fixed header behind the pragma. All numbers are little-endian; offsets count from the first byte of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Flags. The specification defines none; go-car sets the first bit when identity CIDs are in the index too.
    pub characteristics: [u8; 16],
    /// Where the CARv1 begins.
    pub data_offset: u64,
    /// How many bytes the CARv1 has.
    pub data_bytes: u64,
    /// Where the index begins; 0 for none.
    pub index_offset: u64,
}

impl Header {
    /// The header of an archive whose data follow at once, with an index right behind them or without.
    #[must_use]
    pub fn new(data_bytes: u64, has_index: bool) -> Self {
        let data_offset = PREFIX_BYTES as u64;
        let index_offset = if has_index { data_offset.saturating_add(data_bytes) } else { 0 };
        Self { characteristics: [0; 16], data_offset, data_bytes, index_offset }
    }

    /// Reads the header and checks that the three parts fit behind each other.
    ///
    /// # Errors
    /// [`CarError::Layout`].
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, CarError> {
        let (characteristics, rest) = bytes.split_at(16);
        let mut numbers = rest.as_chunks::<8>().0.iter().map(|n| u64::from_le_bytes(*n));
        let mut number = || numbers.next().unwrap_or_default();
        let header = Self {
            characteristics: characteristics.try_into().unwrap_or_default(),
            data_offset: number(),
            data_bytes: number(),
            index_offset: number(),
        };
        if header.data_offset < PREFIX_BYTES as u64 {
            return Err(CarError::Layout("the data begin inside the header"));
        }
        if header.data_bytes == 0 {
            return Err(CarError::Layout("there are no data"));
        }
        let data_end = header.data_offset.checked_add(header.data_bytes);
        let data_end = data_end.filter(|&end| i64::try_from(end).is_ok()).ok_or(CarError::Layout("the data are longer than any file"))?;
        if header.index_offset != 0 && header.index_offset < data_end {
            return Err(CarError::Layout("the index begins inside the data"));
        }
        Ok(header)
    }

    /// Pragma and header: what an archive begins with.
    #[must_use]
    pub fn encode(&self) -> [u8; PREFIX_BYTES] {
        let mut out = [0; PREFIX_BYTES];
        let numbers = [self.data_offset, self.data_bytes, self.index_offset].map(u64::to_le_bytes);
        let bytes = PRAGMA.iter().chain(&self.characteristics).chain(numbers.as_flattened());
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = *from;
        }
        out
    }

    /// Offset behind the last byte of the data.
    #[must_use]
    pub fn data_end(&self) -> u64 {
        self.data_offset.saturating_add(self.data_bytes)
    }
}

/// A MultihashIndexSorted over sections: each block's CID and the offset of its section from the start of the *data*
/// (not of the archive). Identity CIDs are left out, as the specification asks.
///
/// Layout, little-endian: varint 0x0401 · u32 how many hash codes · for each, ascending: u64 code, u32 how many widths · for
/// each width, ascending: u32 width (digest and offset), u64 bytes of entries, entries sorted by digest (digest, u64 offset).
/// Entries of one digest keep the order given.
#[must_use]
pub fn encode_index<'a>(entries: impl IntoIterator<Item = (&'a Cid, u64)>) -> Vec<u8> {
    /// Digests and offsets by digest length.
    type Widths<'a> = BTreeMap<usize, Vec<(&'a [u8], u64)>>;
    let mut codes: BTreeMap<u64, Widths<'a>> = BTreeMap::new();
    for (cid, offset) in entries {
        let parts = cid.parts();
        if parts.hash != IDENTITY {
            codes.entry(parts.hash).or_default().entry(parts.digest.len()).or_default().push((parts.digest, offset));
        }
    }
    let mut out = Vec::new();
    varint::write(MULTIHASH_INDEX_SORTED, &mut out);
    put_u32(codes.len(), &mut out);
    for (code, widths) in codes {
        out.extend_from_slice(&code.to_le_bytes());
        put_u32(widths.len(), &mut out);
        for (digest_bytes, mut entries) in widths {
            let width = digest_bytes + 8;
            put_u32(width, &mut out);
            out.extend_from_slice(&((width * entries.len()) as u64).to_le_bytes());
            entries.sort_by_key(|(digest, _)| *digest);
            out.reserve(width * entries.len());
            for (digest, offset) in entries {
                out.extend_from_slice(digest);
                out.extend_from_slice(&offset.to_le_bytes());
            }
        }
    }
    out
}

/// Counts of hash codes and widths, which are few.
fn put_u32(n: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
}
