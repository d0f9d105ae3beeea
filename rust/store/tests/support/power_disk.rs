//! A disk in memory that remembers what is durable and what is only on its way, and says what a power cut could leave.
//!
//! What it promises is what POSIX does and no more: `sync_data` makes a file's bytes and length durable, `sync_dir` the names in
//! one folder. Of everything else any part may be kept, in any order: each sector of each write, each change of a length, each
//! name. A rename is whole or not there, or has left the old name behind as well. Not here: a disk that lies about a sync.

use super::dice::Dice;
use shoal_store::disk::{Disk, DiskFile, Identity, Lock, Map, RealDisk};
use shoal_store::memory_disk::MemoryDisk;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    Folder,
    File(usize),
}

/// One thing that happened, in order.
#[derive(Debug, Clone)]
enum Event {
    Write {
        file: usize,
        offset: usize,
        data: Arc<[u8]>,
    },
    Cut {
        file: usize,
        bytes: usize,
    },
    Named {
        path: PathBuf,
        thing: Thing,
    },
    Renamed {
        from: PathBuf,
        to: PathBuf,
        file: usize,
    },
    Removed {
        path: PathBuf,
    },
    Synced {
        file: usize,
    },
    FolderSynced {
        path: PathBuf,
    },
    /// Said by the test, not by the store.
    Marked(usize),
}

#[derive(Default)]
struct Machine {
    names: BTreeMap<PathBuf, Thing>,
    contents: Vec<Vec<u8>>,
    locks: BTreeSet<PathBuf>,
    events: Vec<Event>,
    /// What was durable before the first event.
    from: State,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct PowerDisk(Arc<Mutex<Machine>>);

struct PowerFile {
    disk: PowerDisk,
    file: usize,
}

struct PowerLock(PowerDisk, PathBuf);

impl Drop for PowerLock {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().locks.remove(&self.1);
    }
}

/// A disk as a power cut left it.
#[derive(Debug, Clone, Default)]
pub struct State {
    names: BTreeMap<PathBuf, Thing>,
    contents: BTreeMap<usize, Arc<Vec<u8>>>,
}

impl State {
    /// The same for equal disks.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (path, thing) in &self.names {
            hasher.update(path.to_str().unwrap().as_bytes());
            if let Thing::File(file) = thing {
                hasher.update(b"\0").update(&(self.contents[file].len() as u64).to_le_bytes()).update(&self.contents[file]);
            }
            hasher.update(b"\n");
        }
        *hasher.finalize().as_bytes()
    }

    /// A disk that now keeps everything.
    pub fn disk(&self) -> MemoryDisk {
        let disk = super::memory();
        let mut first: BTreeMap<usize, &Path> = BTreeMap::new();
        for (path, thing) in &self.names {
            match thing {
                Thing::Folder => disk.create_dir(path).unwrap(),
                Thing::File(file) => {
                    if let Some(other) = first.get(file) {
                        disk.link(other, path).unwrap();
                        continue;
                    }
                    let made = disk.create(path).unwrap();
                    shoal_store::disk::write_all_at(&*made, &mut [IoSlice::new(&self.contents[file])], 0).unwrap();
                    first.insert(*file, path);
                }
            }
        }
        disk
    }

    /// Writes the files into a folder of the real disk, for someone to look at.
    pub fn save(&self, folder: &Path) {
        for (path, thing) in &self.names {
            let path = folder.join(path.strip_prefix("/").unwrap());
            match thing {
                Thing::Folder => RealDisk.create_dir(&path).unwrap(),
                Thing::File(file) => {
                    let made = RealDisk.create(&path).unwrap();
                    shoal_store::disk::write_all_at(&*made, &mut [IoSlice::new(&self.contents[file])], 0).unwrap();
                }
            }
        }
    }
}

/// One thing that may be kept or lost.
#[derive(Debug, Clone)]
enum Atom {
    /// A sector of a write.
    Sector {
        file: usize,
        offset: usize,
        data: Arc<[u8]>,
        from: usize,
        to: usize,
    },
    /// The length that a write gave its file.
    Length {
        file: usize,
        bytes: usize,
    },
    Cut {
        file: usize,
        bytes: usize,
    },
    Set {
        path: PathBuf,
        thing: Thing,
    },
    Unset {
        path: PathBuf,
    },
    Move {
        from: PathBuf,
        to: PathBuf,
        file: usize,
    },
}

impl Atom {
    fn group(&self) -> usize {
        match self {
            Self::Sector { file, .. } | Self::Length { file, .. } | Self::Cut { file, .. } => *file,
            Self::Set { .. } | Self::Unset { .. } | Self::Move { .. } => usize::MAX,
        }
    }
}

/// Goes through the events of a disk, one by one.
pub struct Replay {
    events: Vec<Event>,
    at: usize,
    durable: State,
    pending: Vec<Event>,
    sector_bytes: usize,
    atoms: Vec<Atom>,
    /// Files whose loss the store shrugs off, and which are never synced: logs, the reserve. They do not count for "few".
    cold: BTreeSet<usize>,
}

/// Most atoms of which every subset is tried.
const EXHAUSTIVE_ATOMS_MAX: usize = 7;

impl Replay {
    /// Takes in the next event; what it was in words, and the mark if it was one. `None` at the end.
    pub fn step(&mut self) -> Option<Option<usize>> {
        let event = self.events.get(self.at)?.clone();
        self.at += 1;
        let mut mark = None;
        match &event {
            Event::Marked(what) => mark = Some(*what),
            Event::Synced { file } => self.settle(|event| match event {
                Event::Write { file: other, .. } | Event::Cut { file: other, .. } => other == file,
                _ => false,
            }),
            Event::FolderSynced { path } => self.settle(|event| match event {
                Event::Named { path: child, .. } | Event::Removed { path: child } | Event::Renamed { to: child, .. } => {
                    child.parent() == Some(path)
                }
                _ => false,
            }),
            _ => {
                if let Event::Named { path, thing: Thing::File(file) } = &event
                    && (path.extension().is_some_and(|extension| extension == "log") || path.ends_with("reserve"))
                {
                    self.cold.insert(*file);
                }
                self.pending.push(event);
            }
        }
        self.atoms.clear();
        Some(mark)
    }

    /// How many events there were so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The last event in words.
    pub fn last(&self) -> String {
        let Some(event) = self.at.checked_sub(1).and_then(|at| self.events.get(at)) else { return "the beginning".to_owned() };
        match event {
            Event::Write { file, offset, data } => format!("{} bytes at {offset} of file {file}", data.len()),
            other => format!("{other:?}"),
        }
    }

    fn settle(&mut self, is_settled: impl Fn(&Event) -> bool) {
        let (settled, rest) = std::mem::take(&mut self.pending).into_iter().partition(is_settled);
        self.pending = rest;
        let atoms = self.atoms_of(&settled);
        self.durable = apply(&self.durable, &atoms, &|_| Keep::Whole, 0);
    }

    fn atoms_of(&self, events: &[Event]) -> Vec<Atom> {
        let sector = self.sector_bytes;
        let mut atoms = Vec::new();
        // The shortest that each file can be before the next event.
        let mut shortest: BTreeMap<usize, usize> = BTreeMap::new();
        for event in events {
            match event {
                Event::Write { file, offset, data } => {
                    let (file, offset, end) = (*file, *offset, offset + data.len());
                    let mut from = offset;
                    while from < end {
                        let to = (from / sector * sector + sector).min(end);
                        atoms.push(Atom::Sector { file, offset, data: Arc::clone(data), from, to });
                        from = to;
                    }
                    let durable = self.durable.contents.get(&file).map_or(0, |bytes| bytes.len());
                    if end > *shortest.get(&file).unwrap_or(&durable) {
                        atoms.push(Atom::Length { file, bytes: end });
                    }
                }
                Event::Cut { file, bytes } => {
                    let durable = self.durable.contents.get(file).map_or(0, |bytes| bytes.len());
                    let shortest = shortest.entry(*file).or_insert(durable);
                    *shortest = (*shortest).min(*bytes);
                    atoms.push(Atom::Cut { file: *file, bytes: *bytes });
                }
                Event::Named { path, thing } => atoms.push(Atom::Set { path: path.clone(), thing: *thing }),
                Event::Removed { path } => atoms.push(Atom::Unset { path: path.clone() }),
                Event::Renamed { from, to, file } => atoms.push(Atom::Move { from: from.clone(), to: to.clone(), file: *file }),
                Event::Synced { .. } | Event::FolderSynced { .. } | Event::Marked(_) => {}
            }
        }
        atoms
    }

    /// How many ways of losing power right now are worth trying, at most `most`: every one when few things are pending.
    pub fn choices(&mut self, most: usize) -> usize {
        if self.atoms.is_empty() {
            self.atoms = self.atoms_of(&self.pending);
        }
        if self.atoms.is_empty() {
            return 1;
        }
        let hot = self.atoms.iter().filter(|atom| !self.cold.contains(&atom.group())).count();
        let all = 1usize << hot.min(EXHAUSTIVE_ATOMS_MAX);
        if hot <= EXHAUSTIVE_ATOMS_MAX && all <= most { (all * if self.cold.is_empty() { 1 } else { 2 }).min(most) } else { most }
    }

    /// The disk after one of these ways.
    pub fn state(&self, choice: usize, most: usize, seed: u64) -> State {
        let mut dice = Dice::new(&[seed, self.at as u64, choice as u64]);
        let hot: Vec<usize> = (0..self.atoms.len()).filter(|at| !self.cold.contains(&self.atoms[*at].group())).collect();
        let all = 1usize << hot.len().min(EXHAUSTIVE_ATOMS_MAX);
        let mut kept = vec![false; self.atoms.len()];
        if hot.len() <= EXHAUSTIVE_ATOMS_MAX && all <= most {
            // Every subset of what matters; of the rest nothing, everything, or any part.
            let is_cold_kept = if choice == 0 { 0 } else { dice.below(3) };
            kept.iter_mut().for_each(|kept| *kept = is_cold_kept == 1 || (is_cold_kept == 2 && dice.below(2) == 0));
            hot.iter().enumerate().for_each(|(bit, at)| kept[*at] = choice >> bit & 1 == 1);
        } else {
            let n = kept.len();
            match choice {
                0 => {}
                1 => kept.fill(true),
                _ => match dice.below(6) {
                    // As a disk that keeps the order.
                    0 => kept[..dice.below(n + 1)].fill(true),
                    1 => kept[dice.below(n)] = true,
                    2 => {
                        kept.fill(true);
                        kept[dice.below(n)] = false;
                    }
                    // File by file.
                    3 => {
                        let bits = dice.next();
                        for (kept, atom) in kept.iter_mut().zip(&self.atoms) {
                            *kept = bits >> (atom.group() % 64) & 1 == 1;
                        }
                    }
                    _ => {
                        let of_8 = [1, 4, 7][dice.below(3)];
                        kept.iter_mut().for_each(|kept| *kept = dice.below(8) < of_8);
                    }
                },
            }
        }
        let is_following = dice.below(2) == 0;
        let is_left_behind = dice.below(4) == 0;
        let keep = |at: usize| match (&self.atoms[at], kept[at]) {
            // A length that comes with the data instead of by itself.
            (Atom::Length { .. }, _) if is_following => Keep::Nothing,
            (Atom::Sector { .. }, true) if is_following => Keep::WithLength,
            (Atom::Move { .. }, true) if is_left_behind => Keep::WithOldName,
            (_, true) => Keep::Whole,
            (_, false) => Keep::Nothing,
        };
        let junk = if dice.below(3) == 0 { 0xa5 } else { 0 };
        apply(&self.durable, &self.atoms, &keep, junk).reachable()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Nothing,
    Whole,
    WithLength,
    WithOldName,
}

fn apply(before: &State, atoms: &[Atom], keep: &dyn Fn(usize) -> Keep, junk: u8) -> State {
    let mut names = before.names.clone();
    // Bytes that were written, and which; the length is apart.
    let mut files: BTreeMap<usize, (Vec<u8>, usize)> = BTreeMap::new();
    for (at, atom) in atoms.iter().enumerate() {
        let how = keep(at);
        if how == Keep::Nothing {
            continue;
        }
        let mut open = |file: &usize| {
            let old = before.contents.get(file).map(|bytes| bytes.to_vec()).unwrap_or_default();
            let length = old.len();
            files.remove(file).unwrap_or((old, length))
        };
        match atom {
            Atom::Sector { file, offset, data, from, to } => {
                let (mut bytes, mut length) = open(file);
                if bytes.len() < *to {
                    bytes.resize(*to, junk);
                }
                bytes[*from..*to].copy_from_slice(&data[from - offset..to - offset]);
                if how == Keep::WithLength {
                    length = length.max(*to);
                }
                files.insert(*file, (bytes, length));
            }
            Atom::Length { file, bytes: end } => {
                let (bytes, length) = open(file);
                files.insert(*file, (bytes, length.max(*end)));
            }
            Atom::Cut { file, bytes: end } => {
                let (mut bytes, _) = open(file);
                bytes.truncate(*end);
                // What a cut adds reads as zeros, whatever was there.
                bytes.resize(*end, 0);
                files.insert(*file, (bytes, *end));
            }
            Atom::Set { path, thing } => {
                names.insert(path.clone(), *thing);
            }
            Atom::Unset { path } => {
                names.remove(path);
            }
            Atom::Move { from, to, file } => {
                if how == Keep::Whole && names.get(from) == Some(&Thing::File(*file)) {
                    names.remove(from);
                }
                names.insert(to.clone(), Thing::File(*file));
            }
        }
    }
    let mut contents = before.contents.clone();
    for (file, (mut bytes, length)) in files {
        bytes.resize(length, junk);
        contents.insert(file, Arc::new(bytes));
    }
    State { names, contents }
}

impl State {
    /// Without what stands in a folder whose own name was lost.
    fn reachable(mut self) -> Self {
        let names = self.names.clone();
        let is_there = |path: &Path| path.ancestors().skip(1).all(|folder| names.get(folder) == Some(&Thing::Folder));
        self.names.retain(|path, _| path == Path::new("/") || is_there(path));
        for thing in self.names.values() {
            if let Thing::File(file) = thing {
                self.contents.entry(*file).or_default();
            }
        }
        self
    }
}

impl PowerDisk {
    pub fn new() -> Self {
        let names: BTreeMap<PathBuf, Thing> = [(PathBuf::from("/"), Thing::Folder)].into();
        Self::after(&State { names, contents: BTreeMap::new() })
    }

    /// A disk that was switched on again.
    pub fn after(state: &State) -> Self {
        let last = state.contents.keys().last().map_or(0, |last| last + 1);
        let contents = (0..last).map(|file| state.contents.get(&file).map(|bytes| bytes.to_vec()).unwrap_or_default()).collect();
        let machine = Machine { names: state.names.clone(), contents, from: state.clone(), ..Machine::default() };
        Self(Arc::new(Mutex::new(machine)))
    }

    /// Puts a mark between the store's operations.
    pub fn mark(&self, what: usize) {
        self.0.lock().unwrap().events.push(Event::Marked(what));
    }

    /// `sector_bytes`: what the disk writes whole.
    pub fn replay(&self, sector_bytes: usize) -> Replay {
        let machine = self.0.lock().unwrap();
        Replay {
            events: machine.events.clone(),
            at: 0,
            durable: machine.from.clone(),
            pending: Vec::new(),
            sector_bytes,
            atoms: Vec::new(),
            cold: BTreeSet::new(),
        }
    }

    /// A disk as a cut right now might leave it, torn at 512 bytes. Seed 0 loses all that was not synced.
    pub fn after_power_cut(&self, seed: u64) -> MemoryDisk {
        let mut replay = self.replay(512);
        while replay.step().is_some() {}
        let most = usize::MAX;
        replay.choices(most);
        replay.state(usize::try_from(seed).unwrap(), most, seed).disk()
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.0.lock().unwrap().names.get(path) {
            Some(Thing::File(file)) => Ok(*file),
            Some(Thing::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }
}

impl Machine {
    fn must_be_folder(&self, path: &Path) -> io::Result<()> {
        if self.names.get(path) == Some(&Thing::Folder) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn name(&mut self, path: &Path, thing: Thing) {
        self.names.insert(path.to_owned(), thing);
        self.events.push(Event::Named { path: path.to_owned(), thing });
    }
}

impl Disk for PowerDisk {
    fn open(&self, path: &Path, _writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(PowerFile { disk: self.clone(), file: self.file(path)? }))
    }
    /// What is not the store's own is on the real disk, and loses nothing.
    fn open_foreign(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.file(path).is_ok() { self.open(path, false) } else { RealDisk.open_foreign(path) }
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut machine = self.0.lock().unwrap();
        if machine.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        machine.must_be_folder(path.parent().unwrap())?;
        let file = machine.contents.len();
        machine.contents.push(Vec::new());
        machine.name(path, Thing::File(file));
        Ok(Arc::new(PowerFile { disk: self.clone(), file }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        let mut machine = self.0.lock().unwrap();
        machine.names.remove(from);
        machine.names.insert(to.to_owned(), Thing::File(file));
        if from.parent() == to.parent() {
            machine.events.push(Event::Renamed { from: from.to_owned(), to: to.to_owned(), file });
        } else {
            // Each folder has its own part of it, which may be lost alone.
            machine.events.push(Event::Named { path: to.to_owned(), thing: Thing::File(file) });
            machine.events.push(Event::Removed { path: from.to_owned() });
        }
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        let mut machine = self.0.lock().unwrap();
        machine.names.remove(path);
        machine.events.push(Event::Removed { path: path.to_owned() });
        Ok(())
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let machine = self.0.lock().unwrap();
        machine.must_be_folder(path)?;
        let inside = machine.names.keys().filter(|child| child.parent() == Some(path));
        Ok(inside.filter_map(|child| child.file_name()?.to_str().map(str::to_owned)).collect())
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.0.lock().unwrap();
        let mut missing: Vec<&Path> = path.ancestors().filter(|folder| !machine.names.contains_key(*folder)).collect();
        missing.reverse();
        missing.into_iter().for_each(|folder| machine.name(folder, Thing::Folder));
        Ok(())
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.0.lock().unwrap();
        machine.must_be_folder(path)?;
        machine.events.push(Event::FolderSynced { path: path.to_owned() });
        Ok(())
    }
    fn identity(&self, path: &Path) -> io::Result<Identity> {
        let file = self.file(path)?;
        PowerFile { disk: self.clone(), file }.identity()
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        let mut machine = self.0.lock().unwrap();
        if machine.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        machine.name(to, Thing::File(file));
        Ok(())
    }
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut machine = self.0.lock().unwrap();
        machine.must_be_folder(path.parent().unwrap())?;
        // Its name is nobody's concern: it is made again.
        if machine.locks.insert(path.to_owned()) {
            Ok(Lock::Taken(Box::new(PowerLock(self.clone(), path.to_owned()))))
        } else {
            Ok(Lock::Held(Some(std::process::id())))
        }
    }
}

impl DiskFile for PowerFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let machine = self.disk.0.lock().unwrap();
        let bytes = machine.contents[self.file].get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        Ok(n)
    }
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let data: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        let mut machine = self.disk.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let bytes = &mut machine.contents[self.file];
        if bytes.len() < offset + data.len() {
            bytes.resize(offset + data.len(), 0);
        }
        bytes[offset..offset + data.len()].copy_from_slice(&data);
        let n = data.len();
        machine.events.push(Event::Write { file: self.file, offset, data: data.into() });
        Ok(n)
    }
    fn identity(&self) -> io::Result<Identity> {
        let bytes = self.disk.0.lock().unwrap().contents[self.file].len() as u64;
        Ok(Identity { device: 0, inode: self.file as u64 + 1, bytes })
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut machine = self.disk.0.lock().unwrap();
        let bytes = usize::try_from(bytes).unwrap();
        machine.contents[self.file].resize(bytes, 0);
        machine.events.push(Event::Cut { file: self.file, bytes });
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.0.lock().unwrap().events.push(Event::Synced { file: self.file });
        Ok(())
    }
    fn map(&self, bytes: u64) -> io::Result<Map> {
        let machine = self.disk.0.lock().unwrap();
        let content = &machine.contents[self.file];
        let n = usize::try_from(bytes).unwrap_or(usize::MAX).min(content.len());
        Ok(Map::from_bytes(content[..n].to_vec()))
    }
}
