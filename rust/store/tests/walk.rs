//! Walks: order, each block once, bounded work, and what is missing named.
#![expect(clippy::unwrap_used, reason = "tests")]

mod dags;

use dags::{any_plan, bomb, build, chain, damage, new_store, node, operation, put_all, raw, set_pin, walked_plainly};
use proptest::prelude::*;
use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::hash::{Hash, cid_v1};
use shoal_core::limits::DAG_DEPTH_MAX;
use shoal_store::pinning::{self, Kept, PinFilter};
use shoal_store::walk::{RefsOptions, Source, WalkOptions, refs, stat, walk};
use shoal_store::{Block, Error, PinKind, Result, Store};
use std::cell::Cell;
use std::sync::Arc;

/// Counts what is read from a store.
struct Counting<'a> {
    store: &'a Store,
    blocks: Cell<usize>,
    calls: Cell<usize>,
}

impl<'a> Counting<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, blocks: Cell::new(0), calls: Cell::new(0) }
    }
}

impl Source for Counting<'_> {
    fn blocks(&self, cids: &[Cid]) -> Vec<Result<Block>> {
        self.blocks.set(self.blocks.get() + cids.len());
        self.calls.set(self.calls.get() + 1);
        self.store.blocks(cids)
    }

    fn size(&self, cid: &Cid) -> Result<u64> {
        self.store.size(cid)
    }
}

fn order(source: &dyn Source, root: &Cid, options: WalkOptions) -> Result<Vec<Cid>> {
    let mut order = Vec::new();
    walk(source, std::slice::from_ref(root), options, &operation(), &mut |visited| {
        order.push(visited.cid.clone());
        Ok(())
    })?;
    Ok(order)
}

const ALL: WalkOptions = WalkOptions { read_leaves: true, is_exact: false, report_repeats: false, blocks_max: None };

proptest! {
    /// A walk meets the same blocks in the same order as plain recursion does, whether it reads leaves or not,
    /// and reads no block twice.
    #[test]
    fn a_walk_is_what_plain_recursion_would_be(plan in any_plan(60, 50)) {
        let (_disk, store) = new_store();
        let blocks = build(&plan);
        put_all(&store, &blocks);
        let root = &blocks.last().unwrap().0;
        let plain = walked_plainly(&store, root);
        for read_leaves in [false, true] {
            let source = Counting::new(&store);
            prop_assert_eq!(&order(&source, root, WalkOptions { read_leaves, ..ALL }).unwrap(), &plain);
            let read = plain.iter().filter(|cid| read_leaves || cid.codec() != codec::RAW).count();
            prop_assert_eq!(source.blocks.get(), read);
        }
    }

    /// The bytes on every path are those of the root plus those of each link's DAG.
    #[test]
    fn the_size_with_repeats_is_that_of_all_paths(plan in any_plan(7, 50)) {
        fn total(store: &Store, cid: &Cid) -> u64 {
            let block = store.block(cid).unwrap();
            let mut links = Vec::new();
            shoal_core::dag::links(cid.codec(), &block, &mut links).unwrap();
            block.len() as u64 + links.iter().map(|link| total(store, link)).sum::<u64>()
        }
        let (_disk, store) = new_store();
        let blocks = build(&plan);
        put_all(&store, &blocks);
        let root = &blocks.last().unwrap().0;
        let plain = walked_plainly(&store, root);
        let found = stat(&store, root, &operation()).unwrap();
        prop_assert_eq!(found.blocks, plain.len() as u64);
        prop_assert_eq!(found.bytes, plain.iter().map(|cid| store.size(cid).unwrap()).sum::<u64>());
        prop_assert_eq!(found.total_bytes, Some(total(&store, root)));
    }

    /// Links listed are those that a plain recursion over paths lists, whichever options are chosen.
    #[test]
    fn refs_lists_what_plain_recursion_would(plan in any_plan(6, 10), is_unique: bool, depth_max in prop::option::of(0usize..5)) {
        let (_disk, store) = new_store();
        let blocks = build(&plan);
        put_all(&store, &blocks);
        let root = &blocks.last().unwrap().0;
        let options = RefsOptions { is_recursive: true, is_unique, depth_max };
        let found: Vec<(Cid, Cid)> =
            refs(&store, root, options, Arc::default()).map(|link| link.unwrap()).map(|link| (link.parent, link.child)).collect();
        let mut plain = Vec::new();
        plain_refs(&store, root, 1, options, &mut std::collections::BTreeMap::new(), &mut plain);
        prop_assert_eq!(found, plain);
    }
}

/// Kubo's rules, by recursion.
fn plain_refs(
    store: &Store,
    parent: &Cid,
    depth: usize,
    options: RefsOptions,
    seen: &mut std::collections::BTreeMap<Cid, usize>,
    out: &mut Vec<(Cid, Cid)>,
) {
    let mut links = Vec::new();
    shoal_core::dag::links(parent.codec(), &store.block(parent).unwrap(), &mut links).unwrap();
    for child in links {
        if options.depth_max.is_some_and(|max| depth > max) {
            continue;
        }
        let before = seen.get(&child).copied();
        if options.is_unique && before.is_some_and(|before| options.depth_max.is_none() || before <= depth) {
            continue;
        }
        seen.insert(child.clone(), depth);
        if !options.is_unique || before.is_none() {
            out.push((parent.clone(), child.clone()));
        }
        if options.depth_max != Some(depth) {
            plain_refs(store, &child, depth + 1, options, seen, out);
        }
    }
}

#[test]
fn a_dag_of_2_to_the_40_paths_is_walked_in_41_blocks() {
    let (_disk, store) = new_store();
    let blocks = bomb(40);
    put_all(&store, &blocks);
    let root = &blocks[0].0;
    let source = Counting::new(&store);
    assert_eq!(order(&source, root, ALL).unwrap().len(), 41);
    assert_eq!(source.blocks.get(), 41);
    let found = stat(&store, root, &operation()).unwrap();
    assert_eq!((found.blocks, found.links), (41, 80));
    // By hand: the leaf is met on 2^40 paths, each node at level n on 2^n.
    let expected: u64 = blocks.iter().enumerate().map(|(level, (_, data))| (data.len() as u64) << level).sum();
    assert_eq!(found.total_bytes, Some(expected));
    let unique = RefsOptions { is_recursive: true, is_unique: true, depth_max: None };
    assert_eq!(refs(&store, root, unique, Arc::default()).count(), 40);
    // All the paths, until somebody has seen enough.
    let operation = Arc::new(operation());
    let every = RefsOptions { is_unique: false, ..unique };
    let mut endless = refs(&store, root, every, Arc::clone(&operation));
    assert_eq!(endless.by_ref().take(10_000).filter(Result::is_ok).count(), 10_000);
    operation.cancel();
    assert!(matches!(endless.next(), Some(Err(Error::Cancelled))));
    assert!(endless.next().is_none());
}

#[test]
fn a_size_over_2_to_the_64_is_not_a_wrong_number() {
    let (_disk, store) = new_store();
    let blocks = bomb(70);
    put_all(&store, &blocks);
    assert_eq!(stat(&store, &blocks[0].0, &operation()).unwrap().total_bytes, None);
}

#[test]
fn siblings_are_read_together_so_that_they_are_hashed_together() {
    let (_disk, store) = new_store();
    let leaves: Vec<_> = (0..96u8).map(|n| raw(Hash::Sha256, &[n])).collect();
    let root = node(Hash::Sha256, &leaves.iter().map(|leaf| leaf.0.clone()).collect::<Vec<_>>(), b"");
    put_all(&store, &leaves);
    put_all(&store, std::slice::from_ref(&root));
    let source = Counting::new(&store);
    assert_eq!(order(&source, &root.0, ALL).unwrap().len(), 97);
    assert_eq!((source.blocks.get(), source.calls.get()), (97, 4));
}

#[test]
fn leaves_are_not_read_and_yet_known_to_be_there() {
    let (_disk, store) = new_store();
    let leaf = raw(Hash::Sha256, b"leaf");
    let lost = raw(Hash::Sha256, b"lost");
    let whole = node(Hash::Sha256, std::slice::from_ref(&leaf.0), b"");
    let torn = node(Hash::Sha256, &[leaf.0.clone(), lost.0.clone()], b"");
    put_all(&store, &[leaf, whole.clone(), torn.clone()]);
    let source = Counting::new(&store);
    order(&source, &whole.0, WalkOptions::default()).unwrap();
    assert_eq!(source.blocks.get(), 1);
    let Err(Error::InDag { root, parent, source }) = order(&store, &torn.0, WalkOptions::default()) else { panic!() };
    assert_eq!((&root, &parent), (&torn.0, &torn.0));
    assert!(matches!(*source, Error::NotFound { cid } if cid == lost.0));
}

#[test]
fn a_missing_node_is_named_with_its_parent_and_root() {
    let (_disk, store) = new_store();
    let lost = node(Hash::Sha256, &[], b"lost");
    let middle = node(Hash::Sha256, std::slice::from_ref(&lost.0), b"");
    let root = node(Hash::Sha256, std::slice::from_ref(&middle.0), b"");
    put_all(&store, &[middle.clone(), root.clone()]);
    let error = order(&store, &root.0, ALL).unwrap_err();
    let text = error.to_string();
    assert!([&lost.0, &middle.0, &root.0].iter().all(|cid| text.contains(&cid.to_string())), "{text}");
    let Error::InDag { parent, .. } = error else { panic!() };
    assert_eq!(parent, middle.0);
}

#[test]
fn a_damaged_node_is_an_error_and_not_a_leaf() {
    let (disk, store) = new_store();
    let blocks = chain(3);
    put_all(&store, &blocks);
    damage(&disk, &store, &blocks[1].0);
    // Anew: what a disk in memory has mapped does not change any more.
    let store = dags::open(&disk, &shoal_store::Options::default());
    let Err(Error::InDag { source, .. }) = order(&store, &blocks[0].0, ALL) else { panic!() };
    assert!(matches!(*source, Error::Damaged { cid, .. } if cid == blocks[1].0));
}

#[test]
fn a_chain_may_be_as_deep_as_the_limit_and_no_deeper() {
    let (_disk, store) = new_store();
    let blocks = chain(DAG_DEPTH_MAX + 2);
    put_all(&store, &blocks);
    assert_eq!(order(&store, &blocks[1].0, ALL).unwrap().len(), DAG_DEPTH_MAX + 1);
    assert!(matches!(order(&store, &blocks[0].0, ALL), Err(Error::DagTooDeep { .. })));
}

#[test]
fn identity_cids_are_walked_through() {
    let (_disk, store) = new_store();
    let leaf = raw(Hash::Blake3, b"leaf");
    let (inner_cid, _) = {
        let inner = node(Hash::Sha256, std::slice::from_ref(&leaf.0), b"");
        (cid_v1(Hash::Identity, codec::DAG_PB, &inner.1).unwrap(), inner)
    };
    let inline = cid_v1(Hash::Identity, codec::RAW, b"inline").unwrap();
    let root = node(Hash::Sha256, &[inner_cid.clone(), inline.clone()], b"");
    put_all(&store, &[leaf.clone(), root.clone()]);
    assert_eq!(order(&store, &root.0, ALL).unwrap(), [root.0.clone(), inner_cid, leaf.0, inline]);
    assert_eq!(stat(&store, &root.0, &operation()).unwrap().blocks, 4);
}

#[test]
fn a_block_met_as_bytes_first_is_still_entered_as_a_node() {
    let (_disk, store) = new_store();
    let leaf = raw(Hash::Blake3, b"leaf");
    let inner = node(Hash::Sha256, std::slice::from_ref(&leaf.0), b"");
    let as_bytes = cid_v1(Hash::Sha256, codec::RAW, &inner.1).unwrap();
    let root = node(Hash::Sha256, &[as_bytes.clone(), inner.0.clone()], b"");
    put_all(&store, &[leaf.clone(), inner.clone(), root.clone()]);
    assert_eq!(order(&store, &root.0, ALL).unwrap(), [root.0.clone(), as_bytes, inner.0, leaf.0]);
}

#[test]
fn a_block_that_is_no_node_is_an_error() {
    let (_disk, store) = new_store();
    let bad = b"\xff\xff not dag-pb";
    let cid = cid_v1(Hash::Sha256, codec::DAG_PB, bad).unwrap();
    let foreign = cid_v1(Hash::Sha256, 0x78, bad).unwrap();
    put_all(&store, &[(cid.clone(), bad.to_vec())]);
    for cid in [cid, foreign] {
        assert!(matches!(order(&store, &cid, ALL), Err(Error::Dag { .. })), "{cid}");
    }
}

#[test]
fn a_budget_of_blocks_is_kept() {
    let (_disk, store) = new_store();
    let blocks = chain(10);
    put_all(&store, &blocks);
    let within = |blocks_max| order(&store, &blocks[0].0, WalkOptions { blocks_max: Some(blocks_max), ..ALL });
    assert_eq!(within(10).unwrap().len(), 10);
    assert!(matches!(within(9), Err(Error::TooManyBlocks { blocks_max: 9, .. })));
}

fn listed(store: &Store, filter: &PinFilter) -> Vec<(Cid, Kept, Option<String>)> {
    let mut all = Vec::new();
    pinning::list(store, filter, &operation(), &mut |pinned| {
        all.push((pinned.cid, pinned.kind, pinned.name));
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn a_recursive_pin_replaces_a_direct_one_and_not_the_other_way_round() {
    let (_disk, store) = new_store();
    let blocks = chain(3);
    put_all(&store, &blocks);
    let root = &blocks[0].0;
    let add = |kind, name: &str| pinning::add(&store, root, kind, Some(name.to_owned()), &operation());
    add(PinKind::Direct, "one").unwrap();
    add(PinKind::Direct, "two").unwrap();
    assert_eq!(listed(&store, &PinFilter::default()), [(root.clone(), Kept::Direct, Some("two".to_owned()))]);
    add(PinKind::Recursive, "three").unwrap();
    assert!(matches!(add(PinKind::Direct, "four"), Err(Error::AlreadyPinned { .. })));
    let recursive = PinFilter { kind: Some(Kept::Recursive), ..PinFilter::default() };
    assert_eq!(listed(&store, &recursive), [(root.clone(), Kept::Recursive, Some("three".to_owned()))]);
    let all: Vec<_> = listed(&store, &PinFilter::default()).into_iter().map(|(cid, kind, _)| (cid, kind)).collect();
    let indirect = |n: usize| (blocks[n].0.clone(), Kept::Indirect);
    assert_eq!(all, [(root.clone(), Kept::Recursive), indirect(1), indirect(2)]);
    pinning::remove(&store, root).unwrap();
    assert!(matches!(pinning::remove(&store, root), Err(Error::NotPinned { .. })));
    assert!(matches!(pinning::remove(&store, &blocks[1].0), Err(Error::NotPinned { .. })));
}

#[test]
fn nothing_is_pinned_that_is_not_whole() {
    let (_disk, store) = new_store();
    let blocks = chain(3);
    put_all(&store, &blocks[..2]);
    let add = |cid, kind| pinning::add(&store, cid, kind, None, &operation());
    assert!(matches!(add(&blocks[0].0, PinKind::Recursive), Err(Error::InDag { .. })));
    assert!(matches!(add(&blocks[2].0, PinKind::Recursive), Err(Error::NotFound { .. })));
    assert!(matches!(add(&blocks[2].0, PinKind::Direct), Err(Error::NotFound { .. })));
    assert!(store.pins().unwrap().is_empty());
    add(&blocks[0].0, PinKind::Direct).unwrap();
}

#[test]
fn a_name_of_255_bytes_is_the_longest() {
    let (_disk, store) = new_store();
    let blocks = chain(1);
    put_all(&store, &blocks);
    let add = |bytes| pinning::add(&store, &blocks[0].0, PinKind::Recursive, Some("n".repeat(bytes)), &operation());
    add(255).unwrap();
    assert!(matches!(add(256), Err(Error::PinName { bytes: 256 })));
}

#[test]
fn pins_are_filtered_by_name_and_cid() {
    let (_disk, store) = new_store();
    let blocks = chain(3);
    put_all(&store, &blocks);
    pinning::add(&store, &blocks[0].0, PinKind::Recursive, Some("the release of May".to_owned()), &operation()).unwrap();
    pinning::add(&store, &blocks[2].0, PinKind::Direct, None, &operation()).unwrap();
    let named = |name: &str| listed(&store, &PinFilter { name: Some(name.to_owned()), ..PinFilter::default() }).len();
    assert_eq!((named("release"), named("June")), (1, 0));
    let of = |n: usize| listed(&store, &PinFilter { cid: Some(blocks[n].0.clone()), ..PinFilter::default() });
    assert_eq!(of(1), [(blocks[1].0.clone(), Kept::Indirect, None)]);
    assert_eq!(of(2), [(blocks[2].0.clone(), Kept::Direct, None)]);
}

#[test]
fn what_pins_keep_is_known_under_any_codec() {
    let (_disk, store) = new_store();
    let blocks = chain(3);
    let free = raw(Hash::Sha256, b"free");
    put_all(&store, &blocks);
    put_all(&store, std::slice::from_ref(&free));
    set_pin(&store, &blocks[0].0, PinKind::Recursive);
    let as_bytes = cid_v1(Hash::Blake3, codec::RAW, &blocks[2].1).unwrap();
    let found = pinning::pinned_among(&store, &[free.0, as_bytes.clone(), blocks[0].0.clone()], &operation()).unwrap();
    let found: Vec<_> = found.into_iter().map(|pinned| (pinned.cid, pinned.kind, pinned.through)).collect();
    assert_eq!(found, [(blocks[0].0.clone(), Kept::Recursive, None), (as_bytes, Kept::Indirect, Some(blocks[0].0.clone()))]);
}
