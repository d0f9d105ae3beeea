//! Partial blobs: groups come in slices, are readable at once, and are claimed only when they are on the disk.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods, reason = "tests")]

mod support;

use shoal_core::Cid;
use shoal_core::bao::{Groups, groups};
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use shoal_store::disk::Disk;
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::read::FileReader;
use shoal_store::{Error, Operation, Options, Store};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::power_disk::PowerDisk;
use support::whole_file::{GROUP, MIB, cid_of, painted};
use support::{memory, open, options};

/// A store that has the blob whole.
fn whole(data: &[u8]) -> (Store, Cid) {
    let store = open(&memory(), &options(1 << 30));
    let add = AddOptions { profile: Profile { layout: Layout::Blob, ..Profile::blake3() }, threads: 2, ..AddOptions::default() };
    let mut input = data;
    let report = add_stream(&store, &mut input, "data".into(), &add, &Operation::new(), &mut |_| Ok(())).unwrap();
    let cid = report.roots[0].cid.clone();
    (store, cid)
}

/// Groups from each first to each one behind a last.
fn set(runs: &[(u64, u64)]) -> Groups {
    runs.iter().map(|(first, behind)| *first..*behind).collect()
}

fn slice_of(store: &Store, cid: &Cid, wanted: &Groups) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = store.export_slice(cid, &|_| wanted.clone(), &mut out, &Operation::new()).unwrap();
    assert_eq!(bytes, out.len() as u64);
    out
}

fn take(store: &Store, cid: &Cid, wanted: &Groups, slice: &[u8]) -> shoal_store::Result<shoal_store::Present> {
    let mut input = slice;
    store.import_slice(cid, &|_| wanted.clone(), &mut input, true, &Operation::new())
}

/// Reads every group: those that are here must be right, and the others must say that they are not here.
fn check_groups(store: &Store, cid: &Cid, data: &[u8], here: &Groups) {
    let mut file = FileReader::open(store, cid).unwrap();
    assert_eq!(file.size(), data.len() as u64);
    for (group, content) in data.chunks(GROUP).enumerate() {
        let mut buffer = vec![0; content.len()];
        match file.read_at((group * GROUP) as u64, &mut buffer) {
            Ok(_) => assert!(here.contains(group as u64) && buffer == content, "group {group}"),
            Err(Error::NotHere { offset, .. }) => assert!(!here.contains(group as u64) && offset == (group * GROUP) as u64),
            Err(error) => panic!("group {group}: {error}"),
        }
    }
}

#[test]
fn groups_can_be_read_and_given_on_while_the_rest_is_missing_and_the_last_one_makes_the_blob_whole() {
    let data = painted(5 * MIB + 17);
    let (from, cid) = whole(&data);
    let disk = memory();
    let store = open(&disk, &options(1 << 30));
    assert_eq!(store.present(&cid).unwrap(), None);
    let mut here = Groups::new();
    for runs in [vec![(3, 4), (250, 260)], vec![(0, 1), (320, 321)], vec![(1, 3)]] {
        let wanted = set(&runs);
        let present = take(&store, &cid, &wanted, &slice_of(&from, &cid, &wanted)).unwrap();
        here.insert_all(&wanted);
        assert_eq!((present.bytes, &present.groups), (data.len() as u64, &here));
        for store in [&store, &open(&disk, &options(1 << 30)), &open(&disk, &Options { read_only: true, ..options(1 << 30) })] {
            assert_eq!(store.present(&cid).unwrap().unwrap().groups, here);
            check_groups(store, &cid, &data, &here);
            assert!(!store.has(&cid).unwrap(), "not as a whole");
            // What is here can be given on, byte for byte as from the whole.
            assert_eq!(slice_of(store, &cid, &here), slice_of(&from, &cid, &here));
            let missing = store.export_slice(&cid, &|_| set(&[(4, 5)]), &mut Vec::new(), &Operation::new());
            assert!(matches!(missing, Err(Error::NotHere { offset, .. }) if offset == 4 * GROUP as u64));
        }
    }
    let rest = here.missing(data.len() as u64);
    take(&store, &cid, &rest, &slice_of(&from, &cid, &rest)).unwrap();
    for store in [&store, &open(&disk, &options(1 << 30))] {
        assert!(store.has(&cid).unwrap());
        assert_eq!((store.stat().unwrap().blobs, store.pins().unwrap().len()), (1, 1));
        check_groups(store, &cid, &data, &Groups::all(data.len() as u64));
        assert!(shoal_store::verify::verify(store, &Operation::new()).unwrap().is_sound());
    }
    let hex: String = cid.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut names = disk.list(Path::new(&format!("/store/blobs/{}", hex.split_at(2).0))).unwrap();
    names.sort();
    assert_eq!(names, [format!("{hex}.data"), format!("{hex}.tree")]);
}

#[test]
fn a_slice_that_lies_is_refused_and_what_it_proved_before_stays() {
    let data = painted(3 * MIB);
    let (from, cid) = whole(&data);
    let wanted = set(&[(2, 5)]);
    let slice = slice_of(&from, &cid, &wanted);
    for at in [0, 7, 8, 8 + 64, slice.len() - 2 * GROUP, slice.len() - 1] {
        let store = open(&memory(), &options(1 << 30));
        let mut bad = slice.clone();
        bad[at] ^= 1;
        // Byte 0 is of the length, and a length that no group has proved is a claim.
        assert_eq!(take(&store, &cid, &wanted, &bad).is_err(), at != 0, "{at}");
        assert!(take(&store, &cid, &wanted, &slice[..at]).is_err(), "cut at {at}");
        let here = store.present(&cid).unwrap().map(|present| present.groups).unwrap_or_default();
        assert!(here.count() <= if at == 0 { 3 } else { 2 });
        // The lie may have been the length: then what was begun is thrown away.
        if let Err(error) = take(&store, &cid, &wanted, &slice) {
            assert!(matches!(error, Error::Options(_)), "{error}");
            assert!(store.discard_partial(&cid).unwrap() && !store.discard_partial(&cid).unwrap());
            take(&store, &cid, &wanted, &slice).unwrap();
        }
        check_groups(&store, &cid, &data, &wanted);
    }
}

#[test]
fn a_length_beyond_all_sense_costs_nothing() {
    let (store, cid) = (open(&memory(), &options(1 << 30)), cid_of(b"x"));
    for bytes in [i64::MAX as u64, u64::MAX] {
        let mut slice = bytes.to_le_bytes().to_vec();
        slice.resize(2000, 0);
        assert!(take(&store, &cid, &Groups::all(bytes), &slice).is_err());
    }
}

#[test]
fn a_block_is_cut_into_slices_too_and_taken_in_as_a_block() {
    let data = painted(MIB + 5);
    let cid = cid_of(&data);
    let from = open(&memory(), &options(1 << 30));
    let session = from.write().unwrap();
    session.put(&cid, &data).unwrap();
    session.commit().unwrap();
    let store = open(&memory(), &options(1 << 30));
    let some = set(&[(1, 2)]);
    assert!(matches!(take(&store, &cid, &some, &slice_of(&from, &cid, &some)), Err(Error::Options(_))));
    let all = Groups::all(data.len() as u64);
    let slice = slice_of(&from, &cid, &all);
    let mut bad = slice.clone();
    bad[GROUP] ^= 1;
    assert!(matches!(take(&store, &cid, &all, &bad), Err(Error::BadSlice { .. })));
    assert!(!store.has(&cid).unwrap());
    take(&store, &cid, &all, &slice).unwrap();
    assert_eq!(&*store.block(&cid).unwrap(), data.as_slice());
}

#[test]
fn an_outboard_goes_first_and_plain_data_are_checked_along_it() {
    let data = painted(3 * MIB + 9);
    let (from, cid) = whole(&data);
    let mut outboard = Vec::new();
    from.export_outboard(&cid, &mut outboard, &Operation::new()).unwrap();
    assert_eq!(outboard.len() as u64, 64 * (groups(data.len() as u64) - 1));
    let store = open(&memory(), &options(1 << 30));
    let operation = Operation::new();
    // A length that would put the first node far away: refused before anything is written there.
    assert!(store.import_outboard(&cid, data.len() as u64 + (1 << 56), &mut &outboard[..], &operation).is_err());
    let mut bad = outboard.clone();
    bad[100] ^= 1;
    assert!(store.import_outboard(&cid, data.len() as u64, &mut &bad[..], &operation).is_err());
    store.import_outboard(&cid, data.len() as u64, &mut &outboard[..], &operation).unwrap();
    let mut wrong = data.clone();
    wrong[2 * GROUP] ^= 1;
    assert!(matches!(store.import_data(&cid, 0, &mut &wrong[..], false, &operation), Err(Error::BadSlice { .. })));
    assert_eq!(store.present(&cid).unwrap().unwrap().groups, set(&[(0, 2)]));
    store.import_data(&cid, 2 * GROUP as u64, &mut &data[2 * GROUP..], true, &operation).unwrap();
    assert!(store.has(&cid).unwrap());
    check_groups(&store, &cid, &data, &Groups::all(data.len() as u64));
}

/// What is claimed after any power cut is there; what was flushed is claimed.
#[test]
fn a_power_cut_never_leaves_a_claim_to_what_is_not_there() {
    let data = painted(2 * MIB + 5 * GROUP);
    let (from, cid) = whole(&data);
    let disk = PowerDisk::new();
    disk.create_dir(Path::new("/")).unwrap();
    let store = open(&disk, &options(1 << 30));
    let partial = store.partial(&cid, data.len() as u64).unwrap();
    let mut flushed = Groups::new();
    for (round, run) in [(0, 3), (40, 44), (60, 61), (100, 120)].into_iter().enumerate() {
        let wanted = set(&[run]);
        partial.write_slice(&wanted, &mut &slice_of(&from, &cid, &wanted)[8..], &Operation::new()).unwrap();
        if round % 2 == 0 {
            partial.flush().unwrap();
            flushed = partial.present().groups;
        }
        for seed in 0..16 {
            let after = open(&disk.after_power_cut(seed), &options(1 << 30));
            let here = after.present(&cid).unwrap().unwrap().groups;
            assert!(flushed.runs().all(|run| here.contains_run(run)), "round {round}, seed {seed}");
            check_groups(&after, &cid, &data, &here);
        }
    }
    drop(partial);
    assert_eq!(store.present(&cid).unwrap().unwrap().groups.count(), 28);
}

#[test]
#[ignore = "this is the other process, which the kill test starts"]
fn the_filling_process() {
    let (Ok(path), Ok(source)) = (std::env::var("SHOAL_TEST_STORE"), std::env::var("SHOAL_TEST_SOURCE")) else { return };
    let data = std::fs::read(&source).unwrap();
    let (from, cid) = whole(&data);
    let store = Store::open_path(Path::new(&path), Options { lock_wait: Duration::from_secs(20), ..Options::default() }).unwrap();
    let partial = store.partial(&cid, data.len() as u64).unwrap();
    let missing = partial.present().groups.missing(data.len() as u64);
    for group in missing.runs().flatten() {
        let wanted = set(&[(group, group + 1)]);
        partial.write_slice(&wanted, &mut &slice_of(&from, &cid, &wanted)[8..], &Operation::new()).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nsays: {group}").unwrap();
        out.flush().unwrap();
        drop(out);
        std::thread::sleep(Duration::from_millis(2));
    }
    partial.close(true).unwrap();
}

/// kill -9 in the middle: at most the groups of the last second are gone, and none is claimed that is not there.
#[test]
fn a_killed_writer_loses_at_most_the_last_second_and_claims_nothing_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (path, source) = (folder.path().join("store"), folder.path().join("source"));
    let data = painted(40 * MIB + 3);
    std::fs::write(&source, &data).unwrap();
    let cid = cid_of(&data);
    drop(Store::open_path(&path, Options::default()).unwrap());
    for round in 0..4u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_filling_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env("SHOAL_TEST_STORE", &path)
            .env("SHOAL_TEST_SOURCE", &source)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said: Vec<(Instant, u64)> = Vec::new();
        let mut next = || {
            let line = lines.by_ref().map_while(Result::ok).find_map(|line| line.split_once("says: ").map(|(_, n)| n.parse().unwrap()))?;
            said.push((Instant::now(), line));
            Some(line)
        };
        next().unwrap();
        let until = Instant::now() + Duration::from_millis(700 + 400 * round);
        while Instant::now() < until && next().is_some() {}
        child.kill().unwrap();
        let killed = Instant::now();
        while next().is_some() {}
        child.wait().unwrap();
        let store = Store::open_path(&path, Options::default()).unwrap();
        let here = store.present(&cid).unwrap().unwrap().groups;
        let old: Vec<u64> = said.iter().filter(|(at, _)| killed.duration_since(*at) > Duration::from_secs(1)).map(|(_, n)| *n).collect();
        assert!(old.iter().all(|group| here.contains(*group)), "round {round}: lost more than a second's groups");
        assert!(round == 0 || !old.is_empty());
        check_groups(&store, &cid, &data, &here);
    }
}
