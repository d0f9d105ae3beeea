//! Replays `tests/vectors/unixfs.json`, which the slow oracle in `tests/reference/unixfs.py` wrote.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panics")]

mod memory;

use memory::{add_directory, add_file, painted};
use serde_json::Value;
use shoal_core::hash::Hash;
use shoal_core::unixfs::profile::{DirectorySize, Layout};
use shoal_core::unixfs::{Child, Metadata, Profile, encode_symlink};

fn profile(changes: &Value) -> Profile {
    let mut profile = Profile::unixfs_v1_2025();
    for (field, value) in changes.as_object().unwrap() {
        let number = || usize::try_from(value.as_u64().unwrap()).unwrap();
        let text = || value.as_str().unwrap();
        match field.as_str() {
            "cid_version" => profile.cid_version = u8::try_from(number()).unwrap(),
            "hash" => profile.hash = Hash::from_name(text()).unwrap(),
            "chunker" => profile.chunker = text().parse().unwrap(),
            "raw_leaves" => profile.raw_leaves = value.as_bool().unwrap(),
            "layout" => {
                assert_eq!(text(), "trickle");
                profile.layout = Layout::Trickle;
            }
            "file_links_max" => profile.file_links_max = number(),
            "directory_links_max" => profile.directory_links_max = number(),
            "hamt_fanout" => profile.hamt_fanout = number(),
            "hamt_threshold_bytes" => profile.hamt_threshold_bytes = number() as u64,
            "directory_size" => {
                assert_eq!(text(), "links-bytes");
                profile.directory_size = DirectorySize::LinksBytes;
            }
            "inline_bytes_max" => profile.inline_bytes_max = number(),
            "data_first" => profile.data_first = value.as_bool().unwrap(),
            other => panic!("{other}"),
        }
    }
    profile.check().unwrap();
    profile
}

fn metadata(kept: &Value) -> Metadata {
    let time = |time: &Value| (time[0].as_i64().unwrap(), u32::try_from(time[1].as_u64().unwrap()).unwrap());
    Metadata {
        mode: kept["mode"].as_u64().map(|mode| u32::try_from(mode).unwrap()),
        mtime: Some(&kept["mtime"]).filter(|mtime| !mtime.is_null()).map(time),
    }
}

/// Calls `add` for every CID of a list, and compares.
fn replay(list: &str, add: impl Fn(&Profile, Metadata, usize) -> Child) {
    let vectors: Value = serde_json::from_str(include_str!("../../../tests/vectors/unixfs.json")).unwrap();
    let cases = vectors[list].as_array().unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        let (profile, metadata) = (profile(&case["profile"]), metadata(&case["metadata"]));
        let cids = case["cids"].as_object().unwrap();
        assert!(!cids.is_empty());
        for (n, cid) in cids {
            let ours = add(&profile, metadata, n.parse().unwrap()).cid.to_string();
            assert_eq!(ours, cid.as_str().unwrap(), "{n} of {} {}", case["profile"], case["metadata"]);
        }
    }
}

#[test]
fn files_are_those_of_the_oracle() {
    let content = painted(1 << 22);
    replay("files", |profile, metadata, n| add_file(profile, metadata, &content[..n]));
}

/// The oracle's `example`: files, symbolic links, and directories of all entries so far.
fn example(profile: &Profile, metadata: Metadata, count: usize) -> Child {
    let content = painted(count);
    let mut entries: Vec<(String, Child)> = Vec::new();
    for i in 0..count {
        let child = if i % 11 == 10 {
            add_directory(profile, metadata, entries.iter().map(|(name, child)| (name.as_bytes(), child)))
        } else if i % 7 == 6 {
            encode_symlink(profile, format!("entry {i}").as_bytes(), metadata, &mut Vec::new())
        } else {
            add_file(profile, metadata, &content[..i])
        };
        entries.push((format!("entry {:03}", i * 7919 % 1000), child));
    }
    add_directory(profile, metadata, entries.iter().map(|(name, child)| (name.as_bytes(), child)))
}

#[test]
fn directories_are_those_of_the_oracle() {
    replay("directories", example);
}
