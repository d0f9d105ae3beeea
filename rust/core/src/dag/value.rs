//! The IPLD data model: what a dag-cbor or dag-json block says.
//!
//! A [`Map`] is sorted and without duplicates by construction, so two equal values have one encoding.
//! Spec: <https://ipld.io/docs/data-model/>.

use crate::cid::Cid;
use std::cmp::Ordering;

/// Smallest integer of the data model as CBOR holds it: −2^64.
pub const INTEGER_MIN: i128 = -(1 << 64);
/// Largest integer of the data model as CBOR holds it: 2^64 − 1.
pub const INTEGER_MAX: i128 = (1 << 64) - 1;

/// One node of the data model.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer; encoders refuse those outside [`INTEGER_MIN`] … [`INTEGER_MAX`].
    Integer(i128),
    /// A 64-bit float; encoders refuse NaN and infinities.
    Float(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Values by key.
    Map(Map),
    /// The name of another block.
    Link(Cid),
}

/// Entries of a map, sorted as dag-cbor sorts them: shorter keys first, equal lengths by their bytes. No key occurs twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(Vec<(String, Value)>);

/// A key occurs twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicateKey;

impl std::fmt::Display for DuplicateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map has the same key twice")
    }
}
impl std::error::Error for DuplicateKey {}

/// The order of map keys in dag-cbor.
pub(super) fn key_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl Map {
    /// Sorts entries into a map.
    ///
    /// # Errors
    /// A key occurs twice.
    pub fn from_entries(mut entries: Vec<(String, Value)>) -> Result<Self, DuplicateKey> {
        entries.sort_by(|(a, _), (b, _)| key_order(a, b));
        let repeated = entries.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        if repeated { Err(DuplicateKey) } else { Ok(Self(entries)) }
    }

    /// For decoders that have checked the order while reading.
    pub(super) fn from_sorted(entries: Vec<(String, Value)>) -> Self {
        debug_assert!(entries.is_sorted_by(|(a, _), (b, _)| key_order(a, b).is_lt()));
        Self(entries)
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.0.binary_search_by(|(k, _)| key_order(k, key)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Entries in dag-cbor's order.
    #[must_use]
    pub fn entries(&self) -> &[(String, Value)] {
        &self.0
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Value {
    /// The kind's name in the data model.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Link(_) => "link",
        }
    }

    /// All links in this value, at any depth, in the order of a dag-cbor block. Walks with a stack of its own, not the thread's.
    #[must_use]
    pub fn links(&self) -> Links<'_> {
        Links { here: Some(self), open: Vec::new() }
    }
}

/// Iterator of [`Value::links`].
#[derive(Debug)]
pub struct Links<'a> {
    here: Option<&'a Value>,
    open: Vec<Children<'a>>,
}

#[derive(Debug)]
enum Children<'a> {
    Items(std::slice::Iter<'a, Value>),
    Entries(std::slice::Iter<'a, (String, Value)>),
}

impl<'a> Iterator for Links<'a> {
    type Item = &'a Cid;

    fn next(&mut self) -> Option<&'a Cid> {
        loop {
            match self.here.take() {
                Some(Value::Link(cid)) => return Some(cid),
                Some(Value::List(items)) => self.open.push(Children::Items(items.iter())),
                Some(Value::Map(map)) => self.open.push(Children::Entries(map.0.iter())),
                _ => {}
            }
            self.here = match self.open.last_mut()? {
                Children::Items(items) => items.next(),
                Children::Entries(entries) => entries.next().map(|(_, value)| value),
            };
            if self.here.is_none() {
                self.open.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid(n: u8) -> Cid {
        Cid::v1(crate::cid::codec::RAW, crate::hash::code::SHA2_256, &[n; 32]).unwrap()
    }

    #[test]
    fn a_map_is_sorted_shorter_keys_first_and_refuses_repeats() {
        let entries = ["bb", "a", "c", "aaa", ""].map(|k| (k.to_owned(), Value::Null)).to_vec();
        let map = Map::from_entries(entries.clone()).unwrap();
        let keys: Vec<_> = map.entries().iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(keys, ["", "a", "c", "bb", "aaa"]);
        assert_eq!(Map::from_entries([entries.clone(), entries].concat()), Err(DuplicateKey));
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        let map = Map::from_entries((0..200).map(|n| (format!("{n}"), Value::Integer(n))).collect()).unwrap();
        for n in 0..200 {
            assert_eq!(map.get(&n.to_string()), Some(&Value::Integer(n)));
        }
        assert_eq!(map.get("200"), None);
        assert_eq!(map.get(""), None);
    }

    #[test]
    fn links_come_in_order_from_every_depth() {
        let inner = Map::from_entries(vec![("y".into(), Value::Link(cid(2))), ("x".into(), Value::Link(cid(1)))]).unwrap();
        let value = Value::List(vec![
            Value::Link(cid(0)),
            Value::List(vec![]),
            Value::Map(inner),
            Value::Null,
            Value::List(vec![Value::Link(cid(3)), Value::Link(cid(0))]),
        ]);
        let found: Vec<_> = value.links().cloned().collect();
        assert_eq!(found, [0, 1, 2, 3, 0].map(cid));
        assert_eq!(Value::Link(cid(7)).links().count(), 1);
        assert_eq!(Value::Integer(7).links().count(), 0);
    }

    #[test]
    fn a_value_stays_within_48_bytes() {
        // The worst block (2 MiB of one-byte integers) costs this much per input byte.
        assert!(size_of::<Value>() <= 48);
    }
}
