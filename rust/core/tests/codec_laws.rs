//! Laws of the codecs and the archive reader, over generated values and arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail where it likes")]

use proptest::collection::vec;
use proptest::prelude::*;
use shoal_core::Cid;
use shoal_core::car::{Event, Limits, Reader, v1};
use shoal_core::cid::codec::{DAG_CBOR, DAG_JSON};
use shoal_core::dag::value::{INTEGER_MAX, INTEGER_MIN};
use shoal_core::dag::{self, Map, Value};
use shoal_core::hash::code;

fn cid() -> impl Strategy<Value = Cid> {
    let codec = prop_oneof![Just(0x55), Just(0x70), Just(0x71), Just(0x0129), 0..1u64 << 40];
    prop_oneof![
        any::<[u8; 32]>().prop_map(|digest| Cid::v0(&digest)),
        (codec, any::<[u8; 32]>()).prop_map(|(codec, digest)| Cid::v1(codec, code::SHA2_256, &digest).unwrap()),
        vec(any::<u8>(), 0..=128).prop_map(|data| Cid::v1(0x55, code::IDENTITY, &data).unwrap()),
        vec(any::<u8>(), 20..=128).prop_map(|digest| Cid::v1(0x71, code::BLAKE3, &digest).unwrap()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (INTEGER_MIN..=INTEGER_MAX).prop_map(Value::Integer),
        (-300i128..300).prop_map(Value::Integer),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::Float),
        (-1_000_000i32..1_000_000).prop_map(|n| Value::Float(f64::from(n) / 1000.0)),
        any::<String>().prop_map(Value::String),
        "[/a\"\\\\\u{0}-\u{1f}]{0,3}".prop_map(Value::String),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        cid().prop_map(Value::Link),
    ];
    scalar.prop_recursive(6, 60, 8, |inner| {
        let key = prop_oneof![any::<String>(), "[ab/]{0,3}", Just("/".to_owned()), Just("bytes".to_owned())];
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::List),
            proptest::collection::btree_map(key, inner, 0..8)
                .prop_map(|entries| Value::Map(Map::from_entries(entries.into_iter().collect()).unwrap())),
        ]
    })
}

/// A block and what becomes of it when a byte is changed, put in or taken out.
fn mutated(block: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    (Just(block), any::<prop::sample::Index>(), any::<u8>(), 0..4u8).prop_map(|(mut block, at, byte, how)| {
        let at = at.index(block.len() + 1);
        match how {
            0 if at < block.len() => block[at] = byte,
            1 if at < block.len() => block[at] ^= 1 << (byte % 8),
            2 if at < block.len() => drop(block.remove(at)),
            _ => block.insert(at, byte),
        }
        block
    })
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// For any bytes: no panic; and whatever the strict reader takes is written again bit for bit.
fn check_arbitrary(codec: u64, block: &[u8]) {
    let strict = dag::decode(codec, block);
    let relaxed = dag::decode_relaxed(codec, block);
    let mut links = Vec::new();
    let walked = dag::links(codec, block, &mut links);
    if let Ok(value) = &strict {
        assert_eq!(dag::encode(codec, value).as_deref(), Ok(block));
        assert_eq!(relaxed.as_ref(), Ok(value));
    }
    if let Ok(value) = &relaxed {
        assert_eq!(walked, Ok(()));
        assert_eq!(sorted(links), sorted(value.links().cloned().collect()));
        if let Ok(canonical) = dag::encode(codec, value) {
            assert_eq!(dag::decode(codec, &canonical).as_ref(), Ok(value));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Decoding undoes encoding, in both codecs; dag-json alone has values that it cannot write.
    #[test]
    fn what_is_written_is_read_back(value in value()) {
        let block = dag::encode(DAG_CBOR, &value).unwrap();
        prop_assert_eq!(dag::decode(DAG_CBOR, &block).unwrap(), value.clone());
        match dag::encode(DAG_JSON, &value) {
            Ok(block) => prop_assert_eq!(dag::decode(DAG_JSON, &block).unwrap(), value),
            Err(e) => prop_assert!(matches!(e, dag::DagError::Unencodable { reason: dag::Reason::ReservedKey, .. }), "{}", e),
        }
    }

    /// A changed cbor block is an error, or the one canonical block of another value.
    #[test]
    fn no_change_to_a_cbor_block_goes_unseen(block in value().prop_flat_map(|v| mutated(dag::encode(DAG_CBOR, &v).unwrap()))) {
        check_arbitrary(DAG_CBOR, &block);
    }

    /// A changed json block is an error, or the one canonical block of another value.
    #[test]
    fn no_change_to_a_json_block_goes_unseen(
        block in value().prop_filter_map("has a json form", |v| dag::encode(DAG_JSON, &v).ok()).prop_flat_map(mutated)
    ) {
        check_arbitrary(DAG_JSON, &block);
    }

    /// Any bytes are read or refused, never more.
    #[test]
    fn arbitrary_bytes_are_survived(block in vec(any::<u8>(), 0..200)) {
        check_arbitrary(DAG_CBOR, &block);
        check_arbitrary(DAG_JSON, &block);
        let mut reader = Reader::new(Limits { zero_padding: block.len() % 2 == 0, ..Limits::default() });
        reader.push(&block);
        while let Ok(Some(_)) = reader.next() {}
        let _ = reader.finish();
        let _ = v1::parse_section(&block);
        prop_assert!(v1::sections(&block).count() <= block.len());
    }

    /// Bytes that look like cbor: heads of every kind, little else.
    #[test]
    fn arbitrary_cbor_heads_are_survived(
        block in vec(prop_oneof![Just(0xd8u8), Just(42), Just(0x58), 0x60..0x64u8, 0x80..0x84u8, 0xa0..0xa3u8, 0xf4..=0xffu8, any::<u8>()], 0..40)
    ) {
        check_arbitrary(DAG_CBOR, &block);
    }

    /// Text that looks like JSON.
    #[test]
    fn arbitrary_json_tokens_are_survived(
        tokens in vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"/\":", "\"bytes\":", "{\"/\":", "\"bafkqaaa\"", "\"oQ\"", "1", "-0", "1.5", "e+21",
            "null", "true", " ", "\n", "\\u00", "\\ud800", "é", "0", "-",
        ]), 0..14)
    ) {
        check_arbitrary(DAG_JSON, tokens.concat().as_bytes());
    }

    /// An archive of any blocks reads back, in any pieces; changed anywhere, it is survived.
    #[test]
    fn archives_read_back_in_any_pieces(
        roots in vec(cid(), 0..4),
        blocks in vec((cid(), vec(any::<u8>(), 0..300)), 0..8),
        pieces in vec(0..200usize, 1..6).prop_filter("some progress", |p| p.iter().any(|&n| n > 0)),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut archive = v1::encode_header(&roots);
        for (cid, data) in &blocks {
            v1::section_prefix(cid, data.len(), &mut archive);
            archive.extend_from_slice(data);
        }
        let mut expected = vec![Event::Header { version: 1, roots }];
        expected.extend(blocks.into_iter().map(|(cid, data)| Event::Block { cid, data }));

        let mut reader = Reader::new(Limits::default());
        let mut events = Vec::new();
        let mut rest = archive.as_slice();
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            reader.push(now);
            while let Some(event) = reader.next().unwrap() {
                events.push(event);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(reader.finish(), Ok(()));
        prop_assert_eq!(events, expected);

        let at = at.index(archive.len());
        archive[at] = byte;
        let mut reader = Reader::new(Limits::default());
        reader.push(&archive);
        while let Ok(Some(_)) = reader.next() {}
    }
}
