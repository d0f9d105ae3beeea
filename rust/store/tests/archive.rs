//! Archives: what goes out comes in again, whole or not at all, and the same as Kubo's.
//!
//! The tests with Kubo run when SHOAL_KUBO names its binary.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod dags;

use dags::{any_plan, build, chain, new_store, node, operation, painted, put_all, raw, small_packs};
use proptest::prelude::*;
use shoal_core::Cid;
use shoal_core::car::{CarError, v1, v2};
use shoal_core::cid::codec;
use shoal_core::hash::{Hash, cid_v1};
use shoal_core::limits::BLOCK_BYTES_MAX;
use shoal_store::archive::{ImportOptions, Imported, export_car, import_car};
use shoal_store::{Error, Options, PinKind, Result, Store};
use std::io::Read;

fn exported(store: &Store, roots: &[Cid], version: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = export_car(store, roots, &mut out, version, &operation()).unwrap();
    assert_eq!(bytes, out.len() as u64);
    out
}

const PINNED: ImportOptions = ImportOptions { pin_roots: true, pin_name: None };
const LOOSE: ImportOptions = ImportOptions { pin_roots: false, pin_name: None };

fn imported(store: &Store, car: &[u8], options: &ImportOptions) -> Result<Imported> {
    import_car(store, &mut &*car, options, &operation())
}

/// An archive by hand: nothing is checked.
fn archive(roots: &[Cid], blocks: &[dags::Block]) -> Vec<u8> {
    let mut car = v1::encode_header(roots);
    for (cid, data) in blocks {
        v1::section_prefix(cid, data.len(), &mut car);
        car.extend_from_slice(data);
    }
    car
}

/// Gives one byte at a time, then some, as pipes do.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        let n = self.1.min(buffer.len()).min(self.0.len());
        let (now, later) = self.0.split_at(n);
        buffer[..n].copy_from_slice(now);
        self.0 = later;
        Ok(n)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What one store exports, in either version, another imports whole, and exports as the same bytes.
    #[test]
    fn an_archive_comes_in_as_it_went_out(plan in any_plan(60, 9000)) {
        let (_disk, store) = new_store();
        let blocks = build(&plan);
        put_all(&store, &blocks);
        let root = blocks.last().unwrap().0.clone();
        let one = exported(&store, std::slice::from_ref(&root), 1);
        let two = exported(&store, std::slice::from_ref(&root), 2);
        let expected: Vec<dags::Block> =
            dags::walked_plainly(&store, &root).into_iter().map(|cid| (cid.clone(), store.block(&cid).unwrap().to_vec())).collect();
        prop_assert_eq!(&one, &archive(std::slice::from_ref(&root), &expected));
        prop_assert_eq!(two.get(v2::PREFIX_BYTES..v2::PREFIX_BYTES + one.len()).unwrap(), one.as_slice());
        for car in [&one, &two] {
            let (_disk, other) = new_store();
            let found = import_car(&other, &mut Dribble(car, 0), &PINNED, &operation()).unwrap();
            prop_assert_eq!(&found.roots, std::slice::from_ref(&root));
            prop_assert_eq!((found.blocks, found.new_blocks), (expected.len() as u64, expected.len() as u64));
            prop_assert_eq!(found.bytes, expected.iter().map(|block| block.1.len() as u64).sum::<u64>());
            prop_assert_eq!(exported(&other, std::slice::from_ref(&root), 1), one.clone());
            prop_assert_eq!(other.pin(&root).unwrap().unwrap().kind, PinKind::Recursive);
            let again = imported(&other, car, &PINNED).unwrap();
            prop_assert_eq!((again.blocks, again.new_blocks, again.new_bytes), (found.blocks, 0, 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// An archive with bytes changed, lost or added is refused, or every block that came of it is sound.
    #[test]
    fn a_mangled_archive_is_refused_or_what_it_gives_is_sound(
        wrapped: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let blocks = a_dag();
        let (_disk, store) = new_store();
        put_all(&store, &blocks);
        let mut car = exported(&store, std::slice::from_ref(&blocks[0].0), if wrapped { 2 } else { 1 });
        for (at, byte, how) in &changes {
            let at = at.index(car.len());
            match how {
                0 => car[at] = *byte,
                1 => drop(car.remove(at)),
                _ => car.insert(at, *byte),
            }
        }
        let (_disk, other) = new_store();
        match imported(&other, &car, &LOOSE) {
            Err(_) => prop_assert!(is_as_before(&other)),
            Ok(found) => {
                prop_assert_eq!(other.stat().unwrap().blocks, found.new_blocks);
                for entry in other.entries().unwrap() {
                    prop_assert!(other.block(&entry.unwrap().cid).is_ok());
                }
            }
        }
    }
}

fn a_dag() -> Vec<dags::Block> {
    let mut blocks: Vec<_> = (0..6u64).map(|n| raw(if n % 2 == 0 { Hash::Sha256 } else { Hash::Blake3 }, &painted(n, 60))).collect();
    blocks.push(node(Hash::Sha256, &blocks.iter().map(|block| block.0.clone()).collect::<Vec<_>>(), b""));
    blocks.reverse();
    blocks
}

fn is_as_before(store: &Store) -> bool {
    let stat = store.stat().unwrap();
    (stat.blocks, stat.pins) == (0, 0)
}

#[test]
fn an_archive_cut_anywhere_is_refused_and_nothing_of_it_is_kept() {
    let blocks = a_dag();
    let whole = archive(std::slice::from_ref(&blocks[0].0), &blocks);
    let (_disk, store) = new_store();
    put_all(&store, &blocks);
    let wrapped = exported(&store, std::slice::from_ref(&blocks[0].0), 2);
    for car in [whole, wrapped] {
        for bytes in 0..car.len() {
            let (disk, store) = new_store();
            let Err(error) = imported(&store, &car[..bytes], &PINNED) else {
                // A version 2 says where its index begins, and not where that ends.
                assert!(car.starts_with(&v2::PRAGMA) && bytes > car.len() / 3, "{bytes}");
                continue;
            };
            let is_named = matches!(error, Error::Archive(CarError::Truncated) | Error::InDag { .. } | Error::NotFound { .. });
            assert!(is_named, "{bytes} of {}: {error}", car.len());
            assert!(is_as_before(&store) && is_as_before(&dags::open(&disk, &Options::default())), "{bytes}");
        }
    }
}

#[test]
fn a_version_2_without_an_index_is_taken_and_one_cut_between_sections_is_not() {
    let blocks = a_dag();
    let data = archive(&[], &blocks);
    let car = [v2::Header::new(data.len() as u64, false).encode().to_vec(), data.clone()].concat();
    let (_disk, store) = new_store();
    assert_eq!(imported(&store, &car, &LOOSE).unwrap().blocks, blocks.len() as u64);
    let last = v1::section_bytes(&blocks[6].0, blocks[6].1.len());
    let (_disk, store) = new_store();
    let result = imported(&store, &car[..car.len() - last], &LOOSE);
    assert!(matches!(result, Err(Error::Archive(CarError::Truncated))) && is_as_before(&store));
    // Room between header and data, and anything behind them.
    let mut header = v2::Header::new(data.len() as u64, false);
    header.data_offset += 1000;
    header.index_offset = header.data_end() + 10;
    let car = [header.encode().to_vec(), vec![9; 1000], data, vec![8; 70_000]].concat();
    assert_eq!(import_car(&store, &mut Dribble(&car, 0), &LOOSE, &operation()).unwrap().blocks, blocks.len() as u64);
}

#[test]
fn a_lying_block_is_named_and_nothing_is_kept() {
    let blocks = a_dag();
    for at in 0..blocks.len() {
        let mut bad = blocks.clone();
        bad[at].1[50] ^= 1;
        let (_disk, store) = new_store();
        let error = imported(&store, &archive(&[], &bad), &LOOSE).unwrap_err();
        assert!(matches!(&error, Error::ArchiveBlock { cid } if *cid == blocks[at].0), "{error}");
        assert!(is_as_before(&store));
    }
    // Also where the store has the true block, and under the identity hash.
    let (_disk, store) = new_store();
    put_all(&store, &blocks);
    let lie = (blocks[1].0.clone(), b"something else".to_vec());
    assert!(matches!(imported(&store, &archive(&[], &[lie]), &LOOSE), Err(Error::ArchiveBlock { .. })));
    let inline = (cid_v1(Hash::Identity, codec::RAW, b"inline").unwrap(), b"not so".to_vec());
    assert!(matches!(imported(&store, &archive(&[], &[inline]), &LOOSE), Err(Error::ArchiveBlock { .. })));
}

#[test]
fn a_hash_that_cannot_be_checked_is_refused() {
    let (_disk, store) = new_store();
    // 0x1b: keccak-256.
    let cid = Cid::v1(codec::RAW, 0x1b, &[7; 32]).unwrap();
    assert!(matches!(imported(&store, &archive(&[], &[(cid, vec![1])]), &LOOSE), Err(Error::UnsupportedHash { .. })));
    assert!(is_as_before(&store));
}

#[test]
fn what_a_pinned_root_lacks_is_named_and_nothing_is_kept() {
    let blocks = chain(4);
    let car = archive(std::slice::from_ref(&blocks[0].0), &blocks[..3]);
    let (_disk, store) = new_store();
    let Err(Error::InDag { root, source, .. }) = imported(&store, &car, &PINNED) else { panic!() };
    assert_eq!(root, blocks[0].0);
    assert!(matches!(*source, Error::NotFound { cid } if cid == blocks[3].0));
    assert!(is_as_before(&store));
    // Without pins a part of a DAG is welcome.
    assert_eq!(imported(&store, &car, &LOOSE).unwrap().new_blocks, 3);
    // And with the rest in the store already, the pin holds.
    put_all(&store, &blocks[3..]);
    assert_eq!(imported(&store, &car, &PINNED).unwrap().new_blocks, 0);
    assert!(store.pin(&blocks[0].0).unwrap().is_some());
    let without_root = archive(&[raw(Hash::Sha256, b"nowhere").0], &blocks);
    assert!(matches!(imported(&store, &without_root, &PINNED), Err(Error::NotFound { .. })));
}

#[test]
fn sections_over_the_limit_and_of_no_length_are_refused() {
    let (_disk, store) = new_store();
    let largest = raw(Hash::Blake3, &vec![7; BLOCK_BYTES_MAX]);
    assert_eq!(imported(&store, &archive(&[], &[largest]), &LOOSE).unwrap().new_blocks, 1);
    let (_disk, store) = new_store();
    let too_large = raw(Hash::Blake3, &vec![7; BLOCK_BYTES_MAX + 200]);
    assert!(matches!(imported(&store, &archive(&[], &[too_large]), &LOOSE), Err(Error::Archive(CarError::TooLong { .. }))));
    let mut claims = v1::encode_header(&[]);
    // 2^62 bytes, by its word.
    claims.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]);
    assert!(matches!(imported(&store, &claims, &LOOSE), Err(Error::Archive(CarError::TooLong { .. }))));
    let empty = [v1::encode_header(&[]), vec![0]].concat();
    assert!(matches!(imported(&store, &empty, &LOOSE), Err(Error::Archive(CarError::EmptySection))));
    let no_header = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(imported(&store, &no_header, &LOOSE), Err(Error::Archive(_))));
    assert!(matches!(imported(&store, b"", &LOOSE), Err(Error::Archive(CarError::Truncated))));
    assert!(is_as_before(&store));
}

/// An archive of several batches that turns out bad at its end, when packs of 10 MB have been sealed.
fn long_and_bad() -> (Vec<dags::Block>, Vec<u8>, Options) {
    let blocks: Vec<_> = (0..40u64).map(|n| raw(Hash::Blake3, &painted(n, 1 << 20))).collect();
    let mut car = archive(&[], &blocks);
    car.push(5);
    (blocks, car, small_packs(10_000_000))
}

#[test]
fn what_was_sealed_on_the_way_is_given_back() {
    let (blocks, mut car, options) = long_and_bad();
    let disk = dags::memory();
    let store = dags::open(&disk, &options);
    let old: Vec<_> = (200..205u64).map(|n| raw(Hash::Sha256, &painted(n, 1000))).collect();
    put_all(&store, &old);
    let before = store.stat().unwrap();
    assert!(matches!(imported(&store, &car, &LOOSE), Err(Error::Archive(CarError::Truncated))));
    for store in [&store, &dags::open(&disk, &options)] {
        let stat = store.stat().unwrap();
        assert_eq!((stat.blocks, stat.block_bytes, stat.packs), (before.blocks, before.block_bytes, before.packs));
        assert!(blocks.iter().all(|(cid, _)| !store.has(cid).unwrap()));
        assert!(old.iter().all(|(cid, data)| &*store.block(cid).unwrap() == data.as_slice()));
    }
    car.pop();
    assert_eq!(imported(&store, &car, &LOOSE).unwrap().new_blocks, 40);
}

#[test]
fn what_another_session_may_rely_on_is_not_taken_back() {
    let (blocks, car, options) = long_and_bad();
    let disk = dags::memory();
    let store = dags::open(&disk, &options);
    let other = store.write().unwrap();
    assert!(imported(&store, &car, &LOOSE).is_err());
    // It finds a block there and acknowledges it: it must last.
    let found: Vec<_> = blocks.iter().filter(|(cid, _)| other.has(cid).unwrap()).collect();
    assert!(found.len() >= 10, "{}", found.len());
    other.commit().unwrap();
    let fresh = dags::open(&disk, &options);
    assert!(found.iter().all(|(cid, _)| fresh.block(cid).is_ok()));
}

#[test]
fn blocks_of_identity_cids_travel_and_are_not_stored() {
    let (_disk, store) = new_store();
    let inline = cid_v1(Hash::Identity, codec::RAW, b"inline").unwrap();
    let root = node(Hash::Sha256, &[inline.clone(), inline.clone()], b"");
    put_all(&store, std::slice::from_ref(&root));
    let car = exported(&store, std::slice::from_ref(&root.0), 1);
    assert_eq!(car, archive(std::slice::from_ref(&root.0), &[root.clone(), (inline, b"inline".to_vec())]));
    let (_disk, other) = new_store();
    let found = imported(&other, &car, &PINNED).unwrap();
    assert_eq!((found.blocks, found.new_blocks, other.stat().unwrap().blocks), (2, 1, 1));
}

#[test]
fn two_cids_of_one_node_are_both_exported() {
    let (_disk, store) = new_store();
    let leaf = raw(Hash::Sha256, b"leaf");
    let inner = node(Hash::Sha256, std::slice::from_ref(&leaf.0), b"");
    let v0 = inner.0.to_v0().unwrap();
    let root = node(Hash::Sha256, &[v0.clone(), inner.0.clone()], b"");
    put_all(&store, &[leaf.clone(), inner.clone(), root.clone()]);
    let car = exported(&store, std::slice::from_ref(&root.0), 1);
    assert_eq!(car, archive(std::slice::from_ref(&root.0), &[root.clone(), (v0, inner.1.clone()), leaf, inner]));
}

#[test]
fn several_roots_share_their_blocks() {
    let (_disk, store) = new_store();
    let blocks = chain(3);
    put_all(&store, &blocks);
    let roots = [blocks[1].0.clone(), blocks[0].0.clone()];
    let order = [blocks[1].clone(), blocks[2].clone(), blocks[0].clone()];
    assert_eq!(exported(&store, &roots, 1), archive(&roots, &order));
    let (_disk, other) = new_store();
    assert_eq!(imported(&other, &exported(&store, &roots, 2), &PINNED).unwrap().roots, roots);
    assert_eq!(other.pins().unwrap().len(), 2);
}

#[test]
fn a_name_is_given_to_the_pins_and_old_names_stay() {
    let (_disk, store) = new_store();
    let blocks = a_dag();
    let car = archive(std::slice::from_ref(&blocks[0].0), &blocks);
    let name = |store: &Store| store.pin(&blocks[0].0).unwrap().unwrap().name;
    imported(&store, &car, &ImportOptions { pin_roots: true, pin_name: Some("May".to_owned()) }).unwrap();
    imported(&store, &car, &PINNED).unwrap();
    assert_eq!(name(&store).as_deref(), Some("May"));
    let too_long = ImportOptions { pin_roots: true, pin_name: Some("n".repeat(256)) };
    assert!(matches!(imported(&store, &car, &too_long), Err(Error::PinName { .. })));
}

#[test]
fn an_export_of_what_is_not_whole_fails() {
    let (_disk, store) = new_store();
    let blocks = chain(3);
    put_all(&store, &blocks[..2]);
    for version in [1, 2] {
        let mut out = Vec::new();
        let result = export_car(&store, std::slice::from_ref(&blocks[0].0), &mut out, version, &operation());
        assert!(matches!(result, Err(Error::InDag { .. })));
    }
    let result = export_car(&store, &[], &mut Vec::new(), 3, &operation());
    assert!(matches!(result, Err(Error::Options(_))));
}

#[test]
fn an_export_whose_reader_goes_away_ends() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (_disk, store) = new_store();
    let leaves: Vec<_> = (0..40u64).map(|n| raw(Hash::Blake3, &painted(n, 1 << 20))).collect();
    let root = node(Hash::Blake3, &leaves.iter().map(|leaf| leaf.0.clone()).collect::<Vec<_>>(), b"");
    put_all(&store, &leaves);
    put_all(&store, std::slice::from_ref(&root));
    let result = export_car(&store, std::slice::from_ref(&root.0), &mut Full(5 << 20), 1, &operation());
    assert!(matches!(result, Err(Error::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe));
}

#[test]
fn an_import_can_be_stopped() {
    let (_disk, store) = new_store();
    let blocks = a_dag();
    let stopped = operation();
    stopped.cancel();
    let result = import_car(&store, &mut &*archive(&[], &blocks), &LOOSE, &stopped);
    assert!(matches!(result, Err(Error::Cancelled)) && is_as_before(&store));
}
