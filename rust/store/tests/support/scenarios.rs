//! What a store goes through while its disk fails it: one function for each kind of work, told what is begun and acknowledged.

use super::expected::{BLOBS, Expected, OUTSIDE, ROOTS, TREES, Transaction, add_tree, block, children, outside, pin, tree_options, whole};
use super::{STORE, options};
use shoal_core::car::v1;
use shoal_core::unixfs::Profile;
use shoal_core::unixfs::profile::Layout;
use shoal_store::archive::{Adopt, ImportOptions, adopt_car, import_car};
use shoal_store::collect::{CollectOptions, collect, collect_in_steps};
use shoal_store::disk::{Disk, write_all_at};
use shoal_store::ingest::{AddOptions, add_stream};
use shoal_store::reference::{Forget, forget};
use shoal_store::{Error, Operation, Options, Store};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A piece of work, and the options its store is opened with.
pub struct Scenario {
    pub name: &'static str,
    pub path: &'static str,
    pub options: fn() -> Options,
    /// What is done before anything may fail.
    prepare: fn(&World) -> Result<(), Error>,
    run: fn(&World) -> Result<(), Error>,
}

/// A disk, a history, and someone who wants to hear of it.
pub struct World {
    pub disk: Arc<dyn Disk>,
    scenario: &'static Scenario,
    history: Mutex<(Vec<Transaction>, Expected)>,
    mark: Box<dyn Fn(usize) + Send + Sync>,
}

impl World {
    /// `mark` hears 2n when transaction n begins, and 2n + 1 when it is acknowledged.
    pub fn new(scenario: &'static Scenario, disk: Arc<dyn Disk>, mark: Box<dyn Fn(usize) + Send + Sync>) -> Self {
        Self { disk, scenario, history: Mutex::default(), mark }
    }

    pub fn open(&self) -> Result<Store, Error> {
        Store::open(Arc::clone(&self.disk), Path::new(self.scenario.path), (self.scenario.options)())
    }

    pub fn prepare(&self) -> Result<(), Error> {
        (self.scenario.prepare)(self)
    }

    pub fn run(&self) -> Result<(), Error> {
        (self.scenario.run)(self)
    }

    pub fn expected(&self) -> Expected {
        self.history.lock().unwrap().1.clone()
    }

    pub fn transactions(&self) -> Vec<Transaction> {
        self.history.lock().unwrap().0.clone()
    }

    fn begin(&self, transaction: &Transaction) -> usize {
        let mut history = self.history.lock().unwrap();
        let id = history.0.len();
        history.0.push(transaction.clone());
        history.1.begin(id, transaction);
        (self.mark)(2 * id);
        id
    }

    fn acknowledge(&self, id: usize) {
        // The mark first: what stands behind it in the log of a disk was begun after it.
        (self.mark)(2 * id + 1);
        self.history.lock().unwrap().1.acknowledge(id);
    }

    fn commit(&self, store: &Store, transaction: Transaction) -> Result<(), Error> {
        let id = self.begin(&transaction);
        transaction.run(store)?;
        self.acknowledge(id);
        Ok(())
    }

    /// A DAG, pinned.
    fn add(&self, store: &Store, root: u64) -> Result<(), Error> {
        self.commit(store, Transaction { puts: whole(root), pins: vec![root], ..Transaction::default() })
    }

    fn add_all(&self, store: &Store, roots: std::ops::Range<u64>) -> Result<(), Error> {
        roots.map(|n| ROOTS + n).try_for_each(|root| self.add(store, root))
    }

    fn collect(&self, store: &Store, gone: &[u64]) -> Result<(), Error> {
        let deletes = gone.iter().flat_map(|root| whole(*root)).collect();
        let id = self.begin(&Transaction { deletes, is_gradual: true, ..Transaction::default() });
        collect(store, CollectOptions::default(), &Operation::default())?;
        self.acknowledge(id);
        Ok(())
    }
}

fn nothing(_: &World) -> Result<(), Error> {
    Ok(())
}

fn make_store(world: &World) -> Result<(), Error> {
    world.open().map(|_| ())
}

fn large() -> Options {
    options(1 << 20)
}

/// Two or three DAGs to a pack.
fn small() -> Options {
    options(7000)
}

/// Two packs to a DAG.
fn tiny() -> Options {
    options(2000)
}

fn add(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    world.add_all(&store, 0..3)?;
    // By another process.
    let store = world.open()?;
    world.add_all(&store, 3..5)
}

fn group_commit(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    let adds: Vec<_> = (0..6).map(|n| Transaction { puts: whole(ROOTS + n), pins: vec![ROOTS + n], ..Transaction::default() }).collect();
    for together in adds.chunks(3) {
        let sessions = together.iter().map(|_| store.write()).collect::<Result<Vec<_>, _>>()?;
        let results: Vec<Result<(), Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = together
                .iter()
                .zip(sessions)
                .map(|(add, session)| {
                    scope.spawn(move || {
                        let id = world.begin(add);
                        add.prepare(&session)?;
                        session.commit()?;
                        world.acknowledge(id);
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        results.into_iter().collect::<Result<(), Error>>()?;
    }
    Ok(())
}

fn seal(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    world.add_all(&store, 0..4)?;
    // Over several packs, in one transaction.
    let puts = (4..9).flat_map(|n| whole(ROOTS + n)).collect();
    world.commit(&store, Transaction { puts, pins: vec![ROOTS + 4, ROOTS + 8], ..Transaction::default() })
}

fn fill_eight_packs(world: &World) -> Result<(), Error> {
    world.add_all(&world.open()?, 0..4)
}

fn merge(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    world.add_all(&store, 4..6)?;
    drop(store);
    // Enough for a second merged index, which takes in the first.
    world.add_all(&world.open()?, 6..10)
}

fn pins(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    world.add_all(&store, 0..2)?;
    world.commit(&store, Transaction { unpins: vec![ROOTS], pins: vec![1], ..Transaction::default() })?;
    world.commit(&store, Transaction { unpins: vec![1], ..Transaction::default() })?;
    // What was pinned goes, with a new DAG in its place.
    let root = ROOTS + 2;
    world.commit(&store, Transaction { puts: whole(root), pins: vec![root], deletes: whole(ROOTS), ..Transaction::default() })?;
    world.commit(&store, Transaction { puts: whole(ROOTS), pins: vec![ROOTS], ..Transaction::default() })
}

fn roll_back(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    world.add(&store, ROOTS)?;
    for root in [ROOTS + 1, ROOTS + 2] {
        let session = store.write()?;
        // Begun, and never acknowledged.
        let given_up = Transaction { puts: whole(root), pins: vec![root], ..Transaction::default() };
        world.begin(&given_up);
        given_up.prepare(&session)?;
        drop(session);
        world.add(&store, root + 2)?;
    }
    Ok(())
}

fn add_and_unpin(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    world.add_all(&store, 0..6)?;
    world.commit(&store, Transaction { unpins: vec![ROOTS + 1, ROOTS + 2, ROOTS + 4], ..Transaction::default() })
}

fn collection(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    world.collect(&store, &[ROOTS + 1, ROOTS + 2, ROOTS + 4])?;
    world.add_all(&store, 6..7)?;
    world.commit(&store, Transaction { unpins: vec![ROOTS, ROOTS + 6], ..Transaction::default() })?;
    world.collect(&store, &[ROOTS, ROOTS + 6])
}

fn add_six(world: &World) -> Result<(), Error> {
    world.add_all(&world.open()?, 0..6)
}

/// Moves all of the oldest pack, twice, together with something new.
fn move_live_data(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    for root in [ROOTS + 6, ROOTS + 7] {
        let transaction = Transaction { puts: whole(root), pins: vec![root], ..Transaction::default() };
        let id = world.begin(&transaction);
        let session = store.write_exclusive()?;
        transaction.prepare(&session)?;
        let oldest = store.packs()?.first().map_or(0, |pack| pack.pack);
        session.retire(oldest)?;
        for entry in store.pack_entries(oldest)? {
            let entry = entry?;
            session.put(&entry.cid, &session.block(&entry.cid)?)?;
        }
        session.commit()?;
        world.acknowledge(id);
    }
    Ok(())
}

/// Deletes and puts the same again and again, so that the journal is mostly past.
fn compact(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    for n in 0..4 {
        let root = ROOTS + n % 2;
        world.add(&store, root)?;
        world.commit(&store, Transaction { unpins: vec![root], deletes: whole(root), ..Transaction::default() })?;
    }
    world.add_all(&store, 2..5)
}

/// Archives of one DAG each, into packs that fill up meanwhile; one of them names a block that it does not have.
fn import(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    for root in ROOTS..ROOTS + 3 {
        let is_whole = root != ROOTS + 1;
        let mut car = v1::encode_header(&[block(root).0.clone()]);
        for n in whole(root).into_iter().skip(usize::from(!is_whole)) {
            let one = block(n);
            v1::section_prefix(&one.0, one.1.len(), &mut car);
            car.extend_from_slice(&one.1);
        }
        let id = world.begin(&Transaction { puts: whole(root), pins: vec![root], ..Transaction::default() });
        let options = ImportOptions { pin_roots: true, pin_name: pin(root).name };
        match import_car(&store, &mut car.as_slice(), &options, &Operation::default()) {
            Ok(_) => world.acknowledge(id),
            // Refused, and nothing of it stays.
            Err(Error::InDag { .. }) if !is_whole => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const ARCHIVES: &str = "/in";

/// Archives of one DAG each, as files; one of them names a block that it does not have.
fn write_archives(world: &World) -> Result<(), Error> {
    make_store(world)?;
    let failed = |e| Error::io("writing", Path::new(ARCHIVES), e);
    world.disk.create_dir(Path::new(ARCHIVES)).map_err(failed)?;
    for root in ROOTS..ROOTS + 4 {
        let mut car = v1::encode_header(&[block(root).0.clone()]);
        for n in whole(root).into_iter().skip(usize::from(root == ROOTS + 1)) {
            let one = block(n);
            v1::section_prefix(&one.0, one.1.len(), &mut car);
            car.extend_from_slice(&one.1);
        }
        let file = world.disk.create(&Path::new(ARCHIVES).join(root.to_string())).map_err(failed)?;
        write_all_at(&*file, &mut [std::io::IoSlice::new(&car)], 0).map_err(failed)?;
        file.sync_data().map_err(failed)?;
    }
    world.disk.sync_dir(Path::new(ARCHIVES)).map_err(failed)?;
    world.disk.sync_dir(Path::new("/")).map_err(failed)
}

/// Adopts them, with an open pack beside them; one twice, under each way of adopting.
fn adopt(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    let of = |root: u64, how: Adopt| {
        let id = world.begin(&Transaction { puts: whole(root), pins: vec![root], ..Transaction::default() });
        let options = ImportOptions { pin_roots: true, pin_name: pin(root).name };
        match adopt_car(&store, &Path::new(ARCHIVES).join(root.to_string()), how, &options, &Operation::default()) {
            Ok(_) => world.acknowledge(id),
            // Refused, and nothing of it stays.
            Err(Error::InDag { .. }) if root == ROOTS + 1 => {}
            Err(error) => return Err(error),
        }
        Ok(())
    };
    of(ROOTS, Adopt::Link)?;
    of(ROOTS + 1, Adopt::Move)?;
    world.add(&store, ROOTS + 5)?;
    of(ROOTS, Adopt::Move)?;
    of(ROOTS + 2, Adopt::Move)?;
    world.add(&store, ROOTS + 6)
}

/// Adds files as blobs, collects one of them, and adds it again.
fn blobs(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    let add = |n: u64| {
        let id = world.begin(&Transaction { puts: vec![n], pins: vec![n], ..Transaction::default() });
        let profile = Profile { layout: Layout::Blob, ..Profile::blake3() };
        let options = AddOptions { profile, pin_name: pin(n).name, threads: 1, ..AddOptions::default() };
        let one = block(n);
        add_stream(&store, &mut one.1.as_slice(), "blob".into(), &options, &Operation::default(), &mut |_| Ok(()))?;
        world.acknowledge(id);
        Ok(())
    };
    (BLOBS..BLOBS + 2).try_for_each(add)?;
    world.commit(&store, Transaction { unpins: vec![BLOBS], ..Transaction::default() })?;
    world.collect(&store, &[BLOBS])?;
    [BLOBS, BLOBS + 2].into_iter().try_for_each(add)
}

/// Adds small trees of files as `shoal add` does, one of them twice; collects it, and adds it once more.
fn add_files(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    let add = |n: u64| {
        let id = world.begin(&Transaction { puts: vec![n], pins: vec![n], ..Transaction::default() });
        add_tree(&store, n, &tree_options(n))?;
        world.acknowledge(id);
        Ok(())
    };
    [TREES, TREES + 1, TREES].into_iter().try_for_each(add)?;
    world.commit(&store, Transaction { unpins: vec![TREES], ..Transaction::default() })?;
    world.collect(&store, &[TREES])?;
    [TREES, TREES + 2].into_iter().try_for_each(add)
}

/// Collects while others add: what is new, and what is being collected.
fn collection_beside_adds(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    let gone = [ROOTS + 1, ROOTS + 2, ROOTS + 4];
    let mut adds = [ROOTS + 6, ROOTS + 2, ROOTS + 7, ROOTS + 4].into_iter();
    let deletes = gone.iter().flat_map(|root| whole(*root)).collect();
    let collection = world.begin(&Transaction { deletes, is_gradual: true, ..Transaction::default() });
    let (mut pauses, mut failed): (u64, Option<Error>) = (0, None);
    let mut pause = || {
        pauses += 1;
        if pauses % 7 != 3 || failed.is_some() {
            return;
        }
        let Some(root) = adds.next() else { return };
        let add = || {
            let transaction = Transaction { puts: whole(root), pins: vec![root], ..Transaction::default() };
            let id = world.begin(&transaction);
            let session = store.write()?;
            transaction.prepare(&session)?;
            session.commit()?;
            world.acknowledge(id);
            Ok(())
        };
        failed = add().err();
    };
    let collected = collect_in_steps(&store, CollectOptions::default(), &Operation::default(), &mut pause);
    failed.map_or(Ok(()), Err)?;
    collected?;
    world.acknowledge(collection);
    assert!(adds.next().is_none(), "only {pauses} moments");
    world.add(&store, ROOTS + 8)
}

/// Adds files that stay where they are, and drops what is known of them in each way there is.
fn references(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    let refer = |n: u64| {
        let path = outside(n);
        let id = world.begin(&Transaction { puts: vec![n], pins: vec![n], ..Transaction::default() });
        let options = AddOptions { nocopy: true, pin_name: pin(n).name, threads: 1, ..AddOptions::default() };
        shoal_store::ingest::add(&store, &[path], &options, &Operation::default(), &mut |_| Ok(()))?;
        world.acknowledge(id);
        Ok(())
    };
    (OUTSIDE..OUTSIDE + 4).try_for_each(refer)?;
    world.commit(&store, Transaction { unpins: vec![OUTSIDE], ..Transaction::default() })?;
    world.collect(&store, &[OUTSIDE])?;
    refer(OUTSIDE)?;
    world.commit(&store, Transaction { unpins: vec![OUTSIDE + 1], ..Transaction::default() })?;
    let id = world.begin(&Transaction { deletes: vec![OUTSIDE + 1], is_gradual: true, ..Transaction::default() });
    forget(&store, &Forget::Paths(vec![outside(OUTSIDE + 1)]), &Operation::default())?;
    world.acknowledge(id);
    // A block deleted as blocks are, together with something put.
    let root = ROOTS + 1;
    let deletes = vec![OUTSIDE + 2];
    world.commit(&store, Transaction { puts: whole(root), pins: vec![root], unpins: deletes.clone(), deletes, is_gradual: false })?;
    [OUTSIDE + 4, OUTSIDE + 1].into_iter().try_for_each(refer)
}

fn quickly_compacted() -> Options {
    Options { journal_bytes_min: 600, ..options(1 << 20) }
}

fn rebuilding() -> Options {
    Options { rebuild_meta: true, ..options(5000) }
}

fn put_and_lose_the_journal(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    for root in ROOTS..ROOTS + 4 {
        // Without pins, which go with the journal.
        world.commit(&store, Transaction { puts: children(root).collect(), ..Transaction::default() })?;
    }
    drop(store);
    let gone = |e| Error::io("removing", Path::new(STORE), e);
    world.disk.remove(&Path::new(STORE).join("meta")).map_err(gone)?;
    world.disk.sync_dir(Path::new(STORE)).map_err(gone)
}

fn rebuild(world: &World) -> Result<(), Error> {
    let store = world.open()?;
    drop(store.write()?);
    world.add_all(&store, 4..5)
}

/// All of them.
pub static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "make a store",
        path: "/a/b/store",
        options: large,
        prepare: nothing,
        run: |world| world.add_all(&world.open()?, 0..1),
    },
    Scenario { name: "add", path: STORE, options: large, prepare: make_store, run: add },
    Scenario { name: "group commit", path: STORE, options: small, prepare: make_store, run: group_commit },
    Scenario { name: "seal", path: STORE, options: small, prepare: make_store, run: seal },
    Scenario { name: "merge indexes", path: STORE, options: tiny, prepare: fill_eight_packs, run: merge },
    Scenario { name: "pins", path: STORE, options: small, prepare: make_store, run: pins },
    Scenario { name: "roll back", path: STORE, options: large, prepare: make_store, run: roll_back },
    Scenario { name: "collect", path: STORE, options: small, prepare: add_and_unpin, run: collection },
    Scenario { name: "collect beside adds", path: STORE, options: small, prepare: add_and_unpin, run: collection_beside_adds },
    Scenario { name: "add files", path: STORE, options: small, prepare: make_store, run: add_files },
    Scenario { name: "move live data", path: STORE, options: small, prepare: add_six, run: move_live_data },
    Scenario { name: "import archives", path: STORE, options: small, prepare: make_store, run: import },
    Scenario { name: "adopt archives", path: STORE, options: small, prepare: write_archives, run: adopt },
    Scenario { name: "blobs", path: STORE, options: small, prepare: make_store, run: blobs },
    Scenario { name: "references", path: STORE, options: small, prepare: make_store, run: references },
    Scenario { name: "compact the journal", path: STORE, options: quickly_compacted, prepare: make_store, run: compact },
    Scenario { name: "rebuild the journal", path: STORE, options: rebuilding, prepare: put_and_lose_the_journal, run: rebuild },
];

pub fn scenario(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap()
}
