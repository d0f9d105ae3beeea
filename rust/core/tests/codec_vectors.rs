//! dag-cbor and dag-json against `tests/vectors/dag.json`, which the slow oracle `tests/reference/dag_json.py` writes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail where it likes")]

use shoal_core::cid::codec::{DAG_CBOR, DAG_JSON};
use shoal_core::dag::{self, Budget, Reason, Value, cbor, json};
use shoal_core::limits::DECODE_DEPTH_MAX;

const VECTORS: &str = include_str!("../../../tests/vectors/dag.json");

/// The vectors are JSON, and we have a reader for that.
fn vectors() -> Value {
    json::decode_relaxed(VECTORS.as_bytes(), &Budget::default()).unwrap()
}

fn entries(section: &str) -> Vec<Value> {
    match vectors() {
        Value::Map(map) => match map.get(section) {
            Some(Value::List(entries)) => entries.clone(),
            other => panic!("{section}: {other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    match dag::resolve(entry, key) {
        Some(Value::String(text)) => text,
        other => panic!("{key}: {other:?}"),
    }
}

fn bytes(entry: &Value, key: &str) -> Vec<u8> {
    let hex = text(entry, key).as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn every_value_reads_the_same_from_both_codecs_and_writes_both_again() {
    let entries = entries("accepted");
    assert!(entries.len() > 80);
    for entry in entries {
        let (name, cbor, json) = (text(&entry, "name"), bytes(&entry, "cbor"), bytes(&entry, "json"));
        let value = dag::decode(DAG_CBOR, &cbor).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(dag::decode(DAG_JSON, &json).as_ref(), Ok(&value), "{name}");
        assert_eq!(dag::encode(DAG_CBOR, &value).as_ref(), Ok(&cbor), "{name}");
        assert_eq!(dag::encode(DAG_JSON, &value).as_ref(), Ok(&json), "{name}");
        assert_eq!(dag::decode_relaxed(DAG_CBOR, &cbor).as_ref(), Ok(&value), "{name}");
        assert_eq!(dag::decode_relaxed(DAG_JSON, &json).as_ref(), Ok(&value), "{name}");
    }
}

#[test]
fn links_are_found_without_values_as_they_are_with() {
    let mut all = 0;
    for entry in entries("accepted") {
        let name = text(&entry, "name");
        let value = cbor::decode(&bytes(&entry, "cbor")).unwrap();
        let mut expected: Vec<_> = value.links().cloned().collect();
        let mut found = Vec::new();
        dag::links(DAG_CBOR, &bytes(&entry, "cbor"), &mut found).unwrap();
        assert_eq!(found, expected, "{name}");
        found.clear();
        dag::links(DAG_JSON, &bytes(&entry, "json"), &mut found).unwrap();
        // JSON sorts keys another way, so the order may differ.
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{name}");
        all += found.len();
    }
    assert!(all >= 9);
}

#[test]
fn what_is_not_canonical_is_refused() {
    for (section, codec) in [("cbor_refused", DAG_CBOR), ("json_refused", DAG_JSON)] {
        let entries = entries(section);
        assert!(entries.len() > 60);
        for entry in entries {
            let decoded = dag::decode(codec, &bytes(&entry, "block"));
            assert!(decoded.is_err(), "{section}, {}: {decoded:?}", text(&entry, "name"));
        }
    }
}

#[test]
fn the_relaxed_readers_take_other_forms_of_the_same_value_and_nothing_else() {
    for (refused, relaxed, codec) in [("cbor_refused", "cbor_relaxed", DAG_CBOR), ("json_refused", "json_relaxed", DAG_JSON)] {
        for entry in entries(relaxed) {
            let (name, block) = (text(&entry, "name"), bytes(&entry, "block"));
            assert!(dag::decode(codec, &block).is_err(), "{name}");
            let value = dag::decode_relaxed(codec, &block).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(dag::encode(codec, &value), Ok(bytes(&entry, "canonical")), "{name}");
        }
        // Of what the strict readers refuse, only matters of form pass here: each of these is a value, written otherwise.
        let forms = [
            " in ",
            "out of order",
            "shorter first",
            "half float",
            "single float",
            "space",
            "newline",
            "as in dag-cbor",
            "minus zero",
            "exponent of",
            "capital exponent",
            "exponent without",
            "float with a needless",
            "float written",
            "needless escape",
            "long form",
            "capital hex",
            "escaped surrogate pair",
            "link in base16",
            "padding",
            "capital base32",
        ];
        for entry in entries(refused) {
            let name = text(&entry, "name");
            if let Ok(value) = dag::decode_relaxed(codec, &bytes(&entry, "block")) {
                assert!(forms.iter().any(|form| name.contains(form)), "{name} was taken");
                assert!(dag::decode(codec, &dag::encode(codec, &value).unwrap()).is_ok());
            }
        }
    }
}

#[test]
fn every_truncation_of_every_value_is_an_error() {
    for entry in entries("accepted") {
        let name = text(&entry, "name");
        for (codec, block) in [(DAG_CBOR, bytes(&entry, "cbor")), (DAG_JSON, bytes(&entry, "json"))] {
            // A shorter number is a number still.
            let is_number = codec == DAG_JSON && (name.starts_with("integer") || name.starts_with("float"));
            for n in 0..block.len() {
                let mut links = Vec::new();
                assert!(is_number || dag::decode(codec, &block[..n]).is_err(), "{name} at {n}");
                assert!(is_number || dag::decode_relaxed(codec, &block[..n]).is_err(), "{name} at {n}");
                assert!(is_number || dag::links(codec, &block[..n], &mut links).is_err(), "{name} at {n}");
            }
        }
    }
}

fn reason<T: std::fmt::Debug>(result: Result<T, dag::DagError>) -> Reason {
    match result {
        Err(dag::DagError::Malformed { reason, .. } | dag::DagError::Unencodable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// What a walk must refuse, since it could not tell links from other bytes; the rest of what is not canonical it may take.
#[test]
fn a_walk_refuses_what_has_another_structure() {
    let structure = [
        "trailing",
        "two values",
        "indefinite",
        "break",
        "reserved",
        "tag",
        "link",
        "too deep",
        "too short",
        "without a value",
        " of 2^",
        "integer key",
        "bytes key",
        "null key",
        "undefined",
        "simple",
        "NaN",
        "infinity",
        "false in two",
    ];
    let mut refused = 0;
    for entry in entries("cbor_refused") {
        let (name, mut links) = (text(&entry, "name"), Vec::new());
        let walked = dag::links(DAG_CBOR, &bytes(&entry, "block"), &mut links);
        // A long tag is a matter of form.
        let expected = name == "empty" || structure.iter().any(|part| name.contains(part)) && name != "tag 42 in 3 bytes";
        assert_eq!(walked.is_err(), expected, "{name}");
        refused += usize::from(expected);
    }
    assert!(refused > 35);
}

#[test]
fn a_budget_bounds_bytes_items_and_depth() {
    let cbor = b"\x83\x01\x02\xa1\x61a\x03";
    let json = b"[1,2,{\"a\":3}]";
    let budget = |bytes_max, items_max, depth_max| Budget { bytes_max, items_max, depth_max };
    // A list, two integers, a map, a key and its value.
    for (enough, bytes) in [(6, cbor.len()), (100, 100)] {
        assert!(cbor::decode_with(cbor, &budget(bytes, enough, 2)).is_ok());
    }
    assert!(json::decode_with(json, &budget(json.len(), 6, 2)).is_ok());
    assert_eq!(reason(cbor::decode_with(cbor, &budget(cbor.len() - 1, 6, 2))), Reason::Bytes);
    assert_eq!(reason(json::decode_with(json, &budget(json.len() - 1, 6, 2))), Reason::Bytes);
    assert_eq!(reason(cbor::decode_with(cbor, &budget(100, 5, 2))), Reason::Items);
    assert_eq!(reason(json::decode_with(json, &budget(100, 5, 2))), Reason::Items);
    assert_eq!(reason(cbor::decode_with(cbor, &budget(100, 6, 1))), Reason::Depth);
    assert_eq!(reason(json::decode_with(json, &budget(100, 6, 1))), Reason::Depth);
    assert!(cbor::decode_with(b"\x01", &budget(1, 1, 0)).is_ok());
}

#[test]
fn no_budget_allows_to_nest_so_deeply_that_the_stack_ends() {
    let generous = Budget { bytes_max: usize::MAX, items_max: usize::MAX, depth_max: usize::MAX };
    let deep = 3_000_000;
    let cases = [
        (DAG_CBOR, vec![0x81; deep]),
        (DAG_CBOR, b"\xa1\x61a".repeat(deep)),
        (DAG_CBOR, b"\xd8\x2a".repeat(deep)),
        (DAG_JSON, vec![b'['; deep]),
        (DAG_JSON, b"{\"a\":".repeat(deep)),
        (DAG_JSON, b"{\"/\":".repeat(deep)),
        (DAG_JSON, b"{\"/\":{\"bytes\":".repeat(deep)),
    ];
    for (codec, block) in cases {
        let decoded = match codec {
            DAG_CBOR => cbor::decode_with(&block, &generous),
            _ => json::decode_relaxed(&block, &generous),
        };
        assert!(matches!(reason(decoded), Reason::Depth | Reason::Syntax(_)));
        let links = match codec {
            DAG_CBOR => cbor::links(&block, &mut Vec::new()),
            _ => dag::links(codec, &block[..1 << 20], &mut Vec::new()),
        };
        assert!(matches!(reason(links), Reason::Depth | Reason::Syntax(_)));
    }
}

#[test]
fn values_without_a_canonical_form_are_not_written() {
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(dag::Map::from_entries(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()).unwrap())
    };
    let string = || Value::String("text".into());
    for codec in [DAG_CBOR, DAG_JSON] {
        for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(reason(dag::encode(codec, &Value::Float(float))), Reason::NotFinite);
        }
        for integer in [1 << 64, -(1 << 64) - 1, i128::MAX, i128::MIN] {
            assert_eq!(reason(dag::encode(codec, &Value::Integer(integer))), Reason::IntegerRange, "{integer}");
        }
        let mut deep = Value::Null;
        for _ in 0..DECODE_DEPTH_MAX {
            deep = Value::List(vec![deep]);
        }
        let block = dag::encode(codec, &deep).unwrap();
        assert_eq!(dag::decode(codec, &block).as_ref(), Ok(&deep));
        assert_eq!(reason(dag::encode(codec, &Value::List(vec![deep.clone()]))), Reason::Depth);
        assert_eq!(reason(dag::encode(codec, &map(vec![("a", deep)]))), Reason::Depth);
    }
    for reserved in [
        map(vec![("/", string())]),
        map(vec![("/", string()), ("a", Value::Null)]),
        map(vec![("/", map(vec![("bytes", string())]))]),
        map(vec![("/", map(vec![("bytes", string()), ("c", Value::Null)]))]),
        Value::List(vec![map(vec![("/", string())])]),
    ] {
        assert_eq!(reason(json::encode(&reserved)), Reason::ReservedKey, "{reserved:?}");
        // dag-cbor has no such trouble.
        assert_eq!(cbor::decode(&cbor::encode(&reserved).unwrap()), Ok(reserved));
    }
}

#[test]
fn an_error_says_where() {
    let offset = |result: Result<Value, dag::DagError>| match result {
        Err(dag::DagError::Malformed { offset, .. }) => offset,
        other => panic!("{other:?}"),
    };
    assert_eq!(offset(cbor::decode(b"\x82\x01\x18\x00")), 2);
    assert_eq!(offset(cbor::decode(b"\x01\x01")), 1);
    assert_eq!(offset(cbor::decode(b"\xa1\x01\x01")), 1);
    assert_eq!(offset(json::decode(b"[1, 2]")), 3);
    assert_eq!(offset(json::decode(b"[1,2,x]")), 5);
    assert_eq!(offset(json::decode(b"[true,falsy]")), 6);
}
