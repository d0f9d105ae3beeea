//! A collection beside others: between any two of its steps anybody may begin to write, look, put, link, pin, unpin, commit or give up.
//!
//! The invariant, at every moment and at the end: what a pin keeps can be read and verified whole. And the next collection, with
//! nobody beside it, leaves nothing but that. `SHOAL_INTERLEAVINGS=n` tries n seeds instead of 1,000; a seed that fails is named.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, reason = "tests")]

mod dags;
#[path = "support/dice.rs"]
mod dice;

use dags::{node, operation, painted, raw, set_pin, small_packs, walked_plainly};
use dice::Dice;
use shoal_core::Cid;
use shoal_core::hash::Hash;
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use shoal_store::collect::{CollectOptions, collect, collect_in_steps};
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::verify::verify;
use shoal_store::{Error, Operation, Pin, PinKind, Session, Store, pinning};
use std::collections::BTreeSet;

const LEAVES: usize = 40;
/// From so many moments of one collection on, nobody begins anything new, so that it ends.
const MOMENTS_MAX: u32 = 400;

fn leaf(n: usize) -> dags::Block {
    raw(if n.is_multiple_of(2) { Hash::Sha256 } else { Hash::Blake3 }, &painted(n as u64, 200 + n * 37 % 900))
}

/// Someone who writes: what they were told is here, and the roots that they will have pinned.
struct Writer {
    session: Session,
    relies_on: Vec<Cid>,
    pins: Vec<Cid>,
}

struct World<'a> {
    store: &'a Store,
    dice: Dice,
    writers: Vec<Writer>,
    /// Roots that are pinned, acknowledged.
    pinned: BTreeSet<Cid>,
    /// Roots that were made at some time.
    roots: Vec<Cid>,
    moments: u32,
    done: u32,
}

impl World<'_> {
    fn check(&self) {
        for root in &self.pinned {
            if self.store.blob_bytes(root).unwrap().is_none() {
                walked_plainly(self.store, root);
            }
        }
    }

    fn begin(&mut self) {
        if self.writers.len() < 3 {
            self.writers.push(Writer { session: self.store.write().unwrap(), relies_on: vec![], pins: vec![] });
        }
    }

    fn look_or_put(&mut self, at: usize) {
        let leaves: Vec<dags::Block> = (0..1 + self.dice.below(4)).map(|_| leaf(self.dice.below(LEAVES))).collect();
        let is_put = self.dice.below(3) > 0;
        let writer = &mut self.writers[at];
        if is_put {
            let all: Vec<(&Cid, &[u8])> = leaves.iter().map(|(cid, data)| (cid, data.as_slice())).collect();
            writer.session.put_many(&all).unwrap();
            writer.relies_on.extend(leaves.into_iter().map(|(cid, _)| cid));
        } else {
            let cids: Vec<Cid> = leaves.into_iter().map(|(cid, _)| cid).collect();
            let has = writer.session.has_many(&cids).unwrap();
            writer.relies_on.extend(cids.into_iter().zip(has).filter(|(_, has)| *has).map(|(cid, _)| cid));
        }
    }

    fn link(&mut self, at: usize) {
        let writer = &mut self.writers[at];
        let (cid, data) = node(Hash::Blake3, &writer.relies_on, &self.dice.next().to_le_bytes());
        writer.session.put(&cid, &data).unwrap();
        writer.session.pin(Pin { cid: cid.clone(), kind: PinKind::Recursive, name: None }).unwrap();
        writer.relies_on.push(cid.clone());
        writer.pins.push(cid);
    }

    fn end(&mut self, at: usize, is_commit: bool) {
        let writer = self.writers.swap_remove(at);
        if is_commit {
            writer.session.commit().unwrap();
            self.roots.extend(writer.pins.iter().cloned());
            self.pinned.extend(writer.pins);
        }
    }

    fn pin_again(&mut self) {
        if self.roots.is_empty() {
            return;
        }
        let root = self.roots[self.dice.below(self.roots.len())].clone();
        match pinning::add(self.store, &root, PinKind::Recursive, None, &operation()) {
            Ok(()) => {
                self.pinned.insert(root);
            }
            Err(Error::NotFound { .. } | Error::InDag { .. }) => assert!(!self.pinned.contains(&root)),
            Err(error) => panic!("{error}"),
        }
    }

    fn unpin(&mut self) {
        if let Some(root) = self.pinned.iter().nth(self.dice.below(self.pinned.len().max(1))).cloned() {
            pinning::remove(self.store, &root).unwrap();
            self.pinned.remove(&root);
        }
    }

    fn add_blob(&mut self) {
        let data = painted(7000 + self.dice.below(3) as u64, 40_000);
        let profile = Profile { layout: Layout::Blob, ..Profile::blake3() };
        let options = AddOptions { profile, threads: 1, ..AddOptions::default() };
        let mut input = data.as_slice();
        let report = add_stream(self.store, &mut input, "blob".into(), &options, &Operation::new(), &mut |_| Ok(())).unwrap();
        let root = report.roots[0].cid.clone();
        self.roots.push(root.clone());
        self.pinned.insert(root);
    }

    fn act(&mut self) {
        self.done += 1;
        let some = self.dice.below(self.writers.len().max(1));
        let is_there = !self.writers.is_empty();
        match self.dice.below(40) {
            0..=6 => self.begin(),
            7..=20 if is_there => self.look_or_put(some),
            21..=27 if is_there => self.link(some),
            28..=32 if is_there => self.end(some, true),
            33 if is_there => self.end(some, false),
            34 | 35 => self.unpin(),
            36..=38 => self.pin_again(),
            39 if self.dice.below(4) == 0 => self.add_blob(),
            _ => {}
        }
    }

    /// Between two steps of the collection.
    fn moment(&mut self) {
        self.moments += 1;
        if self.moments > MOMENTS_MAX {
            while !self.writers.is_empty() {
                self.end(0, true);
            }
            return;
        }
        for _ in 0..self.dice.below(4) {
            self.act();
        }
        if self.dice.below(16) == 0 {
            self.check();
        }
    }
}

/// One history: how much was done beside the collections, and how many blocks they freed.
fn run(seed: u64) -> (u32, u64) {
    let disk = dags::memory();
    let store = dags::open(&disk, &small_packs(6000));
    let mut world =
        World { store: &store, dice: Dice::new(&[seed]), writers: vec![], pinned: BTreeSet::new(), roots: vec![], moments: 0, done: 0 };
    let mut freed = 0;
    for _ in 0..3 {
        // Before it begins, some write already.
        for _ in 0..40 {
            world.act();
        }
        world.moments = 0;
        // Moves live data often.
        let options = CollectOptions { dead_percent_max: 10, ..CollectOptions::default() };
        freed += collect_in_steps(&store, options, &operation(), &mut || world.moment()).unwrap().freed_blocks;
        world.check();
    }
    while !world.writers.is_empty() {
        world.end(0, true);
    }
    world.check();
    let (done, pinned) = (world.done, std::mem::take(&mut world.pinned));
    drop(world);
    freed += collect(&store, CollectOptions::default(), &operation()).unwrap().freed_blocks;
    let fresh = dags::open(&disk, &small_packs(6000));
    let kept: BTreeSet<Cid> =
        pinned.iter().filter(|root| fresh.blob_bytes(root).unwrap().is_none()).flat_map(|root| walked_plainly(&fresh, root)).collect();
    let there: BTreeSet<Cid> = fresh.entries().unwrap().map(|entry| entry.unwrap().cid).collect();
    assert_eq!(there, kept);
    let blobs = pinned.iter().filter(|root| fresh.blob_bytes(root).unwrap().is_some()).count();
    assert_eq!(fresh.blobs().unwrap().len(), blobs);
    assert!(verify(&fresh, &operation()).unwrap().is_sound());
    (done, freed)
}

#[test]
fn whatever_is_done_beside_a_collection_no_block_is_lost_that_a_pin_keeps() {
    let seeds = std::env::var("SHOAL_INTERLEAVINGS").map_or(1000, |text| text.parse().unwrap());
    let (mut done, mut freed) = (0u64, 0);
    for seed in 0..seeds {
        let (did, freed_blocks) = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|_| panic!("seed {seed}"));
        done += u64::from(did);
        freed += freed_blocks;
    }
    println!("{seeds} seeds: {done} acts beside 3 collections each, {freed} blocks freed, none lost");
    assert!(freed > seeds * 5, "{freed}");
}

#[test]
fn a_collection_waits_for_those_who_began_before_and_not_for_those_who_begin_later() {
    let disk = dags::memory();
    let store = dags::open(&disk, &small_packs(6000));
    let blocks: Vec<dags::Block> = (0..6).map(leaf).collect();
    dags::put_all(&store, &blocks);
    let mut earlier = Some(store.write().unwrap());
    // Found here, and noted by nobody: no collection runs.
    assert!(earlier.as_ref().unwrap().has(&blocks[0].0).unwrap());
    let mut later = None;
    let mut waited = 0;
    collect_in_steps(&store, CollectOptions::default(), &operation(), &mut || {
        waited += 1;
        if waited == 1 {
            let session = store.write().unwrap();
            assert!(session.has(&blocks[1].0).unwrap());
            later = Some(session);
        }
        if waited == 3
            && let Some(session) = earlier.take()
        {
            session.pin(Pin { cid: blocks[0].0.clone(), kind: PinKind::Direct, name: None }).unwrap();
            session.commit().unwrap();
        }
    })
    .unwrap();
    assert!(waited > 3 && later.is_some());
    let here: Vec<bool> = blocks.iter().map(|(cid, _)| store.has(cid).unwrap()).collect();
    assert_eq!(here, [true, true, false, false, false, false]);
    drop(later);
    collect(&store, CollectOptions::default(), &operation()).unwrap();
    assert!(store.has(&blocks[0].0).unwrap() && !store.has(&blocks[1].0).unwrap());
}

#[test]
fn a_collection_that_waits_can_be_cancelled() {
    let disk = dags::memory();
    let store = dags::open(&disk, &small_packs(6000));
    dags::put_all(&store, &[leaf(1)]);
    let _earlier = store.write().unwrap();
    let stopped = operation();
    let ended = collect_in_steps(&store, CollectOptions::default(), &stopped, &mut || stopped.cancel());
    assert!(matches!(ended, Err(Error::Cancelled)));
    assert!(store.has(&leaf(1).0).unwrap());
}

#[test]
fn a_pin_set_on_what_is_being_collected_keeps_it_or_says_what_is_missing() {
    for moment in 0..60 {
        let disk = dags::memory();
        let store = dags::open(&disk, &small_packs(3000));
        let leaves: Vec<dags::Block> = (0..12).map(leaf).collect();
        let root = node(Hash::Sha256, &leaves.iter().map(|leaf| leaf.0.clone()).collect::<Vec<_>>(), b"root");
        dags::put_all(&store, &leaves);
        dags::put_all(&store, std::slice::from_ref(&root));
        let other = leaf(30);
        dags::put_all(&store, std::slice::from_ref(&other));
        set_pin(&store, &other.0, PinKind::Direct);
        let (mut at, mut pinned) = (0, None);
        collect_in_steps(&store, CollectOptions::default(), &operation(), &mut || {
            at += 1;
            if at == moment {
                pinned = Some(pinning::add(&store, &root.0, PinKind::Recursive, None, &operation()).is_ok());
            }
        })
        .unwrap();
        match pinned {
            Some(true) => assert_eq!(walked_plainly(&store, &root.0).len(), 13),
            Some(false) => assert!(store.pin(&root.0).unwrap().is_none()),
            None => assert!(moment == 0 || at < moment),
        }
        assert!(store.has(&other.0).unwrap());
    }
}
