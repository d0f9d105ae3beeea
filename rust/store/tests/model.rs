//! A store against a map: whatever is done to it, in whatever order, it answers as a map with transactions would.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use proptest::prelude::*;
use shoal_core::Cid;
use shoal_store::disk::Disk;
use shoal_store::{Error, Options, Pin, PinKind, Session, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use support::small_disk::SmallDisk;
use support::{STORE, memory, options, painted};

/// Blocks are numbered; their length follows from the number.
const BLOCKS: u64 = 24;

fn block(n: u64) -> (Cid, Vec<u8>) {
    painted(n, if n == 0 { 0 } else { [10, 16, 37, 200, 900][(n % 5) as usize] })
}

#[derive(Debug, Clone)]
enum Step {
    Put(u64),
    PutMany(Vec<u64>),
    Delete(Vec<u64>),
    Pin(u64, bool, Option<String>),
    Unpin(u64),
    Flush,
    Commit,
    RollBack,
    /// Moves what lives in a pack to others.
    Retire(usize),
    Reopen,
    /// The process dies; what it had not committed may survive as blocks, but not as pins or deletions.
    Crash,
    /// Indexes, logs and merged indexes are lost.
    LoseCaches,
    /// Somebody else takes all room on the disk but so many bytes.
    FillDisk(u64),
    /// They give it back.
    FreeDisk,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..BLOCKS;
    prop_oneof![
        6 => number.clone().prop_map(Step::Put),
        3 => prop::collection::vec(number.clone(), 0..8).prop_map(Step::PutMany),
        2 => prop::collection::vec(number.clone(), 0..3).prop_map(Step::Delete),
        2 => (number.clone(), any::<bool>(), prop::option::of("[a-zé]{0,9}")).prop_map(|(n, all, name)| Step::Pin(n, all, name)),
        1 => number.prop_map(Step::Unpin),
        1 => Just(Step::Flush),
        4 => Just(Step::Commit),
        1 => Just(Step::RollBack),
        1 => (0..9usize).prop_map(Step::Retire),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::LoseCaches),
        1 => (0..2000u64).prop_map(Step::FillDisk),
        1 => Just(Step::FreeDisk),
    ]
}

#[derive(Clone, Default, Debug)]
struct Model {
    blocks: BTreeSet<u64>,
    pins: BTreeMap<Cid, Pin>,
    /// Put since the last commit, and perhaps deleted again: a crash or a rollback may keep these, since blocks harm nobody.
    put: BTreeSet<u64>,
}

fn check(store: &Store, model: &Model) {
    for n in 0..BLOCKS {
        let (cid, data) = block(n);
        let is_here = model.blocks.contains(&n);
        assert_eq!(store.has(&cid).unwrap(), is_here, "block {n}");
        match store.block(&cid) {
            Ok(block) => assert!(is_here && *block == *data),
            Err(Error::NotFound { .. }) => assert!(!is_here),
            Err(e) => panic!("{e}"),
        }
    }
    assert_eq!(store.pins().unwrap(), model.pins.values().cloned().collect::<Vec<_>>());
    let entries: Vec<_> = store.entries().unwrap().map(Result::unwrap).collect();
    let listed: BTreeSet<Cid> = entries.iter().map(|entry| entry.cid.clone()).collect();
    assert_eq!(listed, model.blocks.iter().map(|n| block(*n).0).collect());
    let stat = store.stat().unwrap();
    // A rollback after a deletion and a seal may leave two copies of a block.
    assert_eq!(stat.blocks, entries.len() as u64);
    assert_eq!(stat.block_bytes, entries.iter().map(|entry| entry.bytes).sum::<u64>());
    assert_eq!((stat.pins, stat.packs_missing), (model.pins.len() as u64, vec![]));
}

fn open(disk: &SmallDisk, options: &Options) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new(STORE), options.clone()).unwrap()
}

/// What a step came to. A full disk is the only excuse for none, and nothing but that: then all is as it was before, or it says so.
fn unless_full<T>(result: Result<T, Error>, is_full: bool) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(Error::Full { .. }) if is_full => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Moves what lives in a pack to others, and gives it up.
fn retire(store: &Store, session: &Session, pack: u32) -> Result<(), Error> {
    session.retire(pack)?;
    for entry in store.pack_entries(pack)? {
        let entry = entry?;
        session.put(&entry.cid, &session.block(&entry.cid)?)?;
    }
    session.flush()
}

fn run(steps: Vec<Step>, pack_bytes_max: u64) {
    let mut disk = SmallDisk::new(memory(), u64::MAX);
    let mut is_full = false;
    let options = options(pack_bytes_max);
    let mut store = open(&disk, &options);
    let mut session: Option<Session> = None;
    let (mut kept, mut now) = (Model::default(), Model::default());
    for step in steps {
        let needs_session = !matches!(step, Step::Reopen | Step::Crash | Step::LoseCaches | Step::FillDisk(_) | Step::FreeDisk);
        if session.is_none() && needs_session {
            session = unless_full(store.write_exclusive(), is_full);
            now = kept.clone();
            if session.is_none() {
                continue;
            }
        }
        match (step, &session) {
            (Step::Put(n), Some(session)) => {
                let (cid, data) = block(n);
                now.put.insert(n);
                match unless_full(session.put(&cid, &data), is_full) {
                    Some(is_new) => assert_eq!(is_new, now.blocks.insert(n)),
                    None => assert!(!now.blocks.contains(&n), "block {n} was here, and needed no room"),
                }
            }
            (Step::PutMany(numbers), Some(session)) => {
                let blocks: Vec<_> = numbers.iter().map(|n| block(*n)).collect();
                now.put.extend(&numbers);
                let count = session.put_many(&blocks.iter().map(|(cid, data)| (cid, data.as_slice())).collect::<Vec<_>>());
                match unless_full(count, is_full) {
                    Some(count) => assert_eq!(count.new_blocks, numbers.iter().filter(|n| now.blocks.insert(**n)).count() as u64),
                    // Those that found room are here.
                    None => now.blocks.extend(numbers.into_iter().filter(|n| session.has(&block(*n).0).unwrap())),
                }
            }
            (Step::Delete(numbers), Some(session)) => {
                let cids: Vec<Cid> = numbers.iter().map(|n| block(*n).0).collect();
                assert_eq!(session.delete(&cids).unwrap(), numbers.iter().filter(|n| now.blocks.remove(n)).count() as u64);
            }
            (Step::Pin(n, is_recursive, name), Some(session)) => {
                let kind = if is_recursive { PinKind::Recursive } else { PinKind::Direct };
                let pin = Pin { cid: block(n).0, kind, name };
                session.pin(pin.clone()).unwrap();
                now.pins.insert(pin.cid.clone(), pin);
            }
            (Step::Unpin(n), Some(session)) => {
                assert_eq!(session.unpin(&block(n).0).unwrap(), now.pins.remove(&block(n).0).is_some());
            }
            (Step::Flush, Some(session)) => {
                // What failed may be tried again.
                if unless_full(session.flush(), is_full).is_some() {
                    now.put.clear();
                    kept = now.clone();
                }
            }
            (Step::Commit, Some(_)) => {
                if unless_full(session.take().unwrap().commit(), is_full).is_some() {
                    now.put.clear();
                    kept = now.clone();
                } else {
                    adopt(&store, &mut kept, &now);
                }
            }
            (Step::RollBack, Some(_)) => {
                drop(session.take());
                // A pack that was sealed on the way is kept.
                adopt(&store, &mut kept, &now);
            }
            (Step::Retire(at), Some(writing)) => {
                // First of all commit, so that the pack's entries are what the model says.
                if unless_full(writing.flush(), is_full).is_some() {
                    now.put.clear();
                    kept = now.clone();
                    let packs = store.packs().unwrap();
                    if let Some(pack) = packs.get(at % packs.len().max(1))
                        && unless_full(retire(&store, writing, pack.pack), is_full).is_none()
                    {
                        // Given up half-way: everything is where it was.
                        drop(session.take());
                        adopt(&store, &mut kept, &now);
                    }
                }
            }
            (Step::Reopen, _) => {
                drop(session.take());
                store = open(&disk, &options);
                adopt(&store, &mut kept, &now);
            }
            (Step::Crash, _) => {
                disk = disk.copied();
                drop(session.take());
                store = open(&disk, &options);
                unless_full(store.write().map(drop), is_full);
                adopt(&store, &mut kept, &now);
            }
            (Step::LoseCaches, _) => {
                for folder in ["/store/packs", "/store/index"].map(Path::new) {
                    for name in disk.list(folder).unwrap().iter().filter(|name| !name.ends_with(".car")) {
                        disk.remove(&folder.join(name)).unwrap();
                    }
                }
                if session.is_none() {
                    store = open(&disk, &options);
                }
            }
            (Step::FillDisk(left), _) => {
                disk.set_left(left);
                is_full = true;
            }
            (Step::FreeDisk, _) => {
                disk.set_left(u64::MAX);
                is_full = false;
            }
            (_, None) => unreachable!(),
        }
        for n in 0..BLOCKS {
            if let Some(session) = &session {
                assert_eq!(session.has(&block(n).0).unwrap(), now.blocks.contains(&n), "block {n} in the session");
            }
        }
        if session.is_none() {
            now = kept.clone();
            check(&store, &kept);
            check(&open(&disk, &options), &kept);
        }
    }
}

/// Blocks that were put and not committed may be there after all.
fn adopt(store: &Store, kept: &mut Model, now: &Model) {
    for &n in &now.put {
        if store.has(&block(n).0).unwrap() {
            kept.blocks.insert(n);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_as_a_map_with_transactions(steps in prop::collection::vec(step(), 1..60), pack in prop::sample::select(vec![1u64, 700, 3000, 1 << 20])) {
        run(steps, pack);
    }
}
