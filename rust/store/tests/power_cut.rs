//! What a store is after the power was cut: at any moment of any work, with any part of what was not synced lost.
//!
//! The invariants, for every state: what was acknowledged reads back and verifies, and so does the DAG under each pin; a
//! transaction that was cut short is there whole or not at all; nothing that fails its hash is returned; the store recovers, takes
//! new work and is sound after it.
//!
//! `SHOAL_CRASH_STATES=1000000` visits so many states instead of some 100,000; `SHOAL_CRASH_SEED=n` others. A state that fails is
//! named; `SHOAL_CRASH_REPLAY=name` checks it alone and leaves its files in a folder.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

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
/// States of an ordinary run. More of them is more of the same: each kind of work has some 100 to 500 moments.
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
            let folder = std::env::temp_dir().join("shoal-after-power-cut");
            let _ = std::fs::remove_dir_all(&folder);
            state.save(&folder);
            println!("{name}: its files are in {}", folder.display());
        }
        let is_thorough = digest.as_bytes()[0] % 8 == 0 || self.replay.is_some();
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
    a_cut_while_a_store_is_made: "make a store", 80;
    a_cut_while_adding: "add", 80;
    a_cut_while_commits_are_shared: "group commit", 80;
    a_cut_while_packs_are_sealed: "seal", 80;
    a_cut_while_indexes_are_merged: "merge indexes", 6;
    a_cut_while_pins_come_and_go: "pins", 80;
    a_cut_while_sessions_are_given_up: "roll back", 80;
    a_cut_while_collecting: "collect", 80;
    a_cut_while_live_data_moves: "move live data", 80;
    a_cut_while_the_journal_is_rewritten: "compact the journal", 80;
    a_cut_while_a_lost_journal_is_made_again: "rebuild the journal", 80;
}

#[test]
fn a_second_cut_while_recovering_from_the_first() {
    let mut search = Search::new(6);
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
