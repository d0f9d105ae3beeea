//! dag-pb nodes as values: what `dag get` shows of one and `dag put` makes one of.
//!
//! Only the shape of the specification's data model: `{Data?: bytes, Links: [{Hash: link, Name?: string, Tsize?: integer}]}`.
//! The blocks themselves are read and written by [`super::pb`]; UnixFS works on those directly and never sees a [`Value`].
//! Spec: <https://ipld.io/specs/codecs/dag-pb/spec/#logical-format>.

use super::pb::{self, Link, Node};
use super::{DagError, Map, Reason, Value};
use crate::cid::codec::DAG_PB;
use crate::limits::{BLOCK_BYTES_MAX, VARINT_BYTES_MAX};

const DATA: &str = "Data";
const LINKS: &str = "Links";
const HASH: &str = "Hash";
const NAME: &str = "Name";
const TSIZE: &str = "Tsize";

/// Sizes are varints of at most 9 bytes, so of 63 bits.
const TSIZE_MAX: u64 = (1 << (7 * VARINT_BYTES_MAX)) - 1;

/// The value of a block, links in the order of the block.
///
/// # Errors
/// [`DagError::Pb`]; or [`DagError::Malformed`] for names that are not UTF-8, which the data model cannot hold.
pub fn decode(block: &[u8]) -> Result<Value, DagError> {
    let malformed = |reason| DagError::Malformed { codec: DAG_PB, offset: 0, reason };
    if block.len() > BLOCK_BYTES_MAX {
        return Err(malformed(Reason::Bytes));
    }
    let Node { links, data } = pb::decode(block).map_err(DagError::Pb)?;
    let links: Result<Vec<Value>, Reason> = links.into_iter().map(link_value).collect();
    let mut entries = vec![(LINKS, Value::List(links.map_err(malformed)?))];
    entries.extend(data.map(|data| (DATA, Value::Bytes(data.to_vec()))));
    map(entries).map_err(malformed)
}

fn link_value(link: Link<'_>) -> Result<Value, Reason> {
    let mut entries = vec![(HASH, Value::Link(link.cid))];
    if let Some(name) = link.name {
        entries.push((NAME, Value::String(std::str::from_utf8(name).map_err(|_| Reason::Utf8)?.to_owned())));
    }
    entries.extend(link.dag_bytes.map(|n| (TSIZE, Value::Integer(n.into()))));
    map(entries)
}

fn map(entries: Vec<(&str, Value)>) -> Result<Value, Reason> {
    let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Map::from_entries(entries).map(Value::Map).map_err(|_| Reason::DuplicateKey)
}

/// The block of a value of that shape, links sorted by name.
///
/// # Errors
/// [`DagError::Unencodable`] for any other shape: an entry missing, of another kind, or unknown.
pub fn encode(value: &Value) -> Result<Vec<u8>, DagError> {
    node(value).map_err(|what| DagError::Unencodable { codec: DAG_PB, reason: Reason::Syntax(what) })
}

fn node(value: &Value) -> Result<Vec<u8>, &'static str> {
    let Value::Map(node) = value else { return Err("a dag-pb node is a map of Data and Links") };
    if node.entries().iter().any(|(key, _)| key != DATA && key != LINKS) {
        return Err("a dag-pb node has Data and Links, and nothing else");
    }
    let data = match node.get(DATA) {
        None => None,
        Some(Value::Bytes(data)) => Some(data.as_slice()),
        Some(_) => return Err("Data of a dag-pb node must be bytes"),
    };
    let Some(Value::List(links)) = node.get(LINKS) else { return Err("Links of a dag-pb node must be a list") };
    let links: Result<Vec<Link<'_>>, _> = links.iter().map(link).collect();
    let mut out = Vec::new();
    pb::encode(&links?, data, false, &mut out);
    Ok(out)
}

fn link(value: &Value) -> Result<Link<'_>, &'static str> {
    let Value::Map(link) = value else { return Err("a link of a dag-pb node is a map of Hash, Name and Tsize") };
    if link.entries().iter().any(|(key, _)| ![HASH, NAME, TSIZE].contains(&key.as_str())) {
        return Err("a link of a dag-pb node has Hash, Name and Tsize, and nothing else");
    }
    let Some(Value::Link(cid)) = link.get(HASH) else { return Err("Hash of a dag-pb link must be a link") };
    let name = match link.get(NAME) {
        None => None,
        Some(Value::String(name)) => Some(name.as_bytes()),
        Some(_) => return Err("Name of a dag-pb link must be a string"),
    };
    let dag_bytes = match link.get(TSIZE) {
        None => None,
        Some(Value::Integer(n)) => {
            Some(u64::try_from(*n).ok().filter(|&n| n <= TSIZE_MAX).ok_or("Tsize of a dag-pb link must lie in 0 to 2^63-1")?)
        }
        Some(_) => return Err("Tsize of a dag-pb link must be an integer"),
    };
    Ok(Link { cid: cid.clone(), name, dag_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::{Budget, json};

    fn value(text: &str) -> Value {
        json::decode_relaxed(text.as_bytes(), &Budget::default()).unwrap()
    }

    #[test]
    fn nodes_with_and_without_each_part_read_back() {
        for text in [
            r#"{"Links":[]}"#,
            r#"{"Data":{"/":{"bytes":""}},"Links":[]}"#,
            r#"{"Data":{"/":{"bytes":"AAE"}},"Links":[{"Hash":{"/":"bafkqaaa"}}]}"#,
            r#"{"Links":[{"Hash":{"/":"bafkqaaa"},"Name":""},{"Hash":{"/":"bafkqaaa"},"Name":"a","Tsize":0}]}"#,
            r#"{"Links":[{"Hash":{"/":"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"},"Tsize":9223372036854775807}]}"#,
        ] {
            let block = encode(&value(text)).unwrap();
            assert_eq!(decode(&block), Ok(value(text)), "{text}");
        }
    }

    #[test]
    fn links_are_sorted_by_name_when_written() {
        let block = encode(&value(r#"{"Links":[{"Hash":{"/":"bafkqaaa"},"Name":"b"},{"Hash":{"/":"bafkqaaa"},"Name":"a"}]}"#)).unwrap();
        let sorted = value(r#"{"Links":[{"Hash":{"/":"bafkqaaa"},"Name":"a"},{"Hash":{"/":"bafkqaaa"},"Name":"b"}]}"#);
        assert_eq!(decode(&block), Ok(sorted));
    }

    #[test]
    fn any_other_shape_is_refused() {
        let link = r#"{"/":"bafkqaaa"}"#;
        for text in [
            "null".into(),
            "[]".into(),
            "{}".into(),
            r#"{"Links":null}"#.into(),
            r#"{"Links":{}}"#.into(),
            r#"{"Links":[],"Data":null}"#.into(),
            r#"{"Links":[],"Data":"text"}"#.into(),
            r#"{"Links":[],"data":{"/":{"bytes":""}}}"#.into(),
            r#"{"Links":[null]}"#.into(),
            r#"{"Links":[{}]}"#.into(),
            format!(r#"{{"Links":[{link}]}}"#),
            r#"{"Links":[{"Hash":"bafkqaaa"}]}"#.into(),
            format!(r#"{{"Links":[{{"Hash":{link},"Name":null}}]}}"#),
            format!(r#"{{"Links":[{{"Hash":{link},"Name":1}}]}}"#),
            format!(r#"{{"Links":[{{"Hash":{link},"Tsize":-1}}]}}"#),
            format!(r#"{{"Links":[{{"Hash":{link},"Tsize":1.0}}]}}"#),
            format!(r#"{{"Links":[{{"Hash":{link},"Tsize":9223372036854775808}}]}}"#),
            format!(r#"{{"Links":[{{"Hash":{link},"Size":1}}]}}"#),
        ] {
            let result = encode(&value(&text));
            assert!(matches!(result, Err(DagError::Unencodable { codec: DAG_PB, .. })), "{text}: {result:?}");
        }
    }

    #[test]
    fn a_name_that_is_not_text_has_no_value() {
        let mut block = Vec::new();
        pb::encode(&[Link { cid: "bafkqaaa".parse().unwrap(), name: Some(b"\xff"), dag_bytes: None }], None, false, &mut block);
        assert!(pb::decode(&block).is_ok());
        assert_eq!(decode(&block), Err(DagError::Malformed { codec: DAG_PB, offset: 0, reason: Reason::Utf8 }));
    }
}
