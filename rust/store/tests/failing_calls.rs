//! What a store is when a call to its disk fails: any call of any work, once or from then on, in every way a call can fail.
//!
//! The invariants: what was acknowledged is there, for the process that saw the failure and for the next; what was not is there
//! whole or not at all; the error says which kind it is; after a failed sync nothing more is acknowledged, and reads go on; when
//! the disk is well again, so is the store.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod support;

use shoal_store::{Error, Store};
use std::path::Path;
use std::sync::Arc;
use support::expected::Transaction;
use support::failing_disk::{EINTR, EIO, ENOSPC, FailingDisk, Failure};
use support::memory;
use support::scenarios::{Scenario, World, scenario};

const FAILURES: [Failure; 8] = [
    Failure::Once(EIO),
    Failure::Lasting(EIO),
    Failure::Once(ENOSPC),
    Failure::Lasting(ENOSPC),
    Failure::Once(EINTR),
    Failure::Lasting(EINTR),
    Failure::Short,
    Failure::After(EIO),
];

fn is_named(error: &Error, failure: Failure) -> bool {
    match error {
        // The files to adopt are on the same disk.
        Error::Io { .. } | Error::Source { .. } | Error::Poisoned => true,
        Error::Full { .. } => matches!(failure, Failure::Once(ENOSPC) | Failure::Lasting(ENOSPC)),
        _ => false,
    }
}

/// Lets the n-th call of some work fail: whether there was such a call.
fn fail(scenario: &'static Scenario, n: usize, failure: Failure) -> bool {
    let below = memory();
    let disk = FailingDisk::new(Arc::new(below.clone()));
    let world = World::new(scenario, Arc::new(disk.clone()), Box::new(|_| {}));
    world.prepare().unwrap();
    // Open before, so that there is someone to see the failure and go on.
    let witness = (scenario.path == support::STORE).then(|| world.open().unwrap());
    disk.fail_at(n, failure);
    let result = world.run();
    let has_failed = disk.has_failed();
    let what = format!("{}: {failure:?} at call {n}, {:?}: {result:?}", scenario.name, disk.call(n));
    if let Err(error) = &result {
        assert!(is_named(error, failure), "{what}");
    }
    if matches!(failure, Failure::Once(EINTR) | Failure::Short) && ["read", "write"].iter().any(|call| disk.call(n).starts_with(call)) {
        assert!(result.is_ok(), "{what}: not an error");
    }
    disk.heal();
    let expected = world.expected();
    let has_journal = !(scenario.options)().rebuild_meta;
    if let Some(witness) = witness.filter(|_| has_journal) {
        expected.check(&witness).unwrap_or_else(|wrong| panic!("{what}: {wrong}, for a reader beside it"));
    }
    // What a process that starts now finds, if this one has died.
    let after = below.copied();
    let open = || Store::open(Arc::new(after.clone()), Path::new(scenario.path), (scenario.options)());
    expected.check_all(&open, has_journal, n.is_multiple_of(8)).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
    // And if it lives, and tries the same again.
    match world.open() {
        Ok(store) => {
            drop(store.write().unwrap_or_else(|e| panic!("{what}: not usable again: {e:?}")));
            expected.check(&store).unwrap_or_else(|wrong| panic!("{what}: {wrong}, opened again"));
        }
        Err(e) => panic!("{what}: not opened again: {e:?}"),
    }
    has_failed
}

fn fail_everywhere(name: &str) {
    let scenario = scenario(name);
    let mut total = 0;
    for failure in FAILURES {
        let mut n = 0;
        while fail(scenario, n, failure) {
            n += 1;
        }
        assert!(n > 10, "{name}: only {n} calls");
        total += n;
    }
    println!("{name}: {total} failing calls");
}

macro_rules! work {
    ($($test:ident: $name:literal;)+) => { $(#[test] fn $test() { fail_everywhere($name); })+ };
}

work! {
    any_call_fails_while_a_store_is_made: "make a store";
    any_call_fails_while_adding: "add";
    any_call_fails_while_commits_are_shared: "group commit";
    any_call_fails_while_packs_are_sealed: "seal";
    any_call_fails_while_indexes_are_merged: "merge indexes";
    any_call_fails_while_pins_come_and_go: "pins";
    any_call_fails_while_sessions_are_given_up: "roll back";
    any_call_fails_while_collecting: "collect";
    any_call_fails_while_others_add_beside_a_collection: "collect beside adds";
    any_call_fails_while_files_are_added: "add files";
    any_call_fails_while_live_data_moves: "move live data";
    any_call_fails_while_archives_are_imported: "import archives";
    any_call_fails_while_archives_are_adopted: "adopt archives";
    any_call_fails_while_blobs_come_and_go: "blobs";
    any_call_fails_while_files_are_referenced_and_forgotten: "references";
    any_call_fails_while_the_journal_is_rewritten: "compact the journal";
    any_call_fails_while_a_lost_journal_is_made_again: "rebuild the journal";
}

/// A store in the current folder has no parent in its path, and its name was not synced at all.
#[test]
fn the_folder_of_a_store_with_a_relative_path_is_synced_too() {
    let below = memory();
    shoal_store::disk::Disk::create_dir(&below, Path::new(".")).unwrap();
    let disk = FailingDisk::new(Arc::new(below));
    drop(Store::open(Arc::new(disk.clone()), Path::new("store"), support::options(1000)).unwrap());
    assert!((0..100).any(|n| disk.call(n) == "sync_dir ."));
}

/// A write that was interrupted was tried again without end: the process hung on a disk (over a network, say) that only ever says so.
#[test]
fn a_call_that_is_interrupted_for_ever_ends_in_an_error() {
    let disk = FailingDisk::new(Arc::new(memory()));
    let store = Store::open(Arc::new(disk.clone()), Path::new(support::STORE), support::options(1000)).unwrap();
    disk.fail_at(0, Failure::Lasting(EINTR));
    let failed = Transaction { puts: vec![1], ..Transaction::default() }.run(&store);
    assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
}

/// A rename of the new journal that said it failed, and had happened, left the writer appending to the old one, which no name led to:
/// commits were acknowledged and gone with the process.
#[test]
fn a_journal_that_may_have_been_replaced_is_written_to_no_more() {
    let options = shoal_store::Options { journal_bytes_min: 1000, ..support::options(1 << 20) };
    let work = |n: u64| Transaction { puts: vec![n], pins: vec![n], ..Transaction::default() };
    let run = |at: usize| {
        let below = memory();
        let disk = FailingDisk::new(Arc::new(below.clone()));
        let store = Store::open(Arc::new(disk.clone()), Path::new(support::STORE), options.clone()).unwrap();
        disk.fail_at(at, Failure::After(EIO));
        let unpin = |n: u64| Transaction { unpins: vec![n], ..Transaction::default() }.run(&store);
        let done = (0..40).take_while(|n| work(*n).run(&store).and_then(|()| unpin(*n)).is_ok()).count() as u64;
        (disk, below, done)
    };
    let (disk, ..) = run(usize::MAX);
    let rename = (0..10_000).find(|n| disk.call(*n).ends_with("/store/meta") && disk.call(*n).starts_with("rename")).unwrap();
    let (_, below, done) = run(rename);
    assert!(done < 40);
    let after = Store::open(Arc::new(below), Path::new(support::STORE), options).unwrap();
    (0..done).for_each(|n| assert!(after.block(&support::expected::block(n).0).is_ok(), "block {n} of {done}"));
}

/// A disk that syncs badly once is not trusted again by the process that saw it, whatever it says later.
#[test]
fn after_any_failed_sync_nothing_is_acknowledged_until_the_store_is_opened_anew() {
    for which in 0.. {
        let below = memory();
        let disk = FailingDisk::new(Arc::new(below.clone()));
        let world = World::new(scenario("seal"), Arc::new(disk.clone()), Box::new(|_| {}));
        world.prepare().unwrap();
        let store = world.open().unwrap();
        let work = |n: u64| Transaction { puts: (4 * n..4 * n + 4).collect(), pins: vec![4 * n], ..Transaction::default() };
        // Finds the which-th sync, and fails it.
        disk.fail_at(usize::MAX, Failure::Once(EIO));
        (0..6).for_each(|n| work(n).run(&store).unwrap());
        let Some(at) = (0..).take_while(|at| !disk.call(*at).is_empty()).filter(|at| disk.call(*at).starts_with("sync")).nth(which) else {
            assert!(which > 12, "only {which} syncs");
            break;
        };
        let sync = disk.call(at);
        // An index is not waited for: it can be made again.
        if sync.ends_with(".new") {
            continue;
        }
        let below = memory();
        let disk = FailingDisk::new(Arc::new(below.clone()));
        let world = World::new(scenario("seal"), Arc::new(disk.clone()), Box::new(|_| {}));
        world.prepare().unwrap();
        let store = world.open().unwrap();
        disk.fail_at(at, Failure::Once(EIO));
        let acknowledged = (0..6).take_while(|n| work(*n).run(&store).is_ok()).count() as u64;
        assert!(acknowledged < 6, "{sync}");
        disk.heal();
        for _ in 0..3 {
            assert!(matches!(work(5).run(&store), Err(Error::Poisoned)), "{sync}");
        }
        (0..acknowledged).flat_map(|n| work(n).puts).for_each(|n| {
            let one = support::expected::block(n);
            assert_eq!(&*store.block(&one.0).unwrap(), one.1.as_slice(), "{sync}: reads go on");
        });
        work(5).run(&world.open().unwrap()).unwrap_or_else(|e| panic!("{sync}: opened anew: {e:?}"));
    }
}
