//! How long an add waits while a collection runs beside it: the longest and the 99th percentile, beside the same adds alone.
//!
//! `cargo run --release -p shoal-store --example collect_beside -- FOLDER [SECONDS [ROUNDS]]`: the folder should be in memory. It is
//! made, takes some 2 GiB, and is removed at the end. Rounds with and without a collection alternate; each add is a session of its own
//! that puts 4 MiB, pins their root, unpins the root of sixteen adds before, and commits.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the shell")]

use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::dag::pb;
use shoal_core::hash::{Hash, cid_v1};
use shoal_store::collect::{CollectOptions, collect_in_steps};
use shoal_store::{Operation, Options, Pin, PinKind, Store};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ADD_BYTES: usize = 4 * 1024 * 1024;
const PINNED: usize = 16;

/// Processor time of this thread, in milliseconds: what others on the machine do is not in it.
fn processor_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

/// Collects once, in steps between which no lock is held: the longest of them in processor time, and the bytes freed.
fn collect_once(store: &Store) -> (f64, u64) {
    let (mut since, mut longest) = (processor_ms(), 0.0f64);
    let mut pause = || {
        let now = processor_ms();
        longest = longest.max(now - since);
        if now - since > 1.0 {
            std::thread::sleep(Duration::from_secs_f64((now - since).min(5.0) / 1e3));
        }
        since = processor_ms();
    };
    let done = collect_in_steps(store, CollectOptions::default(), &Operation::new(), &mut pause).unwrap();
    (longest, done.freed_bytes)
}

struct Writer<'a> {
    store: &'a Store,
    block_bytes: usize,
    data: Vec<u8>,
    count: u64,
    pinned: VecDeque<Cid>,
}

impl Writer<'_> {
    /// One add: how long its session took. What is to be put is made before.
    fn add(&mut self) -> Duration {
        self.count += 1;
        for (n, block) in self.data.chunks_mut(self.block_bytes).enumerate() {
            // Every fourth block is an older one, which may be garbage by now.
            let number = if n % 4 == 3 { self.count.saturating_sub(20) } else { self.count };
            let stamp = [number.to_le_bytes(), (n as u64).to_le_bytes()].concat();
            block.get_mut(..16).unwrap().copy_from_slice(&stamp);
        }
        let cids: Vec<Cid> = self.data.chunks(self.block_bytes).map(|block| cid_v1(Hash::Blake3, codec::RAW, block).unwrap()).collect();
        let links: Vec<_> = cids.iter().map(|cid| pb::Link { cid: cid.clone(), name: Some(b""), dag_bytes: Some(0) }).collect();
        let mut node = Vec::new();
        pb::encode(&links, None, false, &mut node);
        let root = cid_v1(Hash::Blake3, codec::DAG_PB, &node).unwrap();
        let blocks: Vec<(&Cid, &[u8])> = cids.iter().zip(self.data.chunks(self.block_bytes)).collect();
        let start = Instant::now();
        let session = self.store.write().unwrap();
        for some in blocks.chunks(256) {
            session.put_many(some).unwrap();
        }
        session.put(&root, &node).unwrap();
        session.pin(Pin { cid: root.clone(), kind: PinKind::Recursive, name: None }).unwrap();
        self.pinned.push_back(root);
        if self.pinned.len() > PINNED {
            session.unpin(&self.pinned.pop_front().unwrap()).unwrap();
        }
        session.commit().unwrap();
        start.elapsed()
    }

    fn add_for(&mut self, time: Duration, waits: &mut Vec<Duration>) {
        let start = Instant::now();
        while start.elapsed() < time {
            waits.push(self.add());
        }
    }
}

fn say(what: &str, waits: &mut [Duration]) -> f64 {
    waits.sort_unstable();
    // In thousandths.
    let at = |part: usize| waits.get((waits.len() - 1) * part / 1000).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    println!("{what:<28}{:7} adds, wait in ms: median {:6.2}, p99 {:7.2}, longest {:7.2}", waits.len(), at(500), at(990), at(1000));
    at(1000)
}

fn measure(folder: &Path, block_bytes: usize, time: Duration, rounds: u32) {
    let _ = std::fs::remove_dir_all(folder);
    let store = Store::open_path(folder, Options { pack_bytes_max: 256 << 20, ..Options::default() }).unwrap();
    let mut writer = Writer { store: &store, block_bytes, data: vec![7; ADD_BYTES], count: 0, pinned: VecDeque::new() };
    let (mut alone, mut beside, mut collections, mut freed, mut step) = (Vec::new(), Vec::new(), 0u32, 0u64, 0.0f64);
    for _ in 0..rounds {
        writer.add_for(time, &mut alone);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| {
                let (mut runs, mut bytes, mut longest) = (0, 0, 0.0f64);
                while !is_over.load(Ordering::Relaxed) {
                    let (step, freed) = collect_once(&store);
                    bytes += freed;
                    longest = longest.max(step);
                    runs += 1;
                }
                (runs, bytes, longest)
            });
            writer.add_for(time, &mut beside);
            is_over.store(true, Ordering::Relaxed);
            let (runs, bytes, longest) = collector.join().unwrap();
            step = step.max(longest);
            collections += runs;
            freed += bytes;
        });
    }
    println!("blocks of {block_bytes} bytes; {collections} collections freed {} MB", freed / 1_000_000);
    let without = say("  alone (the yardstick)", &mut alone);
    let with = say("  beside collections", &mut beside);
    println!("  the collector's longest step, in which it may hold a lock: {step:.2} ms of processor");
    println!("  the longest wait, over the yardstick's: {:.2} ms", with - without);
    drop(store);
    std::fs::remove_dir_all(folder).unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = PathBuf::from(arguments.get(1).unwrap());
    let time = Duration::from_secs_f64(arguments.get(2).map_or(1.0, |text| text.parse().unwrap()));
    let rounds = arguments.get(3).map_or(5, |text| text.parse().unwrap());
    println!("load: {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    for block_bytes in [1 << 20, 64 << 10, 4 << 10] {
        measure(&folder, block_bytes, time, rounds);
    }
}
