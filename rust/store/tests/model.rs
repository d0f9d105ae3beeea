//! A store against a map: whatever is done to it, in whatever order, it answers as a map with transactions would.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use proptest::prelude::*;
use shoal_core::Cid;
use shoal_store::disk::Disk;
use shoal_store::{Error, Pin, PinKind, Session, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use support::{memory, open, options, painted};

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

fn run(steps: Vec<Step>, pack_bytes_max: u64) {
    let mut disk = memory();
    let options = options(pack_bytes_max);
    let mut store = open(&disk, &options);
    let mut session: Option<Session> = None;
    let (mut kept, mut now) = (Model::default(), Model::default());
    for step in steps {
        if session.is_none() && !matches!(step, Step::Reopen | Step::Crash | Step::LoseCaches) {
            session = Some(store.write_exclusive().unwrap());
            now = kept.clone();
        }
        match (step, &session) {
            (Step::Put(n), Some(session)) => {
                let (cid, data) = block(n);
                assert_eq!(session.put(&cid, &data).unwrap(), now.blocks.insert(n));
                now.put.insert(n);
            }
            (Step::PutMany(numbers), Some(session)) => {
                let blocks: Vec<_> = numbers.iter().map(|n| block(*n)).collect();
                now.put.extend(&numbers);
                let count = session.put_many(&blocks.iter().map(|(cid, data)| (cid, data.as_slice())).collect::<Vec<_>>()).unwrap();
                assert_eq!(count.new_blocks, numbers.iter().filter(|n| now.blocks.insert(**n)).count() as u64);
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
                session.flush().unwrap();
                now.put.clear();
                kept = now.clone();
            }
            (Step::Commit, Some(_)) => {
                session.take().unwrap().commit().unwrap();
                now.put.clear();
                kept = now.clone();
            }
            (Step::RollBack, Some(_)) => {
                drop(session.take());
                // A pack that was sealed on the way is kept.
                adopt(&store, &mut kept, &now);
            }
            (Step::Retire(at), Some(session)) => {
                // First of all commit, so that the pack's entries are what the model says.
                session.flush().unwrap();
                now.put.clear();
                kept = now.clone();
                let packs = store.packs().unwrap();
                if let Some(pack) = packs.get(at % packs.len().max(1)) {
                    session.retire(pack.pack).unwrap();
                    for entry in store.pack_entries(pack.pack).unwrap() {
                        let entry = entry.unwrap();
                        session.put(&entry.cid, &session.block(&entry.cid).unwrap()).unwrap();
                    }
                    session.flush().unwrap();
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
                drop(store.write().unwrap());
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
