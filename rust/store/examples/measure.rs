//! Measures the store on this machine: `cargo run --release -p shoal-store --example measure [FOLDER]`.
//!
//! Prints one line for each job, with its yardstick where there is one: the rate by the clock, and by the seconds this thread
//! had a processor, which is the one to look at on a busy machine. The folder defaults to /dev/shm, so that the engine is
//! measured and not the disk; it needs some 4 GB there, and is emptied afterwards.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a program for developers"
)]

use shoal_core::Cid;
use shoal_core::hash::{Hash, cid_v1};
use shoal_store::{Options, Store};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Clone, Copy)]
struct Clock {
    wall: Instant,
    cpu: f64,
}

/// Seconds that this thread has had a processor.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_seconds() }
    }

    /// Seconds by the clock, and on a processor.
    fn read(self) -> (f64, f64) {
        (self.wall.elapsed().as_secs_f64(), cpu_seconds() - self.cpu)
    }
}

fn report(what: &str, count: f64, unit: &str, start: Clock) -> f64 {
    let (wall, cpu) = start.read();
    println!("{what:<62} {:>10.2} {unit}/s {:>10.2} {unit}/cpu s", count / wall, count / cpu);
    count / cpu
}

fn report_time(what: &str, start: Clock) {
    let (wall, cpu) = start.read();
    println!("{what:<62} {:>10.2} ms {:>10.2} cpu ms", wall * 1e3, cpu * 1e3);
}

/// Blocks of a given size that differ in their first bytes, under CIDs that are not their hash: only storing is measured.
fn named(n: u64) -> Cid {
    Cid::v1(0x55, 0x1e, blake3::hash(&n.to_le_bytes()).as_bytes()).unwrap()
}

fn large_blocks(folder: &Path) {
    let data: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let gib = 1.0;
    let path = folder.join("copy");
    let mut file = std::fs::File::create(&path).unwrap();
    let start = Clock::start();
    for _ in 0..1024 {
        file.write_all(&data).unwrap();
    }
    let yardstick = report("yardstick: write 1 GiB to a new file, 1 MiB at a time", gib, "GiB", start);
    std::fs::remove_file(path).unwrap();
    for threads in [1u64, 2] {
        let path = folder.join("large");
        let store = Store::open_path(&path, Options::default()).unwrap();
        let cids: Vec<Cid> = (0..1024).map(named).collect();
        let start = Clock::start();
        let session = store.write().unwrap();
        let part = &|thread: u64| {
            for cid in cids.iter().skip(thread as usize).step_by(threads as usize) {
                session.put_many(&[(cid, &data)]).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for thread in 1..threads {
                scope.spawn(move || part(thread));
            }
            part(0);
        });
        session.commit().unwrap();
        let what = format!("put 1024 blocks of 1 MiB, {threads} threads, committed");
        if threads == 1 {
            let rate = report(&what, gib, "GiB", start);
            println!("{:<62} {:>10.2} ×", "  of the yardstick", rate / yardstick);
        } else {
            // The processor seconds are those of this thread alone.
            println!("{what:<62} {:>10.2} GiB/s", gib / start.read().0);
        }
        std::fs::remove_dir_all(path).unwrap();
    }
    for hash in [Hash::Blake3, Hash::Sha256] {
        let path = folder.join("read");
        let store = Store::open_path(&path, Options::default()).unwrap();
        let session = store.write().unwrap();
        let mut cids = Vec::new();
        let mut data = data.clone();
        for n in 0..1024u64 {
            data[..8].copy_from_slice(&n.to_le_bytes());
            let cid = cid_v1(hash, 0x55, &data).unwrap();
            session.put(&cid, &data).unwrap();
            cids.push(cid);
        }
        session.commit().unwrap();
        let store = Store::open_path(&path, Options::default()).unwrap();
        let start = Clock::start();
        let one: usize = cids.iter().map(|cid| store.block(cid).unwrap().len()).sum();
        report(&format!("block(): read and verify 1 GiB, {}, 1 thread", hash.name()), one as f64 / 2f64.powi(30), "GiB", start);
        let start = Clock::start();
        let many: usize = cids.chunks(32).flat_map(|cids| store.blocks(cids)).map(|block| block.unwrap().len()).sum();
        report(&format!("blocks(): the same, 32 at a time, {}", hash.name()), many as f64 / 2f64.powi(30), "GiB", start);
        std::fs::remove_dir_all(path).unwrap();
    }
}

fn small_blocks(folder: &Path, count: u64) {
    let path = folder.join("small");
    let store = Store::open_path(&path, Options::default()).unwrap();
    let cids: Vec<Cid> = (0..count).map(named).collect();
    let absent: Vec<Cid> = (count..count + 100_000).map(named).collect();
    let start = Clock::start();
    let session = store.write().unwrap();
    for batch in cids.chunks(256) {
        let blocks: Vec<(&Cid, &[u8])> = batch.iter().map(|cid| (cid, &cid.as_bytes()[..32])).collect();
        session.put_many(&blocks).unwrap();
    }
    report(&format!("put {count} blocks of 32 B, 256 at a time"), count as f64 / 1e6, "M", start);
    let start = Clock::start();
    for cid in &cids {
        session.put(cid, &[0; 32]).unwrap();
    }
    report("put them again, one by one: nothing new", count as f64 / 1e6, "M", start);
    let start = Clock::start();
    session.commit().unwrap();
    report_time("commit of what is left", start);
    look_up(&store, &cids, &absent, "as written");

    let start = Clock::start();
    let store = Store::open_path(&path, Options::default()).unwrap();
    report_time(&format!("open a store of {count} blocks"), start);
    let packs = store.packs().unwrap();
    println!("{:<62} {:>12} ", "  packs, sealed ones", format!("{}, {}", packs.len(), packs.iter().filter(|pack| pack.is_sealed).count()));
    look_up(&store, &cids, &absent, "reopened, cold");
    look_up(&store, &cids, &absent, "reopened, warm");
    let start = Clock::start();
    let session = store.write_exclusive().unwrap();
    session.retire(packs.last().unwrap().pack).unwrap();
    drop(session);
    report_time("seal the open pack (and give up retiring it)", start);
    let start = Clock::start();
    let store = Store::open_path(&path, Options::default()).unwrap();
    report_time("open it again, all sealed", start);
    look_up(&store, &cids, &absent, "all sealed, cold");
    look_up(&store, &cids, &absent, "all sealed, warm");
    let start = Clock::start();
    let entries = store.entries().unwrap().filter(Result::is_ok).count();
    report("entries(): walk them all", entries as f64 / 1e6, "M", start);
    std::fs::remove_dir_all(path).unwrap();
}

fn look_up(store: &Store, cids: &[Cid], absent: &[Cid], how: &str) {
    // In no order of the file or the index, but side by side, so that only the store's own cache misses count.
    let step = 618_033;
    let shuffled: Vec<Cid> = (0..cids.len()).map(|n| cids[n * step % cids.len()].clone()).collect();
    let start = Clock::start();
    assert!(shuffled.iter().all(|cid| store.has(cid).unwrap()));
    report(&format!("has() of those there, {how}"), cids.len() as f64 / 1e6, "M", start);
    let start = Clock::start();
    assert!(absent.iter().all(|cid| !store.has(cid).unwrap()));
    report(&format!("has() of others, {how} (one stat each)"), absent.len() as f64 / 1e6, "M", start);
    let start = Clock::start();
    assert!(absent.chunks(1000).all(|cids| store.has_many(cids).unwrap().iter().all(|has| !has)));
    report(&format!("has_many() of others, {how}"), absent.len() as f64 / 1e6, "M", start);
}

fn many_packs(folder: &Path) {
    let path = folder.join("many");
    let options = Options { pack_entries_max: 10_000, ..Options::default() };
    let store = Store::open_path(&path, options.clone()).unwrap();
    let count = 1_000_000u64;
    let cids: Vec<Cid> = (0..count).map(named).collect();
    let start = Clock::start();
    let session = store.write().unwrap();
    for batch in cids.chunks(256) {
        let blocks: Vec<(&Cid, &[u8])> = batch.iter().map(|cid| (cid, &cid.as_bytes()[..32])).collect();
        session.put_many(&blocks).unwrap();
    }
    session.commit().unwrap();
    report("put 1,000,000 blocks into 100 packs", count as f64 / 1e6, "M", start);
    let start = Clock::start();
    let store = Store::open_path(&path, options).unwrap();
    report_time("open 100 packs", start);
    let absent: Vec<Cid> = (count..count + 100_000).map(named).collect();
    look_up(&store, &cids, &absent, "100 packs, cold");
    look_up(&store, &cids, &absent, "100 packs, warm");
    std::fs::remove_dir_all(path).unwrap();
}

fn commits(folder: &Path) {
    let path = folder.join("commits");
    let store = Store::open_path(&path, Options::default()).unwrap();
    let start = Clock::start();
    for n in 0..2000 {
        let session = store.write().unwrap();
        session.put(&named(n), &[7; 100]).unwrap();
        session.commit().unwrap();
    }
    report("sessions of one small block, committed", 2.0, "k", start);
    std::fs::remove_dir_all(path).unwrap();
}

fn main() {
    let base = std::env::args().nth(1).map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let folder = base.join(format!("shoal-measure-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // Once more: memory that is used for the first time is slow on many machines.
    for _ in 0..2 {
        large_blocks(&folder);
    }
    small_blocks(&folder, 1_000_000);
    many_packs(&folder);
    commits(&folder);
    std::fs::remove_dir_all(folder).unwrap();
}
