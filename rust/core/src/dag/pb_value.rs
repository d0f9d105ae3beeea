//! dag-pb in the IPLD data model: a map of `Data` (bytes, optional) and `Links`, each a map of `Hash`, and perhaps `Name` and `Tsize`.
//!
//! For people who look at nodes as objects; UnixFS never takes this way. Spec: <https://ipld.io/specs/codecs/dag-pb/spec/>.

use super::pb::{self, Link};
use super::{DagError, Map, Reason, Value};
use crate::cid::codec::DAG_PB;

fn map(entries: Vec<(&str, Value)>) -> Value {
    let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    // The keys are ours, and different.
    Value::Map(Map::from_entries(entries).unwrap_or_default())
}

/// The value of a dag-pb block. Names must be UTF-8, which is all the data model can hold.
pub(super) fn decode(block: &[u8]) -> Result<Value, DagError> {
    let node = pb::decode(block).map_err(DagError::Pb)?;
    let mut links = Vec::with_capacity(node.links.len());
    for link in node.links {
        let mut entries = vec![("Hash", Value::Link(link.cid))];
        if let Some(name) = link.name {
            let at = name.as_ptr().addr().saturating_sub(block.as_ptr().addr());
            let malformed = |_| DagError::Malformed { codec: DAG_PB, offset: at, reason: Reason::Utf8 };
            entries.push(("Name", Value::String(std::str::from_utf8(name).map_err(malformed)?.to_owned())));
        }
        entries.extend(link.dag_bytes.map(|n| ("Tsize", Value::Integer(n.into()))));
        links.push(map(entries));
    }
    let mut entries = vec![("Links", Value::List(links))];
    entries.extend(node.data.map(|data| ("Data", Value::Bytes(data.to_vec()))));
    Ok(map(entries))
}

fn refused(rule: &'static str) -> DagError {
    DagError::Unencodable { codec: DAG_PB, reason: Reason::Syntax(rule) }
}

fn link(value: &Value) -> Result<Link<'_>, DagError> {
    let Value::Map(fields) = value else { return Err(refused("a link is a map of Hash, and perhaps Name and Tsize")) };
    let mut found = (None, None, None);
    for (key, value) in fields.entries() {
        match (key.as_str(), value) {
            ("Hash", Value::Link(cid)) => found.0 = Some(cid),
            ("Name", Value::String(name)) => found.1 = Some(name.as_bytes()),
            ("Tsize", Value::Integer(n)) => found.2 = Some(u64::try_from(*n).map_err(|_| refused("Tsize is a size in bytes"))?),
            _ => return Err(refused("a link has a Hash (a CID), and perhaps a Name (text) and a Tsize (an integer), nothing else")),
        }
    }
    let cid = found.0.cloned().ok_or_else(|| refused("a link needs a Hash"))?;
    Ok(Link { cid, name: found.1, dag_bytes: found.2 })
}

/// The block of such a map. Links are sorted by name, as the spec wants of encoders.
pub(super) fn encode(value: &Value) -> Result<Vec<u8>, DagError> {
    let form = "a dag-pb node is a map of Links (a list), and perhaps Data (bytes)";
    let Value::Map(fields) = value else { return Err(refused(form)) };
    let (mut links, mut data) = (None, None);
    for (key, value) in fields.entries() {
        match (key.as_str(), value) {
            ("Links", Value::List(items)) => links = Some(items.iter().map(link).collect::<Result<Vec<_>, _>>()?),
            ("Data", Value::Bytes(bytes)) => data = Some(bytes.as_slice()),
            _ => return Err(refused(form)),
        }
    }
    let mut out = Vec::new();
    pb::encode(&links.ok_or_else(|| refused("a dag-pb node needs Links, if only an empty list"))?, data, false, &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn value(json: &str) -> Value {
        json::decode(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_node_goes_through_the_data_model_unchanged() {
        let cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
        for json in [
            r#"{"Links":[]}"#.to_owned(),
            r#"{"Data":{"/":{"bytes":""}},"Links":[]}"#.to_owned(),
            format!(
                r#"{{"Data":{{"/":{{"bytes":"CAE"}}}},"Links":[{{"Hash":{{"/":"{cid}"}}}},{{"Hash":{{"/":"{cid}"}},"Name":"a","Tsize":7}}]}}"#
            ),
        ] {
            let value = value(&json);
            let block = encode(&value).unwrap();
            assert_eq!(decode(&block).unwrap(), value, "{json}");
        }
    }

    #[test]
    fn what_is_no_node_is_refused() {
        for json in [
            "null",
            "[]",
            "{}",
            r#"{"Data":{"/":{"bytes":""}}}"#,
            r#"{"Links":{}}"#,
            r#"{"Links":[1]}"#,
            r#"{"Links":[{}]}"#,
            r#"{"Links":[{"Name":"a"}]}"#,
            r#"{"Links":[],"More":1}"#,
        ] {
            assert!(matches!(encode(&value(json)), Err(DagError::Unencodable { .. })), "{json}");
        }
    }
}
