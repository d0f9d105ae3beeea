//! Adopting: a CAR becomes a pack as it is, whole or not at all, and is never written to.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

mod dags;

use dags::{chain, content, files, memory, new_store, node, open, operation, overwrite, put_all, raw, small_packs};
use shoal_core::Cid;
use shoal_core::car::{v1, v2};
use shoal_core::hash::Hash;
use shoal_core::limits::{BLOCK_BYTES_MAX, CAR_SECTION_BYTES_MAX};
use shoal_store::archive::{Adopt, Adopted, ImportOptions, Imported, adopt_car, export_car};
use shoal_store::collect::{CollectOptions, collect};
use shoal_store::disk::{Disk, write_all_at};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::verify::verify;
use shoal_store::{Error, Options, Result, Store};
use std::io::IoSlice;
use std::path::{Path, PathBuf};

const PINNED: ImportOptions = ImportOptions { pin_roots: true, pin_name: None };
const LOOSE: ImportOptions = ImportOptions { pin_roots: false, pin_name: None };
const CAR: &str = "/in.car";

/// An archive by hand: nothing is checked.
fn archive(roots: &[Cid], blocks: &[dags::Block]) -> Vec<u8> {
    let mut car = v1::encode_header(roots);
    for (cid, data) in blocks {
        v1::section_prefix(cid, data.len(), &mut car);
        car.extend_from_slice(data);
    }
    car
}

fn write(disk: &dyn Disk, path: &str, bytes: &[u8]) {
    let file = disk.create(Path::new(path)).unwrap();
    write_all_at(&*file, &mut [IoSlice::new(bytes)], 0).unwrap();
}

fn adopt(store: &Store, how: Adopt, options: &ImportOptions) -> Result<(Imported, Adopted)> {
    adopt_car(store, Path::new(CAR), how, options, &operation())
}

/// Blocks of many lengths, those of windows and pieces among them, under one root.
fn a_dag() -> Vec<dags::Block> {
    let lengths = [0, 1, 9, 127, 128, 4096, 16_383, 16_384, 65_535, 65_536, 65_537, 300_000];
    let hash = |n: usize| if n.is_multiple_of(2) { Hash::Blake3 } else { Hash::Sha256 };
    let mut blocks: Vec<dags::Block> =
        lengths.iter().enumerate().map(|(n, bytes)| raw(hash(n), &dags::painted(n as u64, *bytes))).collect();
    let links: Vec<Cid> = blocks.iter().map(|block| block.0.clone()).collect();
    blocks.insert(0, node(Hash::Blake3, &links, b""));
    blocks
}

fn check(store: &Store, blocks: &[dags::Block]) {
    for (cid, data) in blocks {
        assert_eq!(&*store.block(cid).unwrap(), data.as_slice(), "{cid}");
    }
}

/// A store that adopted a DAG with a header that is not ours: its disk, the DAG, the pack's path.
fn with_adopted(how: Adopt) -> (MemoryDisk, Store, Vec<dags::Block>, String) {
    let (disk, store) = new_store();
    put_all(&store, &chain(3));
    let blocks = a_dag();
    let car = archive(&[blocks[0].0.clone()], &blocks);
    write(&disk, CAR, &car);
    let (imported, _) = adopt(&store, how, &PINNED).unwrap();
    assert_eq!((imported.blocks, imported.new_blocks), (13, 13));
    assert_eq!(imported.bytes, blocks.iter().map(|block| block.1.len() as u64).sum::<u64>());
    assert_eq!(imported.new_bytes, imported.bytes);
    let pack = files(&disk, "/store/packs", ".car").into_iter().find(|path| content(&disk, path) == car).unwrap();
    (disk, store, blocks, pack)
}

#[test]
fn an_adopted_file_is_a_pack_byte_for_byte_and_moving_takes_it_from_its_place() {
    for (how, adopted) in [(Adopt::Move, Adopted::Moved), (Adopt::Link, Adopted::Linked)] {
        let (disk, store, blocks, _) = with_adopted(how);
        assert_eq!(disk.identity(Path::new(CAR)).is_ok(), adopted == Adopted::Linked);
        check(&store, &blocks);
        assert!(verify(&store, &operation()).unwrap().is_sound());
        // For another process, and for one that writes on.
        let other = open(&disk, &small_packs(3000));
        check(&other, &blocks);
        put_all(&other, &[raw(Hash::Blake3, b"later")]);
        let mut out = Vec::new();
        export_car(&other, &[blocks[0].0.clone()], &mut out, 1, &operation()).unwrap();
        check(&open(&disk, &small_packs(3000)), &[raw(Hash::Blake3, b"later")]);
    }
}

#[test]
fn its_index_is_made_again_from_it() {
    let (disk, store, blocks, pack) = with_adopted(Adopt::Move);
    drop(store);
    let index = pack.replace(".car", ".idx");
    disk.remove(Path::new(&index)).unwrap();
    let store = open(&disk, &Options::default());
    check(&store, &blocks);
    assert!(verify(&store, &operation()).unwrap().is_sound());
    assert!(disk.identity(Path::new(&index)).is_ok());
}

#[test]
fn every_changed_byte_of_its_header_is_found() {
    let (disk, store, blocks, pack) = with_adopted(Adopt::Move);
    drop(store);
    let header = v1::encode_header(&[blocks[0].0.clone()]);
    for at in 0..header.len() {
        overwrite(&disk, &pack, at as u64, &[header[at] ^ 1]);
        let report = verify(&open(&disk, &Options::default()), &operation()).unwrap();
        assert_eq!(report.damaged_count, 1, "byte {at}");
        overwrite(&disk, &pack, at as u64, &header[at..=at]);
    }
    assert!(verify(&open(&disk, &Options::default()), &operation()).unwrap().is_sound());
}

#[test]
fn it_is_found_again_when_the_journal_is_lost_and_is_not_written_to() {
    let (disk, store, blocks, pack) = with_adopted(Adopt::Link);
    drop(store);
    let before = content(&disk, &pack);
    disk.remove(Path::new("/store/meta")).unwrap();
    let options = Options { rebuild_meta: true, ..Options::default() };
    let store = open(&disk, &options);
    put_all(&store, &[raw(Hash::Sha256, b"later")]);
    check(&store, &blocks);
    assert_eq!(content(&disk, &pack), before);
    assert!(verify(&store, &operation()).unwrap().is_sound());
    let again = open(&disk, &Options::default());
    check(&again, &blocks);
    assert!(verify(&again, &operation()).unwrap().is_sound());
}

/// Also where its header is that of our own packs, so that it could be taken for one.
#[test]
fn a_pack_of_another_store_is_adopted_and_never_appended_to() {
    let (disk, store) = new_store();
    let ours = [raw(Hash::Blake3, b"one"), raw(Hash::Sha256, b"two")];
    put_all(&store, &ours);
    let bytes = content(&disk, &files(&disk, "/store/packs", ".car")[0]);
    let disk = memory();
    write(&disk, CAR, &bytes);
    let store = open(&disk, &Options::default());
    adopt(&store, Adopt::Link, &LOOSE).unwrap();
    put_all(&store, &[raw(Hash::Sha256, b"three")]);
    drop(store);
    disk.remove(Path::new("/store/meta")).unwrap();
    let store = open(&disk, &Options { rebuild_meta: true, ..Options::default() });
    put_all(&store, &[raw(Hash::Sha256, b"four")]);
    check(&store, &ours);
    assert_eq!(content(&disk, CAR), bytes);
}

/// What is refused, and that neither store nor file have changed.
fn refused(car: &[u8], options: &ImportOptions) -> Error {
    let (disk, store) = new_store();
    put_all(&store, &chain(3));
    write(&disk, CAR, car);
    let before = (store.stat().unwrap().blocks, store.stat().unwrap().pins, files(&disk, "/store/packs", ""));
    let error = adopt(&store, Adopt::Move, options).unwrap_err();
    let after = (store.stat().unwrap().blocks, store.stat().unwrap().pins, files(&disk, "/store/packs", ""));
    assert_eq!(after, before, "{error}");
    assert_eq!(content(&disk, CAR), car);
    check(&store, &chain(3));
    error
}

#[test]
fn a_file_cut_anywhere_but_between_sections_is_refused() {
    let blocks = &a_dag()[..6];
    let car = archive(&[], blocks);
    let mut ends = vec![v1::encode_header(&[]).len()];
    for (cid, data) in blocks {
        ends.push(ends[ends.len() - 1] + v1::section_bytes(cid, data.len()));
    }
    for bytes in (0..car.len()).filter(|bytes| !ends.contains(bytes)) {
        assert!(matches!(refused(&car[..bytes], &LOOSE), Error::Archive(_)), "{bytes} bytes");
    }
}

#[test]
fn a_lying_block_is_named_wherever_it_is() {
    let blocks = a_dag();
    for at in 0..blocks.len() {
        let mut blocks = blocks.clone();
        blocks[at].1.push(0);
        let cid = blocks[at].0.clone();
        match refused(&archive(&[], &blocks), &LOOSE) {
            Error::ArchiveBlock { cid: named } => assert_eq!(named, cid),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn zero_padding_long_sections_other_versions_and_missing_blocks_are_refused() {
    let blocks = a_dag();
    let car = archive(&[blocks[0].0.clone()], &blocks);
    assert!(matches!(refused(&[&car[..], &[0]].concat(), &LOOSE), Error::Archive(_)));
    let mut long = archive(&[], &[]);
    shoal_core::varint::write(CAR_SECTION_BYTES_MAX as u64 + 1, &mut long);
    long.resize(long.len() + CAR_SECTION_BYTES_MAX + 1, 0);
    assert!(matches!(refused(&long, &LOOSE), Error::Archive(_)));
    let large = raw(Hash::Blake3, &vec![7; BLOCK_BYTES_MAX + 1]);
    assert!(matches!(refused(&archive(&[], &[large]), &LOOSE), Error::BlockTooLarge { .. }));
    let wrapped = [v2::Header::new(car.len() as u64, false).encode().to_vec(), car].concat();
    assert!(matches!(refused(&wrapped, &LOOSE), Error::NotAdopted { .. }));
    let lacking = archive(&[blocks[0].0.clone()], &blocks[..blocks.len() - 1]);
    assert!(matches!(refused(&lacking, &PINNED), Error::InDag { .. }));
}

#[test]
fn a_block_of_the_greatest_length_and_those_of_identity_cids_are_taken() {
    let (disk, store) = new_store();
    let blocks = [raw(Hash::Blake3, &vec![7; BLOCK_BYTES_MAX]), raw(Hash::Identity, b"here"), raw(Hash::Sha256, b"after")];
    write(&disk, CAR, &archive(&[], &blocks));
    let (imported, _) = adopt(&store, Adopt::Move, &LOOSE).unwrap();
    assert_eq!((imported.blocks, imported.new_blocks), (3, 2));
    check(&store, &blocks);
    let report = verify(&store, &operation()).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.indexes_rebuilt, [0u32; 0]);
}

#[test]
fn blocks_that_are_here_already_are_no_hindrance_and_count_once() {
    let (disk, store) = new_store();
    let blocks = a_dag();
    put_all(&store, &blocks[..5]);
    let twice = [blocks.clone(), blocks.clone()].concat();
    write(&disk, CAR, &archive(&[blocks[0].0.clone()], &twice));
    let (imported, _) = adopt(&store, Adopt::Move, &PINNED).unwrap();
    assert_eq!((imported.blocks, imported.new_blocks), (26, 8));
    check(&store, &blocks);
    assert!(verify(&store, &operation()).unwrap().is_sound());
}

#[test]
fn collection_takes_its_name_in_the_store_and_not_the_other() {
    let (disk, store, blocks, pack) = with_adopted(Adopt::Link);
    let session = store.write().unwrap();
    session.unpin(&blocks[0].0).unwrap();
    session.commit().unwrap();
    collect(&store, CollectOptions::default(), &operation()).unwrap();
    assert!(disk.identity(Path::new(&pack)).is_err());
    assert_eq!(content(&disk, CAR), archive(&[blocks[0].0.clone()], &blocks));
    assert!(!store.has(&blocks[0].0).unwrap());
}

/// Folders of the real disk, removed at the end.
struct Room(PathBuf);

impl Room {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("shoal-adopt-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn on_the_real_disk_links_are_followed_and_pipes_and_folders_refused() {
    let room = Room::new("kinds");
    let store = Store::open_path(&room.0.join("store"), Options::default()).unwrap();
    let blocks = a_dag();
    let car = archive(&[blocks[0].0.clone()], &blocks);
    let (file, link) = (room.0.join("real.car"), room.0.join("link.car"));
    std::fs::write(&file, &car).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let (_, how) = adopt_car(&store, &link, Adopt::Link, &PINNED, &operation()).unwrap();
    // Whether two files can share their bytes is the filesystem's to say; both are right.
    assert!(matches!(how, Adopted::Linked | Adopted::Cloned));
    check(&store, &blocks);
    assert_eq!(std::fs::read(&file).unwrap(), car);
    let (_, how) = adopt_car(&store, &link, Adopt::Move, &PINNED, &operation()).unwrap();
    assert_eq!(how, Adopted::Moved);
    assert!(!file.exists());
    let pipe = room.0.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&pipe, &room.0] {
        let error = adopt_car(&store, path, Adopt::Move, &PINNED, &operation()).unwrap_err();
        assert!(matches!(error, Error::SourceKind { .. }), "{error}");
    }
    let error = adopt_car(&store, &room.0.join("absent"), Adopt::Move, &PINNED, &operation()).unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    check(&Store::open_path(&room.0.join("store"), Options::default()).unwrap(), &blocks);
}
