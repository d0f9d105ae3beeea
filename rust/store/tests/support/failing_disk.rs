//! A disk over another, any one of whose calls fails when told to: reads, lists and locks as well as writes.

use shoal_store::disk::{Disk, DiskFile, Identity, Lock, Map, Times};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With this error, once, and has no effect.
    Once(i32),
    /// With this error, as do all calls after it. A full disk still reads and removes.
    Lasting(i32),
    /// A write or a read does a part of what was asked, which is no error; other calls are interrupted.
    Short,
    /// It does what was asked and says that it did not, as over a network.
    After(i32),
}

pub const EINTR: i32 = 4;
pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

#[derive(Default)]
struct Plan {
    calls: Vec<String>,
    fail_at: Option<(usize, Failure)>,
    has_failed: bool,
}

#[derive(Clone)]
pub struct FailingDisk {
    below: Arc<dyn Disk>,
    plan: Arc<Mutex<Plan>>,
}

struct FailingFile {
    below: Arc<dyn DiskFile>,
    plan: Arc<Mutex<Plan>>,
    name: String,
}

/// What a call is to do.
enum Fate {
    Work,
    Fail(io::Error),
    Short,
    WorkAndFail(io::Error),
}

fn fate(plan: &Mutex<Plan>, what: &str, path: &str) -> Fate {
    let mut plan = plan.lock().unwrap();
    let n = plan.calls.len();
    plan.calls.push(format!("{what} {path}"));
    let Some((at, failure)) = plan.fail_at else { return Fate::Work };
    let needs_room = matches!(what, "create" | "write" | "rename" | "link" | "create_dir" | "sync" | "sync_dir" | "grow");
    let fails = match failure {
        Failure::Lasting(ENOSPC) if n > at => needs_room,
        Failure::Lasting(_) => n >= at,
        _ => n == at,
    };
    if !fails {
        return Fate::Work;
    }
    plan.has_failed = true;
    match failure {
        Failure::Once(code) | Failure::Lasting(code) => Fate::Fail(io::Error::from_raw_os_error(code)),
        Failure::Short if matches!(what, "write" | "read") => Fate::Short,
        Failure::Short => Fate::Fail(io::Error::from_raw_os_error(EINTR)),
        Failure::After(code) => Fate::WorkAndFail(io::Error::from_raw_os_error(code)),
    }
}

fn through<T>(fate: Fate, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match fate {
        Fate::Work | Fate::Short => work(),
        Fate::Fail(error) => Err(error),
        Fate::WorkAndFail(error) => work().and(Err(error)),
    }
}

impl FailingDisk {
    pub fn new(below: Arc<dyn Disk>) -> Self {
        Self { below, plan: Arc::default() }
    }

    /// From now on, counting from 0, the n-th call fails.
    pub fn fail_at(&self, n: usize, failure: Failure) {
        *self.plan.lock().unwrap() = Plan { fail_at: Some((n, failure)), ..Plan::default() };
    }

    pub fn heal(&self) {
        self.plan.lock().unwrap().fail_at = None;
    }

    pub fn has_failed(&self) -> bool {
        self.plan.lock().unwrap().has_failed
    }

    /// A call since [`FailingDisk::fail_at`], in words.
    pub fn call(&self, n: usize) -> String {
        self.plan.lock().unwrap().calls.get(n).cloned().unwrap_or_default()
    }

    fn fate(&self, what: &str, path: &Path) -> Fate {
        fate(&self.plan, what, path.to_str().unwrap())
    }

    fn file(&self, path: &Path, below: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FailingFile { below, plan: Arc::clone(&self.plan), name: path.to_str().unwrap().to_owned() })
    }
}

impl Disk for FailingDisk {
    fn open(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        through(self.fate("open", path), || Ok(self.file(path, self.below.open(path, writable)?)))
    }
    fn open_foreign(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        through(self.fate("open", path), || Ok(self.file(path, self.below.open_foreign(path)?)))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        through(self.fate("create", path), || Ok(self.file(path, self.below.create(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        through(self.fate("rename", to), || self.below.rename(from, to))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        through(self.fate("remove", path), || self.below.remove(path))
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        through(self.fate("list", path), || self.below.list(path))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        through(self.fate("create_dir", path), || self.below.create_dir(path))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        through(self.fate("sync_dir", path), || self.below.sync_dir(path))
    }
    fn identity(&self, path: &Path) -> io::Result<Identity> {
        through(self.fate("stat", path), || self.below.identity(path))
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        through(self.fate("link", to), || self.below.link(from, to))
    }
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        through(self.fate("lock", path), || self.below.lock(path))
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let fate = fate(&self.plan, "read", &self.name);
        let bytes = if matches!(fate, Fate::Short) { buffer.len().div_ceil(2) } else { buffer.len() };
        through(fate, || self.below.read_at(&mut buffer[..bytes], offset))
    }
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let fate = fate(&self.plan, "write", &self.name);
        let all: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        let bytes = if matches!(fate, Fate::Short) { all.len().div_ceil(2) } else { all.len() };
        through(fate, || self.below.write_vectored_at(&[IoSlice::new(&all[..bytes])], offset))
    }
    fn identity(&self) -> io::Result<Identity> {
        through(fate(&self.plan, "stat", &self.name), || self.below.identity())
    }
    fn times(&self) -> io::Result<Times> {
        through(fate(&self.plan, "stat", &self.name), || self.below.times())
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let what = if self.below.identity()?.bytes < bytes { "grow" } else { "cut" };
        through(fate(&self.plan, what, &self.name), || self.below.set_len(bytes))
    }
    fn sync_data(&self) -> io::Result<()> {
        through(fate(&self.plan, "sync", &self.name), || self.below.sync_data())
    }
    fn map(&self, bytes: u64) -> io::Result<Map> {
        through(fate(&self.plan, "map", &self.name), || self.below.map(bytes))
    }
}
