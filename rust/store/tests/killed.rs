//! A writer that is killed loses nothing it acknowledged: `kill -9`, at any moment of adding, pinning, sealing and collecting.
//!
//! The other process is this test binary. It says what it has begun and what was acknowledged; the parent keeps the list and
//! kills it after a number of lines that follows from the seed. 200 kills; `SHOAL_KILLS=10000` for a long run.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use shoal_store::collect::{CollectOptions, collect};
use shoal_store::{Operation, Options, Store};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use support::dice::Dice;
use support::expected::{Expected, ROOTS, Transaction, whole};
use support::options;

const KILLS: u64 = 200;
/// DAGs that are added, unpinned and collected in turn: so a number comes again after a while.
const DAGS: u64 = 24;
/// Pinned at a time.
const LIVE: u64 = 8;

fn small() -> Options {
    // The lock of a killed process is freed when it is really gone.
    Options { lock_wait: std::time::Duration::from_secs(30), journal_bytes_min: 4000, ..options(20_000) }
}

/// The n-th thing that the writer does: every eighth time it collects.
fn work(n: u64) -> Transaction {
    let root = |n: u64| ROOTS + n % DAGS;
    if n % 8 == 7 {
        // All that is not pinned by now.
        return Transaction { deletes: (0..DAGS).flat_map(|n| whole(ROOTS + n)).collect(), is_gradual: true, ..Transaction::default() };
    }
    let live: Vec<u64> = (n.saturating_sub(LIVE)..=n).map(root).collect();
    let unpins = (ROOTS..ROOTS + DAGS).filter(|root| !live.contains(root)).collect();
    Transaction { puts: whole(root(n)), pins: vec![root(n)], unpins, ..Transaction::default() }
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nsays: {what}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "this is the other process, which the other tests start"]
fn the_writer() {
    let (Ok(path), Ok(first)) = (std::env::var("SHOAL_TEST_STORE"), std::env::var("SHOAL_TEST_FIRST")) else { return };
    let store = Store::open_path(Path::new(&path), small()).unwrap();
    for n in first.parse::<u64>().unwrap().. {
        say(&format!("begun {n}"));
        let transaction = work(n);
        if transaction.is_gradual {
            collect(&store, CollectOptions::default(), &Operation::default()).unwrap();
        } else {
            transaction.run(&store).unwrap();
        }
        say(&format!("done {n}"));
    }
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing_it_acknowledged() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (kills, seed) = (number("SHOAL_KILLS", KILLS), number("SHOAL_CRASH_SEED", 1));
    let folder = tempfile::Builder::new().prefix("shoal-killed").tempdir_in(memory_folder()).unwrap();
    let path = folder.path().join("store");
    let (mut expected, mut next, mut acknowledged) = (Expected::default(), 0, 0u64);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_writer", "--ignored", "--nocapture", "--test-threads=1"])
            .env("SHOAL_TEST_STORE", &path)
            .env("SHOAL_TEST_FIRST", next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut dice = Dice::new(&[seed, kill]);
        let (lines, pause) = (dice.below(12), dice.below(1500) as u64);
        let mut said = 0;
        // What it has said before it died counts, also what is still in the pipe.
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            let Some((_, what)) = line.split_once("says: ") else { continue };
            match what.split_once(' ').map(|(what, n)| (what, n.parse::<u64>().unwrap())) {
                Some(("begun", n)) => {
                    expected.begin(usize::try_from(n).unwrap(), &work(n));
                    next = n + 1;
                }
                Some(("done", n)) => {
                    expected.acknowledge(usize::try_from(n).unwrap());
                    acknowledged += 1;
                }
                other => panic!("it says {other:?}"),
            }
            said += 1;
            if said == lines + 1 {
                // A commit in memory takes some hundred microseconds: the kill falls into any part of it.
                std::thread::sleep(std::time::Duration::from_micros(pause));
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let store = Store::open_path(&path, small()).unwrap();
        let what = format!("seed {seed}, kill {kill}, in the work before {next}");
        expected.check(&store).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        drop(store.write().unwrap());
        expected.check(&store).unwrap_or_else(|wrong| panic!("{what}, recovered: {wrong}"));
        expected.settle(&store);
    }
    assert!(acknowledged > kills, "{acknowledged} acknowledged");
    println!("{kills} kills, {acknowledged} transactions acknowledged, 0 lost; seed {seed}");
}

/// A folder in memory where there is one: killing a process loses nothing that the system has, so no real disk is needed.
fn memory_folder() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}
