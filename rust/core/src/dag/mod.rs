//! Codecs of linked blocks: dag-cbor, dag-json, dag-pb.
//!
//! This page only chooses the codec. The rule every codec keeps: input is a stranger's, so depth, items and bytes are
//! bounded by a [`Budget`], memory is taken only for bytes that were seen, and no error repeats what it read.

pub mod cbor;
pub mod json;
pub mod pb;
mod pb_value;
pub mod value;

use crate::cid::{Cid, CidError, codec};
use crate::limits::{BLOCK_BYTES_MAX, DECODE_DEPTH_MAX, DECODE_ITEMS_MAX};
use std::fmt;
pub use value::{Map, Value};

/// What one decoding may cost. The default is that of a block from outside ([`crate::limits`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Longest input in bytes.
    pub bytes_max: usize,
    /// Most values: every scalar, list, map and link counts one, and so does every map key.
    pub items_max: usize,
    /// Deepest nesting of lists and maps. A scalar alone has depth 0. Never above [`DECODE_DEPTH_MAX`], whatever is asked:
    /// the decoders recurse.
    pub depth_max: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes_max: BLOCK_BYTES_MAX, items_max: DECODE_ITEMS_MAX, depth_max: DECODE_DEPTH_MAX }
    }
}

/// What is wrong with a block, or with a value that shall become one. Never repeats the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The input ended inside a value.
    Truncated,
    /// There are bytes after the value.
    TrailingBytes,
    /// The grammar does not allow this (what was expected).
    Syntax(&'static str),
    /// The same data has another encoding, the canonical one (which rule is broken).
    NotCanonical(&'static str),
    /// A map has the same key twice.
    DuplicateKey,
    /// A string is not UTF-8.
    Utf8,
    /// NaN and the infinities are not in the data model.
    NotFinite,
    /// An integer outside −2^64 … 2^64−1.
    IntegerRange,
    /// A map that dag-json would read back as a link or as bytes.
    ReservedKey,
    /// A link is not a CID.
    Cid(CidError),
    /// Nested deeper than the budget allows.
    Depth,
    /// More values than the budget allows.
    Items,
    /// Longer than the budget allows.
    Bytes,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the block is cut short"),
            Self::TrailingBytes => f.write_str("there are bytes after the value"),
            Self::Syntax(what) => f.write_str(what),
            Self::NotCanonical(rule) => write!(f, "not the canonical form: {rule}"),
            Self::DuplicateKey => f.write_str("a map has the same key twice"),
            Self::Utf8 => f.write_str("a string is not UTF-8"),
            Self::NotFinite => f.write_str("a number is not finite"),
            Self::IntegerRange => f.write_str("an integer lies outside -2^64 to 2^64-1"),
            Self::ReservedKey => f.write_str("a map begins with the key \"/\", which dag-json keeps for links and bytes"),
            Self::Cid(e) => write!(f, "a link is broken: {e}"),
            Self::Depth => f.write_str("nested too deeply"),
            Self::Items => f.write_str("too many values"),
            Self::Bytes => f.write_str("too long"),
        }
    }
}

/// Why a block could not be read, or a value not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DagError {
    /// The bytes are not a block of this codec.
    Malformed {
        /// Multicodec of the block.
        codec: u64,
        /// Where in the block, in bytes from its start.
        offset: usize,
        /// What is wrong there.
        reason: Reason,
    },
    /// The value has no form in this codec.
    Unencodable {
        /// Multicodec of the block wanted.
        codec: u64,
        /// Why not.
        reason: Reason,
    },
    /// The bytes are not a dag-pb block.
    Pb(pb::PbError),
    /// Shoal has no such codec (its multicodec).
    Unsupported {
        /// Multicodec asked for.
        codec: u64,
    },
}

impl fmt::Display for DagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |code: u64| codec::name(code).map_or_else(|| format!("0x{code:x}"), str::to_owned);
        match self {
            Self::Malformed { codec, offset, reason } => write!(f, "not a {} block: {reason} (at byte {offset})", name(*codec)),
            Self::Unencodable { codec, reason } => write!(f, "cannot be written as {}: {reason}", name(*codec)),
            Self::Pb(reason) => reason.fmt(f),
            Self::Unsupported { codec } => {
                write!(f, "codec {} is not supported (raw, dag-pb, dag-cbor and dag-json are)", name(*codec))
            }
        }
    }
}
impl std::error::Error for DagError {}

/// The value of a raw, dag-pb, dag-cbor or dag-json block in canonical form. Of dag-pb, `{Data?, Links: [{Hash, Name?, Tsize?}]}`.
///
/// # Errors
/// [`DagError::Malformed`] also for valid but non-canonical blocks; [`decode_relaxed`] reads those. dag-pb has no such forms:
/// links in any order, and data before or behind them, are different blocks with the same value.
pub fn decode(codec: u64, block: &[u8]) -> Result<Value, DagError> {
    match codec {
        codec::RAW => Ok(Value::Bytes(block.to_vec())),
        codec::DAG_PB => pb_value::decode(block),
        codec::DAG_CBOR => cbor::decode(block),
        codec::DAG_JSON => json::decode(block),
        codec => Err(DagError::Unsupported { codec }),
    }
}

/// As [`decode`], but takes the forms that other implementations write or let people type: JSON with spaces, maps in any
/// order, integers and floats in longer or shorter forms. Duplicate keys, NaN, unknown tags and trailing bytes are errors still.
pub fn decode_relaxed(codec: u64, block: &[u8]) -> Result<Value, DagError> {
    match codec {
        codec::DAG_CBOR => cbor::decode_relaxed(block, &Budget::default()),
        codec::DAG_JSON => json::decode_relaxed(block, &Budget::default()),
        codec => decode(codec, block),
    }
}

/// The one canonical block of a value; raw takes [`Value::Bytes`] only.
pub fn encode(codec: u64, value: &Value) -> Result<Vec<u8>, DagError> {
    match (codec, value) {
        (codec::RAW, Value::Bytes(bytes)) => Ok(bytes.clone()),
        (codec::RAW, _) => Err(DagError::Unencodable { codec, reason: Reason::Syntax("a raw block is bytes, nothing else") }),
        (codec::DAG_PB, _) => pb_value::encode(value),
        (codec::DAG_CBOR, _) => cbor::encode(value),
        (codec::DAG_JSON, _) => json::encode(value),
        _ => Err(DagError::Unsupported { codec }),
    }
}

/// Appends the links of a block in the order they stand in it, repeats included. On an error `out` may hold the first few.
///
/// Canonical form is not asked for here: whoever has a DAG must be able to walk, pin and export it, however it was written.
pub fn links(codec: u64, block: &[u8], out: &mut Vec<Cid>) -> Result<(), DagError> {
    match codec {
        codec::RAW => Ok(()),
        codec::DAG_PB => pb::links(block, out).map_err(DagError::Pb),
        codec::DAG_CBOR => cbor::links(block, out),
        codec::DAG_JSON => json::links(block, out),
        codec => Err(DagError::Unsupported { codec }),
    }
}

/// The value that one path segment leads to: a map's key, or a list's index in plain decimal. `None` where there is none.
#[must_use]
pub fn resolve<'a>(value: &'a Value, segment: &str) -> Option<&'a Value> {
    match value {
        Value::Map(map) => map.get(segment),
        Value::List(items) => {
            let plain = segment == "0" || (!segment.starts_with('0') && segment.bytes().all(|b| b.is_ascii_digit()));
            if plain { items.get(segment.parse::<usize>().ok()?) } else { None }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_maps_and_lists() {
        let value = json::decode(br#"{"a":[10,{"b":true}],"0":"zero"}"#);
        assert!(value.is_err(), "keys out of order");
        let value = json::decode(br#"{"0":"zero","a":[10,{"b":true}]}"#).unwrap();
        let a = resolve(&value, "a").unwrap();
        assert_eq!(resolve(a, "0"), Some(&Value::Integer(10)));
        assert_eq!(resolve(resolve(a, "1").unwrap(), "b"), Some(&Value::Bool(true)));
        assert_eq!(resolve(&value, "0"), Some(&Value::String("zero".into())));
        for wrong in ["2", "-1", "+1", "01", "", "1 ", "x", "99999999999999999999999"] {
            assert_eq!(resolve(a, wrong), None, "{wrong:?}");
        }
        assert_eq!(resolve(&Value::Null, "a"), None);
    }

    #[test]
    fn an_unknown_codec_is_named_in_the_error() {
        let mut out = Vec::new();
        assert_eq!(links(codec::RAW, b"anything", &mut out), Ok(()));
        let error = links(0x78, b"", &mut out).unwrap_err();
        assert_eq!(error, DagError::Unsupported { codec: 0x78 });
        assert!(error.to_string().contains("0x78"));
        assert!(decode(0x78, b"").is_err() && encode(0x78, &Value::Null).is_err());
    }

    #[test]
    fn raw_holds_bytes_only() {
        let bytes = Value::Bytes(vec![1, 2, 3]);
        assert_eq!(encode(codec::RAW, &bytes), Ok(vec![1, 2, 3]));
        assert_eq!(decode(codec::RAW, &[1, 2, 3]), Ok(bytes));
        assert!(encode(codec::RAW, &Value::Null).is_err());
    }

    #[test]
    fn errors_say_what_and_where_and_never_repeat_the_input() {
        let text = decode(codec::DAG_CBOR, b"\x82\x01\xf7").unwrap_err().to_string();
        assert_eq!(text, "not a dag-cbor block: only false, true, null and 64-bit floats are allowed here (at byte 2)");
        let text = decode(codec::DAG_JSON, b"[1,secret]").unwrap_err().to_string();
        assert!(!text.contains("secret"), "{text}");
    }
}
