//! CARv1: `varint length, header` and then `varint length, CID, block` until the end.
//!
//! The pieces, for a reader or writer that has the bytes at hand; [`super::Reader`] strings them together.

use super::CarError;
use crate::cid::Cid;
use crate::dag::cbor::{self, Input};
use crate::limits::CAR_SECTION_BYTES_MAX;
use crate::varint::{self, VarintError};
use std::ops::Range;

/// CBOR of a header up to the list of roots: a map of two, key `roots`.
const BEFORE_ROOTS: &[u8] = b"\xa2\x65roots";
/// CBOR of a header after its roots: key `version`, value 1.
const AFTER_ROOTS: &[u8] = b"\x67version\x01";
const MAJOR_LIST: u8 = 4;

/// The header and its length: what an archive begins with. Readers exist that refuse an archive without roots.
#[must_use]
pub fn encode_header(roots: &[Cid]) -> Vec<u8> {
    let mut body = BEFORE_ROOTS.to_vec();
    cbor::write_head(MAJOR_LIST, roots.len() as u64, &mut body);
    for root in roots {
        cbor::write_link(root, &mut body);
    }
    body.extend_from_slice(AFTER_ROOTS);
    let mut out = Vec::with_capacity(body.len() + 3);
    varint::write(body.len() as u64, &mut out);
    out.extend_from_slice(&body);
    out
}

/// Appends what stands before a block of `data_bytes` bytes: the section's length and the CID.
pub fn section_prefix(cid: &Cid, data_bytes: usize, out: &mut Vec<u8>) {
    varint::write(cid.as_bytes().len() as u64 + data_bytes as u64, out);
    out.extend_from_slice(cid.as_bytes());
}

/// How many bytes a section takes, length and CID included.
#[must_use]
pub fn section_bytes(cid: &Cid, data_bytes: usize) -> usize {
    let body = cid.as_bytes().len() + data_bytes;
    varint::len(body as u64) + body
}

/// A section in a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The block's name.
    pub cid: Cid,
    /// Where in the slice the block lies.
    pub data_range: Range<usize>,
    /// Bytes of the whole section: the next one begins here.
    pub total_len: usize,
}

/// The section at the front of `bytes`, which may go on after it. Copies nothing but the CID.
///
/// # Errors
/// [`CarError::Truncated`] when `bytes` end inside it; otherwise what is wrong.
pub fn parse_section(bytes: &[u8]) -> Result<Section, CarError> {
    let (start, end) = match super::framed(bytes, CAR_SECTION_BYTES_MAX, u64::MAX)? {
        Some(body) => body,
        None => return Err(CarError::Truncated),
    };
    let (cid, cid_bytes) = Cid::read(bytes.get(start..end).unwrap_or_default()).map_err(CarError::Cid)?;
    Ok(Section { cid, data_range: start + cid_bytes..end, total_len: end })
}

/// The header at the front of `bytes`: its roots, and how many bytes it takes. For version 1 only.
///
/// # Errors
/// [`CarError::Truncated`] when `bytes` end inside it; otherwise what is wrong.
pub fn read_header(bytes: &[u8], header_bytes_max: usize) -> Result<(Vec<Cid>, usize), CarError> {
    let (start, end) = super::framed(bytes, header_bytes_max, u64::MAX)?.ok_or(CarError::Truncated)?;
    match parse_header(bytes.get(start..end).unwrap_or_default())? {
        (1, roots) => Ok((roots, end)),
        (version, _) => Err(CarError::Version(version)),
    }
}

/// Version and roots of a header's body. A version other than 1 is reported, not read further.
///
/// A null for the roots, as go-car writes it for none, is taken as none.
pub(super) fn parse_header(body: &[u8]) -> Result<(u64, Vec<Cid>), CarError> {
    const BROKEN: CarError = CarError::Header("it is not canonical dag-cbor of roots and version");
    if let Some(version) = other_version(body) {
        return Ok((version, Vec::new()));
    }
    let list = body.strip_prefix(BEFORE_ROOTS).ok_or(BROKEN)?;
    if list.strip_prefix(b"\xf6") == Some(AFTER_ROOTS) {
        return Ok((1, Vec::new()));
    }
    let mut input = Input { block: list, at: 0, strict: true };
    let head = input.head().map_err(|_| BROKEN)?;
    if head.major != MAJOR_LIST {
        return Err(BROKEN);
    }
    input.check_count(head.argument, 1).map_err(|_| BROKEN)?;
    let mut roots = Vec::new();
    for _ in 0..head.argument {
        let tag = input.head().map_err(|_| BROKEN)?;
        let root = if tag.major == 6 { input.link(tag.argument).ok() } else { None };
        roots.push(root.ok_or(CarError::Header("a root is not a CID"))?);
    }
    let after = input.take((list.len() - input.at) as u64).map_err(|_| BROKEN)?;
    match after.strip_prefix(b"\x67version") {
        Some([1]) => Ok((1, roots)),
        Some([version @ 0..=0x17]) => Err(CarError::Version(u64::from(*version))),
        _ => Err(BROKEN),
    }
}

/// The version of a header that has nothing else: the pragma of version 2, or of some later one.
fn other_version(body: &[u8]) -> Option<u64> {
    let mut input = Input { block: body.strip_prefix(b"\xa1\x67version")?, at: 0, strict: true };
    let head = input.head().ok()?;
    (head.major == 0 && head.argument != 1 && input.end().is_ok()).then_some(head.argument)
}

/// Walks sections that lie one after another in a slice (a pack, or the data of an archive).
///
/// Yields each with the offset at which it begins, and ends after the first error.
pub fn sections(bytes: &[u8]) -> impl Iterator<Item = Result<(usize, Section), CarError>> {
    let mut at = 0usize;
    let mut failed = false;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty() && !failed)?;
        let section = parse_section(rest).map(|section| (at, section));
        match &section {
            Ok((_, section)) => at += section.total_len,
            Err(_) => failed = true,
        }
        Some(section)
    })
}

impl From<VarintError> for CarError {
    fn from(e: VarintError) -> Self {
        match e {
            VarintError::Truncated => Self::Truncated,
            e => Self::Varint(e),
        }
    }
}
