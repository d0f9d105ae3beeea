//! Leases: what was found through one stays, through any number of collections, until it is over.
#![expect(clippy::unwrap_used, reason = "tests")]

mod dags;

use dags::{Block, node, operation, painted, raw, small_packs};
use shoal_core::Cid;
use shoal_core::hash::Hash;
use shoal_store::collect::{CollectOptions, collect, collect_in_steps};
use shoal_store::{Error, PinKind, Store, pinning};

fn leaves() -> Vec<Block> {
    (0..12).map(|n| raw(Hash::Blake3, &painted(n, 700))).collect()
}

fn new_store() -> Store {
    dags::open(&dags::memory(), &small_packs(3000))
}

fn gc(store: &Store) -> u64 {
    collect(store, CollectOptions::default(), &operation()).unwrap().freed_blocks
}

#[test]
fn what_was_found_through_a_lease_stays_until_it_is_over_and_nobody_waits_for_it() {
    let store = new_store();
    let leaves = leaves();
    dags::put_all(&store, &leaves);
    let lease = store.lease().unwrap();
    let wanted: Vec<Cid> = [&leaves[3], &leaves[7]].map(|leaf| leaf.0.clone()).to_vec();
    assert_eq!(lease.has_many(&wanted).unwrap(), [true, true]);
    // The lease is older than the collection, which ends all the same.
    assert_eq!(gc(&store), 10);
    assert_eq!(gc(&store), 0);
    assert_eq!(lease.has_many(&[leaves[0].0.clone()]).unwrap(), [false]);
    assert!(wanted.iter().all(|cid| store.block(cid).is_ok()));
    pinning::add(&store, &wanted[0], PinKind::Direct, None, &operation()).unwrap();
    drop(lease);
    assert_eq!(gc(&store), 1);
    assert!(store.has(&wanted[0]).unwrap() && !store.has(&wanted[1]).unwrap());
}

#[test]
fn what_is_looked_for_while_a_collection_runs_stays_or_is_said_to_be_gone() {
    for moment in 0..40 {
        let store = new_store();
        let leaves = leaves();
        dags::put_all(&store, &leaves);
        let lease = store.lease().unwrap();
        let all: Vec<Cid> = leaves.iter().map(|leaf| leaf.0.clone()).collect();
        let (mut at, mut has) = (0, None);
        collect_in_steps(&store, CollectOptions::default(), &operation(), &mut || {
            at += 1;
            if at == moment {
                has = Some(lease.has_many(&all).unwrap());
            }
        })
        .unwrap();
        gc(&store);
        for (cid, has) in all.iter().zip(has.unwrap_or_default()) {
            assert_eq!(store.block(cid).is_ok(), has, "at {moment}");
        }
    }
}

#[test]
fn a_dag_is_kept_whole_or_what_is_missing_is_named() {
    let store = new_store();
    let leaves = leaves();
    let root = node(Hash::Sha256, &leaves.iter().map(|leaf| leaf.0.clone()).collect::<Vec<_>>(), b"root");
    dags::put_all(&store, &leaves);
    dags::put_all(&store, std::slice::from_ref(&root));
    let lease = store.lease().unwrap();
    assert_eq!(lease.keep(&root.0, &operation()).unwrap(), 13);
    assert_eq!(gc(&store), 0);
    assert_eq!(dags::walked_plainly(&store, &root.0).len(), 13);
    let session = store.write().unwrap();
    session.delete(&[leaves[5].0.clone()]).unwrap();
    session.commit().unwrap();
    assert!(matches!(lease.keep(&root.0, &operation()), Err(Error::InDag { .. })));
}
