//! Replays `tests/vectors/chunks.json`, which the slow oracle in `tests/reference/chunkers.py` wrote.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "tests fail by panics")]

mod memory;

use memory::{add_file, painted};
use serde_json::Value;
use shoal_core::chunk::{Chunker, segment};
use shoal_core::unixfs::{Metadata, Profile};

/// The oracle's `of_kinds`.
fn content(kind: &str, length: usize) -> Vec<u8> {
    let mut paint = painted(length);
    match kind {
        "painted" => paint,
        "zeros" => vec![0; length],
        "period" => (0..length).map(|i| paint[i % 97]).collect(),
        "runs" => {
            for (at, run) in paint.chunks_exact_mut(3001).enumerate() {
                let start = at * 3001;
                if start % 2 == 1 {
                    run.fill(if start % 7 % 2 == 1 { 255 } else { 0 });
                }
            }
            paint
        }
        other => panic!("{other}"),
    }
}

#[test]
fn cuts_are_those_of_the_oracle() {
    let vectors: Value = serde_json::from_str(include_str!("../../../tests/vectors/chunks.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        let bytes = usize::try_from(case["bytes"].as_u64().unwrap()).unwrap();
        let content = content(case["content"].as_str().unwrap(), bytes);
        let chunker: Chunker = case["chunker"].as_str().unwrap().parse().unwrap();
        let mut start = 0;
        let cuts = segment::cuts(&chunker, &content, 0, bytes, true);
        let lengths: Vec<usize> = cuts.iter().map(|&end| end - std::mem::replace(&mut start, end)).collect();
        let expected: Vec<usize> =
            case["lengths"].as_array().unwrap().iter().map(|n| usize::try_from(n.as_u64().unwrap()).unwrap()).collect();
        assert_eq!(lengths, expected, "{} of {bytes} bytes {}", case["chunker"], case["content"]);
    }
}

/// What the `fastcdc` crate, version 5, `v2020::FastCDC::new(data, 32768, 65536, 131072)` gives for the same bytes.
#[test]
fn fastcdc_cuts_where_the_crate_of_that_name_does() {
    let content = painted(1_000_001);
    let cuts = segment::cuts(&"fastcdc".parse().unwrap(), &content, 0, content.len(), true);
    assert_eq!(cuts, [125_811, 203_956, 305_622, 389_571, 437_283, 516_358, 558_185, 631_795, 710_645, 778_839, 876_862, 1_000_001]);
}

/// Frozen: whatever changes this CID has changed the profile.
#[test]
fn the_profile_blake3_cdc_has_its_cid() {
    let cid = add_file(&Profile::blake3_cdc(), Metadata::default(), painted(3_000_000).as_slice()).cid.to_string();
    assert_eq!(cid, "bafyb4iajasekzpbjd2lhv3dyf2hwqmf6soznpdps7kg3pltxkaqqg3ut2a");
}
