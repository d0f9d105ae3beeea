//! What a store does for its users: blocks and pins kept, found, read back and forgotten.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod support;

use shoal_core::Cid;
use shoal_core::hash::{Hash, cid_v1};
use shoal_store::disk::{Disk, RealDisk};
use shoal_store::{Error, Options, Pin, PinKind, PutCount, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{memory, options, painted};

/// Both disks, each with a folder for a store.
fn disks() -> Vec<(Arc<dyn Disk>, PathBuf, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    vec![(Arc::new(memory()), PathBuf::from("/store"), None), (Arc::new(RealDisk), folder.path().join("store"), Some(folder))]
}

fn put_all(store: &Store, blocks: &[(Cid, Vec<u8>)]) -> PutCount {
    let session = store.write().unwrap();
    let all: Vec<(&Cid, &[u8])> = blocks.iter().map(|(cid, data)| (cid, data.as_slice())).collect();
    let count = session.put_many(&all).unwrap();
    session.commit().unwrap();
    count
}

fn check_all(store: &Store, blocks: &[(Cid, Vec<u8>)]) {
    for (cid, data) in blocks {
        assert!(store.has(cid).unwrap());
        assert_eq!(store.size(cid).unwrap(), data.len() as u64);
        assert_eq!(&*store.block(cid).unwrap(), data.as_slice());
        assert_eq!(&*store.block_unverified(cid).unwrap(), data.as_slice());
    }
    let cids: Vec<Cid> = blocks.iter().map(|(cid, _)| cid.clone()).collect();
    assert_eq!(store.has_many(&cids).unwrap(), vec![true; cids.len()]);
    for (block, (_, data)) in store.blocks(&cids).into_iter().zip(blocks) {
        assert_eq!(&*block.unwrap(), data.as_slice());
    }
}

fn listed(store: &Store) -> Vec<Cid> {
    let mut listed: Vec<Cid> = store.entries().unwrap().map(|entry| entry.unwrap().cid).collect();
    listed.sort();
    listed
}

fn sorted(blocks: &[(Cid, Vec<u8>)]) -> Vec<Cid> {
    let mut cids: Vec<Cid> = blocks.iter().map(|(cid, _)| cid.clone()).collect();
    cids.sort();
    cids
}

fn pin(cid: &Cid, name: Option<&str>) -> Pin {
    Pin { cid: cid.clone(), kind: PinKind::Recursive, name: name.map(str::to_owned) }
}

#[test]
fn what_is_committed_is_there_after_reopening() {
    for (disk, path, _folder) in disks() {
        let store = Store::open(Arc::clone(&disk), &path, options(64 * 1024)).unwrap();
        let blocks: Vec<_> = (0..500).map(|n| painted(n, (n as usize * 37) % 3000)).collect();
        let session = store.write().unwrap();
        for (cid, data) in &blocks {
            assert!(session.put(cid, data).unwrap());
            assert!(!session.put(cid, data).unwrap());
            assert_eq!(&*session.block(cid).unwrap(), data.as_slice());
        }
        session.pin(pin(&blocks[3].0, Some("three"))).unwrap();
        session.commit().unwrap();
        for store in [store.clone(), Store::open(Arc::clone(&disk), &path, options(64 * 1024)).unwrap()] {
            check_all(&store, &blocks);
            assert_eq!(store.pins().unwrap(), [pin(&blocks[3].0, Some("three"))]);
            assert_eq!(store.pin(&blocks[3].0).unwrap().unwrap().name.as_deref(), Some("three"));
            let stat = store.stat().unwrap();
            assert_eq!((stat.blocks, stat.pins, stat.dead_bytes), (500, 1, 0));
            assert_eq!(stat.block_bytes, blocks.iter().map(|(_, data)| data.len() as u64).sum::<u64>());
            assert!(stat.packs > 5);
            assert_eq!(listed(&store), sorted(&blocks));
            assert_eq!(store.recovery(), None);
        }
    }
}

#[test]
fn a_pack_is_a_car_that_any_reader_can_walk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_path(folder.path(), Options::default()).unwrap();
    let blocks: Vec<_> = (0..10).map(|n| painted(n, 1000 * n as usize)).collect();
    put_all(&store, &blocks);
    let car = support::content(&RealDisk, folder.path().join("packs/00000000.car").to_str().unwrap());
    let mut rest = car.as_slice();
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let (length, n) = shoal_core::varint::read(rest).unwrap();
        let (section, later) = rest[n..].split_at(usize::try_from(length).unwrap());
        sections.push(section);
        rest = later;
    }
    assert_eq!(sections[0], b"\xa2\x65roots\x81\xd8\x2a\x45\x00\x01\x55\x00\x00\x67version\x01");
    for (section, (cid, data)) in sections[1..].iter().zip(&blocks) {
        let (found, n) = Cid::read(section).unwrap();
        assert_eq!((&found, &section[n..]), (cid, data.as_slice()));
    }
    assert_eq!(sections.len(), 11);
}

#[test]
fn what_is_not_committed_is_seen_by_its_session_only_and_then_gone() {
    for (disk, path, _folder) in disks() {
        let store = Store::open(Arc::clone(&disk), &path, Options::default()).unwrap();
        let (cid, data) = painted(1, 100_000);
        let session = store.write().unwrap();
        session.put(&cid, &data).unwrap();
        session.pin(pin(&cid, None)).unwrap();
        let block = session.block(&cid).unwrap();
        assert!(session.has(&cid).unwrap());
        assert!(!store.has(&cid).unwrap());
        assert!(matches!(store.block(&cid), Err(Error::NotFound { .. })));
        assert!(matches!(store.size(&cid), Err(Error::NotFound { .. })));
        drop(session);
        assert_eq!(&*block, data.as_slice(), "a block read before the rollback stays readable after it");
        assert!(!store.has(&cid).unwrap());
        assert_eq!((store.pins().unwrap(), store.stat().unwrap().blocks), (vec![], 0));
        assert_eq!(put_all(&store, &[(cid.clone(), data.clone())]), PutCount { new_blocks: 1, new_bytes: 100_000 });
        check_all(&store, &[(cid, data)]);
        assert_eq!(store.recovery(), None, "a rollback leaves nothing to recover");
    }
}

#[test]
fn a_batch_counts_only_what_is_new_in_it() {
    let store = support::open(&memory(), &options(1 << 20));
    let (a, b, c) = (painted(1, 10), painted(2, 20), painted(3, 30));
    put_all(&store, std::slice::from_ref(&a));
    let count = put_all(&store, &[a.clone(), b.clone(), c.clone(), b.clone(), c.clone()]);
    assert_eq!(count, PutCount { new_blocks: 2, new_bytes: 50 });
    assert_eq!(listed(&store), sorted(&[a, b, c]));
}

#[test]
fn codecs_of_one_multihash_share_a_block_and_identity_cids_need_none() {
    let store = support::open(&memory(), &options(1 << 20));
    let data = b"shared".as_slice();
    let raw = cid_v1(Hash::Sha256, 0x55, data).unwrap();
    let pb = cid_v1(Hash::Sha256, 0x70, data).unwrap();
    let v0 = pb.to_v0().unwrap();
    put_all(&store, &[(raw.clone(), data.to_vec())]);
    for cid in [&raw, &pb, &v0] {
        assert_eq!(&*store.block(cid).unwrap(), data);
    }
    let session = store.write().unwrap();
    assert!(!session.put(&v0, data).unwrap());
    let inline = cid_v1(Hash::Identity, 0x55, b"inline").unwrap();
    assert!(session.has(&inline).unwrap());
    assert!(!session.put(&inline, b"inline").unwrap());
    assert_eq!(&*store.block(&inline).unwrap(), b"inline");
    assert_eq!(store.size(&inline).unwrap(), 6);
    assert_eq!(store.stat().unwrap().blocks, 1);
}

#[test]
fn hashes_that_are_not_32_bytes_are_kept_too_and_unknown_ones_are_not_given_out() {
    let store = support::open(&memory(), &options(1 << 20));
    let data = b"data".as_slice();
    let long = cid_v1(Hash::Sha512, 0x55, data).unwrap();
    let short = Cid::v1(0x55, 0x12, &long_digest(data)[..20]).unwrap();
    // sha3-256, which Shoal does not compute.
    let foreign = Cid::v1(0x55, 0x16, &[7; 32]).unwrap();
    put_all(&store, &[(long.clone(), data.to_vec()), (short.clone(), data.to_vec()), (foreign.clone(), data.to_vec())]);
    assert_eq!(&*store.block(&long).unwrap(), data);
    assert_eq!(&*store.block(&short).unwrap(), data);
    assert!(store.has(&foreign).unwrap());
    assert!(matches!(store.block(&foreign), Err(Error::UnsupportedHash { .. })));
    assert!(matches!(store.blocks(std::slice::from_ref(&foreign))[0], Err(Error::UnsupportedHash { .. })));
    assert_eq!(&*store.block_unverified(&foreign).unwrap(), data);
}

fn long_digest(data: &[u8]) -> [u8; 32] {
    shoal_core::hash::digest_32(Hash::Sha256, data)
}

#[test]
fn a_digest_of_one_hash_is_not_taken_for_another() {
    let store = support::open(&memory(), &options(1 << 20));
    let (blake3, data) = painted(2, 100);
    put_all(&store, &[(blake3.clone(), data)]);
    let as_sha256 = Cid::v1(0x55, 0x12, blake3.digest()).unwrap();
    assert!(matches!(store.block(&as_sha256), Err(Error::NotFound { .. })));
}

#[test]
fn blocks_that_no_peer_would_take_are_refused() {
    let store = support::open(&memory(), &options(1 << 20));
    let (cid, data) = painted(1, 2 * 1024 * 1024 + 1);
    let session = store.write().unwrap();
    assert!(matches!(session.put(&cid, &data), Err(Error::BlockTooLarge { bytes: 2_097_153, .. })));
    let (cid, data) = painted(1, 2 * 1024 * 1024);
    assert!(session.put(&cid, &data).unwrap());
    assert!(session.put(&painted(0, 0).0, b"").unwrap());
    session.commit().unwrap();
    assert_eq!(store.block(&cid).unwrap().len(), data.len());
    assert_eq!(store.block(&painted(0, 0).0).unwrap().len(), 0);
}

#[test]
fn a_deleted_block_is_gone_everywhere_and_can_come_back() {
    for (disk, path, _folder) in disks() {
        let store = Store::open(Arc::clone(&disk), &path, options(16 * 1024)).unwrap();
        let blocks: Vec<_> = (0..100).map(|n| painted(n, 1000)).collect();
        put_all(&store, &blocks);
        let session = store.write().unwrap();
        // One in a sealed pack, one in the open one, one twice, one that is not there.
        let cids = [&blocks[0].0, &blocks[99].0, &blocks[0].0, &painted(7777, 5).0].map(Clone::clone);
        assert_eq!(session.delete(&cids).unwrap(), 2);
        assert!(!session.has(&cids[0]).unwrap());
        assert!(store.has(&cids[0]).unwrap(), "not before the commit");
        session.commit().unwrap();
        for store in [store.clone(), Store::open(Arc::clone(&disk), &path, options(16 * 1024)).unwrap()] {
            for cid in &cids {
                assert!(!store.has(cid).unwrap());
                assert!(matches!(store.block(cid), Err(Error::NotFound { .. })));
            }
            let stat = store.stat().unwrap();
            assert_eq!((stat.blocks, stat.block_bytes, stat.dead_bytes), (98, 98_000, 2000));
            assert_eq!(listed(&store), sorted(&blocks[1..99]));
        }
        assert_eq!(put_all(&store, &blocks).new_blocks, 2);
        check_all(&store, &blocks);
        // Deleted and put again in one session: it stays.
        let session = store.write().unwrap();
        assert_eq!(session.delete(&cids[..1]).unwrap(), 1);
        assert!(session.put(&cids[0], &blocks[0].1).unwrap());
        session.commit().unwrap();
        check_all(&Store::open(disk, &path, options(16 * 1024)).unwrap(), &blocks);
    }
}

#[test]
fn a_delete_that_is_not_committed_deletes_nothing() {
    let store = support::open(&memory(), &options(1 << 20));
    let block = painted(1, 10);
    put_all(&store, std::slice::from_ref(&block));
    let session = store.write().unwrap();
    assert_eq!(session.delete(std::slice::from_ref(&block.0)).unwrap(), 1);
    drop(session);
    check_all(&store, std::slice::from_ref(&block));
    assert_eq!(put_all(&store, &[block]).new_blocks, 0);
}

#[test]
fn pins_are_named_renamed_and_removed() {
    let disk = memory();
    let store = support::open(&disk, &options(1 << 20));
    let (a, b) = (painted(1, 1).0, painted(2, 2).0);
    let session = store.write().unwrap();
    session.pin(pin(&a, Some("first"))).unwrap();
    session.pin(Pin { kind: PinKind::Direct, ..pin(&b, None) }).unwrap();
    session.pin(pin(&a, Some("second"))).unwrap();
    assert!(session.unpin(&b).unwrap(), "pinned a moment ago");
    assert!(!session.unpin(&b).unwrap());
    assert!(matches!(session.pin(pin(&b, Some(&"x".repeat(256)))), Err(Error::Format(_))));
    session.commit().unwrap();
    assert_eq!(support::open(&disk, &options(1)).pins().unwrap(), [pin(&a, Some("second"))]);
    let session = store.write().unwrap();
    assert!(session.unpin(&a).unwrap());
    assert!(store.pin(&a).unwrap().is_some(), "not before the commit");
    session.commit().unwrap();
    assert_eq!(store.pins().unwrap(), []);
}

#[test]
fn a_second_session_keeps_what_the_first_gave_up_if_it_commits() {
    let store = support::open(&memory(), &options(1 << 20));
    let (a, b) = (painted(1, 100), painted(2, 200));
    let (first, second) = (store.write().unwrap(), store.write().unwrap());
    first.put(&a.0, &a.1).unwrap();
    assert!(!second.put(&a.0, &a.1).unwrap(), "a duplicate, although not committed");
    second.put(&b.0, &b.1).unwrap();
    drop(first);
    second.commit().unwrap();
    check_all(&store, &[a, b]);
}

#[test]
fn an_exclusive_session_waits_for_others_and_others_for_it() {
    let store = support::open(&memory(), &options(1 << 20));
    let session = store.write().unwrap();
    assert!(matches!(store.write_exclusive(), Err(Error::Locked { pid: Some(pid) }) if pid == std::process::id()));
    drop(session);
    let exclusive = store.write_exclusive().unwrap();
    assert!(matches!(store.write(), Err(Error::Locked { .. })));
    drop(exclusive);
    store.write().unwrap();
}

#[test]
fn a_retired_pack_is_removed_after_its_living_blocks_have_moved() {
    for (disk, path, _folder) in disks() {
        let store = Store::open(Arc::clone(&disk), &path, options(16 * 1024)).unwrap();
        let reader = Store::open(Arc::clone(&disk), &path, options(16 * 1024)).unwrap();
        let blocks: Vec<_> = (0..100).map(|n| painted(n, 1000)).collect();
        put_all(&store, &blocks);
        let held = reader.block(&blocks[2].0).unwrap();
        let packs = store.packs().unwrap();
        assert!(!packs.last().unwrap().is_sealed && packs.len() > 5);
        for retired in [packs[0].pack, packs.last().unwrap().pack] {
            let entries: Vec<_> = store.pack_entries(retired).unwrap().map(Result::unwrap).collect();
            assert!(entries.len() > 3);
            let session = store.write_exclusive().unwrap();
            session.retire(retired).unwrap();
            for entry in &entries[1..] {
                assert!(!session.has(&entry.cid).unwrap());
                assert!(session.put(&entry.cid, &session.block(&entry.cid).unwrap()).unwrap());
            }
            session.commit().unwrap();
            for store in [&store, &reader, &Store::open(Arc::clone(&disk), &path, options(16 * 1024)).unwrap()] {
                assert!(!store.has(&entries[0].cid).unwrap() || std::ptr::eq(store, &reader));
                for entry in &entries[1..] {
                    assert_eq!(store.block(&entry.cid).unwrap().len() as u64, entry.bytes);
                }
                store.refresh().unwrap();
                assert!(!store.has(&entries[0].cid).unwrap());
                assert!(store.packs().unwrap().iter().all(|pack| pack.pack != retired));
            }
            let names = disk.list(&path.join("packs")).unwrap();
            assert!(!names.iter().any(|name| name.starts_with(&format!("{retired:08}"))), "{names:?}");
        }
        assert_eq!(&*held, blocks[2].1.as_slice(), "a block read before its pack was removed stays readable");
        assert_eq!(store.stat().unwrap().blocks, 98);
        assert!(matches!(store.write().unwrap().retire(1), Err(Error::Format(_))));
    }
}

#[test]
fn a_reader_beside_a_writer_sees_each_commit_and_nothing_before_it() {
    for (disk, path, _folder) in disks() {
        let writer = Store::open(Arc::clone(&disk), &path, options(32 * 1024)).unwrap();
        let reader = Store::open(Arc::clone(&disk), &path, Options { read_only: true, ..Options::default() }).unwrap();
        let mut all = Vec::new();
        for round in 0..40u64 {
            let blocks: Vec<_> = (0..5).map(|n| painted(round * 5 + n, 700)).collect();
            let session = writer.write().unwrap();
            for (cid, data) in &blocks {
                session.put(cid, data).unwrap();
                if round % 10 != 9 {
                    // Except where a pack was sealed on the way.
                    assert!(!reader.has(cid).unwrap() || reader.packs().unwrap().len() > 1);
                }
            }
            session.pin(pin(&blocks[0].0, None)).unwrap();
            session.commit().unwrap();
            all.extend(blocks);
            check_all(&reader, &all);
            assert_eq!(reader.pins().unwrap().len() as u64, round + 1);
        }
        assert_eq!(listed(&reader), sorted(&all));
        assert!(matches!(reader.write(), Err(Error::ReadOnly)));
    }
}

#[test]
fn two_stores_on_one_folder_take_turns_and_see_each_others_blocks() {
    for (disk, path, _folder) in disks() {
        let stores = [0, 1].map(|_| Store::open(Arc::clone(&disk), &path, options(8 * 1024)).unwrap());
        let mut all: Vec<(Cid, Vec<u8>)> = Vec::new();
        for round in 0..60usize {
            let (one, other) = (&stores[round % 2], &stores[(round + 1) % 2]);
            let session = one.write().unwrap();
            assert!(matches!(other.write(), Err(Error::Locked { pid: Some(pid) }) if pid == std::process::id()));
            let (cid, data) = painted(round as u64, 500);
            for (cid, data) in &all {
                assert!(!session.put(cid, data).unwrap());
            }
            assert!(session.put(&cid, &data).unwrap());
            if round % 7 == 3 {
                // Given up: the next round must not find it.
                drop(session);
                assert!(!other.write().unwrap().has(&cid).unwrap());
                continue;
            }
            session.commit().unwrap();
            all.push((cid, data));
            check_all(other, &all);
        }
        assert_eq!(listed(&stores[0]), sorted(&all));
        assert_eq!((stores[0].recovery(), stores[1].recovery()), (None, None));
    }
}

#[test]
fn there_is_no_store_where_none_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let read_only = Options { read_only: true, ..Options::default() };
    for path in [folder.path().join("none"), folder.path().to_owned()] {
        assert!(matches!(Store::open_path(&path, read_only.clone()), Err(Error::NoStore { .. })));
    }
    assert!(!folder.path().join("none").exists());
    std::fs::File::create(folder.path().join("holiday.jpg")).unwrap();
    let Err(Error::Format(text)) = Store::open_path(folder.path(), Options::default()) else { panic!("took a folder of photographs") };
    assert!(text.contains("holiday.jpg"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // But settings may come before the first block.
    let settled = folder.path().join("settled");
    std::fs::create_dir(&settled).unwrap();
    std::fs::File::create(settled.join("config.toml")).unwrap();
    Store::open_path(&settled, Options::default()).unwrap();
}

#[test]
fn a_store_of_a_newer_version_is_refused_with_advice() {
    let disk = memory();
    support::open(&disk, &options(1));
    support::set_content(&disk, "/store/SHOAL", b"shoal store\nversion 2\n");
    let Err(Error::Format(text)) = Store::open(Arc::new(disk.clone()), Path::new("/store"), options(1)) else { panic!("opened") };
    assert!(text.contains("version 2") && text.contains("newer version of shoal"), "{text}");
    support::set_content(&disk, "/store/SHOAL", b"something else");
    assert!(matches!(Store::open(Arc::new(disk), Path::new("/store"), options(1)), Err(Error::Format(_))));
}

#[test]
fn eight_threads_that_commit_together_share_syncs_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_path(folder.path(), options(256 * 1024)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..25 {
                    let (cid, data) = painted(thread * 1000 + round, 2000);
                    let shared = painted(1_000_000 + round, 3000);
                    let session = store.write().unwrap();
                    session.put_many(&[(&cid, &data), (&shared.0, &shared.1)]).unwrap();
                    session.pin(pin(&cid, None)).unwrap();
                    session.commit().unwrap();
                    assert!(store.has(&cid).unwrap() && store.has(&shared.0).unwrap());
                    assert!(store.pin(&cid).unwrap().is_some());
                }
            });
        }
    });
    let reopened = Store::open_path(folder.path(), options(1)).unwrap();
    for store in [&store, &reopened] {
        let stat = store.stat().unwrap();
        assert_eq!((stat.blocks, stat.pins), (8 * 25 + 25, 200));
        check_all(store, &(0..8).flat_map(|t| (0..25).map(move |r| painted(t * 1000 + r, 2000))).collect::<Vec<_>>());
    }
    assert_eq!(reopened.recovery(), None);
}

#[test]
fn many_small_packs_are_found_through_merged_indexes() {
    for (disk, path, _folder) in disks() {
        let store = Store::open(Arc::clone(&disk), &path, options(2000)).unwrap();
        let blocks: Vec<_> = (0..300).map(|n| painted(n, 500)).collect();
        put_all(&store, &blocks);
        assert!(store.packs().unwrap().len() > 70);
        let merged = |disk: &dyn Disk| disk.list(&path.join("index")).unwrap();
        assert!((1..=5).contains(&merged(&*disk).len()), "{:?}", merged(&*disk));
        let reopened = Store::open(Arc::clone(&disk), &path, options(2000)).unwrap();
        for store in [&store, &reopened] {
            check_all(store, &blocks);
            assert!(!store.has(&painted(9999, 1).0).unwrap());
        }
        // Damaged or deleted, they are done without, and made again by the next writer.
        for name in merged(&*disk) {
            let name = path.join("index").join(name);
            let file = disk.open(&name, true).unwrap();
            shoal_store::disk::write_all_at(&*file, &mut [std::io::IoSlice::new(&[0xff; 64])], 5000).unwrap();
        }
        let reopened = Store::open(Arc::clone(&disk), &path, options(2000)).unwrap();
        check_all(&reopened, &blocks);
        for name in merged(&*disk) {
            disk.remove(&path.join("index").join(name)).unwrap();
        }
        let reopened = Store::open(Arc::clone(&disk), &path, options(2000)).unwrap();
        check_all(&reopened, &blocks);
        drop(reopened.write().unwrap());
        assert_eq!(merged(&*disk).len(), 1);
        check_all(&reopened, &blocks);
    }
}

#[test]
fn asking_for_many_answers_as_asking_for_each() {
    for (disk, path, _folder) in disks() {
        let store = Store::open(Arc::clone(&disk), &path, options(2000)).unwrap();
        let blocks: Vec<_> = (0..303).map(|n| painted(n, 500)).collect();
        put_all(&store, &blocks);
        let session = store.write().unwrap();
        session.delete(&blocks.iter().step_by(5).map(|(cid, _)| cid.clone()).collect::<Vec<Cid>>()).unwrap();
        session.commit().unwrap();
        let identity = Cid::v1(0x55, 0, b"inline").unwrap();
        let of = |n: u64| match n % 4 {
            0 | 1 => blocks[(n * 7) as usize % blocks.len()].0.clone(),
            2 => painted(100_000 + n, 9).0,
            _ => identity.clone(),
        };
        // Merged indexes, packs that no merged one covers, and the open pack; and without the merged ones.
        for without_merged in [false, true] {
            if without_merged {
                for name in disk.list(&path.join("index")).unwrap() {
                    disk.remove(&path.join("index").join(name)).unwrap();
                }
            }
            let reopened = Store::open(Arc::clone(&disk), &path, Options { read_only: true, ..options(2000) }).unwrap();
            for count in [0, 1, 2, 63, 64, 65, 400] {
                let asked: Vec<Cid> = (0..count).map(of).collect();
                let each: Vec<bool> = asked.iter().map(|cid| reopened.has(cid).unwrap()).collect();
                assert_eq!(reopened.has_many(&asked).unwrap(), each, "{count} blocks");
                assert!(count < 63 || (each.contains(&true) && each.contains(&false)));
            }
        }
    }
}
