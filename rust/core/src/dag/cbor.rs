//! DAG-CBOR: the one canonical CBOR of a value, links as tag 42.
//!
//! Not a CBOR library: no other tags, no indefinite lengths, no simple values, no half floats.
//! The rule: what [`decode`] accepts, [`encode`] writes again bit for bit.
//! Spec: <https://ipld.io/specs/codecs/dag-cbor/spec/> (strictness rules 1–6).

use super::value::key_order;
use super::{Budget, DagError, Map, Reason, Value};
use crate::cid::{Cid, codec::DAG_CBOR};
use crate::limits::DECODE_DEPTH_MAX;

/// Major types, the upper three bits of an item's first byte.
mod major {
    pub const UNSIGNED: u8 = 0;
    pub const NEGATIVE: u8 = 1;
    pub const BYTES: u8 = 2;
    pub const TEXT: u8 = 3;
    pub const LIST: u8 = 4;
    pub const MAP: u8 = 5;
    pub const TAG: u8 = 6;
    pub const SIMPLE: u8 = 7;
}
/// The tag of a link.
const TAG_CID: u64 = 42;
/// First bytes of items that are whole.
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const FLOAT_64: u8 = 0xfb;

const KEY_ORDER: &str = "map keys are not sorted by length, then bytes";
const SHORTEST: &str = "a number or length is not in its shortest form";
const FLOAT_WIDTH: &str = "a float is not 64 bits wide";

/// The canonical block of a value.
///
/// # Errors
/// Integers outside ±2^64, NaN, infinities, and nesting deeper than [`DECODE_DEPTH_MAX`].
pub fn encode(value: &Value) -> Result<Vec<u8>, DagError> {
    let mut out = Vec::new();
    write(value, 0, &mut out).map_err(|reason| DagError::Unencodable { codec: DAG_CBOR, reason })?;
    Ok(out)
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Integer(n) => match (u64::try_from(*n), u64::try_from(!*n)) {
            (Ok(n), _) => write_head(major::UNSIGNED, n, out),
            (_, Ok(n)) => write_head(major::NEGATIVE, n, out),
            _ => return Err(Reason::IntegerRange),
        },
        Value::Float(x) if !x.is_finite() => return Err(Reason::NotFinite),
        Value::Float(x) => {
            out.push(FLOAT_64);
            out.extend_from_slice(&x.to_bits().to_be_bytes());
        }
        Value::String(text) => {
            write_head(major::TEXT, text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Bytes(bytes) => {
            write_head(major::BYTES, bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Value::List(items) => {
            let depth = deeper(depth, DECODE_DEPTH_MAX)?;
            write_head(major::LIST, items.len() as u64, out);
            for item in items {
                write(item, depth, out)?;
            }
        }
        Value::Map(map) => {
            let depth = deeper(depth, DECODE_DEPTH_MAX)?;
            write_head(major::MAP, map.len() as u64, out);
            for (key, value) in map.entries() {
                write_head(major::TEXT, key.len() as u64, out);
                out.extend_from_slice(key.as_bytes());
                write(value, depth, out)?;
            }
        }
        Value::Link(cid) => write_link(cid, out),
    }
    Ok(())
}

fn deeper(depth: usize, depth_max: usize) -> Result<usize, Reason> {
    if depth < depth_max { Ok(depth + 1) } else { Err(Reason::Depth) }
}

/// Appends an item's first bytes in their shortest form.
pub(crate) fn write_head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let kind = major << 5;
    let [_, _, _, _, b3, b2, b1, b0] = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(kind | b0),
        24..=0xff => out.extend_from_slice(&[kind | 24, b0]),
        0x100..=0xffff => out.extend_from_slice(&[kind | 25, b1, b0]),
        0x1_0000..=0xffff_ffff => out.extend_from_slice(&[kind | 26, b3, b2, b1, b0]),
        _ => {
            out.push(kind | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

/// Appends a link: tag 42 over a zero byte and the CID.
pub(crate) fn write_link(cid: &Cid, out: &mut Vec<u8>) {
    write_head(major::TAG, TAG_CID, out);
    write_head(major::BYTES, cid.as_bytes().len() as u64 + 1, out);
    out.push(0);
    out.extend_from_slice(cid.as_bytes());
}

/// The value of a canonical block, within the default [`Budget`].
///
/// # Errors
/// [`DagError::Malformed`]: not CBOR, not in canonical form, out of budget, or bytes after the value.
pub fn decode(block: &[u8]) -> Result<Value, DagError> {
    decode_with(block, &Budget::default())
}

/// [`decode`] within a budget of one's own.
pub fn decode_with(block: &[u8], budget: &Budget) -> Result<Value, DagError> {
    decode_whole(block, budget, true)
}

/// Reads what the spec lets a decoder relax for historical data: keys in any order, longer integers and lengths, shorter
/// floats. Such a block does not encode back to itself.
pub fn decode_relaxed(block: &[u8], budget: &Budget) -> Result<Value, DagError> {
    decode_whole(block, budget, false)
}

fn decode_whole(block: &[u8], budget: &Budget, strict: bool) -> Result<Value, DagError> {
    let mut input = Input { block, at: 0, strict };
    let mut value = || {
        if block.len() > budget.bytes_max {
            return Err(Reason::Bytes);
        }
        let mut items_left = budget.items_max;
        let value = read(&mut input, &mut items_left, budget.depth_max.min(DECODE_DEPTH_MAX))?;
        input.end()?;
        Ok(value)
    };
    let value = value();
    value.map_err(|reason| input.malformed(reason))
}

/// Room for one item more. Doubles as items are read, since a count is only a claim; and never goes beyond the claim, so that many
/// small lists have no room that stays empty, and one long list costs no more than itself and its last half.
fn make_room<T>(items: &mut Vec<T>, count: u64) {
    if items.len() == items.capacity() {
        let left = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(items.len());
        items.reserve_exact(items.len().max(4).min(left));
    }
}

/// Reads one value; `depth_left` bounds the recursion.
fn read(input: &mut Input<'_>, items_left: &mut usize, depth_left: usize) -> Result<Value, Reason> {
    *items_left = items_left.checked_sub(1).ok_or(Reason::Items)?;
    let start = input.at;
    let head = input.head()?;
    Ok(match head.major {
        major::UNSIGNED => Value::Integer(i128::from(head.argument)),
        major::NEGATIVE => Value::Integer(!i128::from(head.argument)),
        major::BYTES => Value::Bytes(input.take(head.argument)?.to_vec()),
        major::TEXT => Value::String(input.text(head.argument)?.to_owned()),
        major::LIST => {
            let depth_left = depth_left.checked_sub(1).ok_or(Reason::Depth)?;
            input.check_count(head.argument, 1)?;
            let mut items = Vec::new();
            for _ in 0..head.argument {
                make_room(&mut items, head.argument);
                items.push(read(input, items_left, depth_left)?);
            }
            Value::List(items)
        }
        major::MAP => {
            let depth_left = depth_left.checked_sub(1).ok_or(Reason::Depth)?;
            input.check_count(head.argument, 2)?;
            let mut entries: Vec<(String, Value)> = Vec::new();
            for _ in 0..head.argument {
                *items_left = items_left.checked_sub(1).ok_or(Reason::Items)?;
                let key = input.key()?;
                if let (true, Some((last, _))) = (input.strict, entries.last()) {
                    match key_order(last, key) {
                        std::cmp::Ordering::Less => {}
                        std::cmp::Ordering::Equal => return Err(Reason::DuplicateKey),
                        std::cmp::Ordering::Greater => return Err(Reason::NotCanonical(KEY_ORDER)),
                    }
                }
                let key = key.to_owned();
                make_room(&mut entries, head.argument);
                entries.push((key, read(input, items_left, depth_left)?));
            }
            Value::Map(if input.strict {
                Map::from_sorted(entries)
            } else {
                Map::from_entries(entries).map_err(|_| Reason::DuplicateKey)?
            })
        }
        major::TAG => Value::Link(input.link(head.argument)?),
        _ => {
            let value = input.simple(head)?;
            value.ok_or_else(|| {
                input.at = start;
                Reason::Syntax("only false, true, null and 64-bit floats are allowed here")
            })?
        }
    })
}

/// Appends the links of a block in order, without building values.
///
/// Checks what finding links needs (structure, depth, tags, CIDs, the end), not canonical form or UTF-8: a DAG that others
/// wrote loosely can be walked all the same, and the block's hash has vouched for its bytes.
pub fn links(block: &[u8], out: &mut Vec<Cid>) -> Result<(), DagError> {
    let mut input = Input { block, at: 0, strict: false };
    scan(&mut input, out).map_err(|reason| input.malformed(reason))
}

fn scan(input: &mut Input<'_>, out: &mut Vec<Cid>) -> Result<(), Reason> {
    // What is still to come in each open list or map; a map counts keys and values, so it is at a key when the count is even.
    let mut open = [(0u64, false); DECODE_DEPTH_MAX];
    let mut depth = 0usize;
    loop {
        let enclosing = depth.checked_sub(1).and_then(|i| open.get_mut(i));
        let at_key = match enclosing {
            Some((0, _)) => {
                depth -= 1;
                if depth == 0 {
                    return input.end();
                }
                continue;
            }
            Some((left, is_map)) => {
                let at_key = *is_map && *left % 2 == 0;
                *left -= 1;
                at_key
            }
            None => false,
        };
        let head = input.head()?;
        if at_key && head.major != major::TEXT {
            return Err(Reason::Syntax("a map key must be text"));
        }
        match head.major {
            major::UNSIGNED | major::NEGATIVE => {}
            major::BYTES | major::TEXT => {
                input.take(head.argument)?;
            }
            major::LIST | major::MAP => {
                let is_map = head.major == major::MAP;
                let each = if is_map { 2 } else { 1 };
                input.check_count(head.argument, each)?;
                let entry = open.get_mut(depth).ok_or(Reason::Depth)?;
                *entry = (head.argument.saturating_mul(each), is_map);
                depth += 1;
            }
            major::TAG => out.push(input.link(head.argument)?),
            _ => {
                input.simple(head)?.ok_or(Reason::Syntax("only false, true, null and floats are allowed here"))?;
            }
        }
        if depth == 0 {
            return input.end();
        }
    }
}

/// An item's first bytes.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub major: u8,
    /// The lower five bits: how the argument was written.
    info: u8,
    pub argument: u64,
}

/// A cursor over a block. `at` never passes the end, and stands at or just behind what an error is about.
pub(crate) struct Input<'a> {
    pub block: &'a [u8],
    pub at: usize,
    pub strict: bool,
}

impl<'a> Input<'a> {
    fn malformed(&self, reason: Reason) -> DagError {
        DagError::Malformed { codec: DAG_CBOR, offset: self.at, reason }
    }

    fn rest(&self) -> &'a [u8] {
        self.block.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn end(&self) -> Result<(), Reason> {
        if self.at == self.block.len() { Ok(()) } else { Err(Reason::TrailingBytes) }
    }

    pub(crate) fn take(&mut self, bytes: u64) -> Result<&'a [u8], Reason> {
        let n = usize::try_from(bytes).map_err(|_| Reason::Truncated)?;
        let taken = self.rest().get(..n).ok_or(Reason::Truncated)?;
        self.at += n;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let taken = self.rest().first_chunk::<N>().ok_or(Reason::Truncated)?;
        self.at += N;
        Ok(*taken)
    }

    /// Refuses a count that the rest of the block cannot hold, at a byte an item.
    pub(crate) fn check_count(&self, count: u64, bytes_each: u64) -> Result<(), Reason> {
        let needed = count.checked_mul(bytes_each).ok_or(Reason::Truncated)?;
        if needed <= self.rest().len() as u64 { Ok(()) } else { Err(Reason::Truncated) }
    }

    pub(crate) fn head(&mut self) -> Result<Head, Reason> {
        let start = self.at;
        let [first] = self.take_array()?;
        let (major, info) = (first >> 5, first & 0x1f);
        let (argument, least) = match info {
            0..=23 => (u64::from(info), 0),
            24 => (u64::from(u8::from_be_bytes(self.take_array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.take_array()?)), 0x100),
            26 => (u64::from(u32::from_be_bytes(self.take_array()?)), 0x1_0000),
            27 => (u64::from_be_bytes(self.take_array()?), 0x1_0000_0000),
            _ => {
                self.at = start;
                return Err(Reason::Syntax("indefinite lengths and reserved forms are not allowed"));
            }
        };
        // Of major type 7 the argument is a float's bits, not a number.
        if self.strict && major != major::SIMPLE && argument < least {
            self.at = start;
            return Err(Reason::NotCanonical(SHORTEST));
        }
        Ok(Head { major, info, argument })
    }

    fn text(&mut self, bytes: u64) -> Result<&'a str, Reason> {
        std::str::from_utf8(self.take(bytes)?).map_err(|_| Reason::Utf8)
    }

    pub(crate) fn key(&mut self) -> Result<&'a str, Reason> {
        let start = self.at;
        let head = self.head()?;
        if head.major != major::TEXT {
            self.at = start;
            return Err(Reason::Syntax("a map key must be text"));
        }
        self.text(head.argument)
    }

    /// The link behind a tag.
    pub(crate) fn link(&mut self, tag: u64) -> Result<Cid, Reason> {
        if tag != TAG_CID {
            return Err(Reason::Syntax("only tag 42 (a link) is allowed"));
        }
        let head = self.head()?;
        if head.major != major::BYTES {
            return Err(Reason::Syntax("tag 42 must hold bytes"));
        }
        match self.take(head.argument)? {
            [0, cid @ ..] => Cid::from_bytes(cid).map_err(Reason::Cid),
            _ => Err(Reason::Syntax("a link must begin with a zero byte")),
        }
    }

    /// Of major type 7: a boolean, null or float; `None` for anything else.
    fn simple(&self, head: Head) -> Result<Option<Value>, Reason> {
        let float = match head.info {
            20 => return Ok(Some(Value::Bool(false))),
            21 => return Ok(Some(Value::Bool(true))),
            22 => return Ok(Some(Value::Null)),
            25 => half(head.argument),
            26 => f64::from(f32::from_bits(u32::try_from(head.argument).unwrap_or(u32::MAX))),
            27 => f64::from_bits(head.argument),
            _ => return Ok(None),
        };
        if !float.is_finite() {
            return Err(Reason::NotFinite);
        }
        if self.strict && head.info != 27 {
            return Err(Reason::NotCanonical(FLOAT_WIDTH));
        }
        Ok(Some(Value::Float(float)))
    }
}

/// The value of a 16-bit float (IEEE 754 binary16).
fn half(bits: u64) -> f64 {
    let fraction = f64::from(u16::try_from(bits & 0x3ff).unwrap_or(0));
    let exponent = i32::try_from((bits >> 10) & 0x1f).unwrap_or(0);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}
