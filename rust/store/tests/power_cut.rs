//! What a store is after the power was cut: at any moment of any work, with any part of what was not synced lost.
//!
//! The invariants, for every state: what was acknowledged reads back and verifies, and so does the DAG under each pin; a
//! transaction that was cut short is there whole or not at all; nothing that fails its hash is returned; the store recovers, takes
//! new work and is sound after it.
//!
//! `SHOAL_CRASH_STATES=1000000` visits so many states instead of some 170,000; `SHOAL_CRASH_SEED=n` others. A state that fails is
//! named; `SHOAL_CRASH_REPLAY=name` checks it alone and leaves its files in a folder.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

mod support;

use shoal_store::Store;
use shoal_store::memory_disk::MemoryDisk;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use support::dice::Dice;
use support::expected::{Expected, Transaction};
use support::power_disk::{PowerDisk, Replay, State};
use support::scenarios::{SCENARIOS, Scenario, World, scenario};

/// What disks write whole: 512 bytes at the least, 4096 on newer ones.
const SECTORS: [usize; 2] = [512, 4096];
/// States of an ordinary run, and some more: it visits about 170,000. Each kind of work has 70 to 350 moments.
const STATES: u64 = 100_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// How much is tried, and what came of it.
struct Search {
    seed: u64,
    /// Ways of losing power tried at one moment, at most.
    choices: usize,
    replay: Option<String>,
    visited: u64,
    distinct: HashSet<[u8; 32]>,
    moments: u64,
}

impl Search {
    fn new(choices: usize) -> Self {
        let seed = number("SHOAL_CRASH_SEED").unwrap_or(1);
        let more = usize::try_from(number("SHOAL_CRASH_STATES").unwrap_or(STATES).div_ceil(STATES)).unwrap();
        let replay = std::env::var("SHOAL_CRASH_REPLAY").ok();
        Self { seed, choices: choices * more, replay, visited: 0, distinct: HashSet::new(), moments: 0 }
    }

    /// Checks a state, unless an equal one with equal expectations was checked already.
    fn visit(&mut self, name: &str, scenario: &Scenario, state: &State, expected: &Expected, history: &[u8]) {
        if self.replay.as_ref().is_some_and(|replay| replay != name) {
            return;
        }
        self.visited += 1;
        let digest = blake3::hash(&[&state.digest()[..], history].concat());
        if !self.distinct.insert(*digest.as_bytes()) && self.replay.is_none() {
            return;
        }
        let disk = state.disk();
        if self.replay.is_some() {
            let folder = tempfile::Builder::new().prefix("shoal-after-power-cut").tempdir().unwrap().keep();
            state.save(&folder);
            println!("{name}: its files are in {}", folder.display());
        }
        let is_thorough = digest.as_bytes()[0].is_multiple_of(8) || self.replay.is_some();
        if let Err(wrong) = expected.check_all(&|| open(scenario, &disk), !(scenario.options)().rebuild_meta, is_thorough) {
            panic!("{wrong}\n  SHOAL_CRASH_SEED={} SHOAL_CRASH_REPLAY='{name}' says more", self.seed);
        }
    }

    /// Every state that a cut may leave right now.
    fn visit_all(&mut self, name: &str, scenario: &Scenario, replay: &mut Replay, expected: &Expected, history: &[u8]) -> Vec<State> {
        self.moments += 1;
        let choices = replay.choices(self.choices);
        let states: Vec<State> = (0..choices).map(|choice| replay.state(choice, self.choices, self.seed)).collect();
        for (choice, state) in states.iter().enumerate() {
            self.visit(&format!("{name} / {} / {choice}", replay.at()), scenario, state, expected, history);
        }
        states
    }

    fn report(&self, what: &str) {
        let distinct = self.distinct.len();
        let (visited, moments, seed) = (self.visited, self.moments, self.seed);
        println!("{what}: {visited} states at {moments} moments, {distinct} of them distinct; seed {seed}");
    }
}

fn open(scenario: &Scenario, disk: &MemoryDisk) -> Result<Store, shoal_store::Error> {
    Store::open(Arc::new(disk.clone()), Path::new(scenario.path), (scenario.options)())
}

const STARTED: usize = usize::MAX;

/// Does the work on a disk that remembers: the disk, and what was done.
fn perform(scenario: &'static Scenario) -> (PowerDisk, Vec<Transaction>) {
    let disk = PowerDisk::new();
    let marked = disk.clone();
    let world = World::new(scenario, Arc::new(disk.clone()), Box::new(move |mark| marked.mark(mark)));
    world.prepare().unwrap();
    disk.mark(STARTED);
    world.run().unwrap();
    (disk, world.transactions())
}

/// Goes through the moments of some work; `each` is told what the store must hold at that moment.
fn each_moment(
    (disk, transactions): &(PowerDisk, Vec<Transaction>),
    sector_bytes: usize,
    each: &mut dyn FnMut(&mut Replay, &Expected, &[u8]),
) {
    let mut replay = disk.replay(sector_bytes);
    let (mut expected, mut history, mut is_started) = (Expected::default(), Vec::new(), false);
    while let Some(mark) = replay.step() {
        match mark {
            Some(STARTED) => is_started = true,
            Some(mark) => {
                history.extend_from_slice(&mark.to_le_bytes());
                if mark % 2 == 0 {
                    expected.begin(mark / 2, &transactions[mark / 2]);
                } else {
                    expected.acknowledge(mark / 2);
                }
            }
            None => {}
        }
        if is_started {
            each(&mut replay, &expected, &history);
        }
    }
}

fn cut_everywhere(name: &str, choices: usize) {
    let scenario = scenario(name);
    let performed = perform(scenario);
    let mut search = Search::new(choices);
    for sector in SECTORS {
        each_moment(&performed, sector, &mut |replay, expected, history| {
            search.visit_all(&format!("{name} / {sector}"), scenario, replay, expected, history);
        });
    }
    search.report(name);
}

macro_rules! work {
    ($($test:ident: $name:literal, $choices:literal;)+) => {
        $(#[test] fn $test() { cut_everywhere($name, $choices); })+

        #[test]
        fn every_scenario_has_its_test() {
            let mut tested = vec![$($name),+];
            let mut all: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            tested.sort_unstable();
            all.sort_unstable();
            assert_eq!(tested, all);
        }
    };
}

work! {
    a_cut_while_a_store_is_made: "make a store", 480;
    a_cut_while_adding: "add", 480;
    a_cut_while_commits_are_shared: "group commit", 480;
    a_cut_while_packs_are_sealed: "seal", 480;
    a_cut_while_indexes_are_merged: "merge indexes", 36;
    a_cut_while_pins_come_and_go: "pins", 480;
    a_cut_while_sessions_are_given_up: "roll back", 480;
    a_cut_while_collecting: "collect", 480;
    a_cut_while_others_add_beside_a_collection: "collect beside adds", 480;
    a_cut_while_files_are_added: "add files", 480;
    a_cut_while_live_data_moves: "move live data", 480;
    a_cut_while_archives_are_imported: "import archives", 480;
    a_cut_while_archives_are_adopted: "adopt archives", 480;
    a_cut_while_blobs_come_and_go: "blobs", 480;
    a_cut_while_files_are_referenced_and_forgotten: "references", 480;
    a_cut_while_the_journal_is_rewritten: "compact the journal", 480;
    a_cut_while_a_lost_journal_is_made_again: "rebuild the journal", 480;
}

#[test]
fn a_second_cut_while_recovering_from_the_first() {
    let mut search = Search::new(36);
    for scenario in SCENARIOS {
        let performed = perform(scenario);
        let mut known = HashSet::new();
        each_moment(&performed, 512, &mut |replay, expected, history| {
            let most = 40;
            let mut dice = Dice::new(&[search.seed, replay.at() as u64]);
            // One of the states at each moment, and not the trivial ones.
            let choice = dice.below(replay.choices(most));
            let first = replay.state(choice, most, search.seed);
            if !known.insert(first.digest()) {
                return;
            }
            let name = format!("{} / 512 / {} / {choice}", scenario.name, replay.at());
            let disk = PowerDisk::after(&first);
            let store = Store::open(Arc::new(disk.clone()), Path::new(scenario.path), (scenario.options)()).unwrap();
            drop(store.write().unwrap());
            let mut recovery = disk.replay(512);
            while recovery.step().is_some() {
                search.visit_all(&name, scenario, &mut recovery, expected, history);
            }
        });
    }
    search.report("cut while recovering");
}

/// Found as `add / 512 / 21 / 6`: of three blocks that nobody had committed, the middle one had not reached the disk. The pack was
/// kept with a hole in it, sealed, and called damaged by `verify` for ever.
#[test]
fn a_pack_torn_before_its_first_commit_is_a_whole_car_after_recovery() {
    let disk = support::memory();
    let store = support::open(&disk, &support::options(1 << 20));
    let session = store.write().unwrap();
    let blocks: Vec<_> = (0..4).map(|n| support::painted(n, 600)).collect();
    blocks.iter().for_each(|(cid, data)| assert!(session.put(cid, data).unwrap()));
    let torn = disk.copied();
    let path = "/store/packs/00000000.car";
    let mut bytes = support::content(&torn, path);
    let whole = bytes.len();
    bytes[26 + 638 + 100..26 + 638 + 600].fill(0);
    support::set_content(&torn, path, &bytes);
    let store = support::open(&torn, &support::options(1 << 20));
    drop(store.write().unwrap());
    let report = store.recovery().unwrap();
    assert_eq!((report.blocks_kept, report.bytes_cut, report.bytes_skipped), (3, 638, 0));
    assert_eq!(support::content(&torn, path).len(), whole - 638);
    assert!(!store.packs().unwrap()[0].is_sealed);
    for store in [&store, &support::open(&torn, &support::options(1 << 20))] {
        assert!(shoal_store::verify::verify(store, &shoal_store::Operation::default()).unwrap().is_sound());
        let kept: Vec<bool> = blocks.iter().map(|(cid, data)| store.block(cid).is_ok_and(|block| *block == **data)).collect();
        assert_eq!(kept, [true, false, true, true]);
    }
}

/// The same hole in a pack that the lost journal may have committed is damage: it stays, for whoever can repair it.
#[test]
fn a_hole_in_a_pack_of_a_lost_journal_is_kept_as_damage() {
    for is_adopted_at_once in [true, false] {
        let disk = support::memory();
        let blocks = support::put_all(&support::open(&disk, &support::options(1 << 20)), 0..4, 600);
        let path = "/store/packs/00000000.car";
        let mut bytes = support::content(&disk, path);
        bytes[26 + 638 + 100..26 + 638 + 600].fill(0);
        support::set_content(&disk, path, &bytes);
        shoal_store::disk::Disk::remove(&disk, Path::new("/store/meta")).unwrap();
        let rebuilding = shoal_store::Options { rebuild_meta: true, ..support::options(1 << 20) };
        let store = support::open(&disk, &rebuilding);
        // Or by a process that knows nothing of the rebuilding.
        let store = if is_adopted_at_once { store } else { support::open(&disk, &support::options(1 << 20)) };
        drop(store.write().unwrap());
        assert!(support::content(&disk, path) == bytes, "not a byte was changed");
        assert_eq!(blocks.keys().filter(|cid| store.block(cid).is_ok()).count(), 3);
        assert!(!shoal_store::verify::verify(&store, &shoal_store::Operation::default()).unwrap().is_sound());
    }
}

/// The folders above a store were made with it and their names not synced, except for the last one: a cut lost the whole store.
#[test]
fn the_folders_above_a_new_store_last_when_its_first_commit_does() {
    let (disk, _) = perform(scenario("make a store"));
    let mut replay = disk.replay(512);
    while replay.step().is_some() {}
    replay.choices(480);
    // Nothing is kept that was not synced.
    let after = replay.state(0, 480, 1).disk();
    assert_eq!(open(scenario("make a store"), &after).unwrap().pins().unwrap().len(), 1);
}
