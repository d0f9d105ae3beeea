//! What a store must hold after some history of transactions, some of them acknowledged and some cut short.
//!
//! The rule: an acknowledged transaction is there; one that was begun is there whole or not at all, told by its pin; nothing else
//! is. What is there reads back, matches its hash, and is what was put.

use shoal_core::Cid;
use shoal_core::chunk::Chunker;
use shoal_core::cid::codec;
use shoal_core::dag::{self, pb};
use shoal_core::hash::{Hash, cid_v1};
use shoal_core::unixfs::Profile;
use shoal_store::directory::resolve;
use shoal_store::ingest::{AddOptions, add};
use shoal_store::read::FileReader;
use shoal_store::verify::verify;
use shoal_store::walk::{WalkOptions, walk};
use shoal_store::{Error, Operation, Pin, PinKind, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// Blocks from here on are nodes with links to [`CHILDREN`] leaves each.
pub const ROOTS: u64 = 1000;
pub const CHILDREN: u64 = 6;
/// From here on they are blobs: whole files, of a few groups each.
pub const BLOBS: u64 = 2000;
/// From here on they are the only block of a file each, which is on the real disk and stays there.
pub const OUTSIDE: u64 = 3000;
/// From here on they are small trees of files, added as such.
pub const TREES: u64 = 4000;
/// The work that a store must take after a crash.
const FRESH: u64 = 900;

/// The leaves under a root.
pub fn children(root: u64) -> std::ops::Range<u64> {
    (root - ROOTS) * CHILDREN..(root - ROOTS + 1) * CHILDREN
}

/// A root and what is under it.
pub fn whole(root: u64) -> Vec<u64> {
    if root >= BLOBS {
        return vec![root];
    }
    children(root).chain([root]).collect()
}

/// The files of a tree: of no bytes, of one chunk, and of several.
fn files(n: u64) -> Vec<(&'static str, Vec<u8>)> {
    let file = |at: u64, bytes| super::painted(n * 10 + at, bytes).1;
    vec![("a/empty", vec![]), ("a/small", file(1, 60)), ("large", file(2, 2500)), ("z", file(3, 700))]
}

/// How trees are added: in chunks of less than a sector and of more, by one worker.
pub fn tree_options(n: u64) -> AddOptions {
    let chunker = Chunker::Size(if n.is_multiple_of(2) { 400 } else { 1000 });
    AddOptions { profile: Profile { chunker, ..Profile::blake3() }, threads: 1, pin_name: pin_name(n), ..AddOptions::default() }
}

/// Adds a tree from a real folder: its root.
pub fn add_tree(store: &Store, n: u64, options: &AddOptions) -> Result<Cid, Error> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    for (name, content) in files(n) {
        let path = root.join(name);
        std::fs::DirBuilder::new().recursive(true).create(path.parent().unwrap()).unwrap();
        std::fs::File::create(&path).and_then(|mut file| std::io::Write::write_all(&mut file, &content)).unwrap();
    }
    let report = add(store, &[root], options, &Operation::default(), &mut |_| Ok(()))?;
    Ok(report.roots[0].cid.clone())
}

/// Reads a block, or all of a blob, or all of a tree, of which that is the root.
fn read(store: &Store, n: u64) -> Result<Vec<u8>, Error> {
    let cid = &block(n).0;
    if n < BLOBS || (OUTSIDE..TREES).contains(&n) {
        return store.block(cid).map(|block| block.to_vec());
    }
    if n >= TREES {
        return match read_tree(store, n, cid) {
            Err(Error::InDag { source, .. }) if matches!(*source, Error::NotFound { .. }) => Err(*source),
            other => other,
        };
    }
    let mut file = FileReader::open(store, cid)?;
    let mut data = vec![0; usize::try_from(file.size()).unwrap()];
    file.read_at(0, &mut data)?;
    Ok(data)
}

/// The root of a tree whose every block is here, and whose every file is what was added.
fn read_tree(store: &Store, n: u64, cid: &Cid) -> Result<Vec<u8>, Error> {
    let options = WalkOptions { read_leaves: true, ..WalkOptions::default() };
    walk(store, std::slice::from_ref(cid), options, &Operation::default(), &mut |_| Ok(()))?;
    for (name, content) in files(n) {
        let names: Vec<&[u8]> = name.split('/').map(str::as_bytes).collect();
        let mut file = FileReader::open(store, &resolve(store, cid, &names)?)?;
        let mut data = vec![0; content.len()];
        assert_eq!((file.size(), file.read_at(0, &mut data)?), (content.len() as u64, content.len()));
        assert!(data == content, "wrong bytes in {name} of tree {n}");
    }
    store.block(cid).map(|block| block.to_vec())
}

type Block = Arc<(Cid, Vec<u8>)>;

/// A block by its number: leaves have 60 to 860 bytes, so that some lie in one sector and some in two or three.
pub fn block(n: u64) -> Block {
    static MADE: OnceLock<Mutex<BTreeMap<u64, Block>>> = OnceLock::new();
    let made = MADE.get_or_init(Mutex::default);
    if let Some(block) = made.lock().unwrap().get(&n) {
        return Arc::clone(block);
    }
    let block = if n >= TREES {
        let store = super::open(&super::memory(), &super::options(1 << 20));
        let cid = add_tree(&store, n, &tree_options(n)).unwrap();
        let data = store.block(&cid).unwrap().to_vec();
        (cid, data)
    } else if n >= OUTSIDE {
        let data = super::painted(n, 700).1;
        (cid_v1(Hash::Blake3, codec::RAW, &data).unwrap(), data)
    } else if n >= BLOBS {
        let data = super::painted(n, 33_000 + usize::try_from(n % 7 * 5000).unwrap()).1;
        (cid_v1(Hash::Blake3, codec::RAW, &data).unwrap(), data)
    } else if n < ROOTS {
        super::painted(n, 60 + usize::try_from(n * 173 % 800).unwrap())
    } else {
        let leaves: Vec<_> = children(n).map(block).collect();
        let links: Vec<pb::Link<'_>> =
            leaves.iter().map(|leaf| pb::Link { cid: leaf.0.clone(), name: Some(b""), dag_bytes: Some(0) }).collect();
        let mut data = Vec::new();
        pb::encode(&links, Some(&n.to_le_bytes()), false, &mut data);
        (cid_v1(if n.is_multiple_of(2) { Hash::Blake3 } else { Hash::Sha256 }, codec::DAG_PB, &data).unwrap(), data)
    };
    Arc::clone(made.lock().unwrap().entry(n).or_insert_with(|| Arc::new(block)))
}

fn pin_name(n: u64) -> Option<String> {
    Some(format!("pin {n}"))
}

/// The file that a block from [`OUTSIDE`] on is the content of. Never changed once it is made.
pub fn outside(n: u64) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("outside-{n}"));
    let _making = MAKING.lock().unwrap();
    let mut found = Vec::new();
    let _ = File::open(&path).map(|mut file| file.read_to_end(&mut found));
    if found != block(n).1 {
        let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
        file.write_all(&block(n).1).unwrap();
        file.persist(&path).unwrap();
    }
    path
}

pub fn pin(n: u64) -> Pin {
    let kind = if n < ROOTS { PinKind::Direct } else { PinKind::Recursive };
    Pin { cid: block(n).0.clone(), kind, name: pin_name(n) }
}

/// What is done between two commits.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    pub puts: Vec<u64>,
    pub deletes: Vec<u64>,
    pub pins: Vec<u64>,
    pub unpins: Vec<u64>,
    /// Many commits, not one: a collection. What it deletes may be gone in part.
    pub is_gradual: bool,
}

impl Transaction {
    /// Whether it was done, by the pins that are there. Needs a pin that it alone sets or takes away.
    fn is_done(&self, pins: &BTreeSet<u64>) -> bool {
        match (self.pins.first(), self.unpins.first()) {
            (Some(set), _) => pins.contains(set),
            (None, Some(taken)) => !pins.contains(taken),
            (None, None) => false,
        }
    }

    /// Does it.
    pub fn run(&self, store: &Store) -> Result<(), Error> {
        let session = store.write_exclusive()?;
        self.prepare(&session)?;
        session.commit()
    }

    /// Does all but the commit.
    pub fn prepare(&self, session: &shoal_store::Session) -> Result<(), Error> {
        let blocks: Vec<_> = self.puts.iter().map(|n| block(*n)).collect();
        // In three writes.
        for some in blocks.chunks(blocks.len().div_ceil(3).max(1)) {
            session.put_many(&some.iter().map(|block| (&block.0, block.1.as_slice())).collect::<Vec<_>>())?;
        }
        session.delete(&self.deletes.iter().map(|n| block(*n).0.clone()).collect::<Vec<_>>())?;
        for n in &self.unpins {
            session.unpin(&block(*n).0)?;
        }
        self.pins.iter().try_for_each(|n| session.pin(pin(*n)))
    }
}

/// Transactions in the order in which they were begun, and which of them were acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    blocks: BTreeSet<u64>,
    pins: BTreeSet<u64>,
    /// Blocks that were put at some time: no others can be there.
    put: BTreeSet<u64>,
    begun: BTreeMap<usize, Transaction>,
}

macro_rules! ensure {
    ($is_so:expr, $($words:tt)+) => { if !$is_so { return Err(format!($($words)+)); } };
}

impl Expected {
    pub fn begin(&mut self, id: usize, transaction: &Transaction) {
        self.put.extend(&transaction.puts);
        let mut transaction = transaction.clone();
        if transaction.is_gradual {
            let kept: BTreeSet<u64> = self.pins.iter().flat_map(|n| if *n < ROOTS { vec![*n] } else { whole(*n) }).collect();
            transaction.deletes.retain(|n| !kept.contains(n));
        }
        // What a collection beside it may have deleted already is here again for certain only when this is acknowledged.
        for collection in self.begun.values_mut().filter(|other| other.is_gradual) {
            let (again, deletes): (Vec<u64>, _) = collection.deletes.iter().partition(|n| transaction.puts.contains(n));
            collection.deletes = deletes;
            self.blocks.retain(|n| !again.contains(n));
        }
        self.begun.insert(id, transaction);
    }

    pub fn acknowledge(&mut self, id: usize) {
        if let Some(transaction) = self.begun.remove(&id) {
            Self::apply(&transaction, &mut self.blocks, &mut self.pins);
        }
    }

    fn apply(transaction: &Transaction, blocks: &mut BTreeSet<u64>, pins: &mut BTreeSet<u64>) {
        blocks.extend(&transaction.puts);
        blocks.retain(|n| !transaction.deletes.contains(n));
        pins.extend(&transaction.pins);
        pins.retain(|n| !transaction.unpins.contains(n));
    }

    /// Whether the store holds what it must: what is wrong, in words.
    pub fn check(&self, store: &Store) -> Result<(), String> {
        let words = |e: Error| format!("{e:?}");
        let found = store.pins().map_err(words)?;
        let by_cid: BTreeMap<Cid, u64> = self.put.iter().map(|n| (block(*n).0.clone(), *n)).collect();
        let mut there = BTreeSet::new();
        for one in &found {
            let n = by_cid.get(&one.cid).ok_or_else(|| format!("a pin that nobody set: {one:?}"))?;
            ensure!(*one == pin(*n), "pin {n} is {one:?}");
            there.insert(*n);
        }
        let (mut blocks, mut pins, mut perhaps) = (self.blocks.clone(), self.pins.clone(), BTreeSet::<u64>::new());
        for transaction in self.begun.values() {
            if transaction.is_done(&there) {
                Self::apply(transaction, &mut blocks, &mut pins);
                continue;
            }
            perhaps.extend(&transaction.puts);
            if transaction.is_gradual {
                perhaps.extend(&transaction.deletes);
                blocks.retain(|n| !transaction.deletes.contains(n));
            }
        }
        ensure!(there == pins, "pins are {there:?}, not {pins:?}");
        for n in &self.put {
            let one = block(*n);
            match read(store, *n) {
                Ok(read) => {
                    ensure!(read == one.1, "wrong bytes of block {n}");
                    ensure!(blocks.contains(n) || perhaps.contains(n), "block {n} is back");
                }
                Err(Error::NotFound { .. }) => ensure!(!blocks.contains(n), "block {n} is lost"),
                Err(e) => return Err(format!("block {n}: {e:?}")),
            }
        }
        for n in pins.iter().filter(|n| (ROOTS..BLOBS).contains(*n)) {
            let mut links = Vec::new();
            dag::links(codec::DAG_PB, &store.block(&block(*n).0).map_err(words)?, &mut links).map_err(|e| format!("{e:?}"))?;
            for link in links {
                store.block(&link).map_err(|e| format!("under pin {n}: {e:?}"))?;
            }
        }
        Ok(())
    }

    /// Takes the store's word for what was cut short: from here on it is done, or it is not and what it put may be there.
    pub fn settle(&mut self, store: &Store) {
        let found = store.pins().unwrap();
        let there: BTreeSet<u64> = self.put.iter().copied().filter(|n| found.iter().any(|one| one.cid == block(*n).0)).collect();
        for (id, transaction) in std::mem::take(&mut self.begun) {
            if transaction.is_done(&there) {
                Self::apply(&transaction, &mut self.blocks, &mut self.pins);
                continue;
            }
            // A block that came back, or never went, belongs to nobody now.
            let touched = transaction.puts.iter().chain(transaction.deletes.iter().filter(|_| transaction.is_gradual));
            let touched: Vec<u64> = touched.copied().filter(|n| !self.blocks.contains(n) || transaction.is_gradual).collect();
            self.blocks.retain(|n| !touched.contains(n));
            self.begun.insert(id, Transaction { puts: touched, ..Transaction::default() });
        }
    }

    /// Whether the store, which nobody recovered yet, serves readers (unless its journal was lost), recovers, takes new work, and
    /// keeps all of it. `is_thorough`: whether everything that is on the disk is looked at too, not only what was asked for.
    pub fn check_all(&self, open: &dyn Fn() -> Result<Store, Error>, has_journal: bool, is_thorough: bool) -> Result<(), String> {
        let reader = open().map_err(|e| format!("opening: {e:?}"))?;
        if has_journal {
            self.check(&reader).map_err(|e| format!("before recovery: {e}"))?;
        }
        let fresh = Transaction { puts: vec![FRESH, FRESH + 1], pins: vec![FRESH], ..Transaction::default() };
        fresh.run(&reader).map_err(|e| format!("new work: {e:?}"))?;
        let mut after = self.clone();
        after.begin(usize::MAX, &fresh);
        after.acknowledge(usize::MAX);
        let again = open().map_err(|e| format!("opening again: {e:?}"))?;
        after.check(&again).map_err(|e| format!("after recovery: {e}"))?;
        let stat = again.stat().map_err(|e| format!("{e:?}"))?;
        ensure!(stat.packs_missing.is_empty(), "packs {:?} are missing", stat.packs_missing);
        if !is_thorough {
            return Ok(());
        }
        let report = verify(&again, &Operation::default()).map_err(|e| format!("verify: {e:?}"))?;
        ensure!(report.is_sound(), "not sound: {report:?}");
        Ok(())
    }
}
