//! Verifying in several goes, at a rate, with names; and bringing back what is lost from another store or an archive.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

mod dags;

use dags::{damage, memory, node, operation, painted, put_all, raw, set_pin, small_packs};
use shoal_core::Cid;
use shoal_core::hash::Hash;
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use shoal_store::archive::export_car;
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::verify::{RepairFrom, VerifyOptions, repair, verify, verify_with};
use shoal_store::{Error, Operation, PinKind, Store};
use std::num::NonZeroU64;
use std::path::Path;
use std::time::Instant;

fn open(disk: &MemoryDisk) -> Store {
    dags::open(disk, &small_packs(4000))
}

/// Adds a directory `name/deep` with a file of some chunks in it, really read from a disk: its root.
fn add_tree(store: &Store) -> Cid {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    std::fs::create_dir_all(top.join("deep")).unwrap();
    std::fs::write(top.join("deep/file"), painted(1, 5000)).unwrap();
    std::fs::write(top.join("other"), painted(2, 700)).unwrap();
    let profile = Profile { chunker: "size-1000".parse().unwrap(), ..Profile::blake3() };
    let options = AddOptions { profile, threads: 1, ..AddOptions::default() };
    let report = shoal_store::ingest::add(store, &[top], &options, &Operation::new(), &mut |_| Ok(())).unwrap();
    report.roots[0].cid.clone()
}

fn leaf_of(store: &Store, bytes: &[u8]) -> Cid {
    let entry = store.entries().unwrap().map(Result::unwrap).find(|entry| &*store.block(&entry.cid).unwrap() == bytes);
    entry.unwrap().cid
}

#[test]
fn what_is_lost_is_named_by_its_path_and_its_place_in_the_file() {
    let disk = memory();
    let store = open(&disk);
    let root = add_tree(&store);
    let content = painted(1, 5000);
    let bad = leaf_of(&store, &content[2000..3000]);
    damage(&disk, &store, &bad);
    let session = store.write_exclusive().unwrap();
    let gone = leaf_of(&store, &content[4000..]);
    session.delete(std::slice::from_ref(&gone)).unwrap();
    session.commit().unwrap();
    let report = verify(&open(&disk), &operation()).unwrap();
    assert_eq!((report.hurt_roots, report.missing, report.hurt_paths_count), (vec![root.clone()], vec![gone.clone()], 2));
    let mut paths = report.hurt_paths;
    paths.sort_by_key(|path| path.offset);
    let told: Vec<_> = paths.iter().map(|path| (path.names.join(&b'/'), path.offset, &path.cid, path.is_missing)).collect();
    assert_eq!(told, [(b"deep/file".to_vec(), Some(2000), &bad, false), (b"deep/file".to_vec(), Some(4000), &gone, true)]);
    assert!(paths.iter().all(|path| path.root == root));
}

/// A DAG of three levels, of which one node is damaged and another is gone with all that is under it.
fn hurt() -> (MemoryDisk, Store, Vec<dags::Block>) {
    let disk = memory();
    let store = open(&disk);
    let leaves: Vec<dags::Block> = (0..12).map(|n| raw(if n % 2 == 0 { Hash::Sha256 } else { Hash::Blake3 }, &painted(n, 300))).collect();
    let nodes: Vec<dags::Block> =
        leaves.chunks(4).map(|some| node(Hash::Sha256, &some.iter().map(|leaf| leaf.0.clone()).collect::<Vec<_>>(), b"node")).collect();
    let root = node(Hash::Blake3, &nodes.iter().map(|node| node.0.clone()).collect::<Vec<_>>(), b"root");
    let all: Vec<dags::Block> = leaves.into_iter().chain(nodes).chain([root]).collect();
    all.iter().for_each(|block| put_all(&store, std::slice::from_ref(block)));
    set_pin(&store, &all[15].0, PinKind::Recursive);
    (disk, store, all)
}

fn hurt_it(disk: &MemoryDisk, store: &Store, all: &[dags::Block]) {
    damage(disk, store, &all[1].0);
    damage(disk, store, &all[13].0);
    let session = store.write_exclusive().unwrap();
    let gone: Vec<Cid> = [8, 9, 10, 14].iter().map(|n| all[*n].0.clone()).collect();
    session.delete(&gone).unwrap();
    session.commit().unwrap();
}

fn check_whole(disk: &MemoryDisk, all: &[dags::Block]) {
    let fresh = open(disk);
    assert!(verify(&fresh, &operation()).unwrap().is_sound());
    for (cid, data) in all {
        assert_eq!(&*fresh.block(cid).unwrap(), data.as_slice());
    }
}

#[test]
fn a_repair_takes_from_another_store_what_is_lost_and_nothing_else() {
    let (disk, store, all) = hurt();
    let other = dags::open(&memory(), &small_packs(1 << 20));
    put_all(&other, &all);
    let unasked = raw(Hash::Sha256, b"nobody wants this");
    put_all(&other, std::slice::from_ref(&unasked));
    hurt_it(&disk, &store, &all);
    let store = open(&disk);
    let done = repair(&store, &RepairFrom::Store(other), &VerifyOptions::default(), &operation()).unwrap();
    assert!(done.report.is_sound(), "{done:?}");
    assert_eq!(done.blocks, 6);
    assert!(!store.has(&unasked.0).unwrap());
    check_whole(&disk, &all);
}

#[test]
fn a_repair_takes_from_an_archive_and_says_what_is_still_lost() {
    let (disk, store, all) = hurt();
    let folder = tempfile::tempdir().unwrap();
    let car = folder.path().join("backup.car");
    let mut bytes = Vec::new();
    export_car(&store, std::slice::from_ref(&all[14].0), &mut bytes, 1, &operation()).unwrap();
    std::fs::write(&car, &bytes).unwrap();
    hurt_it(&disk, &store, &all);
    let store = open(&disk);
    let from = RepairFrom::open(&car).unwrap();
    let done = repair(&store, &from, &VerifyOptions::default(), &operation()).unwrap();
    // Of the node that is not in the archive nothing came.
    assert_eq!((done.blocks, done.report.is_sound()), (4, false));
    let left: Vec<&Cid> = done.report.hurt_paths.iter().map(|path| &path.cid).collect();
    assert_eq!(left, [&all[1].0, &all[13].0]);
    assert_eq!(done.report.missing, vec![]);
    // A damaged archive gives nothing that is not what its CID says.
    for at in (100..bytes.len()).step_by(37) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        std::fs::write(&car, &bad).unwrap();
        let again = open(&disk.copied());
        let _ = repair(&again, &from, &VerifyOptions::default(), &operation());
        assert!(all.iter().all(|(cid, data)| again.block(cid).map_or(true, |block| *block == **data)));
    }
}

#[test]
fn a_damaged_blob_is_brought_back_from_another_store() {
    let data = painted(5, 2_200_000);
    let profile = Profile { layout: Layout::Blob, ..Profile::blake3() };
    let options = AddOptions { profile, threads: 1, ..AddOptions::default() };
    let add = |store: &Store| {
        add_stream(store, &mut data.as_slice(), "blob".into(), &options, &Operation::new(), &mut |_| Ok(())).unwrap().roots[0].cid.clone()
    };
    let (disk, other) = (memory(), open(&memory()));
    let cid = add(&open(&disk));
    assert_eq!(add(&other), cid);
    let hex: String = cid.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let fan = hex.split_at(2).0;
    dags::overwrite(&disk, &format!("/store/blobs/{fan}/{hex}.data"), 1_000_000, b"not what it was");
    let store = open(&disk);
    assert_eq!(verify(&store, &operation()).unwrap().hurt_roots, vec![cid.clone()]);
    let done = repair(&store, &RepairFrom::Store(other), &VerifyOptions::default(), &operation()).unwrap();
    assert_eq!((done.blocks, done.bytes, done.report.is_sound()), (1, 2_200_000, true));
    assert!(verify(&open(&disk), &operation()).unwrap().is_sound());
}

#[test]
fn a_verification_that_was_stopped_goes_on_and_looks_again_at_what_was_damaged_or_has_changed() {
    let disk = memory();
    let store = open(&disk);
    let blocks: Vec<dags::Block> = (0..40).map(|n| raw(Hash::Blake3, &painted(n, 900))).collect();
    blocks.iter().for_each(|block| put_all(&store, std::slice::from_ref(block)));
    let sealed = store.packs().unwrap().iter().filter(|pack| pack.is_sealed).count() as u64;
    assert!(sealed > 5);
    damage(&disk, &store, &blocks[0].0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("verify");
    let options = VerifyOptions { checkpoint: Some(file.clone()), ..VerifyOptions::default() };
    // Complete: the file is gone again.
    let store = open(&disk);
    let report = verify_with(&store, &options, &operation()).unwrap();
    assert_eq!((report.resumed, report.damaged_count, file.exists()), (0, 1, false));
    // Stopped in the middle: at a rate, so that there is a middle.
    let slow = VerifyOptions { bytes_per_second: NonZeroU64::new(20_000), ..options.clone() };
    let stopped = operation();
    std::thread::scope(|scope| {
        let verifying = scope.spawn(|| verify_with(&store, &slow, &stopped));
        let begun = Instant::now();
        while std::fs::read_to_string(&file).map_or(0, |text| text.lines().count()) < 4 {
            assert!(begun.elapsed().as_secs() < 60);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        stopped.cancel();
        assert!(matches!(verifying.join().unwrap(), Err(Error::Cancelled)));
    });
    // A line that was cut short.
    let noted = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{noted}pack 9")).unwrap();
    let report = verify_with(&store, &options, &operation()).unwrap();
    assert!(report.resumed >= 3 && report.resumed < sealed, "{}", report.resumed);
    assert_eq!((report.blocks, report.damaged_count, file.exists()), (40, 1, false));
    // Another file is not touched.
    std::fs::write(&file, "my thesis\n").unwrap();
    assert!(matches!(verify_with(&store, &options, &operation()), Err(Error::Options(_))));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "my thesis\n");
}

#[test]
fn a_verification_reads_no_faster_than_it_may() {
    let disk = memory();
    let store = open(&disk);
    let blocks: Vec<dags::Block> = (0..20).map(|n| raw(Hash::Blake3, &painted(n, 1000))).collect();
    blocks.iter().for_each(|block| put_all(&store, std::slice::from_ref(block)));
    let options = VerifyOptions { bytes_per_second: NonZeroU64::new(100_000), ..VerifyOptions::default() };
    let begun = Instant::now();
    assert!(verify_with(&store, &options, &operation()).unwrap().is_sound());
    // 20,000 bytes; the last piece is not waited for.
    assert!(begun.elapsed().as_millis() >= 120, "{:?}", begun.elapsed());
}

#[test]
fn a_store_or_archive_that_is_not_there_is_said_so() {
    let Err(Error::Io { .. }) = RepairFrom::open(Path::new("/nowhere/backup.car")) else { panic!() };
    let folder = tempfile::tempdir().unwrap();
    let Err(Error::NoStore { .. }) = RepairFrom::open(folder.path()) else { panic!() };
}
