//! Verification: every flipped byte is found and named, and with it the pins it hurts.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod dags;

use dags::{chain, content, damage, files, new_store, node, operation, overwrite, painted, put_all, raw, set_pin, small_packs, truncate};
use shoal_core::Cid;
use shoal_core::car::v1;
use shoal_core::hash::Hash;
use shoal_store::disk::Disk;
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::verify::{Reason, VerifyReport, verify};
use shoal_store::{Error, Options, PinKind, Store};
use std::collections::BTreeSet;
use std::path::Path;

fn verified(store: &Store) -> VerifyReport {
    verify(store, &operation()).unwrap()
}

fn options() -> Options {
    small_packs(1500)
}

/// Two sealed packs and an open one; one pin over everything, one over a single block.
fn small() -> (MemoryDisk, Vec<dags::Block>) {
    let disk = dags::memory();
    let store = dags::open(&disk, &options());
    let mut blocks: Vec<_> = (0..9u64)
        .map(|n| raw(if n % 2 == 0 { Hash::Sha256 } else { Hash::Blake3 }, &painted(n, 100 + 60 * usize::try_from(n).unwrap())))
        .collect();
    blocks.push(node(Hash::Sha256, &blocks.iter().map(|block| block.0.clone()).collect::<Vec<_>>(), b"root"));
    blocks.iter().for_each(|block| put_all(&store, std::slice::from_ref(block)));
    set_pin(&store, &blocks[9].0, PinKind::Recursive);
    set_pin(&store, &blocks[0].0, PinKind::Direct);
    assert_eq!(store.packs().unwrap().iter().filter(|pack| pack.is_sealed).count(), 2);
    (disk, blocks)
}

#[test]
fn a_sound_store_is_called_sound_and_all_of_it_was_looked_at() {
    let (disk, blocks) = small();
    let store = dags::open(&disk, &options());
    let progress = operation();
    let report = verify(&store, &progress).unwrap();
    assert!(report.is_sound());
    let bytes: u64 = blocks.iter().map(|(_, data)| data.len() as u64).sum();
    assert_eq!((report.blocks, report.bytes), (10, bytes));
    let progress = progress.progress();
    assert_eq!((progress.files, progress.files_total), (10, Some(10)));
    assert_eq!((progress.bytes, progress.bytes_total), (bytes, Some(bytes)));
    assert_eq!((report.indexes_rebuilt, report.logs_damaged), (vec![], vec![]));
}

/// Where the codec stands in each section of a pack: no hash covers it, and nothing but a listing of the store uses it.
fn codec_bytes(pack: &[u8]) -> BTreeSet<usize> {
    let header = v1::read_header(pack, 100).unwrap().1;
    let mut codecs = BTreeSet::new();
    let mut at = header;
    while at < pack.len() {
        let section = v1::parse_section(&pack[at..]).unwrap();
        let cid_at = at + section.data_range.start - section.cid.as_bytes().len();
        codecs.insert(cid_at + 1);
        at += section.total_len;
    }
    codecs
}

#[test]
fn every_flipped_byte_of_every_pack_is_found() {
    let (disk, blocks) = small();
    let cids: BTreeSet<Cid> = blocks.iter().map(|block| block.0.clone()).collect();
    for pack in files(&disk, "/store/packs", ".car") {
        let good = content(&disk, &pack);
        let codecs = codec_bytes(&good);
        for (at, &byte) in good.iter().enumerate() {
            overwrite(&disk, &pack, at as u64, &[byte ^ (1 << (at % 8))]);
            let store = dags::open(&disk, &options());
            let report = verified(&store);
            overwrite(&disk, &pack, at as u64, &[byte]);
            if codecs.contains(&at) {
                continue;
            }
            assert!(!report.is_sound() && report.damaged_count > 0, "byte {at} of {pack}");
            let damage = &report.damaged[0];
            assert!(pack.ends_with(&format!("{:08}.car", damage.pack.unwrap())) && damage.offset <= at as u64);
            if at >= 26 {
                // Every block of this store is pinned.
                assert!(report.hurt_roots.contains(&blocks[9].0), "byte {at} of {pack}: {report:?}");
                assert!(damage.cid.as_ref().is_none_or(|cid| cids.contains(cid)));
            }
        }
    }
    assert!(verified(&dags::open(&disk, &options())).is_sound());
}

#[test]
fn a_flipped_byte_of_an_index_is_mended_from_the_pack() {
    let (disk, blocks) = small();
    for index in files(&disk, "/store/packs", ".idx") {
        let good = content(&disk, &index);
        for at in (0..good.len()).step_by(61) {
            overwrite(&disk, &index, at as u64, &[good[at] ^ 0x20]);
            let store = dags::open(&disk, &options());
            let report = verified(&store);
            assert!(report.is_sound(), "the blocks are: {report:?}");
            assert_eq!(report.indexes_rebuilt.len(), 1, "byte {at} of {index}");
            assert_eq!(content(&disk, &index), good);
            assert!(blocks.iter().all(|(cid, _)| store.block(cid).is_ok()));
        }
    }
}

#[test]
fn a_log_that_lies_is_reported_and_done_without() {
    let (disk, blocks) = small();
    let logs = files(&disk, "/store/packs", ".log");
    assert_eq!(logs.len(), 1);
    let good = content(&disk, &logs[0]);
    let store = dags::open(&disk, &options());
    for (at, &byte) in good.iter().enumerate() {
        overwrite(&disk, &logs[0], at as u64, &[byte ^ 0x20]);
        let report = verified(&store);
        assert!(report.is_sound() && report.logs_damaged.len() == 1, "byte {at}: {report:?}");
        let fresh = dags::open(&disk, &options());
        assert!(verified(&fresh).is_sound());
        assert!(blocks.iter().all(|(cid, _)| fresh.block(cid).is_ok()));
        overwrite(&disk, &logs[0], at as u64, &[byte]);
    }
}

#[test]
fn a_block_that_pack_and_index_have_both_lost_is_not_passed_over() {
    let (disk, blocks) = small();
    let packs = files(&disk, "/store/packs", ".car");
    let bytes = content(&disk, &packs[0]);
    // The second section: its CID is none any more, behind two bytes of length.
    let second = 26 + v1::parse_section(&bytes[26..]).unwrap().total_len;
    overwrite(&disk, &packs[0], second as u64 + 2, &[7]);
    disk.remove(Path::new(&packs[0].replace(".car", ".idx"))).unwrap();
    let report = verified(&dags::open(&disk, &options()));
    let stray = report.damaged.iter().find(|damage| damage.reason == Reason::Stray).unwrap();
    assert_eq!((stray.pack, stray.offset), (Some(0), second as u64));
    assert_eq!((report.missing, report.hurt_roots), (vec![blocks[1].0.clone()], vec![blocks[9].0.clone()]));
}

#[test]
fn only_the_pins_above_the_damage_are_hurt() {
    let (disk, store) = new_store();
    let shared = chain(3);
    let leaf = raw(Hash::Sha256, &painted(1, 500));
    let whole = node(Hash::Sha256, std::slice::from_ref(&leaf.0), b"whole");
    // Both hold the chain: the walk enters it under the first only.
    let one = node(Hash::Sha256, &[leaf.0.clone(), shared[0].0.clone()], b"one");
    let two = node(Hash::Sha256, &[shared[1].0.clone(), whole.0.clone()], b"two");
    put_all(&store, &shared);
    put_all(&store, &[leaf, whole.clone(), one.clone(), two.clone()]);
    for cid in [&one.0, &two.0, &whole.0] {
        set_pin(&store, cid, PinKind::Recursive);
    }
    assert!(verified(&store).is_sound());
    damage(&disk, &store, &shared[2].0);
    let store = dags::open(&disk, &Options::default());
    let report = verified(&store);
    assert_eq!(report.damaged.len(), 1);
    assert_eq!((report.damaged[0].cid.as_ref(), report.damaged[0].reason), (Some(&shared[2].0), Reason::Block));
    assert_eq!(BTreeSet::from_iter(&report.hurt_roots), BTreeSet::from([&one.0, &two.0]));
    assert!(report.missing.is_empty());
}

#[test]
fn a_damaged_leaf_hurts_its_roots_too() {
    let (disk, store) = new_store();
    let leaves = [raw(Hash::Sha256, &painted(1, 500)), raw(Hash::Blake3, &painted(2, 500))];
    let hurt = node(Hash::Sha256, &[leaves[0].0.clone(), leaves[1].0.clone()], b"");
    let whole = node(Hash::Sha256, std::slice::from_ref(&leaves[0].0), b"whole");
    put_all(&store, &leaves);
    put_all(&store, &[hurt.clone(), whole.clone()]);
    set_pin(&store, &hurt.0, PinKind::Recursive);
    set_pin(&store, &whole.0, PinKind::Recursive);
    set_pin(&store, &leaves[1].0, PinKind::Direct);
    damage(&disk, &store, &leaves[1].0);
    let report = verified(&dags::open(&disk, &Options::default()));
    assert_eq!(BTreeSet::from_iter(&report.hurt_roots), BTreeSet::from([&hurt.0, &leaves[1].0]));
}

#[test]
fn a_missing_block_is_named_and_hurts_its_roots() {
    let (_disk, store) = new_store();
    let blocks = chain(4);
    put_all(&store, &[blocks[0].clone(), blocks[1].clone(), blocks[3].clone()]);
    set_pin(&store, &blocks[0].0, PinKind::Recursive);
    set_pin(&store, &blocks[3].0, PinKind::Recursive);
    let report = verified(&store);
    assert_eq!((report.damaged_count, &report.missing), (0, &vec![blocks[2].0.clone()]));
    assert_eq!(report.hurt_roots, [blocks[0].0.clone()]);
    assert!(!report.is_sound());
}

#[test]
fn a_pack_that_is_cut_or_gone_is_reported() {
    let (disk, blocks) = small();
    let packs = files(&disk, "/store/packs", ".car");
    let good = content(&disk, &packs[0]);
    for bytes in [good.len() - 1, good.len() / 2, 30, 26, 10] {
        let disk = disk.copied();
        truncate(&disk, &packs[0], bytes as u64);
        let report = verified(&dags::open(&disk, &options()));
        assert!(report.damaged.iter().any(|damage| damage.reason == Reason::Cut), "{bytes}: {report:?}");
        assert!(report.hurt_roots.contains(&blocks[9].0));
    }
    disk.remove(Path::new(&packs[0])).unwrap();
    let report = verified(&dags::open(&disk, &options()));
    assert_eq!(report.damaged[0].reason, Reason::Missing);
    assert!(!report.missing.is_empty() && report.hurt_roots.contains(&blocks[9].0));
}

#[test]
fn a_block_with_a_sound_copy_elsewhere_hurts_nobody() {
    let (disk, blocks) = small();
    let store = dags::open(&disk, &options());
    // A second copy: put after a deletion that was then taken back, when its pack was full already.
    let session = store.write().unwrap();
    assert_eq!(session.delete(std::slice::from_ref(&blocks[1].0)).unwrap(), 1);
    for (cid, data) in std::iter::once(blocks[1].clone()).chain((50..54).map(|n| raw(Hash::Sha256, &painted(n, 700)))) {
        assert!(session.put(&cid, &data).unwrap());
    }
    drop(session);
    assert_eq!(store.entries().unwrap().filter(|entry| entry.as_ref().unwrap().cid == blocks[1].0).count(), 2);
    damage(&disk, &store, &blocks[1].0);
    let report = verified(&dags::open(&disk, &options()));
    assert_eq!((report.damaged_count, report.hurt_roots, report.missing), (1, vec![], vec![]));
    assert_eq!(&*store.block(&blocks[1].0).unwrap(), blocks[1].1.as_slice());
}

#[test]
fn a_damaged_block_is_healed_by_putting_it_again() {
    let (disk, blocks) = small();
    let store = dags::open(&disk, &options());
    damage(&disk, &store, &blocks[1].0);
    let store = dags::open(&disk, &options());
    assert!(!verified(&store).is_sound());
    // Found damaged, it is not "here" for a put any more, in this process or another; and the bad copy goes.
    put_all(&dags::open(&disk, &options()), std::slice::from_ref(&blocks[1]));
    assert_eq!(&*store.block(&blocks[1].0).unwrap(), blocks[1].1.as_slice());
    for store in [&store, &dags::open(&disk, &options())] {
        let report = verified(store);
        assert!(report.is_sound() && report.blocks == 10, "{report:?}");
    }
}

#[test]
fn deleted_blocks_are_not_looked_at() {
    let (disk, store) = new_store();
    let blocks = [raw(Hash::Sha256, &painted(1, 500)), raw(Hash::Sha256, &painted(2, 500))];
    put_all(&store, &blocks);
    damage(&disk, &store, &blocks[0].0);
    let session = store.write().unwrap();
    assert_eq!(session.delete(std::slice::from_ref(&blocks[0].0)).unwrap(), 1);
    session.commit().unwrap();
    let report = verified(&dags::open(&disk, &Options::default()));
    assert!(report.is_sound() && report.blocks == 1, "{report:?}");
}

#[test]
fn a_verification_can_be_stopped() {
    let (disk, _) = small();
    let stopped = operation();
    stopped.cancel();
    assert!(matches!(verify(&dags::open(&disk, &options()), &stopped), Err(Error::Cancelled)));
}

/// What stands in front of a block is no word on how somebody's link reads it.
#[test]
fn a_node_that_was_stored_as_raw_bytes_is_looked_into_all_the_same() {
    let (_disk, store) = new_store();
    let gone = raw(Hash::Sha256, &painted(1, 500));
    let inner = node(Hash::Sha256, std::slice::from_ref(&gone.0), b"inner");
    let root = node(Hash::Sha256, std::slice::from_ref(&inner.0), b"root");
    put_all(&store, &[raw(Hash::Sha256, &inner.1), root.clone()]);
    set_pin(&store, &root.0, PinKind::Recursive);
    let report = verified(&store);
    assert_eq!((report.damaged_count, &report.missing, &report.hurt_roots), (0, &vec![gone.0.clone()], &vec![root.0.clone()]));
    put_all(&store, &[gone]);
    assert!(verified(&store).is_sound());
}

/// Leaves are looked for where they are likely to stand, one behind the other; some are deleted, or in another order, or elsewhere.
#[test]
fn every_single_leaf_that_is_missing_is_missed() {
    for (pack_bytes_max, order) in [(1 << 30, 1), (1 << 30, 7), (3000, 1), (3000, 7)] {
        let options = small_packs(pack_bytes_max);
        let leaves: Vec<_> = (0..20).map(|n| raw(Hash::Sha256, &painted(n, 200))).collect();
        let root = node(Hash::Sha256, &leaves.iter().map(|leaf| leaf.0.clone()).collect::<Vec<_>>(), b"root");
        for gone in 0..leaves.len() {
            let store = dags::open(&dags::memory(), &options);
            let stored: Vec<_> = (0..leaves.len()).map(|n| leaves[n * order % leaves.len()].clone()).collect();
            stored.chunks(5).for_each(|some| put_all(&store, some));
            put_all(&store, std::slice::from_ref(&root));
            set_pin(&store, &root.0, PinKind::Recursive);
            assert!(verified(&store).is_sound());
            let session = store.write().unwrap();
            assert_eq!(session.delete(std::slice::from_ref(&leaves[gone].0)).unwrap(), 1);
            session.commit().unwrap();
            let report = verified(&store);
            assert_eq!((report.damaged_count, report.missing), (0, vec![leaves[gone].0.clone()]), "leaf {gone}, packs of {pack_bytes_max}");
        }
    }
}

/// Found by damaging a store of some MiB: in place of a pack stood another one, whole, so that a sound block stood where the index named
/// another. The index was taken for the liar, and made again; what it had named was gone, and the store called sound.
#[test]
fn a_pack_in_place_of_another_is_not_called_sound() {
    // Of one length, so that sections stand at the same places in all packs.
    let leaves: Vec<_> = (0..11).map(|n| raw(Hash::Sha256, &painted(n, 300))).collect();
    let root = node(Hash::Sha256, &leaves.iter().map(|leaf| leaf.0.clone()).collect::<Vec<_>>(), b"root");
    for (at, from) in [(0, 1), (1, 0), (2, 0)] {
        for is_pinned in [true, false] {
            let disk = dags::memory();
            let store = dags::open(&disk, &options());
            leaves.iter().for_each(|leaf| put_all(&store, std::slice::from_ref(leaf)));
            let packs = files(&disk, "/store/packs", ".car");
            assert_eq!(store.packs().unwrap().iter().map(|pack| pack.is_sealed).collect::<Vec<_>>(), [true, true, false]);
            if is_pinned {
                let other = dags::open(&disk, &Options::default());
                put_all(&other, std::slice::from_ref(&root));
                set_pin(&other, &root.0, PinKind::Recursive);
            }
            let mut bytes = content(&disk, &packs[from]);
            let rest = content(&disk, &packs[at]);
            // What stood behind stays.
            bytes.extend(rest.into_iter().skip(bytes.len()));
            truncate(&disk, &packs[at], 0);
            overwrite(&disk, &packs[at], 0, &bytes);
            let store = dags::open(&disk, &options());
            let lost = leaves.iter().filter(|(cid, _)| store.block(cid).is_err()).count() as u64;
            let report = verified(&store);
            assert!(lost > 0 && report.damaged_count >= lost, "pack {from} in place of {at}, pinned {is_pinned}: {report:?}");
            assert!(!is_pinned || report.hurt_roots == [root.0.clone()]);
            // Putting them again heals it, in whichever process.
            put_all(&dags::open(&disk, &options()), &leaves);
            let store = dags::open(&disk, &options());
            assert!(leaves.iter().all(|(cid, data)| store.block(cid).is_ok_and(|block| *block == **data)));
        }
    }
}
