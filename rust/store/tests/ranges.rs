//! Ranges of files, checked group by group: right whatever the tree file says, and never more believed than the block's hash.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use shoal_core::Cid;
use shoal_core::chunk::Chunker;
use shoal_core::hash::Hash;
use shoal_core::unixfs::Profile;
use shoal_store::collect::{CollectOptions, collect};
use shoal_store::disk::Disk;
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::read::FileReader;
use shoal_store::verify::verify;
use shoal_store::{Error, Operation, Options, Store};
use std::path::Path;
use support::{content, memory, open, options, set_content};

const GROUP: usize = 16 * 1024;
/// Five groups and a bit, so that leaves do not end where groups of the file do.
const LEAF: usize = 5 * GROUP + 100;
const FILE: usize = 20 * LEAF + 5000;
const HASHES: [Hash; 2] = [Hash::Blake3, Hash::Sha256];
const TREE: &str = "/store/packs/00000000.tree";
const PACK: &str = "/store/packs/00000000.car";

fn painted(n: u64, bytes: usize) -> Vec<u8> {
    support::painted(n, bytes).1
}

fn add(store: &Store, hash: Hash, mut data: &[u8]) -> Cid {
    let base = if hash == Hash::Blake3 { Profile::blake3() } else { Profile::unixfs_v1_2025() };
    let profile = Profile { chunker: Chunker::Size(u32::try_from(LEAF).unwrap()), ..base };
    let options = AddOptions { profile, threads: 1, ..AddOptions::default() };
    let report = add_stream(store, &mut data, "file".into(), &options, &Operation::new(), &mut |_| Ok(()));
    report.unwrap().roots[0].cid.clone()
}

/// The file just fills the first pack, which is sealed when the next block comes.
fn packs() -> Options {
    options(FILE as u64 + 1000)
}

/// Ranges of the file: around every boundary of groups and leaves, and across some, in an order in which none follows another.
fn ranges() -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    for leaf in (0..20).rev() {
        for group in (0..6).rev() {
            let at = leaf * LEAF + group * GROUP;
            ranges.extend([(at.saturating_sub(1), 1), (at, 1), (at + 1, 2), (at.saturating_sub(1), 3), (at, GROUP), (at + 1, GROUP)]);
        }
        ranges.extend([(leaf * LEAF + 40_000, 10_000), (leaf * LEAF + LEAF - 50, 100)]);
    }
    ranges.extend([(FILE - 1, 1), (FILE - 1, 10), (FILE, 1), (FILE + 5, 1), (7, LEAF * 3)]);
    ranges
}

fn read(reader: &mut FileReader, offset: usize, bytes: usize) -> shoal_store::Result<Vec<u8>> {
    let mut buffer = vec![0; bytes];
    let n = reader.read_at(offset as u64, &mut buffer)?;
    buffer.truncate(n);
    Ok(buffer)
}

fn expected(data: &[u8], offset: usize, bytes: usize) -> &[u8] {
    &data[offset.min(data.len())..(offset + bytes).min(data.len())]
}

/// Reads all ranges and the whole file; everything must be right.
fn check_reads(store: &Store, cid: &Cid, data: &[u8]) {
    let mut reader = FileReader::open(store, cid).unwrap();
    for (offset, bytes) in ranges() {
        assert!(read(&mut reader, offset, bytes).unwrap() == expected(data, offset, bytes), "{bytes} bytes at {offset}");
    }
    for step in [1000, 4096, GROUP, 100_000] {
        for offset in (0..data.len()).step_by(step) {
            assert!(read(&mut reader, offset, step).unwrap() == expected(data, offset, step), "{step} bytes at {offset}");
        }
    }
}

/// A disk with the file in a sealed pack that has a tree file, and a block in the open pack.
fn with_tree(hash: Hash) -> (MemoryDisk, Cid, Vec<u8>) {
    let disk = memory();
    let data = painted(2, FILE);
    let store = open(&disk, &packs());
    let cid = add(&store, hash, &data);
    // Readers make the lists of blocks that are not BLAKE3; they are written with the next good reason.
    check_reads(&store, &cid, &data);
    let (next, block) = support::painted(3, 100);
    let session = store.write().unwrap();
    session.put(&next, &block).unwrap();
    session.commit().unwrap();
    assert_eq!(store.packs().unwrap().iter().map(|pack| pack.is_sealed).collect::<Vec<_>>(), [true, false]);
    assert!(content(&disk, TREE).len() > 120 * 40);
    (disk, cid, data)
}

/// Where the file's bytes from `offset` on stand in the pack.
fn in_pack(disk: &MemoryDisk, data: &[u8], offset: usize) -> usize {
    let pack = content(disk, PACK);
    let wanted = &data[offset..offset + 16];
    pack.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

fn flip(disk: &MemoryDisk, path: &str, at: usize) {
    let mut bytes = content(disk, path);
    bytes[at] ^= 0x10;
    set_content(disk, path, &bytes);
}

#[test]
fn ranges_are_right_with_and_without_a_tree_file_for_writers_and_readers() {
    for hash in HASHES {
        let (disk, cid, data) = with_tree(hash);
        check_reads(&open(&disk, &packs()), &cid, &data);
        let read_only = Options { read_only: true, ..packs() };
        check_reads(&open(&disk, &read_only), &cid, &data);
        disk.remove(Path::new(TREE)).unwrap();
        check_reads(&open(&disk, &read_only), &cid, &data);
        assert!(disk.open(Path::new(TREE), false).is_err(), "a read-only store writes nothing");
        check_reads(&open(&disk, &packs()), &cid, &data);
    }
}

/// A damaged group is found by who touches it; its neighbours in the block can still be read, since they were checked on their own.
#[test]
fn a_flipped_byte_is_found_by_the_reads_that_touch_its_group_and_by_no_others() {
    for hash in HASHES {
        let (disk, cid, data) = with_tree(hash);
        let leaf = 7 * LEAF;
        let start = in_pack(&disk, &data, leaf);
        for within in [0, 1, GROUP - 1, GROUP, GROUP + 1, 2 * GROUP - 1, 3 * GROUP + 77, 5 * GROUP - 1, 5 * GROUP, LEAF - 1] {
            let hurt = disk.copied();
            flip(&hurt, PACK, start + within);
            let store = open(&hurt, &packs());
            let mut reader = FileReader::open(&store, &cid).unwrap();
            for group in (0..6).rev() {
                let at = group * GROUP + (within % GROUP).min(99);
                let found = read(&mut reader, leaf + at, 1);
                if group == within / GROUP {
                    assert!(matches!(found, Err(Error::Damaged { pack: 0, .. })), "{hash:?} byte {within}: {found:?}");
                } else {
                    assert_eq!(found.unwrap(), &data[leaf + at..=leaf + at], "{hash:?} byte {within}, group {group}");
                }
            }
            assert!(matches!(read(&mut reader, leaf + 1, LEAF - 2), Err(Error::Damaged { .. })));
        }
    }
}

#[test]
fn a_damaged_copy_is_passed_over_for_a_sound_one() {
    for hash in HASHES {
        let (disk, cid, data) = with_tree(hash);
        let at = 3 * LEAF + GROUP;
        flip(&disk, PACK, in_pack(&disk, &data, at) + 100);
        let store = open(&disk, &packs());
        assert!(read(&mut FileReader::open(&store, &cid).unwrap(), at, 200).is_err());
        // Found damaged, the block is stored once more.
        assert_eq!(add(&store, hash, &data), cid);
        check_reads(&store, &cid, &data);
        check_reads(&open(&disk, &packs()), &cid, &data);
    }
}

/// Every page of the file, header and directory included, and every field of an entry.
#[test]
fn a_flipped_tree_file_gives_no_wrong_byte_and_no_false_damage_and_is_made_again() {
    for hash in HASHES {
        let (good, cid, data) = with_tree(hash);
        let tree = content(&good, TREE);
        for at in (0..tree.len()).step_by(509) {
            let disk = good.copied();
            flip(&disk, TREE, at);
            let store = open(&disk, &packs());
            let mut reader = FileReader::open(&store, &cid).unwrap();
            for leaf in (0..20).rev() {
                let offset = leaf * LEAF + 2 * GROUP + 5;
                assert_eq!(read(&mut reader, offset, 9).unwrap(), &data[offset..offset + 9], "{hash:?} byte {at}, leaf {leaf}");
            }
            let report = verify(&store, &Operation::new()).unwrap();
            assert!(report.is_sound());
            // All of the file is sound again, whether reads or the verification found it.
            let again = verify(&open(&disk, &packs()), &Operation::new()).unwrap();
            assert!(again.pack_trees_rebuilt.is_empty(), "{hash:?} byte {at}");
            let before = report.pack_trees_rebuilt == [0]
                || content(&disk, TREE) != {
                    let mut bad = tree.clone();
                    bad[at] ^= 0x10;
                    bad
                };
            assert!(before, "{hash:?} byte {at} was not noticed");
        }
    }
}

#[test]
fn a_cut_or_foreign_tree_file_gives_no_wrong_byte_and_no_false_damage() {
    for hash in HASHES {
        let (good, cid, data) = with_tree(hash);
        let tree = content(&good, TREE);
        // Another store, whose first pack has blocks of the same lengths at the same places.
        let other = memory();
        let store = open(&other, &packs());
        let other_data = painted(4, FILE);
        let other_cid = add(&store, hash, &other_data);
        check_reads(&store, &other_cid, &other_data);
        let session = store.write().unwrap();
        let (next, block) = support::painted(3, 100);
        session.put(&next, &block).unwrap();
        session.commit().unwrap();
        assert_eq!(content(&other, PACK).len(), content(&good, PACK).len());
        let foreign = content(&other, TREE);
        assert_eq!(foreign.len(), tree.len());
        for bytes in [&[][..], &tree[..1], &tree[..4096], &tree[..tree.len() - 1], &tree[..tree.len() - 4096], &foreign] {
            for is_read_first in [true, false] {
                let disk = good.copied();
                set_content(&disk, TREE, bytes);
                let store = open(&disk, &packs());
                if is_read_first {
                    check_reads(&store, &cid, &data);
                }
                assert!(verify(&store, &Operation::new()).unwrap().is_sound());
                assert_ne!(content(&disk, TREE), bytes, "it is made again");
                check_reads(&open(&disk, &packs()), &cid, &data);
            }
        }
    }
}

#[test]
fn a_tree_file_that_says_nothing_of_some_blocks_grows_when_they_are_read() {
    let disk = memory();
    let data = painted(2, 17 * 1024 * 1024);
    let cid = add(&open(&disk, &options(1 << 30)), Hash::Sha256, &data);
    assert!(disk.open(Path::new(TREE), false).is_err());
    let store = open(&disk, &options(1 << 30));
    let mut reader = FileReader::open(&store, &cid).unwrap();
    // From behind, so that no read follows another.
    for offset in (1..data.len() - LEAF).step_by(LEAF).collect::<Vec<_>>().into_iter().rev() {
        read(&mut reader, offset, 10).unwrap();
    }
    assert!(content(&disk, TREE).len() >= 1024 * 40, "16 MiB were read");
}

#[test]
fn the_lists_of_added_blocks_are_written_for_the_open_pack_too_and_go_on_growing() {
    let disk = memory();
    let mut values = Vec::new();
    for n in 0..3 {
        // 17 MiB in a process of its own each.
        let data = painted(10 + 2 * n, 17 * 1024 * 1024);
        let store = open(&disk, &options(1 << 30));
        add(&store, Hash::Blake3, &data);
        // The number of values stands in the header.
        values.push(u64::from_le_bytes(content(&disk, TREE)[16..24].try_into().unwrap()));
    }
    let bytes = 17 * 1024 * 1024;
    let once = (bytes / LEAF * 6 + (bytes % LEAF).div_ceil(GROUP)) as u64;
    assert_eq!(values, [once, 2 * once, 3 * once]);
    assert!(verify(&open(&disk, &options(1 << 30)), &Operation::new()).unwrap().pack_trees_rebuilt.is_empty());
}

#[test]
fn values_move_with_their_blocks_when_packs_are_written_anew_and_the_old_tree_file_goes() {
    for hash in HASHES {
        let (disk, cid, data) = with_tree(hash);
        let store = open(&disk, &packs());
        let other = add(&store, hash, &painted(6, FILE / 2));
        let session = store.write().unwrap();
        assert!(session.unpin(&other).unwrap());
        session.commit().unwrap();
        let all = CollectOptions { dead_percent_max: 0, ..CollectOptions::default() };
        // The first pack has no dead block, so it is kept; give it one.
        let session = store.write().unwrap();
        let first = store.pack_entries(0).unwrap().next().unwrap().unwrap();
        session.delete(std::slice::from_ref(&first.cid)).unwrap();
        session.commit().unwrap();
        drop(store);
        let store = open(&disk, &packs());
        assert_eq!(add(&store, hash, &data), cid, "the deleted block is back");
        collect(&store, all, &Operation::new()).unwrap();
        for kind in ["car", "idx", "tree"] {
            assert!(disk.open(Path::new(&format!("/store/packs/00000000.{kind}")), false).is_err(), "{kind}");
        }
        check_reads(&store, &cid, &data);
        check_reads(&open(&disk, &packs()), &cid, &data);
        assert!(verify(&store, &Operation::new()).unwrap().is_sound());
    }
}

/// A crash while a tree file is written leaves a temporary file, or a whole one.
#[test]
fn a_half_written_tree_file_is_removed_by_the_next_writer() {
    let (disk, cid, data) = with_tree(Hash::Blake3);
    disk.create(Path::new("/store/packs/00000000.tree.7-7.new")).unwrap();
    let store = open(&disk, &packs());
    store.write().unwrap().commit().unwrap();
    assert!(!disk.list(Path::new("/store/packs")).unwrap().iter().any(|name| name.ends_with(".new")));
    check_reads(&store, &cid, &data);
}
