//! Files left where they are: read as if they were in the store, named when they changed, and never trusted.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "support/bench.rs"]
mod bench;

use bench::Bench;
use shoal_core::Cid;
use shoal_core::chunk::Chunker;
use shoal_core::unixfs::{Profile, profile::Layout};
use shoal_store::archive::export_car;
use shoal_store::collect::{CollectOptions, collect};
use shoal_store::export::{GetOptions, get};
use shoal_store::ingest::{AddOptions, AddReport, add, add_stream};
use shoal_store::read::FileReader;
use shoal_store::reference::{Change, Checked, Forget, check, forget, list};
use shoal_store::verify::{Reason, verify};
use shoal_store::{Error, Operation, Options, Store};
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes that differ at every place a chunk could be mistaken for another.
fn painted(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8 ^ ((i / 997) % 253) as u8 ^ seed).collect()
}

const CHUNK: usize = 1000;

fn small_chunks() -> Profile {
    Profile { name: "custom".into(), chunker: Chunker::Size(CHUNK as u32), file_links_max: 3, ..Profile::blake3() }
}

fn nocopy(profile: Profile) -> AddOptions {
    AddOptions { profile, nocopy: true, ..AddOptions::default() }
}

impl Bench {
    fn try_add(&self, path: &Path, options: &AddOptions) -> Result<AddReport, Error> {
        add(&self.store, &[path.to_path_buf()], options, &Operation::new(), &mut |_| Ok(()))
    }

    fn add(&self, path: &Path, profile: Profile) -> Cid {
        self.try_add(path, &nocopy(profile)).unwrap().roots[0].cid.clone()
    }

    /// Another process, as far as a store can tell.
    fn reopened(&self) -> Store {
        Store::open_path(self.store.path(), Options::default()).unwrap()
    }

    fn tables(&self) -> usize {
        fs::read_dir(self.store.path().join("references")).map_or(0, Iterator::count)
    }

    fn check(&self, is_full: bool) -> Vec<Checked> {
        let mut all = Vec::new();
        check(&self.store, is_full, &Operation::new(), &mut |checked| {
            all.push(checked);
            Ok(())
        })
        .unwrap();
        all
    }
}

fn read(store: &Store, cid: &Cid) -> Result<Vec<u8>, Error> {
    let mut reader = FileReader::open(store, cid)?;
    let mut data = vec![0; usize::try_from(reader.size()).unwrap()];
    let mut at = 0;
    while at < data.len() {
        let n = reader.read_at(at as u64, &mut data[at..])?;
        assert!(n > 0);
        at += n;
    }
    Ok(data)
}

fn change_of(error: Error) -> (PathBuf, u64, Change) {
    match error {
        Error::ChangedFile { path, offset, change, .. } => (path, offset, change),
        Error::InDag { source, .. } => change_of(*source),
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_is_read_from_where_it_is_under_every_profile_with_raw_leaves() {
    // Each profile's own chunks, and their neighbours.
    let lengths = [0, 1, 999, 1000, 1001, 4_000_000];
    for profile in [Profile::blake3(), Profile::unixfs_v1_2025(), Profile::blake3_cdc(), small_chunks()] {
        for bytes in lengths {
            let bench = Bench::new();
            let content = painted(bytes as u8, bytes);
            let path = bench.file("data", &content);
            let copied = AddOptions { profile: profile.clone(), only_hash: true, ..AddOptions::default() };
            let expected = bench.try_add(&path, &copied).unwrap().roots[0].cid.clone();
            let cid = bench.add(&path, profile.clone());
            assert_eq!(cid, expected, "{bytes} bytes, {}", profile.name);
            assert_eq!(read(&bench.store, &cid).unwrap(), content);
            assert_eq!(read(&bench.reopened(), &cid).unwrap(), content);
            let stat = bench.store.stat().unwrap();
            assert_eq!(stat.reference_bytes, bytes as u64);
            assert!(stat.block_bytes < bytes as u64 / 10 + 400, "{} bytes of blocks for {bytes}", stat.block_bytes);
        }
    }
}

#[test]
fn a_folder_of_files_small_and_large_comes_back_and_can_be_exported() {
    let bench = Bench::new();
    for n in 0..40u8 {
        bench.file(&format!("tree/{}/{n}", n % 3), &painted(n, usize::from(n) * 700));
    }
    bench.file("tree/large", &painted(7, 5_000_000));
    let cid = bench.add(&bench.path("tree"), Profile::blake3());
    assert_eq!(list(&bench.store, &Operation::new()).unwrap().len(), 40, "the empty file stands nowhere");
    get(&bench.store, &cid, &bench.path("out"), GetOptions { force: false, threads: 2 }, &Operation::new()).unwrap();
    assert_eq!(fs::read(bench.path("out/large")).unwrap(), painted(7, 5_000_000));
    assert_eq!(fs::read(bench.path("out/2/38")).unwrap(), painted(38, 38 * 700));
    let mut car = Vec::new();
    export_car(&bench.store, &[cid], &mut car, 1, &Operation::new()).unwrap();
    assert!(car.len() > 5_000_000);
    assert!(verify(&bench.store, &Operation::new()).unwrap().is_sound());
    assert_eq!(bench.tables(), 1);
}

/// What is done to a file, where the first block is lost, and what is said of the file.
type Harm = (&'static str, fn(&Path), Change);

fn harms() -> Vec<Harm> {
    vec![
        ("removed", |path| fs::remove_file(path).unwrap(), Change::Missing),
        (
            "replaced by the same bytes",
            |path| {
                let bytes = fs::read(path).unwrap();
                let new = path.with_extension("new");
                fs::write(&new, bytes).unwrap();
                fs::rename(new, path).unwrap();
            },
            Change::Replaced,
        ),
        ("cut", |path| File::options().write(true).open(path).unwrap().set_len(2500).unwrap(), Change::Length { was: 5000, is: 2500 }),
        ("grown", |path| File::options().write(true).open(path).unwrap().set_len(5001).unwrap(), Change::Length { was: 5000, is: 5001 }),
        (
            "touched",
            |path| {
                let later = SystemTime::now() + Duration::from_secs(5);
                File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(later)).unwrap();
            },
            Change::Written,
        ),
        (
            "a link to itself under another name",
            |path| {
                let other = path.with_extension("moved");
                fs::rename(path, &other).unwrap();
                symlink(other, path).unwrap();
            },
            Change::Kind,
        ),
        (
            "a folder",
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            Change::Kind,
        ),
    ]
}

#[test]
fn a_file_that_changed_is_named_and_never_served() {
    for (what, harm, expected) in harms() {
        let bench = Bench::new();
        let path = bench.file("data", &painted(1, 5000));
        let cid = bench.add(&path, small_chunks());
        assert_eq!(bench.check(false), [Checked { path: path.clone(), change: None, offset: None, is_table: false }]);
        harm(&path);
        assert_eq!(change_of(read(&bench.store, &cid).unwrap_err()), (path.clone(), 0, expected), "{what}");
        let said = bench.check(false);
        assert_eq!(said, [Checked { path: path.clone(), change: Some(expected), offset: None, is_table: false }], "{what}");
        let report = verify(&bench.store, &Operation::new()).unwrap();
        assert_eq!((report.damaged_count, report.hurt_roots), (5, vec![cid.clone()]), "{what}");
        assert_eq!((report.damaged[0].path.as_ref(), report.damaged[0].reason), (Some(&path), Reason::File(expected)));
        let gone = forget(&bench.store, &Forget::Changed, &Operation::new()).unwrap();
        assert_eq!((gone.paths, gone.blocks, gone.block_bytes), (vec![path], 5, 5000), "{what}");
        assert!(matches!(read(&bench.store, &cid), Err(Error::NotFound { .. })), "{what}");
        assert_eq!((bench.tables(), bench.store.stat().unwrap().references), (0, 0));
    }
}

/// Writing to a file can leave its times as they were: on purpose, or within one tick of the system's clock.
#[test]
fn a_byte_that_changed_behind_the_clocks_back_is_found_by_its_hash() {
    let bench = Bench::new();
    let path = bench.file("data", &painted(1, 5000));
    let cid = bench.add(&path, small_chunks());
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"X", 3210).unwrap();
    file.set_times(FileTimes::new().set_modified(before)).unwrap();
    assert_eq!(change_of(read(&bench.store, &cid).unwrap_err()), (path.clone(), 3000, Change::Content));
    assert_eq!(bench.check(false)[0].change, None, "nobody looked inside");
    assert_eq!(bench.check(true), [Checked { path, change: Some(Change::Content), offset: Some(3000), is_table: false }]);
    let report = verify(&bench.store, &Operation::new()).unwrap();
    assert_eq!((report.damaged_count, report.damaged[0].offset), (1, 3000));
}

#[test]
fn names_and_permissions_may_change() {
    let bench = Bench::new();
    let path = bench.file("data", &painted(1, 5000));
    let cid = bench.add(&path, small_chunks());
    fs::hard_link(&path, bench.path("second")).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::rename(&path, bench.path("away")).unwrap();
    fs::rename(bench.path("away"), &path).unwrap();
    assert_eq!(read(&bench.store, &cid).unwrap(), painted(1, 5000));
}

#[test]
fn another_copy_is_read_where_one_changed() {
    let bench = Bench::new();
    let (a, b) = (bench.file("a", &painted(1, 5000)), bench.file("b", &painted(1, 5000)));
    let cid = bench.add(&a, small_chunks());
    assert_eq!(bench.add(&b, small_chunks()), cid);
    assert_eq!(bench.store.stat().unwrap().references, 10);
    for gone in [&b, &a] {
        fs::remove_file(gone).unwrap();
        if gone == &b {
            assert_eq!(read(&bench.store, &cid).unwrap(), painted(1, 5000));
            assert!(verify(&bench.store, &Operation::new()).unwrap().hurt_roots.is_empty());
        }
    }
    change_of(read(&bench.store, &cid).unwrap_err());
    // Adding with a copy makes one, although the blocks are known to be somewhere.
    let c = bench.file("c", &painted(1, 5000));
    let added = bench.try_add(&c, &AddOptions { profile: small_chunks(), ..AddOptions::default() }).unwrap();
    assert_eq!(added.new_blocks, 5);
    fs::remove_file(&c).unwrap();
    assert_eq!(read(&bench.store, &cid).unwrap(), painted(1, 5000));
    assert!(verify(&bench.store, &Operation::new()).unwrap().hurt_roots.is_empty());
}

#[test]
fn adding_a_file_again_changes_nothing_and_after_it_was_touched_takes_its_new_state() {
    let bench = Bench::new();
    let path = bench.file("data", &painted(1, 5000));
    let cid = bench.add(&path, small_chunks());
    let before = bench.store.stat().unwrap();
    bench.add(&path, small_chunks());
    assert_eq!((bench.store.stat().unwrap(), bench.tables()), (before.clone(), 1));
    let later = SystemTime::now() + Duration::from_secs(5);
    File::options().write(true).open(&path).unwrap().set_times(FileTimes::new().set_modified(later)).unwrap();
    change_of(read(&bench.store, &cid).unwrap_err());
    bench.add(&path, small_chunks());
    assert_eq!(read(&bench.store, &cid).unwrap(), painted(1, 5000));
    assert_eq!((bench.store.stat().unwrap(), bench.tables()), (before, 1));
    assert_eq!(bench.check(true).len(), 1);
}

#[test]
fn many_adds_leave_few_tables() {
    let bench = Bench::new();
    let mut cids = Vec::new();
    for n in 0..50u8 {
        cids.push(bench.add(&bench.file(&format!("{n}"), &painted(n, 1500)), small_chunks()));
    }
    assert!(bench.tables() <= 7, "{} tables", bench.tables());
    let store = bench.reopened();
    for (n, cid) in (0..50u8).zip(&cids) {
        assert_eq!(read(&store, cid).unwrap(), painted(n, 1500));
    }
    assert_eq!(store.stat().unwrap().references, 100);
}

#[test]
fn forgetting_a_folder_forgets_all_below_it_and_no_name_that_only_begins_so() {
    let bench = Bench::new();
    let kept = bench.add(&bench.file("tree2/a", &painted(9, 1500)), small_chunks());
    bench.file("tree/a", &painted(1, 1500));
    bench.file("tree/b/c", &painted(2, 1500));
    let cid = bench.add(&bench.path("tree"), small_chunks());
    let gone = forget(&bench.store, &Forget::Paths(vec![bench.path("tree")]), &Operation::new()).unwrap();
    assert_eq!((gone.paths, gone.blocks), (vec![bench.path("tree/a"), bench.path("tree/b/c")], 4));
    assert_eq!(read(&bench.reopened(), &kept).unwrap(), painted(9, 1500));
    assert_eq!(verify(&bench.store, &Operation::new()).unwrap().hurt_roots, [cid]);
    assert!(bench.path("tree/a").exists());
    assert_eq!(forget(&bench.store, &Forget::Paths(vec![bench.path("tree")]), &Operation::new()).unwrap().blocks, 0);
}

#[test]
fn a_collection_drops_references_that_no_pin_keeps() {
    let bench = Bench::new();
    let (a, b) = (bench.file("a", &painted(1, 5000)), bench.file("b", &painted(2, 5000)));
    let (first, second) = (bench.add(&a, small_chunks()), bench.add(&b, small_chunks()));
    let session = bench.store.write().unwrap();
    session.unpin(&first).unwrap();
    session.commit().unwrap();
    let foreseen = collect(&bench.store, CollectOptions { dry_run: true, ..CollectOptions::default() }, &Operation::new()).unwrap();
    let done = collect(&bench.store, CollectOptions::default(), &Operation::new()).unwrap();
    assert_eq!((foreseen.references_dropped, done.references_dropped), (5, 5));
    assert_eq!(bench.store.stat().unwrap().references, 5);
    assert_eq!(list(&bench.store, &Operation::new()).unwrap().len(), 1);
    assert!(matches!(read(&bench.store, &first), Err(Error::NotFound { .. })));
    assert_eq!(read(&bench.reopened(), &second).unwrap(), painted(2, 5000));
    assert!(a.exists() && b.exists());
}

#[test]
fn a_lease_keeps_references_from_a_collection() {
    let bench = Bench::new();
    let cid = bench.add(&bench.file("a", &painted(1, 900)), small_chunks());
    let session = bench.store.write().unwrap();
    session.unpin(&cid).unwrap();
    session.commit().unwrap();
    let lease = bench.store.lease().unwrap();
    assert_eq!(lease.has_many(std::slice::from_ref(&cid)).unwrap(), [true]);
    assert_eq!(collect(&bench.store, CollectOptions::default(), &Operation::new()).unwrap().references_dropped, 0);
    assert_eq!(read(&bench.store, &cid).unwrap(), painted(1, 900));
    drop(lease);
    assert_eq!(collect(&bench.store, CollectOptions::default(), &Operation::new()).unwrap().references_dropped, 1);
    assert!(!bench.store.has(&cid).unwrap());
}

#[test]
fn a_block_can_be_deleted_from_where_it_is_referenced() {
    let bench = Bench::new();
    let cid = bench.add(&bench.file("a", &painted(1, 900)), small_chunks());
    assert!(bench.store.has(&cid).unwrap());
    let session = bench.store.write().unwrap();
    session.unpin(&cid).unwrap();
    assert_eq!(session.delete(std::slice::from_ref(&cid)).unwrap(), 1);
    session.commit().unwrap();
    assert!(!bench.store.has(&cid).unwrap());
    assert!(!bench.reopened().has(&cid).unwrap());
}

#[test]
fn a_damaged_table_is_named_and_what_it_said_is_not_taken_for_absent() {
    let bench = Bench::new();
    let path = bench.file("data", &painted(1, 5000));
    let cid = bench.add(&path, small_chunks());
    let table = fs::read_dir(bench.store.path().join("references")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&table).unwrap();
    for at in (0..whole.len()).step_by(97).chain([0, 4095, 4096, 8191, whole.len() - 1]) {
        let mut bad = whole.clone();
        bad[at] ^= 0x41;
        fs::write(&table, &bad).unwrap();
        let store = bench.reopened();
        match read(&store, &cid) {
            Ok(data) => assert_eq!(data, painted(1, 5000)),
            Err(Error::DamagedReferences { path }) => assert_eq!(path, table),
            Err(other) => panic!("{at}: {other}"),
        }
    }
    fs::remove_file(&table).unwrap();
    let store = bench.reopened();
    assert!(matches!(read(&store, &cid), Err(Error::DamagedReferences { .. })));
    let report = verify(&store, &Operation::new()).unwrap();
    assert_eq!((report.damaged[0].reason, &report.hurt_roots), (Reason::References, &vec![cid.clone()]));
    forget(&store, &Forget::Changed, &Operation::new()).unwrap();
    assert!(matches!(read(&store, &cid), Err(Error::NotFound { .. })));
    bench.add(&path, small_chunks());
    assert_eq!(read(&bench.reopened(), &cid).unwrap(), painted(1, 5000));
}

/// A later add takes small tables into its own. What it could not read of one would have been forgotten without a word.
#[test]
fn a_table_that_cannot_be_read_is_not_merged_into_another() {
    let bench = Bench::new();
    let cid = bench.add(&bench.file("a", &painted(1, 5000)), small_chunks());
    let table = fs::read_dir(bench.store.path().join("references")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&table).unwrap();
    // In the path of the only file, behind the pages.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&table, &bytes).unwrap();
    let store = bench.reopened();
    let other = bench.file("b", &painted(2, 5000));
    let added = add(&store, std::slice::from_ref(&other), &nocopy(small_chunks()), &Operation::new(), &mut |_| Ok(())).unwrap();
    assert_eq!(read(&store, &added.roots[0].cid).unwrap(), painted(2, 5000));
    assert!(matches!(read(&store, &cid), Err(Error::DamagedReferences { .. })));
    let refused = forget(&store, &Forget::Paths(vec![bench.path("")]), &Operation::new());
    assert!(matches!(refused, Err(Error::DamagedReferences { .. })));
    forget(&store, &Forget::Changed, &Operation::new()).unwrap();
    assert!(matches!(read(&store, &cid), Err(Error::NotFound { .. })));
    assert_eq!(read(&bench.reopened(), &added.roots[0].cid).unwrap(), painted(2, 5000));
}

#[test]
fn what_cannot_be_left_where_it_is_is_refused_with_what_can() {
    let bench = Bench::new();
    let path = bench.file("data", &painted(1, 5000));
    let refused = |options: AddOptions| match bench.try_add(&path, &options) {
        Err(Error::Options(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(refused(nocopy(Profile::unixfs_v0_2015())).contains("blake3-cdc and unixfs-v1-2025"));
    assert!(refused(nocopy(Profile { layout: Layout::Blob, ..Profile::blake3() })).contains("share bytes"));
    assert!(refused(nocopy(Profile { layout: Layout::Trickle, ..Profile::blake3() })).contains("balanced"));
    assert!(refused(AddOptions { preserve_mtime: true, ..nocopy(Profile::blake3()) }).contains("times"));
    let mut input: &[u8] = b"piped";
    let piped = add_stream(&bench.store, &mut input, "x".into(), &nocopy(Profile::blake3()), &Operation::new(), &mut |_| Ok(()));
    assert!(matches!(piped, Err(Error::Options(text)) if text.contains("pipe")));
    assert_eq!(bench.store.stat().unwrap().blocks, 0);
}

#[test]
fn a_link_is_added_as_a_link_or_as_the_file_that_it_leads_to() {
    let bench = Bench::new();
    let path = bench.file("data", &painted(1, 5000));
    symlink("data", bench.path("link")).unwrap();
    symlink(bench.path(""), bench.path("folder")).unwrap();
    bench.add(&bench.path("link"), small_chunks());
    assert_eq!(bench.store.stat().unwrap().references, 0);
    let options = AddOptions { dereference_symlinks: true, ..nocopy(small_chunks()) };
    bench.try_add(&bench.path("folder/link"), &options).unwrap();
    let all = list(&bench.store, &Operation::new()).unwrap();
    assert_eq!(all.iter().map(|file| &file.path).collect::<Vec<_>>(), [&path]);
    assert_eq!((all[0].bytes, all[0].blocks, all[0].block_bytes), (5000, 5, 5000));
}

/// A file that grows, is cut or written to all the time is refused or added as it was at one moment; never a mixture that says it is
/// sound.
#[test]
fn a_file_that_changes_while_it_is_added_is_refused() {
    let bench = Bench::new();
    let path = bench.file("data", &painted(1, 12_000_000));
    let writer = File::options().write(true).open(&path).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0u64.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                writer.write_all_at(&n.to_le_bytes(), n % 1000 * 12_000).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let refused =
            (0..5).filter(|_| matches!(bench.try_add(&path, &nocopy(Profile::blake3())), Err(Error::SourceChanged { .. }))).count();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        refused
    });
    assert!(refused > 0);
    let cid = bench.add(&path, Profile::blake3());
    assert_eq!(read(&bench.store, &cid).unwrap(), fs::read(&path).unwrap());
}
