//! Collection: what pins keep stays, whatever happens; everything else goes, and its room with it.
//!
//! The invariant of all tests here: a block that a pin keeps can be read and verified at every moment, by everybody.
#![expect(clippy::unwrap_used, reason = "tests")]

mod dags;
mod support;

use dags::{any_plan, build, chain, damage, node, operation, painted, put_all, raw, set_pin, small_packs, walked_plainly};
use proptest::prelude::*;
use shoal_core::Cid;
use shoal_core::hash::Hash;
use shoal_store::collect::{CollectOptions, Collected, collect};
use shoal_store::disk::Disk;
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::{Error, Options, PinKind, Store};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{EIO, ENOSPC, Fault, FaultyDisk};

const PACK: u64 = 64 * 1024;

fn gc(store: &Store) -> Collected {
    collect(store, CollectOptions::default(), &operation()).unwrap()
}

fn dry(store: &Store) -> Collected {
    collect(store, CollectOptions { dry_run: true, ..CollectOptions::default() }, &operation()).unwrap()
}

fn pack_bytes(disk: &MemoryDisk) -> u64 {
    dags::files(disk, "/store/packs", ".car").iter().map(|path| disk.identity(Path::new(path)).unwrap().bytes).sum()
}

/// All blocks that the pins keep, by plain recursion.
fn kept(store: &Store) -> BTreeSet<Cid> {
    let mut kept = BTreeSet::new();
    for pin in store.pins().unwrap() {
        match pin.kind {
            PinKind::Direct => kept.extend([pin.cid]),
            PinKind::Recursive => kept.extend(walked_plainly(store, &pin.cid)),
        }
    }
    kept
}

fn multihashes(cids: &BTreeSet<Cid>) -> BTreeSet<Vec<u8>> {
    cids.iter().map(|cid| cid.multihash().to_vec()).collect()
}

fn stored(store: &Store) -> BTreeSet<Vec<u8>> {
    store.entries().unwrap().map(|entry| entry.unwrap().cid.multihash().to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A collection keeps exactly what pins reach, in packs of 64 KiB; again and again; and a dry run says the same before.
    #[test]
    fn exactly_what_pins_reach_is_kept(
        plan in any_plan(120, 6000),
        pins in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..6),
        unpinned in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let disk = dags::memory();
        let store = dags::open(&disk, &small_packs(PACK));
        let blocks = build(&plan);
        // In several commits, some of them twice.
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(blocks.len())).chain([0, blocks.len()]).collect();
        cuts.sort_unstable();
        cuts.windows(2).for_each(|cut| put_all(&store, blocks.get(cut[0]..cut[1]).unwrap()));
        for (at, is_recursive) in &pins {
            set_pin(&store, &at.get(&blocks).0, if *is_recursive { PinKind::Recursive } else { PinKind::Direct });
        }
        for round in 0..3 {
            let expected = kept(&store);
            let before = (store.stat().unwrap(), pack_bytes(&disk));
            let foreseen = dry(&store);
            prop_assert_eq!(&before.0, &store.stat().unwrap());
            let done = gc(&store);
            prop_assert_eq!(&foreseen, &done);
            let fresh = dags::open(&disk, &small_packs(PACK));
            for cid in &expected {
                prop_assert!(fresh.block(cid).is_ok());
            }
            prop_assert_eq!(stored(&fresh), multihashes(&expected));
            for (cid, _) in &blocks {
                prop_assert_eq!(fresh.has(cid).unwrap(), multihashes(&expected).contains(cid.multihash()));
            }
            let after = (fresh.stat().unwrap(), pack_bytes(&disk));
            prop_assert_eq!((done.kept_blocks, done.kept_bytes), (after.0.blocks, after.0.block_bytes));
            prop_assert_eq!(done.freed_blocks, before.0.blocks - after.0.blocks);
            prop_assert_eq!(done.freed_bytes, before.0.block_bytes - after.0.block_bytes);
            let headers = 26 * (after.0.packs + done.packs_removed - before.0.packs);
            prop_assert_eq!(before.1 - done.freed_disk_bytes + headers, after.1);
            // No pack is more than a quarter dead.
            for pack in fresh.packs().unwrap() {
                prop_assert!(pack.dead_bytes * 4 <= pack.bytes, "{:?}", pack);
            }
            if let Some(at) = unpinned.get(round) {
                let session = store.write().unwrap();
                session.unpin(&at.get(&blocks).0).unwrap();
                session.commit().unwrap();
            }
        }
    }
}

/// A store of three kinds of pack: all dead, mostly dead, mostly live. What is pinned in it, and what is not.
struct Mixed {
    disk: MemoryDisk,
    live: Vec<dags::Block>,
    dead: Vec<dags::Block>,
}

fn options() -> Options {
    small_packs(8 * 1024)
}

fn mixed() -> Mixed {
    let disk = dags::memory();
    let store = dags::open(&disk, &options());
    let (mut live, mut dead) = (Vec::new(), Vec::new());
    for n in 0..48u64 {
        let block = raw(if n % 2 == 0 { Hash::Sha256 } else { Hash::Blake3 }, &painted(n, 1000));
        put_all(&store, std::slice::from_ref(&block));
        let is_live = match n / 8 {
            0 | 1 => false,
            2 | 3 => n % 4 == 0,
            _ => n % 8 != 0,
        };
        if is_live { &mut live } else { &mut dead }.push(block);
    }
    let root = node(Hash::Sha256, &live.iter().map(|block| block.0.clone()).collect::<Vec<_>>(), b"root");
    put_all(&store, std::slice::from_ref(&root));
    set_pin(&store, &root.0, PinKind::Recursive);
    live.push(root);
    Mixed { disk, live, dead }
}

fn check(store: &Store, mixed: &Mixed) {
    for (cid, data) in &mixed.live {
        assert_eq!(&*store.block(cid).unwrap(), data.as_slice());
    }
}

#[test]
fn packs_are_removed_rewritten_or_left_by_what_is_live_in_them() {
    let mixed = mixed();
    let store = dags::open(&mixed.disk, &options());
    let done = gc(&store);
    check(&store, &mixed);
    assert_eq!((done.kept_blocks, done.freed_blocks), (mixed.live.len() as u64, mixed.dead.len() as u64));
    assert!(done.packs_rewritten >= 2 && done.packs_removed > done.packs_rewritten, "{done:?}");
    assert_eq!(done.packs_left, 0);
    assert!(store.stat().unwrap().dead_bytes > 0, "mostly live packs keep their dead: {done:?}");
    let fresh = dags::open(&mixed.disk, &options());
    assert!(mixed.dead.iter().all(|(cid, _)| !fresh.has(cid).unwrap()));
    let again = gc(&store);
    assert_eq!((again.freed_blocks, again.freed_disk_bytes, again.packs_removed), (0, 0, 0));
}

#[test]
fn a_dry_run_needs_no_lock() {
    let mixed = mixed();
    let writer = dags::open(&mixed.disk, &options());
    let session = writer.write().unwrap();
    let reader = dags::open(&mixed.disk, &Options { read_only: true, ..options() });
    let foreseen = dry(&reader);
    drop(session);
    assert_eq!(foreseen, gc(&writer));
}

#[test]
fn a_direct_pin_keeps_the_block_and_not_what_it_links_to() {
    let (_disk, store) = dags::new_store();
    let blocks = chain(3);
    put_all(&store, &blocks);
    set_pin(&store, &blocks[1].0, PinKind::Direct);
    let done = gc(&store);
    assert_eq!((done.kept_blocks, done.freed_blocks), (1, 2));
    assert_eq!(blocks.iter().map(|(cid, _)| store.has(cid).unwrap()).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn without_pins_nothing_is_left() {
    let (disk, store) = dags::new_store();
    put_all(&store, &chain(100));
    assert_eq!(gc(&store).freed_blocks, 100);
    assert_eq!((store.stat().unwrap().blocks, pack_bytes(&disk)), (0, 0));
    put_all(&store, &chain(5));
    assert_eq!(store.stat().unwrap().blocks, 5);
}

#[test]
fn a_dag_that_is_not_whole_stops_everything_before_anything_is_deleted() {
    let (disk, store) = dags::new_store();
    let blocks = chain(4);
    let free = raw(Hash::Sha256, b"not pinned");
    put_all(&store, &[blocks[0].clone(), blocks[1].clone(), free.clone()]);
    set_pin(&store, &blocks[0].0, PinKind::Recursive);
    let error = collect(&store, CollectOptions::default(), &operation()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&blocks[0].0.to_string()) && text.contains(&blocks[2].0.to_string()), "{text}");
    assert!(store.has(&free.0).unwrap());
    // The same when the node is there and damaged.
    put_all(&store, &blocks[2..]);
    damage(&disk, &store, &blocks[2].0);
    let store = dags::open(&disk, &Options::default());
    let Err(Error::InDag { root, source, .. }) = collect(&store, CollectOptions::default(), &operation()) else { panic!() };
    assert_eq!(root, blocks[0].0);
    assert!(matches!(*source, Error::Damaged { .. }));
    assert!(store.has(&free.0).unwrap());
    // And a direct pin.
    let session = store.write().unwrap();
    session.unpin(&blocks[0].0).unwrap();
    session.commit().unwrap();
    set_pin(&store, &blocks[2].0, PinKind::Direct);
    assert!(matches!(collect(&store, CollectOptions::default(), &operation()), Err(Error::Damaged { .. })));
    assert!(store.has(&free.0).unwrap());
}

#[test]
fn a_damaged_leaf_is_left_where_it_is_and_the_rest_of_its_pack_is_saved() {
    let mixed = mixed();
    let store = dags::open(&mixed.disk, &options());
    // In a pack that is mostly dead.
    let (bad, _) = &mixed.live[0];
    damage(&mixed.disk, &store, bad);
    let store = dags::open(&mixed.disk, &options());
    let done = gc(&store);
    assert_eq!(done.packs_left, 1);
    let fresh = dags::open(&mixed.disk, &options());
    assert!(matches!(fresh.block(bad), Err(Error::Damaged { .. })), "still there, to be repaired");
    for (cid, data) in &mixed.live[1..] {
        assert_eq!(&*fresh.block(cid).unwrap(), data.as_slice());
    }
    assert!(mixed.dead.iter().all(|(cid, _)| !fresh.has(cid).unwrap()));
}

/// A copy of a store in memory on the real disk, where maps are of files that go away.
fn on_real_disk(disk: &MemoryDisk) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for sub in ["", "packs", "index"] {
        std::fs::create_dir_all(folder.path().join(sub)).unwrap();
        let inside = if sub.is_empty() { "/store".to_owned() } else { format!("/store/{sub}") };
        for name in disk.list(Path::new(&inside)).unwrap() {
            if disk.open(&Path::new(&inside).join(&name), false).is_ok() {
                let mut file = std::fs::File::create(folder.path().join(sub).join(&name)).unwrap();
                std::io::Write::write_all(&mut file, &dags::content(disk, &format!("{inside}/{name}"))).unwrap();
            }
        }
    }
    folder
}

#[test]
fn readers_read_on_while_packs_go() {
    let mixed = mixed();
    let folder = on_real_disk(&mixed.disk);
    let open = |read_only| Store::open_path(folder.path(), Options { read_only, ..options() }).unwrap();
    // What a reader holds when its pack goes.
    let early = open(true);
    let held: Vec<_> = mixed.live.iter().map(|(cid, _)| early.block(cid).unwrap()).collect();
    assert!(held.iter().all(shoal_store::Block::is_mapped));
    let is_over = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut store = open(true);
                    let mut rounds = 0;
                    while !is_over.load(Ordering::Relaxed) || rounds < 3 {
                        check(&store, &mixed);
                        rounds += 1;
                        if rounds % 5 == 0 {
                            store = open(true);
                        }
                    }
                    rounds
                })
            })
            .collect();
        let writer = open(false);
        for n in 0..20u64 {
            put_all(&writer, &(0..10).map(|i| raw(Hash::Blake3, &painted(1000 + n * 10 + i, 900))).collect::<Vec<_>>());
            gc(&writer);
        }
        is_over.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u32>()
    });
    assert!(rounds >= 6);
    check(&early, &mixed);
    assert!(held.iter().zip(&mixed.live).all(|(block, (_, data))| **block == **data));
}

#[test]
fn a_collection_that_fails_or_dies_anywhere_loses_no_pinned_block() {
    let template = mixed();
    let mut failures = [0; 3];
    for (which, fault) in [Fault::Once(EIO), Fault::LostSync, Fault::Torn(EIO)].into_iter().enumerate() {
        for n in 0.. {
            let below = template.disk.copied();
            let disk = FaultyDisk::new(Arc::new(below.clone()));
            let store = Store::open(Arc::new(disk.clone()), Path::new("/store"), options()).unwrap();
            disk.fail_at(n, fault);
            let result = collect(&store, CollectOptions::default(), &operation());
            let has_failed = disk.has_failed();
            disk.heal();
            failures[which] += u32::from(result.is_err());
            // What a process would find that starts now, the collector having died right after the failure.
            let after = Store::open(Arc::new(below.copied()), Path::new("/store"), options()).unwrap();
            check(&after, &template);
            gc(&after);
            check(&after, &template);
            assert!(template.dead.iter().all(|(cid, _)| !after.has(cid).unwrap()), "{fault:?} at {n}");
            if !has_failed {
                assert!(n > 10);
                break;
            }
        }
    }
    assert!(failures.iter().all(|&n| n > 3), "{failures:?}");
}

#[test]
fn on_a_full_disk_empty_packs_go_and_the_rest_is_deleted_where_it_stands() {
    let template = mixed();
    let mut left = BTreeSet::new();
    for n in 0.. {
        let below = template.disk.copied();
        let disk = FaultyDisk::new(Arc::new(below.clone()));
        let store = Store::open(Arc::new(disk.clone()), Path::new("/store"), options()).unwrap();
        disk.fail_at(n, Fault::Lasting(ENOSPC));
        let result = collect(&store, CollectOptions::default(), &operation());
        let has_failed = disk.has_failed();
        disk.heal();
        let fresh = Store::open(Arc::new(below.copied()), Path::new("/store"), options()).unwrap();
        check(&fresh, &template);
        if let Ok(done) = result {
            assert!(template.dead.iter().all(|(cid, _)| !fresh.has(cid).unwrap()));
            left.insert(done.packs_left);
        }
        if !has_failed {
            break;
        }
    }
    assert!(left.contains(&0) && left.iter().any(|&n| n > 0), "{left:?}");
}

#[test]
fn a_collection_that_is_cancelled_loses_nothing() {
    let mixed = mixed();
    let store = dags::open(&mixed.disk, &options());
    let stopped = operation();
    stopped.cancel();
    assert!(matches!(collect(&store, CollectOptions::default(), &stopped), Err(Error::Cancelled)));
    check(&store, &mixed);
    assert!(mixed.dead.iter().all(|(cid, _)| store.has(cid).unwrap()));
}

#[test]
fn adds_of_the_same_process_wait_and_then_find_what_they_need() {
    let mixed = mixed();
    let store = dags::open(&mixed.disk, &options());
    std::thread::scope(|scope| {
        for n in 0..4u64 {
            let store = store.clone();
            scope.spawn(move || {
                for i in 0..10u64 {
                    // Some of these blocks are being collected; put again, they must be there.
                    let leaf = raw(Hash::Sha256, &painted(n * 2, 1000));
                    let root = node(Hash::Sha256, std::slice::from_ref(&leaf.0), &painted(n * 100 + i, 10));
                    let session = store.write().unwrap();
                    session.put_many(&[(&leaf.0, &leaf.1), (&root.0, &root.1)]).unwrap();
                    session.pin(shoal_store::Pin { cid: root.0.clone(), kind: PinKind::Recursive, name: None }).unwrap();
                    session.commit().unwrap();
                    assert_eq!(&*store.block(&leaf.0).unwrap(), leaf.1.as_slice());
                }
            });
        }
        for _ in 0..10 {
            gc(&store);
        }
    });
    let expected = kept(&store);
    gc(&store);
    assert_eq!(stored(&store), multihashes(&expected));
}
