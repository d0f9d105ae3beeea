//! Blobs: one CID a file, equal to its BLAKE3 digest; read in groups that are verified; there whole or not at all.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::disallowed_methods, reason = "tests")]

mod support;

use shoal_core::Cid;
use shoal_core::limits::BLOCK_BYTES_MAX;
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use shoal_store::collect::{CollectOptions, collect};
use shoal_store::disk::Disk;
use shoal_store::export::{GetOptions, get};
use shoal_store::ingest::{AddOptions, AddReport, add, add_stream};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::read::FileReader;
use shoal_store::verify::{Reason, verify};
use shoal_store::{Error, Operation, Options, Pin, PinKind, Store};
use std::path::Path;
use support::power_disk::PowerDisk;
use support::whole_file::{GROUP, MIB, cid_of, painted};
use support::{EIO, ENOSPC, Fault, FaultyDisk, STORE, content, memory, open, options, set_content};

fn blob_options() -> AddOptions {
    AddOptions { profile: Profile { layout: Layout::Blob, ..Profile::blake3() }, threads: 3, ..AddOptions::default() }
}

fn add_data(store: &Store, data: &[u8]) -> shoal_store::Result<AddReport> {
    let mut input = data;
    add_stream(store, &mut input, "data".into(), &blob_options(), &Operation::new(), &mut |_| Ok(()))
}

fn add_path(store: &Store, path: &Path, options: &AddOptions) -> AddReport {
    add(store, &[path.to_path_buf()], options, &Operation::new(), &mut |_| Ok(())).unwrap()
}

fn read(store: &Store, cid: &Cid) -> shoal_store::Result<Vec<u8>> {
    let mut file = FileReader::open(store, cid)?;
    let mut data = vec![0; file.size() as usize];
    assert_eq!(file.read_at(0, &mut data)?, data.len());
    Ok(data)
}

/// The path of one of a blob's files.
fn file_of(cid: &Cid, kind: &str) -> String {
    let hex: String = cid.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{STORE}/blobs/{}/{hex}.{kind}", hex.split_at(2).0)
}

/// Every file below `blobs`.
fn files(disk: &dyn Disk) -> Vec<String> {
    let folder = format!("{STORE}/blobs");
    let mut all = Vec::new();
    for name in disk.list(Path::new(&folder)).unwrap_or_default() {
        if name.len() > 2 {
            all.push(name);
        } else {
            all.extend(disk.list(&Path::new(&folder).join(&name)).unwrap());
        }
    }
    all
}

#[test]
fn a_file_of_any_size_becomes_one_cid_that_is_its_digest_from_a_path_or_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = [0, 1, BLOCK_BYTES_MAX - 1, BLOCK_BYTES_MAX, BLOCK_BYTES_MAX + 1, 3 * MIB + 5, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1];
    for bytes in lengths.into_iter().chain([8 * MIB, 12 * MIB + GROUP + 1]) {
        let data = painted(bytes);
        let path = folder.path().join("file");
        std::fs::write(&path, &data).unwrap();
        let (disk, other) = (memory(), memory());
        let (store, streamed) = (open(&disk, &options(1 << 30)), open(&other, &options(1 << 30)));
        let report = add_path(&store, &path, &blob_options());
        let hashed = add_path(&store, &path, &AddOptions { only_hash: true, ..blob_options() });
        let cid = cid_of(&data);
        assert_eq!((&report.roots[0].cid, report.roots[0].bytes), (&cid, bytes as u64));
        assert_eq!((report.new_blocks, report.new_bytes), (1, bytes as u64));
        assert_eq!(hashed.roots[0].cid, cid);
        assert_eq!(add_data(&streamed, &data).unwrap().roots[0].cid, cid);
        let is_blob = bytes > BLOCK_BYTES_MAX;
        for (store, disk) in [(&store, &disk), (&streamed, &other)] {
            assert_eq!(read(store, &cid).unwrap(), data, "{bytes}");
            let stat = store.stat().unwrap();
            assert_eq!((stat.blobs, stat.blob_bytes), if is_blob { (1, bytes as u64) } else { (0, 0) });
            assert!(store.has(&cid).unwrap() && store.has_many(std::slice::from_ref(&cid)).unwrap()[0]);
            assert_eq!(store.size(&cid).unwrap(), bytes as u64);
            assert_eq!(matches!(store.block(&cid), Err(Error::IsBlob { .. })), is_blob);
            assert_eq!(files(disk).len(), if is_blob { 2 } else { 0 }, "nothing temporary is left");
        }
        if is_blob {
            assert_eq!(content(&disk, &file_of(&cid, "data")), data);
            let tree = shoal_core::bao::Tree::of(&data);
            assert_eq!(content(&disk, &file_of(&cid, "tree")), tree.nodes());
            assert_eq!(content(&other, &file_of(&cid, "tree")), tree.nodes());
        }
    }
}

#[test]
fn a_range_of_a_blob_reads_what_stands_there() {
    let data = painted(9 * MIB + 100);
    let store = open(&memory(), &options(1 << 30));
    let cid = add_data(&store, &data).unwrap().roots[0].cid.clone();
    let mut file = FileReader::open(&store, &cid).unwrap();
    let edges =
        [0, 1, GROUP - 1, GROUP, GROUP + 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + GROUP, 9 * MIB, 9 * MIB + 99, 9 * MIB + 100, 9 * MIB + 101];
    for start in edges {
        for length in [0, 1, 4096, GROUP - 1, GROUP, GROUP + 1, 3 * GROUP + 7, 3 * MIB] {
            let mut buffer = vec![0; length];
            let n = file.read_at(start as u64, &mut buffer).unwrap();
            let wanted = &data[start.min(data.len())..(start + length).min(data.len())];
            assert_eq!(&buffer[..n], wanted, "{start} {length}");
        }
    }
    // Beyond any end.
    assert_eq!(file.read_at(u64::MAX, &mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_directory_of_blobs_is_a_unixfs_directory_and_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::create_dir_all(source.join("inner")).unwrap();
    for (name, bytes) in [("small", 10), ("large", 3 * MIB), ("inner/larger", 9 * MIB + 1)] {
        std::fs::write(source.join(name), painted(bytes)).unwrap();
    }
    let disk = memory();
    let store = open(&disk, &options(1 << 30));
    let report = add_path(&store, &source, &blob_options());
    let root = &report.roots[0].cid;
    assert_eq!(store.stat().unwrap().blobs, 2);
    let target = folder.path().join("target");
    get(&store, root, &target, GetOptions::default(), &Operation::new()).unwrap();
    for (name, bytes) in [("small", 10), ("large", 3 * MIB), ("inner/larger", 9 * MIB + 1)] {
        assert!(std::fs::read(target.join(name)).unwrap() == painted(bytes), "{name}");
    }
    // Blocks: the small file, two directories, and two blobs as leaves.
    let stat = shoal_store::walk::stat(&store, root, &Operation::new()).unwrap();
    assert_eq!(stat.blocks, 5);
    assert!(stat.bytes > 12 * MIB as u64);
    let again = add_path(&store, &source, &blob_options());
    assert_eq!((again.new_blocks, &again.roots[0].cid), (0, root));
    assert_eq!(files(&disk).len(), 4);
    let error = shoal_store::archive::export_car(&store, std::slice::from_ref(root), &mut Vec::new(), 1, &Operation::new()).unwrap_err();
    assert!(error.to_string().contains("balanced"), "{error}");
}

#[test]
fn a_blob_has_no_place_for_a_mode_or_a_time() {
    let store = open(&memory(), &options(1 << 30));
    for options in [AddOptions { mode: Some(0o644), ..blob_options() }, AddOptions { preserve_mtime: true, ..blob_options() }] {
        let mut input = &b"x"[..];
        let error = add_stream(&store, &mut input, "x".into(), &options, &Operation::new(), &mut |_| Ok(())).unwrap_err();
        assert!(matches!(error, Error::Options(_)), "{error}");
    }
}

#[test]
fn a_changed_byte_is_found_by_reads_of_its_group_and_by_no_other_and_adding_again_heals() {
    let data = painted(5 * MIB + 17);
    let disk = memory();
    let store = open(&disk, &options(1 << 30));
    let cid = add_data(&store, &data).unwrap().roots[0].cid.clone();
    let path = file_of(&cid, "data");
    for at in [0, GROUP - 1, GROUP, 4 * MIB - 1, 4 * MIB, data.len() - 1] {
        let mut bad = data.clone();
        bad[at] ^= 0x10;
        set_content(&disk, &path, &bad);
        let mut file = FileReader::open(&store, &cid).unwrap();
        let group = at / GROUP;
        for touched in [group.wrapping_sub(1), group, group + 1] {
            let start = touched.wrapping_mul(GROUP);
            if start >= data.len() {
                continue;
            }
            let mut buffer = [0; 10];
            match file.read_at(start as u64, &mut buffer) {
                Ok(n) => assert!(touched != group && buffer[..n] == data[start..(start + 10).min(data.len())]),
                Err(Error::DamagedBlob { offset, is_tree, .. }) => assert_eq!((offset, is_tree, touched), (start as u64, false, group)),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(read(&store, &cid).is_err());
        let report = verify(&store, &Operation::new()).unwrap();
        assert_eq!((report.damaged_count, report.is_sound(), report.hurt_roots.len()), (1, false, 1));
        let damage = &report.damaged[0];
        assert_eq!((&damage.cid, damage.offset, damage.reason), (&Some(cid.clone()), (group * GROUP) as u64, Reason::Group));
        // In another process, as far as the store can tell.
        let other = open(&disk, &options(1 << 30));
        assert_eq!(add_data(&other, &data).unwrap().new_blocks, 1);
        assert!(read(&other, &cid).unwrap() == data && verify(&other, &Operation::new()).unwrap().is_sound());
        assert!(read(&open(&disk, &options(1 << 30)), &cid).unwrap() == data);
        assert_eq!(files(&disk).len(), 2);
    }
    // Cut short.
    set_content(&disk, &path, &data[..4 * MIB + 1]);
    let store = open(&disk, &options(1 << 30));
    assert!(matches!(read(&store, &cid), Err(Error::DamagedBlob { .. })));
    let report = verify(&store, &Operation::new()).unwrap();
    assert!(!report.is_sound() && report.damaged.iter().all(|damage| damage.offset >= 4 * MIB as u64));
    assert!(add_data(&open(&disk, &options(1 << 30)), &data).unwrap().new_blocks == 1);
}

#[test]
fn a_damaged_tree_gives_no_wrong_bytes_and_is_made_again_from_the_data() {
    let data = painted(5 * MIB + 17);
    let disk = memory();
    let cid = add_data(&open(&disk, &options(1 << 30)), &data).unwrap().roots[0].cid.clone();
    let path = file_of(&cid, "tree");
    let tree = content(&disk, &path);
    let places = (0..tree.len()).step_by(997).chain([tree.len() - 1, tree.len() - 64]);
    for at in places {
        let mut bad = tree.clone();
        bad[at] ^= 1;
        set_content(&disk, &path, &bad);
        let store = open(&disk, &options(1 << 30));
        assert!(matches!(read(&store, &cid), Err(Error::DamagedBlob { is_tree: true, .. })), "{at}");
        let report = verify(&store, &Operation::new()).unwrap();
        assert_eq!((report.is_sound(), &report.blob_trees_rebuilt), (true, &vec![cid.clone()]), "{at}");
        assert!(content(&disk, &path) == tree && read(&store, &cid).unwrap() == data);
    }
    for cut in [0, 63, 64, tree.len() / 2, tree.len() - 1] {
        set_content(&disk, &path, &tree[..cut]);
        let store = open(&disk, &options(1 << 30));
        assert!(matches!(read(&store, &cid), Err(Error::DamagedBlob { is_tree: true, .. })), "cut to {cut}");
        assert!(verify(&store, &Operation::new()).unwrap().is_sound());
        assert!(content(&disk, &path) == tree);
    }
}

#[test]
fn a_blob_that_no_pin_keeps_is_collected_and_readers_that_have_it_open_go_on() {
    let data = painted(3 * MIB);
    let kept = painted(4 * MIB);
    let disk = memory();
    let store = open(&disk, &options(1 << 30));
    let cid = add_data(&store, &data).unwrap().roots[0].cid.clone();
    let kept_cid = add_data(&store, &kept).unwrap().roots[0].cid.clone();
    let session = store.write().unwrap();
    session.unpin(&cid).unwrap();
    session.pin(Pin { cid: kept_cid.clone(), kind: PinKind::Direct, name: None }).unwrap();
    session.commit().unwrap();
    let mut file = FileReader::open(&store, &cid).unwrap();
    let foreseen = collect(&store, CollectOptions { dry_run: true, ..CollectOptions::default() }, &Operation::new()).unwrap();
    assert!(read(&store, &cid).unwrap() == data);
    let done = collect(&store, CollectOptions::default(), &Operation::new()).unwrap();
    assert_eq!(done, foreseen);
    assert_eq!((done.freed_blocks, done.freed_bytes, done.kept_blocks), (1, 3 * MIB as u64, 1));
    assert_eq!(done.freed_disk_bytes, (3 * MIB + (3 * 64 - 1) * 64) as u64);
    assert!(!store.has(&cid).unwrap() && matches!(FileReader::open(&store, &cid), Err(Error::NotFound { .. })));
    assert_eq!(files(&disk).len(), 2);
    let mut buffer = vec![0; data.len()];
    // A disk in memory keeps what is open, as a real one does.
    file.read_at(0, &mut buffer).unwrap();
    assert!(buffer == data);
    assert!(read(&store, &kept_cid).unwrap() == kept && verify(&store, &Operation::new()).unwrap().is_sound());
    // And it can come back.
    assert_eq!(add_data(&store, &data).unwrap().new_blocks, 1);
    assert!(read(&open(&disk, &options(1 << 30)), &cid).unwrap() == data);
}

#[test]
fn an_add_that_fails_leaves_nothing_of_its_blob() {
    struct Failing<'a>(&'a [u8]);
    impl std::io::Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() { Err(std::io::Error::other("gone")) } else { self.0.read(buffer) }
        }
    }
    let data = painted(5 * MIB);
    let disk = memory();
    let store = open(&disk, &options(1 << 30));
    let error = add_stream(&store, &mut Failing(&data), "x".into(), &blob_options(), &Operation::new(), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, Error::Stream(_)));
    assert_eq!(files(&disk), Vec::<String>::new());
    // Finished, and then refused by the caller.
    let mut input = &data[..];
    add_stream(&store, &mut input, "x".into(), &blob_options(), &Operation::new(), &mut |_| Err(Error::Cancelled)).unwrap_err();
    assert_eq!(files(&disk), Vec::<String>::new());
    assert!(!store.has(&cid_of(&data)).unwrap());
}

/// What was acknowledged is there after any power cut, and after any single failing call the add happened or did not.
#[test]
fn a_blob_is_there_whole_or_not_at_all_whatever_fails() {
    let (first, second) = (painted(BLOCK_BYTES_MAX + 1), painted(2 * MIB + GROUP + 7));
    let before = memory();
    let first_cid = add_data(&open(&before, &options(1 << 30)), &first).unwrap().roots[0].cid.clone();
    let second_cid = cid_of(&second);
    let check = |disk: MemoryDisk, is_acknowledged: bool, what: &str| {
        let store = open(&disk, &options(1 << 30));
        drop(store.write().unwrap());
        assert!(read(&store, &first_cid).unwrap() == first, "{what}");
        let has = store.has(&second_cid).unwrap();
        assert!(has || !is_acknowledged, "{what}");
        if has {
            assert!(read(&store, &second_cid).unwrap() == second, "{what}");
        }
        assert_eq!(store.pins().unwrap().len(), if is_acknowledged { 2 } else { store.pins().unwrap().len() });
        collect(&store, CollectOptions::default(), &Operation::new()).unwrap();
        assert_eq!(files(&disk).len() as u64, 2 * store.stat().unwrap().blobs, "{what}");
        assert!(verify(&store, &Operation::new()).unwrap().is_sound(), "{what}");
        add_data(&store, &second).unwrap();
        assert!(read(&store, &second_cid).unwrap() == second, "{what}");
    };
    for fault in [Fault::Once(EIO), Fault::Lasting(EIO), Fault::Torn(ENOSPC), Fault::Lasting(ENOSPC)] {
        for n in 0.. {
            let below = before.copied();
            let disk = FaultyDisk::new(std::sync::Arc::new(below.clone()));
            let store = open(&disk, &options(1 << 30));
            disk.fail_at(n, fault);
            let added = add_data(&store, &second);
            let has_failed = disk.has_failed();
            disk.heal();
            drop(store);
            check(below, added.is_ok(), &format!("{fault:?} at {n}: {:?}", disk.log().last()));
            if !has_failed {
                assert!(n > 8);
                break;
            }
        }
    }
}

#[test]
fn an_acknowledged_blob_survives_any_power_cut() {
    let data = painted(BLOCK_BYTES_MAX + GROUP);
    let disk = PowerDisk::new();
    let store = open(&disk, &options(1 << 30));
    let cid = add_data(&store, &data).unwrap().roots[0].cid.clone();
    let mut replay = disk.replay(512);
    while replay.step().is_some() {}
    for choice in 0..replay.choices(24) {
        let after = replay.state(choice, 24, 1).disk();
        let store = open(&after, &options(1 << 30));
        assert!(read(&store, &cid).unwrap() == data, "choice {choice}");
        drop(store.write().unwrap());
        assert!(read(&store, &cid).unwrap() == data, "choice {choice}");
    }
}

#[test]
fn a_blob_whose_writer_died_before_its_commit_is_taken_in_and_a_lost_journal_is_made_again_with_its_blobs() {
    let data = painted(3 * MIB + 3);
    let (disk, cid) = (memory(), cid_of(&data));
    let store = open(&disk, &options(1 << 30));
    let mut crashed = None;
    let mut input = &data[..];
    // Between the blob's name and the journal's.
    let mut on_entry = |_: &shoal_store::ingest::Added| {
        crashed = Some(disk.copied());
        Ok(())
    };
    add_stream(&store, &mut input, "x".into(), &blob_options(), &Operation::new(), &mut on_entry).unwrap();
    let crashed = crashed.unwrap();
    let reader = open(&crashed, &options(1 << 30));
    assert!(!reader.has(&cid).unwrap(), "not committed, not seen");
    drop(reader.write().unwrap());
    assert_eq!(reader.recovery().unwrap().blobs_kept, 1);
    assert!(read(&reader, &cid).unwrap() == data);
    assert!(read(&open(&crashed, &options(1 << 30)), &cid).unwrap() == data);
    assert_eq!(files(&crashed).len(), 2);
    disk.remove(Path::new("/store/meta")).unwrap();
    let rebuilt = open(&disk, &Options { rebuild_meta: true, ..options(1 << 30) });
    assert!(read(&rebuilt, &cid).unwrap() == data);
}

#[test]
fn two_adds_of_one_file_at_once_share_a_blob_and_either_may_fail() {
    let data = painted(3 * MIB + 3);
    for fails in [false, true] {
        let disk = memory();
        let store = open(&disk, &options(1 << 30));
        let mut input = &data[..];
        let mut inner_report = None;
        // The second begins and ends while the first has its blob and has not committed.
        let mut on_entry = |_: &shoal_store::ingest::Added| {
            inner_report = Some(add_data(&store, &data).unwrap());
            if fails { Err(Error::Cancelled) } else { Ok(()) }
        };
        let outer = add_stream(&store, &mut input, "x".into(), &blob_options(), &Operation::new(), &mut on_entry);
        assert_eq!(outer.is_err(), fails);
        assert_eq!(inner_report.unwrap().new_blocks, 0);
        assert!(read(&store, &cid_of(&data)).unwrap() == data);
        assert!(read(&open(&disk, &options(1 << 30)), &cid_of(&data)).unwrap() == data);
        assert_eq!(files(&disk).len(), 2);
    }
}
