//! A store of the format's version 1, made when that was new, is read whole by this program: `tests/vectors/store-v1`.
//!
//! `expected.txt` says what is in it, in words of its own; `examples/make_fixture.rs` made both.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

use shoal_core::Cid;
use shoal_store::collect::{CollectOptions, collect};
use shoal_store::read::FileReader;
use shoal_store::verify::verify;
use shoal_store::{Error, Operation, Options, PinKind, Store};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/store-v1")
}

/// The lines that begin with a word, each without it, in fields.
fn lines(word: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(fixture().join("expected.txt")).unwrap();
    let rest = text.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    rest.map(|rest| rest.splitn(3, ' ').map(str::to_owned).collect()).collect()
}

fn all_files(folder: &Path, root: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_files(&path, root, found);
        } else {
            let digest = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
            found.insert((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), digest));
        }
    }
}

fn check_untouched() {
    let mut found = BTreeSet::new();
    all_files(&fixture().join("store"), &fixture().join("store"), &mut found);
    let expected: BTreeSet<(String, String)> = lines("file").into_iter().map(|line| (line[0].clone(), line[1].clone())).collect();
    assert_eq!(found, expected);
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copied(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

fn digest_of(store: &Store, cid: &Cid) -> String {
    let mut file = FileReader::open(store, cid).unwrap();
    let mut data = vec![0; usize::try_from(file.size()).unwrap()];
    file.read_at(0, &mut data).unwrap();
    blake3::hash(&data).to_hex().to_string()
}

fn check(store: &Store) {
    let blocks = lines("block");
    for line in &blocks {
        let cid: Cid = line[0].parse().unwrap();
        let block = store.block(&cid).unwrap();
        assert_eq!((block.len().to_string(), blake3::hash(&block).to_hex().to_string()), (line[1].clone(), line[2].clone()));
    }
    let blobs = lines("blob");
    for line in &blobs {
        let cid: Cid = line[0].parse().unwrap();
        assert_eq!(store.blob_bytes(&cid).unwrap().unwrap().to_string(), line[1]);
        let digest: String = cid.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest_of(store, &cid), digest);
    }
    for line in lines("gone") {
        let cid: Cid = line[0].parse().unwrap();
        assert!(!store.has(&cid).unwrap() && store.blob_bytes(&cid).unwrap().is_none());
    }
    let pins = store.pins().unwrap();
    let expected = lines("pin");
    assert_eq!(pins.len(), expected.len());
    for line in &expected {
        let pin = pins.iter().find(|pin| pin.cid.to_string() == line[0]).unwrap();
        assert_eq!(pin.kind, if line[1] == "recursive" { PinKind::Recursive } else { PinKind::Direct });
        assert_eq!(pin.name.clone().unwrap_or_default(), line[2]);
    }
    assert!(!blocks.is_empty() && !blobs.is_empty() && !expected.is_empty());
}

/// Groups that came are read, the others are said not to be here.
fn check_partial(store: &Store) {
    let line = &lines("partial")[0];
    let cid: Cid = line[0].parse().unwrap();
    let mut file = FileReader::open(store, &cid).unwrap();
    assert_eq!(file.size().to_string(), line[1]);
    let here: Vec<u64> = line[2].split(' ').map(|group| group.parse().unwrap()).collect();
    for group in 0..4 {
        let read = file.read_at(group * 16384, &mut [0; 16384]);
        assert_eq!(read.is_ok(), here.contains(&group));
        assert!(matches!(read, Ok(16384) | Err(Error::NotHere { .. })));
    }
}

#[test]
fn a_store_of_version_1_is_read_where_it_is_and_nothing_in_it_is_touched() {
    check_untouched();
    let store = Store::open_path(&fixture().join("store"), Options { read_only: true, ..Options::default() }).unwrap();
    assert_eq!(store.recovery(), None, "every index and log is taken as it is");
    check(&store);
    check_partial(&store);
    assert!(verify(&store, &Operation::new()).unwrap().is_sound());
    check_untouched();
}

#[test]
fn a_store_of_version_1_takes_new_work_and_can_be_collected() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store");
    copied(&fixture().join("store"), &place);
    let open = || Store::open_path(&place, Options { pack_bytes_max: 1000, ..Options::default() }).unwrap();
    let store = open();
    let data = b"new in an old store";
    let cid = shoal_core::hash::cid_v1(shoal_core::hash::Hash::Blake3, shoal_core::cid::codec::RAW, data).unwrap();
    let session = store.write().unwrap();
    assert!(session.put(&cid, data).unwrap());
    // Said to be damaged by the old journal: it is stored once more.
    let marked: Cid = lines("marked")[0][0].parse().unwrap();
    let block = store.block(&marked).unwrap();
    assert!(session.put(&marked, &block).unwrap());
    session.commit().unwrap();
    check(&open());
    check_partial(&open());
    let done = collect(&store, CollectOptions::default(), &Operation::new()).unwrap();
    assert!(done.freed_blocks > 20);
    let after = open();
    assert!(verify(&after, &Operation::new()).unwrap().is_sound());
    assert_eq!(after.pins().unwrap().len(), lines("pin").len());
}

#[test]
fn a_store_of_version_1_whose_journal_is_lost_is_made_again_from_its_packs() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store");
    copied(&fixture().join("store"), &place);
    std::fs::remove_file(place.join("meta")).unwrap();
    let store = Store::open_path(&place, Options { rebuild_meta: true, ..Options::default() }).unwrap();
    // The packs are taken in by whoever writes first.
    drop(store.write().unwrap());
    for line in lines("block") {
        store.block(&line[0].parse().unwrap()).unwrap();
    }
    assert_eq!(store.blobs().unwrap().len(), lines("blob").len());
    assert!(store.pins().unwrap().is_empty());
}
