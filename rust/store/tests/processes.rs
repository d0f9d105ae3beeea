//! Stores used by several processes: the lock, readers beside a writer, and writers that are killed.
//!
//! The other process is this test binary, told by its environment what to do.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod support;

use shoal_store::{Error, Options, Store};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use support::{options, painted};

struct Other {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(role: &str, store: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env("SHOAL_TEST_ROLE", role)
            .env("SHOAL_TEST_STORE", store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line it says, past what the test harness says around it.
    fn says(&mut self) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| line.split_once("says: ").map(|(_, said)| said.to_owned()))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nsays: {what}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "this is the other process, which the other tests start"]
fn the_other_process() {
    let (Ok(role), Ok(path)) = (std::env::var("SHOAL_TEST_ROLE"), std::env::var("SHOAL_TEST_STORE")) else { return };
    let store = Store::open_path(Path::new(&path), options(100_000)).unwrap();
    match role.as_str() {
        "hold the lock" => {
            let _session = store.write().unwrap();
            say("held");
            std::thread::sleep(Duration::from_secs(60));
        }
        "write until killed" => {
            let start = store.stat().unwrap().blocks;
            for n in start.. {
                let session = store.write().unwrap();
                let (cid, data) = painted(n, 1000 + (n as usize * 7919) % 9000);
                session.put(&cid, &data).unwrap();
                session.commit().unwrap();
                say(&n.to_string());
            }
        }
        "write and collect" => {
            for round in 0..30u64 {
                let session = store.write_exclusive().unwrap();
                for n in 0..20 {
                    let (cid, data) = painted(round * 20 + n, 3000);
                    session.put(&cid, &data).unwrap();
                }
                session.commit().unwrap();
                // Moves everything in the oldest pack.
                let oldest = store.packs().unwrap()[0].pack;
                let session = store.write_exclusive().unwrap();
                session.retire(oldest).unwrap();
                for entry in store.pack_entries(oldest).unwrap() {
                    let entry = entry.unwrap();
                    session.put(&entry.cid, &session.block(&entry.cid).unwrap()).unwrap();
                }
                session.commit().unwrap();
                say(&((round + 1) * 20).to_string());
            }
            say("done");
        }
        role => panic!("unknown role {role}"),
    }
}

#[test]
fn a_lock_held_by_another_process_is_waited_for_and_its_holder_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut other = Other::start("hold the lock", &path);
    assert_eq!(other.says().as_deref(), Some("held"));
    let patient = Options { lock_wait: Duration::from_millis(300), ..Options::default() };
    let store = Store::open_path(&path, patient).unwrap();
    let start = Instant::now();
    let Err(Error::Locked { pid: Some(pid) }) = store.write() else { panic!("two writers") };
    assert_eq!(pid, other.child.id());
    assert!(start.elapsed() >= Duration::from_millis(300));
    // The system frees the lock of a killed process, and we get it while we wait.
    let patient = Store::open_path(&path, Options { lock_wait: Duration::from_secs(30), ..Options::default() }).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drop(patient.write().unwrap()));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        other.child.kill().unwrap();
        waiting.join().unwrap();
    });
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut acknowledged = 0;
    for round in 0..8 {
        let mut other = Other::start("write until killed", &path);
        let first: u64 = other.says().unwrap().parse().unwrap();
        assert!(first >= acknowledged);
        acknowledged = first + 1;
        let until = Instant::now() + Duration::from_millis(30 + 17 * round);
        while Instant::now() < until {
            acknowledged = other.says().unwrap().parse::<u64>().unwrap() + 1;
        }
        other.child.kill().unwrap();
        while let Some(said) = other.says() {
            acknowledged = said.parse::<u64>().unwrap() + 1;
        }
        let store = Store::open_path(&path, options(100_000)).unwrap();
        for n in 0..acknowledged {
            let (cid, data) = painted(n, 1000 + (n as usize * 7919) % 9000);
            assert_eq!(&*store.block(&cid).unwrap(), data.as_slice(), "block {n} of {acknowledged}");
        }
    }
    assert!(acknowledged > 20);
}

#[test]
fn readers_beside_a_writer_that_seals_and_collects_see_every_block() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(Store::open_path(&path, Options::default()).unwrap());
    let readers: Vec<Store> = (0..3).map(|_| Store::open_path(&path, Options { read_only: true, ..Options::default() }).unwrap()).collect();
    let mut other = Other::start("write and collect", &path);
    let mut written = 0u64;
    while let Some(said) = other.says() {
        if said == "done" {
            break;
        }
        written = said.parse().unwrap();
        std::thread::scope(|scope| {
            for (at, reader) in readers.iter().enumerate() {
                scope.spawn(move || {
                    for n in (0..written).filter(|n| (*n as usize + at).is_multiple_of(3) || *n + 40 > written) {
                        let (cid, data) = painted(n, 3000);
                        assert!(reader.has(&cid).unwrap());
                        assert_eq!(&*reader.block(&cid).unwrap(), data.as_slice(), "block {n} of {written}");
                    }
                });
            }
        });
    }
    assert_eq!(written, 600);
    assert_eq!(readers[0].stat().unwrap().blocks, 600);
}
