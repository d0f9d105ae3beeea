//! The quota: what nothing pins goes first, the least recently used before others; pinned data stay, and then adding is refused whole.
#![expect(clippy::unwrap_used, reason = "tests")]

mod dags;

use dags::{Block, node, operation, painted, raw, set_pin, small_packs};
use shoal_core::Cid;
use shoal_core::hash::Hash;
use shoal_core::unixfs::Profile;
use shoal_store::collect::{CollectOptions, collect};
use shoal_store::ingest::{AddOptions, add, add_stream};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::quota::make_room;
use shoal_store::{Error, Options, PinKind, Store};
use std::collections::BTreeSet;

const LEAF: usize = 1000;
/// Ten DAGs of some 4 kB each fit.
const QUOTA: u64 = 45_000;

fn options() -> Options {
    Options { size_max: QUOTA, ..small_packs(6000) }
}

fn open(disk: &MemoryDisk) -> Store {
    dags::open(disk, &options())
}

fn dag(n: u64) -> (Cid, Vec<Block>) {
    let mut blocks: Vec<Block> = (0..4).map(|leaf| raw(Hash::Blake3, &painted(n * 10 + leaf, LEAF))).collect();
    let root = node(Hash::Sha256, &blocks.iter().map(|block| block.0.clone()).collect::<Vec<_>>(), b"root");
    blocks.push(root.clone());
    (root.0, blocks)
}

/// Adds a DAG that nothing pins, used at this time.
fn add_used(store: &Store, n: u64, seconds: u64) -> Cid {
    let (root, blocks) = dag(n);
    make_room(store, 5000, &operation()).unwrap();
    dags::put_all(store, &blocks);
    let session = store.write().unwrap();
    session.used(&root, seconds).unwrap();
    session.commit().unwrap();
    root
}

fn is_whole(store: &Store, n: u64) -> bool {
    dag(n).1.iter().all(|(cid, data)| store.block(cid).is_ok_and(|block| *block == **data))
}

fn size(store: &Store) -> u64 {
    store.stat().unwrap().pack_bytes
}

#[test]
fn the_least_recently_used_go_first_and_what_is_pinned_never() {
    let disk = dags::memory();
    let store = open(&disk);
    let (pinned, blocks) = dag(100);
    dags::put_all(&store, &blocks);
    set_pin(&store, &pinned, PinKind::Recursive);
    for n in 0..40 {
        add_used(&store, n, 1000 + n);
        if n == 3 {
            // The first is used again, later than all.
            let session = store.write().unwrap();
            session.used(&dag(0).0, 9_000_000_000).unwrap();
            session.commit().unwrap();
        }
        assert!(size(&store) <= QUOTA, "{} bytes after {n}", size(&store));
        assert!(is_whole(&store, n) && is_whole(&store, 100));
    }
    let store = open(&disk);
    assert!(is_whole(&store, 0) && is_whole(&store, 100));
    let there: BTreeSet<u64> = (1..40).filter(|n| is_whole(&store, *n)).collect();
    let first = *there.first().unwrap();
    assert_eq!(there, (first..40).collect(), "no gap: the oldest went");
    assert!(there.len() >= 4, "{there:?}");
    let left: Vec<Cid> = store.evictable().unwrap().into_iter().map(|(cid, _)| cid).collect();
    assert_eq!(left.last(), Some(&dag(0).0));
    assert_eq!(left.len(), there.len() + 1, "those that went are forgotten");
}

#[test]
fn when_only_pinned_data_is_left_adding_is_refused_before_a_byte_is_written() {
    let disk = dags::memory();
    let store = open(&disk);
    let mut added = 0;
    let error = loop {
        let (root, blocks) = dag(added);
        make_room(&store, 5000, &operation()).unwrap();
        let session = store.write().unwrap();
        let all: Vec<(&Cid, &[u8])> = blocks.iter().map(|(cid, data)| (cid, data.as_slice())).collect();
        match session.put_many(&all) {
            Ok(_) => {}
            Err(error) => break error,
        }
        session.pin(shoal_store::Pin { cid: root, kind: PinKind::Recursive, name: None }).unwrap();
        session.commit().unwrap();
        added += 1;
    };
    assert!(matches!(error, Error::OverQuota { bytes_max: QUOTA, .. }), "{error}");
    assert!(error.to_string().contains("store.size_max"));
    assert!(added >= 9);
    let store = open(&disk);
    assert!((0..added).all(|n| is_whole(&store, n)) && dag(added).1.iter().all(|(cid, _)| !store.has(cid).unwrap()));
    // Room that is made by hand is room.
    shoal_store::pinning::remove(&store, &dag(0).0).unwrap();
    make_room(&store, 5000, &operation()).unwrap();
    dags::put_all(&store, &dag(added).1);
    assert!(is_whole(&store, added) && !is_whole(&store, 0) && is_whole(&store, 1));
}

#[test]
fn the_last_byte_fits_and_one_more_does_not() {
    // Header of the pack, and of the section: two bytes of length and 36 of CID.
    let exact = 26 + 38 + LEAF as u64;
    for (size_max, fits) in [(exact - 1, false), (exact, true), (exact + 1, true)] {
        let store = dags::open(&dags::memory(), &Options { size_max, ..small_packs(1 << 20) });
        // The pack is there already, with its header.
        let block = raw(Hash::Blake3, &painted(1, LEAF));
        let session = store.write().unwrap();
        let put = session.put(&block.0, &block.1);
        assert_eq!(put.is_ok(), fits, "{size_max}: {put:?}");
        session.commit().unwrap();
        assert!(size(&store) <= size_max);
    }
}

#[test]
fn what_is_there_already_needs_no_room() {
    let store = open(&dags::memory());
    for n in 0..9 {
        let (root, blocks) = dag(n);
        dags::put_all(&store, &blocks);
        set_pin(&store, &root, PinKind::Recursive);
    }
    let session = store.write().unwrap();
    for n in 0..9 {
        let (_, blocks) = dag(n);
        let all: Vec<(&Cid, &[u8])> = blocks.iter().map(|(cid, data)| (cid, data.as_slice())).collect();
        assert_eq!(session.put_many(&all).unwrap().new_blocks, 0);
    }
}

#[test]
fn files_and_streams_that_are_not_pinned_make_room_for_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_path(&folder.path().join("store"), Options { size_max: 400_000, ..small_packs(50_000) }).unwrap();
    let profile = Profile::blake3();
    let content = |n: u64| painted(n, 30_000);
    let not_pinned = AddOptions { profile: profile.clone(), pin: false, threads: 1, ..AddOptions::default() };
    let mut roots = Vec::new();
    for n in 0..30 {
        let report = add_stream(&store, &mut content(n).as_slice(), "one".into(), &not_pinned, &operation(), &mut |_| Ok(())).unwrap();
        roots.push(report.roots[0].cid.clone());
        assert!(size(&store) <= 400_000);
    }
    assert!(store.has(&roots[29]).unwrap());
    assert!(roots.iter().any(|root| !store.has(root).unwrap()));
    assert!(!store.evictable().unwrap().is_empty());
    let file = folder.path().join("file");
    std::fs::File::create(&file).and_then(|mut file| std::io::Write::write_all(&mut file, &painted(99, 300_000))).unwrap();
    let pinned = AddOptions { pin: true, ..not_pinned.clone() };
    let report = add(&store, std::slice::from_ref(&file), &pinned, &operation(), &mut |_| Ok(())).unwrap();
    assert!(size(&store) <= 400_000);
    shoal_store::walk::walk(&store, &[report.roots[0].cid.clone()], Default::default(), &operation(), &mut |_| Ok(())).unwrap();
    // And now there is room for no other of that size: nothing of it is kept.
    let before = store.stat().unwrap().blocks;
    std::fs::File::create(&file).and_then(|mut file| std::io::Write::write_all(&mut file, &painted(98, 300_000))).unwrap();
    let refused = add(&store, &[file], &pinned, &operation(), &mut |_| Ok(()));
    assert!(matches!(refused, Err(Error::OverQuota { .. })), "{refused:?}");
    assert!(store.stat().unwrap().blocks <= before);
    assert!(store.has(&report.roots[0].cid).unwrap());
}

#[test]
fn a_collection_takes_what_is_not_pinned_and_forgets_it() {
    let disk = dags::memory();
    let store = open(&disk);
    add_used(&store, 1, 50);
    assert_eq!(store.evictable().unwrap(), [(dag(1).0, 50)]);
    collect(&store, CollectOptions::default(), &operation()).unwrap();
    assert!(!is_whole(&store, 1));
    assert_eq!(open(&disk).evictable().unwrap(), []);
}

/// Room for one part in sixteen was made for content that somebody had in hand, and so it was refused where something could go.
#[test]
fn a_stream_of_known_length_finds_room_for_all_of_it() {
    for (stream_bytes, fits) in [(None, false), (Some(300_000), true), (Some(299_999), true)] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_path(&folder.path().join("store"), Options { size_max: 400_000, ..small_packs(50_000) }).unwrap();
        let not_pinned = AddOptions { pin: false, threads: 1, ..AddOptions::default() };
        for n in 0..11 {
            let content = painted(n, 30_000);
            add_stream(&store, &mut content.as_slice(), "one".into(), &not_pinned, &operation(), &mut |_| Ok(())).unwrap();
        }
        let content = painted(99, 300_000);
        let options = AddOptions { stream_bytes, ..not_pinned };
        let added = add_stream(&store, &mut content.as_slice(), "large".into(), &options, &operation(), &mut |_| Ok(()));
        assert_eq!(added.is_ok(), fits, "{stream_bytes:?}: {added:?}");
        assert!(size(&store) <= 400_000);
    }
}

/// What a blob would add was counted before anybody could know that it is there already, so adding it again was refused.
#[test]
fn a_blob_that_is_there_already_needs_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_path(&folder.path().join("store"), Options { size_max: 9_000_000, ..small_packs(50_000) }).unwrap();
    let profile = Profile { layout: shoal_core::unixfs::profile::Layout::Blob, ..Profile::blake3() };
    let options = AddOptions { profile, threads: 2, ..AddOptions::default() };
    let file = folder.path().join("file");
    let write = |content: &[u8]| std::fs::File::create(&file).and_then(|mut file| std::io::Write::write_all(&mut file, content)).unwrap();
    let add_file = || add(&store, std::slice::from_ref(&file), &options, &operation(), &mut |_| Ok(()));
    let add_content = |content: &[u8]| add_stream(&store, &mut { content }, "x".into(), &options, &operation(), &mut |_| Ok(()));
    let content = painted(1, 6_000_000);
    write(&content);
    let first = add_file().unwrap();
    assert_eq!(first.new_bytes, 6_000_000);
    for again in [add_file().unwrap(), add_content(&content).unwrap()] {
        assert_eq!((again.roots[0].cid.clone(), again.new_blocks), (first.roots[0].cid.clone(), 0));
    }
    // Others are refused: one as long, which is only told at its end, a longer one, and one that differs in its last byte.
    let mut other = content.clone();
    other[5_999_999] ^= 1;
    for other in [painted(2, 6_000_000), painted(1, 7_000_000), other] {
        write(&other);
        for refused in [add_file(), add_content(&other)] {
            assert!(matches!(refused, Err(Error::OverQuota { .. })), "{refused:?}");
        }
    }
    let left: Vec<_> = std::fs::read_dir(folder.path().join("store/blobs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 1, "nothing half done is left: {left:?}");
    assert!(shoal_store::verify::verify(&store, &operation()).unwrap().is_sound());
}
