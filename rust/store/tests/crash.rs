//! What a store is after a crash or on a failing disk: before or after, never between. Power cuts and damage have files of their own.
//!
//! The invariant of all tests here: what was acknowledged is there and reads back right; a commit that failed is there
//! whole or not at all; no wrong byte is ever returned.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use shoal_core::Cid;
use shoal_store::disk::Disk;
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::{Error, Options, Pin, PinKind, Store};
use std::path::Path;
use std::sync::Arc;
use support::{
    Blocks, EIO, ENOSPC, Fault, FaultyDisk, STORE, check_all, content, memory, open, options, painted, put_all, set_content, small_store,
};

fn pin(cid: &Cid) -> Pin {
    Pin { cid: cid.clone(), kind: PinKind::Recursive, name: None }
}

#[test]
fn a_writer_that_dies_before_its_commit_leaves_sound_blocks_that_are_kept() {
    let disk = memory();
    let store = open(&disk, &options(1 << 20));
    let kept = put_all(&store, 0..3, 100);
    let session = store.write().unwrap();
    for n in 3..6 {
        let (cid, data) = painted(n, 100);
        session.put(&cid, &data).unwrap();
        session.pin(pin(&cid)).unwrap();
    }
    let crashed = disk.copied();
    let reader = open(&crashed, &options(1 << 20));
    check_all(&reader, &kept);
    assert!(!reader.has(&painted(3, 100).0).unwrap(), "not committed, not seen");
    assert_eq!(reader.recovery(), None);
    drop(reader.write().unwrap());
    let report = reader.recovery().unwrap();
    assert_eq!((report.blocks_kept, report.bytes_cut), (3, 0));
    for store in [&reader, &open(&crashed, &options(1 << 20))] {
        check_all(store, &kept);
        for n in 3..6 {
            assert_eq!(&*store.block(&painted(n, 100).0).unwrap(), painted(n, 100).1.as_slice());
        }
        assert_eq!(store.pins().unwrap(), [], "but pins are all or nothing");
    }
}

#[test]
fn a_writer_that_dies_before_its_first_commit_leaves_a_pack_that_is_taken_in() {
    let disk = memory();
    let store = open(&disk, &options(1 << 20));
    let session = store.write().unwrap();
    let (cid, data) = painted(1, 1000);
    session.put(&cid, &data).unwrap();
    session.put(&painted(2, 1000).0, &painted(2, 1000).1).unwrap();
    let pack = content(&disk, "/store/packs/00000000.car");
    for length in 0..=pack.len() {
        let crashed = disk.copied();
        set_content(&crashed, "/store/packs/00000000.car", &pack[..length]);
        let store = open(&crashed, &options(1 << 20));
        let session = store.write().unwrap();
        let blocks = [26 + 1038, 26 + 2 * 1038].iter().filter(|end| length >= **end).count() as u64;
        assert_eq!(store.recovery().map_or(0, |report| report.blocks_kept), blocks, "{length}");
        assert_eq!(store.stat().unwrap().blocks, blocks);
        session.put(&cid, &data).unwrap();
        session.commit().unwrap();
        assert_eq!(&*open(&crashed, &options(1)).block(&cid).unwrap(), data.as_slice());
        let packs = store.packs().unwrap();
        assert_eq!(packs.len(), 1);
        assert_eq!(content(&crashed, "/store/packs/00000000.car").len() as u64, packs[0].bytes, "nothing is left behind the last block");
    }
}

#[test]
fn a_tail_cut_anywhere_loses_only_what_stood_there_and_says_so() {
    let (disk, first, last) = small_store();
    for name in ["packs/00000001.car", "packs/00000001.log", "packs/00000000.idx", "packs/00000000.car", "meta"] {
        let path = format!("{STORE}/{name}");
        let whole = content(&disk, &path);
        let all: Blocks = first.iter().chain(&last).map(|(cid, data)| (cid.clone(), data.clone())).collect();
        for length in (whole.len().saturating_sub(1000)..whole.len()).filter(|n| n % 7 == 0 || whole.len() - n < 200) {
            let crashed = disk.copied();
            set_content(&crashed, &path, &whole[..length]);
            let store = match Store::open(Arc::new(crashed.clone()), Path::new(STORE), options(3000)) {
                Ok(store) => store,
                Err(Error::Format(text)) => {
                    // Only a journal without even its header.
                    assert!(name == "meta" && length < 32 && text.contains("damaged"), "{name} {length}: {text}");
                    continue;
                }
                Err(e) => panic!("{name} {length}: {e}"),
            };
            for is_recovered in [false, true] {
                if is_recovered {
                    let session = store.write().unwrap();
                    let (cid, data) = painted(99, 300);
                    session.put(&cid, &data).unwrap();
                    session.commit().unwrap();
                    assert_eq!(&*open(&crashed, &options(3000)).block(&cid).unwrap(), data.as_slice());
                }
                for store in [&store, &open(&crashed, &options(3000))] {
                    for (cid, data) in &all {
                        match store.block(cid) {
                            Ok(block) => assert_eq!(&*block, data.as_slice()),
                            // Committed and cut off by someone: damage. Never silently absent.
                            Err(Error::Damaged { .. }) if name.ends_with(".car") => {}
                            // A commit whose record was cut off is not there before recovery, and its blocks are after it.
                            Err(Error::NotFound { .. }) if name == "meta" && !is_recovered => {}
                            Err(e) => panic!("{name} cut to {length}, recovered {is_recovered}: {e}"),
                        }
                    }
                }
            }
        }
    }
}

/// The work that the failing disk interrupts: three commits, over seals, pins, deletions and a retired pack. After each
/// commit that was acknowledged, `acknowledged` is called with its number.
fn work(store: &Store, acknowledged: &mut dyn FnMut(u64)) -> Result<(), Error> {
    for round in 0..3u64 {
        let session = store.write_exclusive()?;
        for n in 0..6 {
            let (cid, data) = painted(round * 10 + n, 500);
            session.put(&cid, &data)?;
        }
        session.pin(pin(&painted(round * 10, 500).0))?;
        if round > 0 {
            // Goes together with the pin, or not at all.
            session.delete(&[painted((round - 1) * 10 + 5, 500).0])?;
            session.unpin(&painted((round - 1) * 10, 500).0)?;
        }
        if round == 2 {
            let pack = store.packs()?.first().map_or(0, |pack| pack.pack);
            session.retire(pack)?;
            for entry in store.pack_entries(pack)? {
                let entry = entry?;
                if entry.cid == painted(15, 500).0 {
                    // Deleted above.
                    continue;
                }
                session.put(&entry.cid, &session.block(&entry.cid)?)?;
            }
        }
        session.commit()?;
        acknowledged(round);
    }
    Ok(())
}

/// Checks that a store is as after round `acknowledged` (or empty), or as after the next one: which.
fn check_before_or_after(store: &Store, acknowledged: Option<u64>, what: &str) {
    let pins = store.pins().unwrap();
    let before = acknowledged.map_or(vec![], |round| vec![pin(&painted(round * 10, 500).0)]);
    let next = acknowledged.map_or(0, |round| round + 1);
    let after = vec![pin(&painted(next * 10, 500).0)];
    assert!(pins == before || (pins == after && next < 3), "{what}: {pins:?}");
    let rounds = if pins == before { next } else { next + 1 };
    for round in 0..rounds {
        for n in 0..6 {
            let (cid, data) = painted(round * 10 + n, 500);
            match store.block(&cid) {
                Ok(block) => {
                    assert_eq!(&*block, data.as_slice());
                    assert!(n < 5 || round + 1 == rounds, "{what}: block {n} of round {round} was deleted with the pin");
                }
                Err(Error::NotFound { .. }) => assert!(n == 5 && round + 1 < rounds, "{what}: block {n} of round {round} is lost"),
                Err(e) => panic!("{what}: {e}"),
            }
        }
    }
    for entry in store.entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(store.block(&entry.cid).unwrap().len() as u64, entry.bytes);
    }
}

#[test]
fn whatever_operation_fails_the_store_is_before_or_after_never_between() {
    let faults = [
        Fault::Once(ENOSPC),
        Fault::Lasting(ENOSPC),
        Fault::Torn(ENOSPC),
        Fault::Once(EIO),
        Fault::Lasting(EIO),
        Fault::Torn(EIO),
        Fault::LostSync,
    ];
    for fault in faults {
        let mut n = 0;
        loop {
            let below = memory();
            let disk = FaultyDisk::new(Arc::new(below.clone()));
            disk.fail_at(n, fault);
            let what = |log: &[String]| format!("{fault:?} at {n}, {:?}", log.get(usize::try_from(n).unwrap()));
            let mut acknowledged = None;
            let opened = Store::open(Arc::new(disk.clone()), Path::new(STORE), options(2000));
            if let Ok(store) = &opened {
                let failure = work(store, &mut |round| acknowledged = Some(round)).err();
                let what = what(&disk.log());
                if let Some(e) = &failure {
                    let is_named = match e {
                        Error::Full { .. } => !matches!(fault, Fault::Once(EIO) | Fault::Lasting(EIO) | Fault::Torn(EIO)),
                        Error::Io { .. } | Error::Poisoned => true,
                        _ => false,
                    };
                    assert!(is_named, "{what}: {e:?}");
                }
                // Right away, in the same process, with the disk well again: reads work, and writing does or says why not.
                let poisoned = matches!(store.write(), Err(Error::Poisoned));
                disk.heal();
                check_before_or_after(store, acknowledged, &what);
                if failure.is_some() && !poisoned {
                    work(store, &mut |_| {}).unwrap_or_else(|e| panic!("{what}: not usable after {failure:?}: {e}"));
                    acknowledged = Some(2);
                }
            }
            disk.heal();
            let log = disk.log();
            let has_failed = disk.has_failed();
            drop(opened);
            // And after a restart, first for a reader, then for a writer.
            let after = below.copied();
            let store =
                Store::open(Arc::new(after.clone()), Path::new(STORE), options(2000)).unwrap_or_else(|e| panic!("{}: {e}", what(&log)));
            check_before_or_after(&store, acknowledged, &what(&log));
            drop(store.write().unwrap());
            check_before_or_after(&store, acknowledged, &what(&log));
            work(&store, &mut |_| {}).unwrap();
            check_before_or_after(&open(&after, &options(2000)), Some(2), &what(&log));
            if !has_failed {
                assert!(n > 40, "the work has only {n} operations");
                break;
            }
            n += 1;
        }
    }
}

#[test]
fn a_process_that_dies_between_any_two_operations_leaves_before_or_after() {
    let mut n = 0;
    loop {
        let below = memory();
        let disk = FaultyDisk::new(Arc::new(below.clone()));
        // From here on nothing reaches the disk, not even clean-up: as if the process had been killed.
        disk.fail_at(n, Fault::Lasting(EIO));
        let mut acknowledged = None;
        if let Ok(store) = Store::open(Arc::new(disk.clone()), Path::new(STORE), options(2000)) {
            let _ = work(&store, &mut |round| acknowledged = Some(round));
        }
        let what = format!("killed before {n}, {:?}", disk.log().get(usize::try_from(n).unwrap()));
        let store = open(&below.copied(), &options(2000));
        check_before_or_after(&store, acknowledged, &what);
        drop(store.write().unwrap());
        check_before_or_after(&store, acknowledged, &what);
        if !disk.has_failed() {
            break;
        }
        n += 1;
    }
}

/// A disk as a writer left it that died in the middle of a session: with a tail in the open pack, or with a pack that the journal
/// does not know, or without its journal.
fn left_behind(which: usize) -> (MemoryDisk, Blocks) {
    let disk = memory();
    let store = open(&disk, &options(2500));
    let mut blocks = if which == 1 { Blocks::new() } else { put_all(&store, 0..8, 500) };
    let session = store.write().unwrap();
    for n in 10..13 {
        let (cid, data) = painted(n, 500);
        session.put(&cid, &data).unwrap();
        blocks.insert(cid, data);
    }
    let left = disk.copied();
    if which == 2 {
        left.remove(Path::new("/store/meta")).unwrap();
    }
    (left, blocks)
}

#[test]
fn recovery_can_fail_at_any_operation_and_be_done_again() {
    for which in 0..3 {
        for fault in [Fault::Once(ENOSPC), Fault::Lasting(ENOSPC), Fault::Torn(EIO), Fault::LostSync, Fault::Open(24), Fault::Open(EIO)] {
            let mut n = 0;
            loop {
                let (below, blocks) = left_behind(which);
                let options = Options { rebuild_meta: true, ..options(2500) };
                let disk = FaultyDisk::new(Arc::new(below.clone()));
                disk.fail_at(n, fault);
                let what = format!("{fault:?} at {n}, left behind {which}");
                let check = |store: &Store| {
                    check_all(store, &blocks);
                    let entries: Vec<Cid> = store.entries().unwrap().map(|entry| entry.unwrap().cid).collect();
                    assert_eq!((entries.len(), store.stat().unwrap().blocks), (blocks.len(), blocks.len() as u64), "{what}");
                };
                if let Ok(store) = Store::open(Arc::new(disk.clone()), Path::new(STORE), options.clone()) {
                    drop(store.write());
                    disk.heal();
                    // Once more, by the same one.
                    match store.write() {
                        Ok(session) => {
                            drop(session);
                            check(&store);
                        }
                        Err(Error::Poisoned) => {}
                        Err(e) => panic!("{what}: {e}"),
                    }
                }
                disk.heal();
                let store = open(&below.copied(), &options);
                drop(store.write().unwrap());
                check(&store);
                if !disk.has_failed() {
                    break;
                }
                n += 1;
            }
            assert!(n > 2, "{fault:?}, left behind {which}: only {n} operations");
        }
    }
}

#[test]
fn a_reader_whose_refresh_fails_catches_up_at_the_next() {
    let mut n = 0;
    loop {
        let below = memory();
        let writer = open(&below, &options(2500));
        let mut blocks = put_all(&writer, 0..3, 500);
        let disk = FaultyDisk::new(Arc::new(below.clone()));
        let reader = Store::open(Arc::new(disk.clone()), Path::new(STORE), Options { read_only: true, ..options(2500) }).unwrap();
        blocks.extend(put_all(&writer, 3..30, 500));
        // Too many open files, say.
        disk.fail_at(n, Fault::Open(24));
        let _ = reader.refresh();
        let has_failed = disk.has_failed();
        disk.heal();
        check_all(&reader, &blocks);
        assert_eq!(reader.stat().unwrap().packs_missing, []);
        if !has_failed {
            break;
        }
        n += 1;
    }
    assert!(n > 5);
}

#[test]
fn a_journal_put_back_in_place_is_read_anew() {
    let disk = memory();
    let store = open(&disk, &options(1 << 20));
    let first = put_all(&store, 0..3, 100);
    let old = content(&disk, "/store/meta");
    let last = put_all(&store, 3..6, 100);
    set_content(&disk, "/store/meta", &old);
    put_all(&store, 6..9, 100);
    for store in [&store, &open(&disk, &options(1 << 20))] {
        check_all(store, &first);
        check_all(store, &last);
        assert_eq!(store.stat().unwrap().blocks, 9);
    }
}

#[test]
fn a_failed_sync_poisons_the_writer_and_reads_go_on() {
    let below = memory();
    let disk = FaultyDisk::new(Arc::new(below.clone()));
    let store = Store::open(Arc::new(disk.clone()), Path::new(STORE), options(1 << 20)).unwrap();
    let kept = put_all(&store, 0..5, 100);
    let session = store.write().unwrap();
    let (cid, data) = painted(50, 100);
    session.put(&cid, &data).unwrap();
    let syncs = disk.log().iter().filter(|line| line.starts_with("sync ")).count();
    assert!(syncs > 0);
    disk.fail_at(0, Fault::LostSync);
    assert!(matches!(session.flush(), Err(Error::Io { what: "syncing", .. })));
    disk.heal();
    for _ in 0..2 {
        assert!(matches!(session.flush(), Err(Error::Poisoned)));
        assert!(matches!(session.put(&cid, &data), Err(Error::Poisoned)));
        assert!(matches!(store.write(), Err(Error::Poisoned)));
        check_all(&store, &kept);
        assert!(!store.has(&cid).unwrap());
    }
    drop(session);
    let reopened = open(&below, &options(1 << 20));
    check_all(&reopened, &kept);
    put_all(&reopened, 50..51, 100);
    check_all(&reopened, &kept);
    assert_eq!(&*store.block(&cid).unwrap(), data.as_slice(), "the poisoned one reads what others write");
}

#[test]
fn threads_that_share_a_failing_sync_all_learn_of_it() {
    let disk = FaultyDisk::new(Arc::new(memory()));
    let store = Store::open(Arc::new(disk.clone()), Path::new(STORE), options(1 << 20)).unwrap();
    put_all(&store, 0..1, 10);
    let sessions: Vec<_> = (0..8u64).map(|n| (n, store.write().unwrap())).collect();
    for (n, session) in &sessions {
        session.put(&painted(100 + n, 50).0, &painted(100 + n, 50).1).unwrap();
        session.pin(pin(&painted(100 + n, 50).0)).unwrap();
    }
    disk.fail_at(0, Fault::LostSync);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = sessions.into_iter().map(|(_, session)| scope.spawn(move || session.commit())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().all(|result| matches!(result, Err(Error::Io { .. } | Error::Poisoned))), "{results:?}");
    assert_eq!(store.pins().unwrap(), []);
}
