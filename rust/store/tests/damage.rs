//! What a store is when its files were changed behind its back: bytes flipped, zeroed, cut off or swapped, whole files put back from
//! an older time or in each other's place.
//!
//! The invariants: no wrong byte is ever returned; damage to a block is found when it is read, and hurts no other block; damage to an
//! index changes no answer, and the index is made again; damage to the journal is said, and hides no block for good.
//!
//! `SHOAL_DAMAGES=100000` for a long run, of a small store and of one of some MiB; `SHOAL_CRASH_SEED=n` for other places.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

mod support;

use shoal_core::Cid;
use shoal_core::chunk::Chunker;
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use shoal_store::disk::Disk;
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::read::FileReader;
use shoal_store::verify::verify;
use shoal_store::{Error, Operation, Options, Store, StoredBlock};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use support::dice::Dice;
use support::{Blocks, STORE, check_all, content, memory, open, options, painted, put_all, set_content, small_store};

#[test]
fn a_damaged_journal_is_refused_and_can_be_rebuilt_from_the_packs() {
    let (disk, first, last) = small_store();
    let whole = content(&disk, "/store/meta");
    let rebuilding = Options { rebuild_meta: true, ..options(3000) };
    let mut bad = vec![Vec::new(), whole[..20].to_vec(), vec![0; whole.len()]];
    for at in (0..whole.len()).step_by(5) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        bad.push(flipped);
    }
    let mut refused = 0;
    for bytes in bad {
        let crashed = disk.copied();
        set_content(&crashed, "/store/meta", &bytes);
        match Store::open(Arc::new(crashed.clone()), Path::new(STORE), options(3000)) {
            Ok(_) => {}
            Err(Error::Format(text)) => {
                assert!(text.contains("rebuild_meta"), "{text}");
                refused += 1;
            }
            Err(e) => panic!("{e}"),
        }
        let store = open(&crashed, &rebuilding);
        drop(store.write().unwrap());
        for store in [&store, &open(&crashed, &options(3000))] {
            check_all(store, &first);
            check_all(store, &last);
        }
    }
    assert!(refused > 20);
    let gone = disk.copied();
    gone.remove(Path::new("/store/meta")).unwrap();
    assert!(Store::open(Arc::new(gone.clone()), Path::new(STORE), options(3000)).is_err());
    let store = open(&gone, &rebuilding);
    drop(store.write().unwrap());
    assert_eq!(store.recovery().unwrap().packs_adopted, [0, 1]);
    check_all(&store, &first);
    check_all(&store, &last);
}

#[test]
fn deleted_indexes_and_logs_are_made_again() {
    let (disk, first, last) = small_store();
    for name in ["packs/00000000.idx", "packs/00000001.log"] {
        disk.remove(Path::new(&format!("{STORE}/{name}"))).unwrap();
    }
    let read_only = open(&disk, &Options { read_only: true, ..options(3000) });
    check_all(&read_only, &first);
    check_all(&read_only, &last);
    assert!(!disk.list(Path::new("/store/packs")).unwrap().contains(&"00000000.idx".to_owned()));
    let store = open(&disk, &options(3000));
    assert_eq!(store.recovery().unwrap().indexes_rebuilt, [0]);
    check_all(&store, &first);
    check_all(&store, &last);
    assert!(disk.list(Path::new("/store/packs")).unwrap().contains(&"00000000.idx".to_owned()));
    put_all(&store, 20..40, 400);
    check_all(&open(&disk, &options(3000)), &last);
}

#[test]
fn a_flipped_byte_anywhere_in_a_log_or_an_index_changes_no_answer() {
    let (disk, first, last) = small_store();
    for name in ["packs/00000001.log", "packs/00000000.idx"] {
        let path = format!("{STORE}/{name}");
        let whole = content(&disk, &path);
        for at in (0..whole.len()).filter(|at| *at < 600 || at % 61 == 0 || at % 4096 > 4080) {
            let crashed = disk.copied();
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 8);
            set_content(&crashed, &path, &bad);
            let store = open(&crashed, &options(3000));
            for n in 0..12 {
                assert!(store.has(&painted(n, 400).0).unwrap(), "{name}, byte {at}: block {n} is lost");
            }
            check_all(&store, &first);
            check_all(&store, &last);
            assert!(!store.has(&painted(12, 400).0).unwrap());
            put_all(&store, 12..14, 400);
            check_all(&open(&crashed, &options(3000)), &last);
            assert_eq!(open(&crashed, &options(3000)).stat().unwrap().blocks, 14);
        }
    }
}

#[test]
fn a_flipped_byte_anywhere_in_a_pack_is_found_on_read_and_healed_by_putting_again() {
    let (disk, first, last) = small_store();
    for pack in ["00000000.car", "00000001.car"] {
        let path = format!("{STORE}/packs/{pack}");
        let whole = content(&disk, &path);
        let entries = open(&disk, &options(3000)).entries().unwrap().map(Result::unwrap);
        let offsets: BTreeSet<usize> =
            entries.filter(|entry| pack == format!("{:08}.car", entry.pack)).map(|entry| usize::try_from(entry.offset).unwrap()).collect();
        for at in 26..whole.len() {
            let crashed = disk.copied();
            let mut bad = whole.clone();
            bad[at] ^= 1 << (at % 8);
            set_content(&crashed, &path, &bad);
            let store = open(&crashed, &options(3000));
            let mut damaged = Vec::new();
            for (cid, data) in first.iter().chain(&last) {
                match store.block(cid) {
                    Ok(block) => assert_eq!(&*block, data.as_slice(), "wrong bytes returned: byte {at}"),
                    Err(Error::Damaged { cid: named, offset, .. }) => {
                        assert_eq!(named, *cid);
                        assert!((offset..offset + 500).contains(&(at as u64)));
                        damaged.push((cid, data));
                    }
                    Err(e) => panic!("byte {at}: {e}"),
                }
            }
            if offsets.contains(&(at - 3)) {
                // The codec is not part of what names a block: whoever asks for the block names it.
                assert!(damaged.len() <= 1);
                continue;
            }
            assert_eq!(damaged.len(), 1, "byte {at}");
            let cids: Vec<Cid> = first.keys().chain(last.keys()).cloned().collect();
            assert_eq!(store.blocks(&cids).iter().filter(|block| block.is_err()).count(), 1);
            if at % 50 == 0 {
                let session = store.write().unwrap();
                for (cid, data) in damaged {
                    assert!(session.put(cid, data).unwrap());
                }
                session.commit().unwrap();
                let reopened = open(&crashed, &options(3000));
                check_all(&reopened, &first);
                check_all(&reopened, &last);
            }
        }
    }
}

#[test]
fn damage_in_a_pack_whose_index_is_gone_hurts_no_other_block() {
    let (disk, first, _) = small_store();
    disk.remove(Path::new("/store/packs/00000000.idx")).unwrap();
    let path = "/store/packs/00000000.car";
    let whole = content(&disk, path);
    for at in (26..whole.len()).step_by(3) {
        let crashed = disk.copied();
        let mut bad = whole.clone();
        bad[at] ^= 0xff;
        set_content(&crashed, path, &bad);
        let store = open(&crashed, &options(3000));
        let sound = first.iter().filter(|(cid, data)| store.block(cid).is_ok_and(|block| *block == ***data)).count();
        assert!(sound >= first.len() - 2, "byte {at}: {sound} of {}", first.len());
    }
}

#[test]
fn discarding_a_damaged_copy_lets_a_new_one_in() {
    let (disk, first, _) = small_store();
    let path = "/store/packs/00000000.car";
    let mut bad = content(&disk, path);
    bad[200] ^= 1;
    set_content(&disk, path, &bad);
    let hurt = open(&disk, &options(3000));
    let (cid, offset) = first
        .keys()
        .find_map(|cid| match hurt.block(cid) {
            Err(Error::Damaged { cid, pack: 0, offset }) => Some((cid, offset)),
            _ => None,
        })
        .unwrap();
    // In another process, which has not read the block.
    let store = open(&disk, &options(3000));
    let session = store.write().unwrap();
    assert!(!session.put(&cid, &first[&cid]).unwrap());
    assert_eq!(session.discard(&[(0, offset), (0, 1), (77, 26)]).unwrap(), 1);
    assert!(session.put(&cid, &first[&cid]).unwrap());
    session.commit().unwrap();
    check_all(&open(&disk, &options(3000)), &first);
}

#[test]
fn putting_a_block_whose_copy_is_marked_damaged_replaces_it_in_every_process() {
    let (disk, first, _) = small_store();
    let path = "/store/packs/00000000.car";
    let mut bad = content(&disk, path);
    bad[200] ^= 1;
    set_content(&disk, path, &bad);
    let store = open(&disk, &options(3000));
    let report = verify(&store, &Operation::default()).unwrap();
    assert_eq!(report.damaged.len(), 1);
    let blocks = store.stat().unwrap().blocks;
    // Elsewhere, by someone who puts everything again.
    let other = open(&disk, &options(3000));
    let session = other.write().unwrap();
    let all: Vec<(&Cid, &[u8])> = first.iter().map(|(cid, data)| (cid, data.as_slice())).collect();
    assert_eq!(session.put_many(&all).unwrap().new_blocks, 1);
    session.commit().unwrap();
    for store in [&store, &other, &open(&disk, &options(3000))] {
        check_all(store, &first);
        assert!(verify(store, &Operation::default()).unwrap().is_sound());
        assert_eq!(store.stat().unwrap().blocks, blocks, "the damaged copy is gone");
    }
    let session = other.write().unwrap();
    assert_eq!(session.put_many(&all).unwrap().new_blocks, 0);
}

const PLACES: u64 = 4000;

/// A store with everything in it: a merged index, packs that it covers and packs that it does not, an open pack with a log. With it,
/// its files as they are and as they were half-way.
fn large_store() -> (MemoryDisk, Blocks, BTreeMap<String, [Vec<u8>; 2]>) {
    let disk = memory();
    let store = open(&disk, &options(4000));
    let mut blocks = Blocks::new();
    let mut old = BTreeMap::new();
    for n in 0..26 {
        blocks.extend(put_all(&store, 3 * n..3 * n + 3, 700));
        if n == 13 {
            old = files(&disk);
        }
    }
    // One more, too little for another pack.
    blocks.extend(put_all(&store, 100..101, 100));
    let now = files(&disk);
    let is_there = |ending: &str| now.keys().any(|path| path.ends_with(ending));
    assert!([".car", ".idx", ".log", ".mrg", "meta"].into_iter().all(is_there), "{:?}", now.keys());
    let both = now.into_iter().map(|(path, now)| (path.clone(), [now, old.remove(&path).unwrap_or_default()])).collect();
    (disk, blocks, both)
}

fn files(disk: &MemoryDisk) -> BTreeMap<String, Vec<u8>> {
    let mut folders = vec!["/store/packs".to_owned(), "/store/index".to_owned()];
    let fans = disk.list(Path::new("/store/blobs")).unwrap_or_default();
    folders.extend(fans.into_iter().filter(|fan| fan.len() == 2).map(|fan| format!("/store/blobs/{fan}")));
    let paths =
        folders.iter().flat_map(|folder| disk.list(Path::new(folder)).unwrap().into_iter().map(move |name| format!("{folder}/{name}")));
    paths.chain(["/store/meta".to_owned()]).map(|path| (path.clone(), content(disk, &path))).collect()
}

/// Damages a file in some way: what it holds then, and in words.
fn damaged(dice: &mut Dice, path: &str, files: &BTreeMap<String, [Vec<u8>; 2]>) -> (Vec<u8>, &'static str) {
    let [now, old] = &files[path];
    let mut bytes = now.clone();
    let at = dice.below(bytes.len());
    let end = (at + 1 + dice.below(600)).min(bytes.len());
    let what = match dice.below(7) {
        0 | 1 => {
            bytes[at] ^= 1 << dice.below(8);
            "a flipped bit"
        }
        2 => {
            bytes[at..end].fill(0);
            "zeros"
        }
        3 => {
            bytes.truncate(at);
            "a cut"
        }
        4 => {
            let (from, sector) = (dice.below(bytes.len().div_ceil(64)) * 64, 64.min(bytes.len()));
            let (from, to) = (from.min(bytes.len() - sector), at.min(bytes.len() - sector));
            let one = bytes[from..from + sector].to_vec();
            bytes.copy_within(to..to + sector, from);
            bytes[to..to + sector].copy_from_slice(&one);
            "two parts swapped"
        }
        5 => {
            bytes.clone_from(old);
            "an older copy"
        }
        _ => {
            let ending = path.rsplit('.').next().unwrap();
            let others: Vec<_> = files.keys().filter(|other| other.ends_with(ending)).collect();
            bytes.clone_from(&files[others[dice.below(others.len())]][0]);
            "another file of its kind"
        }
    };
    (bytes, what)
}

/// Whether a byte of a block's section is not what it was.
fn is_hurt(entry: &StoredBlock, whole: &[u8], bytes: &[u8], counts_codec: bool) -> bool {
    let block_bytes = usize::try_from(entry.bytes).unwrap();
    let start = usize::try_from(entry.offset).unwrap();
    let end = start + shoal_core::car::v1::section_bytes(&entry.cid, block_bytes);
    let codec = end - block_bytes - entry.cid.as_bytes().len() + 1;
    (start..end).any(|at| bytes.get(at) != Some(&whole[at]) && (counts_codec || at != codec))
}

#[test]
fn damage_of_any_kind_to_any_file_is_found_or_healed_and_never_returned() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (places, seed) = (number("SHOAL_DAMAGES", PLACES), number("SHOAL_CRASH_SEED", 1));
    let (disk, blocks, files) = large_store();
    let entries: Vec<_> = open(&disk, &options(4000)).entries().unwrap().map(Result::unwrap).collect();
    let (mut found, mut healed, mut refused) = (0, 0, 0);
    for place in 0..places {
        let mut dice = Dice::new(&[seed, place]);
        let ending = [".car", ".car", ".car", ".idx", ".mrg", ".log", "meta"][dice.below(7)];
        let paths: Vec<&String> = files.keys().filter(|path| path.ends_with(ending)).collect();
        let path = paths[dice.below(paths.len())];
        let (bytes, how) = damaged(&mut dice, path, &files);
        let whole = &files[path][0];
        if bytes == *whole {
            continue;
        }
        let what = format!("{how} in {path}, place {place}, seed {seed}");
        let hurt = disk.copied();
        set_content(&hurt, path, &bytes);
        let pack = path.strip_prefix("/store/packs/").and_then(|name| name.strip_suffix(".car")).map(|name| name.parse::<u32>().unwrap());
        let inside: Vec<&StoredBlock> = entries.iter().filter(|entry| Some(entry.pack) == pack).collect();
        // The codec is not part of what names a block; but what is no codec any more is found.
        let must_be_found: BTreeSet<&Cid> = inside.iter().filter(|one| is_hurt(one, whole, &bytes, false)).map(|one| &one.cid).collect();
        let may_be_found: BTreeSet<&Cid> = inside.iter().filter(|one| is_hurt(one, whole, &bytes, true)).map(|one| &one.cid).collect();
        let store = match Store::open(Arc::new(hurt.clone()), Path::new(STORE), options(4000)) {
            Ok(store) => store,
            Err(Error::Format(text)) => {
                assert!(ending == "meta" && text.contains("rebuild_meta") && text.contains("safe"), "{what}: {text}");
                refused += 1;
                open(&hurt, &Options { rebuild_meta: true, ..options(4000) })
            }
            Err(e) => panic!("{what}: {e}"),
        };
        for is_recovered in [false, true] {
            if is_recovered {
                drop(store.write().unwrap_or_else(|e| panic!("{what}: {e}")));
            }
            for (cid, data) in &blocks {
                match store.block(cid) {
                    Ok(block) => {
                        assert!(*block == **data, "{what}: wrong bytes of {cid}");
                        assert!(!must_be_found.contains(cid), "{what}: damage to {cid} was not found");
                    }
                    Err(Error::Damaged { .. }) if may_be_found.contains(cid) => found += u64::from(is_recovered),
                    // Blocks committed by a record that is lost are found again by the next writer.
                    Err(Error::NotFound { .. }) if ending == "meta" && !is_recovered => {}
                    Err(e) => panic!("{what}, recovered {is_recovered}: {cid}: {e}"),
                }
            }
        }
        if matches!(ending, ".idx" | ".mrg" | ".log") {
            put_all(&store, 200..201, 10);
            let report = verify(&open(&hurt, &options(4000)), &Operation::default()).unwrap();
            assert!(report.is_sound(), "{what}: {report:?}");
            healed += 1;
        }
    }
    assert!(found > places / 4 && healed > places / 4 && refused > 0, "{found} found, {healed} healed, {refused} refused");
    println!(
        "{places} places: {found} damaged blocks found, {healed} indexes healed, {refused} journals refused and made again; seed {seed}"
    );
}

/// Places of an ordinary run in a store of some MiB.
const LARGE_PLACES: u64 = 150;

/// A store of some MiB, with its files as they are and half-way: small blocks, files in chunks with tree files, blobs, many packs.
struct Large {
    disk: MemoryDisk,
    blocks: Blocks,
    /// Files, by root: in chunks, whose ranges are read with the help of tree files, and blobs.
    files: Vec<(Cid, Vec<u8>)>,
    on_disk: BTreeMap<String, [Vec<u8>; 2]>,
}

fn large_options() -> Options {
    options(300_000)
}

impl Large {
    fn new() -> Self {
        let disk = memory();
        let store = open(&disk, &large_options());
        let (mut files, mut old) = (Vec::new(), BTreeMap::new());
        for n in 0..3 {
            let of = |name: &str, layout| Profile { layout, chunker: Chunker::Size(65_536), ..Profile::named(name).unwrap() };
            let balanced = Layout::Balanced;
            for (at, profile) in
                [of("blake3", balanced), of("unixfs-v1-2025", balanced), of("blake3", Layout::Blob)].into_iter().enumerate()
            {
                let data = painted(1000 + 10 * n + at as u64, if profile.layout == Layout::Blob { 2_300_000 } else { 500_000 }).1;
                let options = AddOptions { profile, threads: 1, ..AddOptions::default() };
                let report = add_stream(&store, &mut data.as_slice(), "file".into(), &options, &Operation::new(), &mut |_| Ok(())).unwrap();
                files.push((report.roots[0].cid.clone(), data));
            }
            put_all(&store, 300 * n..300 * n + 300, 500);
            if n == 1 {
                old = self::files(&disk);
            }
        }
        for (cid, data) in &files {
            // So that the values of SHA-256 blocks are known too.
            (0..data.len()).step_by(30_000).for_each(|at| assert!(is_range_right(&store, cid, data, at).unwrap()));
        }
        drop(store);
        let store = open(&disk, &large_options());
        let entries: Vec<StoredBlock> = store.entries().unwrap().map(Result::unwrap).collect();
        let blocks: Blocks = entries.into_iter().map(|entry| (entry.cid.clone(), store.block(&entry.cid).unwrap().to_vec())).collect();
        let on_disk = self::files(&disk);
        let is_there = |folder: &str, ending: &str| on_disk.keys().any(|path| path.contains(folder) && path.ends_with(ending));
        let kinds = LARGE_KINDS.iter().all(|(folder, ending)| is_there(folder, ending));
        assert!(kinds && store.packs().unwrap().len() > 8, "{:?}", on_disk.keys());
        let on_disk = on_disk.into_iter().map(|(path, now)| (path.clone(), [now, old.remove(&path).unwrap_or_default()])).collect();
        Self { disk, blocks, files, on_disk }
    }
}

/// What is damaged: where it lies, and how its name ends.
const LARGE_KINDS: [(&str, &str); 8] = [
    ("/packs/", ".car"),
    ("/packs/", ".idx"),
    ("/packs/", ".tree"),
    ("/packs/", ".log"),
    ("/index/", ".mrg"),
    ("/blobs/", ".data"),
    ("/blobs/", ".tree"),
    ("/store/", "meta"),
];

/// Whether some bytes of a file from a place on are what was added.
fn is_range_right(store: &Store, cid: &Cid, data: &[u8], at: usize) -> Result<bool, Error> {
    let expected = &data[at..data.len().min(at + 5000)];
    let mut read = vec![0; expected.len()];
    let n = FileReader::open(store, cid)?.read_at(at as u64, &mut read)?;
    Ok(n == expected.len() && read == expected)
}

#[test]
fn damage_of_any_kind_to_a_store_of_some_mebibytes_is_found_or_healed_and_never_returned() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (places, seed) = (number("SHOAL_DAMAGES", LARGE_PLACES), number("SHOAL_CRASH_SEED", 1));
    let large = Large::new();
    let entries: Vec<_> = open(&large.disk, &large_options()).entries().unwrap().map(Result::unwrap).collect();
    let (mut found, mut healed) = (0, 0);
    for place in 0..places {
        let mut dice = Dice::new(&[seed, place, 2]);
        let (folder, ending) = LARGE_KINDS[dice.below(LARGE_KINDS.len())];
        let paths: Vec<&String> = large.on_disk.keys().filter(|path| path.contains(folder) && path.ends_with(ending)).collect();
        let path = paths[dice.below(paths.len())];
        let (bytes, how) = damaged(&mut dice, path, &large.on_disk);
        let whole = &large.on_disk[path][0];
        if bytes == *whole {
            continue;
        }
        let what = format!("{how} in {path}, place {place}, seed {seed}");
        let hurt = large.disk.copied();
        set_content(&hurt, path, &bytes);
        let pack = path.strip_suffix(".car").map(|path| path.rsplit('/').next().unwrap().parse::<u32>().unwrap());
        let inside: Vec<&StoredBlock> = entries.iter().filter(|entry| Some(entry.pack) == pack).collect();
        let must_be_found: BTreeSet<&Cid> = inside.iter().filter(|one| is_hurt(one, whole, &bytes, false)).map(|one| &one.cid).collect();
        let may_be_found: BTreeSet<&Cid> = inside.iter().filter(|one| is_hurt(one, whole, &bytes, true)).map(|one| &one.cid).collect();
        let store = match Store::open(Arc::new(hurt.clone()), Path::new(STORE), large_options()) {
            Ok(store) => store,
            Err(Error::Format(_)) if ending == "meta" => open(&hurt, &Options { rebuild_meta: true, ..large_options() }),
            Err(e) => panic!("{what}: {e}"),
        };
        drop(store.write().unwrap_or_else(|e| panic!("{what}: {e}")));
        for (cid, data) in &large.blocks {
            match store.block(cid) {
                Ok(block) => {
                    assert!(*block == **data, "{what}: wrong bytes of {cid}");
                    assert!(!must_be_found.contains(cid), "{what}: damage to {cid} was not found");
                }
                Err(Error::Damaged { .. }) if may_be_found.contains(cid) => found += 1,
                Err(e) => panic!("{what}: {cid}: {e}"),
            }
        }
        let mut must_rebuild = false;
        for (cid, data) in &large.files {
            let at = dice.below(data.len());
            for at in [0, at, data.len() - 1] {
                match is_range_right(&store, cid, data, at) {
                    Ok(is_right) => assert!(is_right, "{what}: wrong bytes of {cid} at {at}"),
                    Err(Error::Damaged { cid, .. }) if may_be_found.contains(&cid) => {}
                    Err(Error::DamagedBlob { .. }) if folder == "/blobs/" => found += 1,
                    // A journal that ends with a record is whole as far as anybody can tell. Blocks are found again by the next writer, but
                    // blobs of records that are lost only by a rebuilding.
                    Err(Error::NotFound { .. }) if ending == "meta" => must_rebuild = true,
                    Err(e) => panic!("{what}: {cid} at {at}: {e}"),
                }
            }
        }
        let report = verify(&store, &Operation::default()).unwrap();
        let is_lost = !must_be_found.is_empty() || (folder, ending) == ("/blobs/", ".data");
        let may_be_lost = is_lost || ending == ".car";
        assert!(report.is_sound() || may_be_lost, "{what}: {report:?}");
        assert!(!report.is_sound() || !is_lost, "{what}: called sound");
        let store = if must_rebuild {
            hurt.remove(Path::new("/store/meta")).unwrap();
            let store = open(&hurt, &Options { rebuild_meta: true, ..large_options() });
            drop(store.write().unwrap());
            store
        } else {
            store
        };
        if report.is_sound() {
            healed += 1;
            for (cid, data) in &large.files {
                let at = dice.below(data.len());
                assert!(is_range_right(&store, cid, data, at).unwrap_or_else(|e| panic!("{what}: after verifying: {e}")));
            }
        }
    }
    assert!(found > 0 && healed > 0, "{found} found, {healed} healed");
    let bytes: usize = large.on_disk.values().map(|[now, _]| now.len()).sum();
    println!("{places} places in {bytes} bytes: {found} damaged reads found, {healed} times all sound after verifying; seed {seed}");
}
