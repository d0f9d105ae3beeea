//! Verifying packs: one thread deals out what the indexes say, in slices of neighbours; workers on all cores hold them against the
//! packs, section by section, and hash the blocks, many side by side.
//!
//! A worker asks for the bytes behind its slice before it hashes its own, so that a disk and the processor work at the same time.

use super::checkpoint::{Part, pack_line};
use super::links::Links;
use super::{DAMAGES_MAX, Damage, Reason, Run, VerifyReport};
use crate::disk::Map;
use crate::error::{Error, Result};
use crate::index::BadPage;
use crate::inner::{Inner, locked};
use crate::operation::Operation;
use crate::pack::{Entry, Key, LogEnd, Section, key, section_at};
use crate::queue::{Queue, Shared, Work};
use crate::state::{BadIndex, Found};
use crate::store::Store;
use shoal_core::Cid;
use shoal_core::cid::codec;
use shoal_core::hash::{self, VerifyError};
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// A block to hash.
struct Job {
    cid: Cid,
    start: u64,
    end: u64,
    found: Found,
}

/// Neighbours in one pack, in the hands of one worker.
struct Slice<'a> {
    pack: Arc<Pack>,
    /// Which of the pack's entries. Not empty.
    entries: Range<usize>,
    /// Where the first section of all begins, if this is the first slice.
    from: Option<u64>,
    /// Where the next slice begins, or what is readable ends.
    to: u64,
    part: Arc<Part<'a>>,
}

/// Blocks in a slice, at least: as many as SHA-256 takes side by side, twice over.
const SLICE_BLOCKS_MIN: usize = 32;
/// Bytes of blocks in a slice, at least: so many that waking a worker is nothing beside them.
const SLICE_BYTES_MIN: u64 = 1024 * 1024;
/// Bytes of blocks in a slice, give or take one block, however few blocks they are: of 1 MiB, as many as there are SIMD lanes.
const SLICE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Slices that may wait for a worker.
const QUEUED_MAX: usize = 8;

/// Slices are not shared further.
enum Undivided {}

impl Shared for Undivided {
    type Segment = ();

    fn claim(&self) -> Option<()> {
        None
    }
}

/// A copy of a block that is bad.
pub(super) struct BadCopy {
    found: Found,
    key: Key,
}

/// What was found, by all threads.
#[derive(Default)]
struct Findings {
    damaged: Vec<Damage>,
    count: u64,
    copies: Vec<BadCopy>,
    /// What an index names where the pack has another block, a sound one: lost, unless it stands elsewhere.
    displaced: Vec<BadCopy>,
    /// Live blocks looked at, and their lengths together.
    blocks: u64,
    bytes: u64,
    /// Packs whose index names other blocks than the pack has, or at other places.
    wrong_indexes: BTreeSet<u32>,
}

impl Findings {
    fn add(&mut self, damage: Damage, copy: Option<BadCopy>) {
        self.count += 1;
        if self.damaged.len() < DAMAGES_MAX {
            self.damaged.push(damage);
        }
        self.copies.extend(copy);
    }

    fn take_in(&mut self, other: Self) {
        let room = DAMAGES_MAX.saturating_sub(self.damaged.len());
        self.damaged.extend(other.damaged.into_iter().take(room));
        self.count += other.count;
        self.copies.extend(other.copies);
        self.displaced.extend(other.displaced);
        self.blocks += other.blocks;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.wrong_indexes.extend(other.wrong_indexes);
    }

    fn place(&mut self, pack: u32, offset: u64, reason: Reason) {
        self.add(Damage { cid: None, pack: Some(pack), path: None, offset, reason }, None);
    }
}

/// What is known of a pack before it is read.
pub(super) struct Pack {
    id: u32,
    map: Map,
    /// Bytes that are there.
    readable: u64,
    /// Bytes that were committed.
    committed: u64,
    /// Ascending by place, dead ones too.
    entries: Vec<Entry>,
    dead: HashSet<u64>,
    is_sealed: bool,
    /// Where the first section begins, and whether what stands before it is as it was.
    header_bytes: u64,
    is_header_sound: bool,
}

/// Verifies all packs: the bad copies of live blocks. Tells `links` of the blocks that are sound.
pub(super) fn verify_packs(run: &Run<'_>, links: &Links, report: &mut VerifyReport) -> Result<Vec<BadCopy>> {
    let (store, operation) = (run.store, run.operation);
    let inner = &*store.0;
    let stats = store.packs()?;
    let whole = store.stat()?;
    let missing = &whole.packs_missing;
    let live = |whole: u64, dead: u64| whole.saturating_sub(dead);
    operation.expect(
        Some(stats.iter().map(|stat| live(stat.block_bytes, stat.dead_bytes)).sum::<u64>() + whole.blob_bytes),
        Some(stats.iter().map(|stat| live(stat.blocks, stat.dead_blocks)).sum::<u64>() + whole.blobs),
    );
    let findings = Mutex::new(Findings::default());
    let queue: Queue<Slice<'_>, Undivided> = Queue::new(QUEUED_MAX);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let dealt = std::thread::scope(|scope| {
        let close = queue.close_on_drop();
        for _ in 0..cores {
            scope.spawn(|| check_slices(run, links, &queue, &findings));
        }
        let dealt = stats.iter().try_for_each(|stat| {
            if missing.contains(&stat.pack) {
                locked(&findings).place(stat.pack, 0, Reason::Missing);
                return Ok(());
            }
            deal(run, stat.pack, &queue, &findings, report)
        });
        if dealt.is_err() {
            queue.stop();
        }
        drop(close);
        dealt
    });
    dealt?;
    operation.check()?;
    let mut findings = findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for pack in &findings.wrong_indexes {
        inner.mend(BadIndex::Pack(*pack), false)?;
        report.indexes_rebuilt.push(*pack);
    }
    let gone = note_gone(inner, &mut findings)?;
    report.is_merged_rebuilt = !check_merged(inner)?;
    report.pack_trees_rebuilt = inner.save_distrusted_trees();
    // So that putting these blocks again heals them.
    inner.pending_mut().damaged.extend(findings.copies.iter().map(|copy| copy.found));
    mark(store, &findings.copies);
    findings.damaged.sort_by_key(|damage| (damage.pack, damage.offset));
    report.blocks += findings.blocks;
    report.bytes = report.bytes.saturating_add(findings.bytes);
    report.damaged = findings.damaged;
    report.damaged_count = findings.count;
    findings.copies.extend(gone);
    Ok(findings.copies)
}

/// Of what an index named, and the pack has not: what stands nowhere else is damage. The indexes were made again, so that they name only
/// what is there.
fn note_gone(inner: &Inner, findings: &mut Findings) -> Result<Vec<BadCopy>> {
    let mut gone = Vec::new();
    for copy in std::mem::take(&mut findings.displaced) {
        if !inner.look_up(|state| state.find(&copy.key, true, &mut |_| true))? {
            findings.place(copy.found.pack, copy.found.place.offset(), Reason::Head);
            gone.push(copy);
        }
    }
    Ok(gone)
}

/// Notes the bad copies for other processes too, so that putting the blocks there heals them. Where that cannot be (someone else
/// is writing, the disk is full, the store is open for reading only), reads still find the damage.
fn mark(store: &Store, copies: &[BadCopy]) {
    if copies.is_empty() {
        return;
    }
    let places: Vec<(u32, u64)> = copies.iter().map(|copy| (copy.found.pack, copy.found.place.offset())).collect();
    let _ = store.write().and_then(|session| {
        session.mark_damaged(&places)?;
        session.commit()
    });
}

fn check_slices(run: &Run<'_>, links: &Links, queue: &Queue<Slice<'_>, Undivided>, findings: &Mutex<Findings>) {
    let _stop = OnPanic(queue);
    while let Some(Work::Job(slice)) = queue.next() {
        let _done = queue.done_on_drop();
        if check_slice(run, links, &slice, findings).is_err() {
            queue.stop();
            return;
        }
    }
}

/// Fails only when the operation is cancelled.
fn check_slice(run: &Run<'_>, links: &Links, slice: &Slice<'_>, findings: &Mutex<Findings>) -> Result<()> {
    let (inner, operation) = (&*run.store.0, run.operation);
    operation.check()?;
    let mut found = Findings::default();
    let jobs = check_sections(slice, &mut found);
    let bytes = jobs.iter().map(|job| job.end.saturating_sub(job.start)).sum();
    run.pace.take(bytes, operation)?;
    let blocks: Vec<(&Cid, &[u8])> =
        jobs.iter().map(|job| (&job.cid, slice.pack.map.get(job.start, job.end).unwrap_or_default())).collect();
    let mut failures = Vec::new();
    hash::verify_many(&blocks, &mut failures);
    for (job, (cid, data)) in failures.iter().filter_map(|&at| jobs.get(at).zip(blocks.get(at))) {
        let reason = match hash::verify(cid, data) {
            Err(VerifyError::UnknownHash(_)) => Reason::UnknownHash,
            Err(VerifyError::Mismatch) | Ok(()) => Reason::Block,
        };
        let copy = key(&job.cid).map(|key| BadCopy { found: job.found, key });
        let damage =
            Damage { cid: Some(job.cid.clone()), pack: Some(job.found.pack), path: None, offset: job.found.place.offset(), reason };
        found.add(damage, copy);
    }
    for (at, (job, (cid, data))) in jobs.iter().zip(&blocks).enumerate() {
        if failures.binary_search(&at).is_err() {
            inner.verify_list(cid, job.found, data);
            if cid.codec() != codec::RAW {
                links.take(inner, &slice.pack, cid, data);
            }
        }
    }
    operation.add_bytes(bytes);
    operation.add_files(blocks.len() as u64);
    slice.part.done(found.count == 0 && found.displaced.is_empty());
    locked(findings).take_in(found);
    Ok(())
}

/// A worker that dies must not leave the others waiting.
struct OnPanic<'a, 'b>(&'a Queue<Slice<'b>, Undivided>);

impl Drop for OnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl Pack {
    /// How many of some keys stand one behind the other in this pack, from where the first was found on. At least that one.
    pub fn run(&self, found: Found, keys: &[Key]) -> usize {
        let first = if found.pack == self.id { self.entries.binary_search_by_key(&found.place, |entry| entry.place).ok() } else { None };
        let entries = first.and_then(|first| self.entries.get(first..)).unwrap_or_default();
        let is_here = |(entry, key): &(&Entry, &Key)| entry.key == **key && !self.dead.contains(&entry.place.offset());
        entries.iter().zip(keys).take_while(is_here).count().max(1)
    }
}

/// The pack as it is now; `None` when it was retired meanwhile.
fn open(inner: &Inner, pack: u32) -> Result<Option<Pack>> {
    inner.look_up(|state| {
        let Some(record) = state.contents.packs.get(&pack) else { return Ok(Ok(None)) };
        let about = |map: Map, readable: u64, committed: u64, entries: Vec<Entry>, is_sealed: bool| {
            let (header_bytes, is_header_sound) = (record.header_bytes(), record.has_sound_header(&map, readable));
            Some(Pack { id: pack, map, readable, committed, entries, dead: record.dead.clone(), is_sealed, header_bytes, is_header_sound })
        };
        if let Some(active) = state.active.as_ref().filter(|active| active.id == pack) {
            let readable = active.committed.min(active.readable);
            let entries = active.entries().iter().take(active.committed_entries).copied().collect();
            let map = active.map_to(readable).map_err(|e| Error::io("mapping", &inner.paths.car(pack), e));
            return Ok(map.map(|map| about(map, readable, active.committed, entries, false)));
        }
        let Some(sealed) = state.sealed(pack) else { return Ok(Ok(None)) };
        let mut entries = Vec::with_capacity(usize::try_from(sealed.index.len()).unwrap_or(0));
        for slot in 0..sealed.index.len() {
            entries.push(sealed.index.entry(slot).map_err(|BadPage| BadIndex::Pack(pack))?);
        }
        entries.sort_unstable_by_key(|entry| entry.place);
        Ok(Ok(about(sealed.map.clone(), sealed.readable, record.length, entries, true)))
    })?
}

/// Deals out the slices of a pack, and looks at what belongs to none.
fn deal<'a>(
    run: &'a Run<'_>,
    id: u32,
    queue: &Queue<Slice<'a>, Undivided>,
    findings: &Mutex<Findings>,
    report: &mut VerifyReport,
) -> Result<()> {
    let (inner, operation) = (&*run.store.0, run.operation);
    let Some(pack) = open(inner, id)? else { return Ok(()) };
    let line = pack_line(id, pack.committed, pack.dead.len());
    if pack.is_sealed && run.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.has(&line)) {
        report.resumed += 1;
        pass_over(&pack, report, operation);
        return Ok(());
    }
    let part = Arc::new(Part::new(line, run.checkpoint.as_ref().filter(|_| pack.is_sealed)));
    let mut found = Findings::default();
    if !pack.is_header_sound {
        found.place(id, 0, Reason::Header);
    }
    if pack.readable < pack.committed {
        found.place(id, pack.readable, Reason::Cut);
    }
    let end = pack.committed.min(pack.readable);
    if pack.entries.is_empty() && survey_gap(&pack, pack.header_bytes, end, &mut found) && pack.is_sealed {
        found.wrong_indexes.insert(id);
    }
    if !pack.is_sealed && !is_log_sound(inner, &pack) {
        report.logs_damaged.push(id);
    }
    let pack = Arc::new(pack);
    let (mut dealt, mut from) = (0, Some(pack.header_bytes));
    while let Some(rest) = pack.entries.get(dealt..).filter(|rest| !rest.is_empty()) {
        operation.check()?;
        let (slice, later) = rest.split_at(slice_blocks(rest));
        if let (Some(first), Some(last)) = (slice.first(), slice.last()) {
            pack.map.read_ahead(first.place.offset(), last.place.offset().saturating_add(last.place.block_bytes()).min(pack.readable));
        }
        let to = later.first().map_or(end, |entry| entry.place.offset());
        let entries = dealt..dealt + slice.len();
        dealt = entries.end;
        part.add();
        if !queue.push(Slice { pack: Arc::clone(&pack), entries, from: from.take(), to, part: Arc::clone(&part) }) {
            return operation.check();
        }
    }
    part.done(found.count == 0);
    locked(findings).take_in(found);
    Ok(())
}

/// How many of some entries make a slice.
fn slice_blocks(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    for (before, entry) in entries.iter().enumerate() {
        if bytes >= SLICE_BYTES_MAX || (bytes >= SLICE_BYTES_MIN && before >= SLICE_BLOCKS_MIN) {
            return before;
        }
        bytes += entry.place.block_bytes().max(1);
    }
    entries.len()
}

/// Counts a pack that an earlier verification found sound.
fn pass_over(pack: &Pack, report: &mut VerifyReport, operation: &Operation) {
    for entry in pack.entries.iter().filter(|entry| !pack.dead.contains(&entry.place.offset())) {
        report.blocks += 1;
        report.bytes = report.bytes.saturating_add(entry.place.block_bytes());
        operation.add_bytes(entry.place.block_bytes());
        operation.add_files(1);
    }
}

/// Checks that the sections of a slice stand one behind the other just where the index says: the blocks to hash.
fn check_sections(slice: &Slice<'_>, found: &mut Findings) -> Vec<Job> {
    let pack = &*slice.pack;
    let mut is_index_wrong = false;
    let entries = pack.entries.get(slice.entries.clone()).unwrap_or_default();
    let mut jobs: Vec<Job> = Vec::with_capacity(entries.len());
    // Where the next section should begin; not known behind a damaged one. What is in front of a slice is looked at with the one before.
    let mut next = slice.from;
    for entry in entries {
        let offset = entry.place.offset();
        if let Some(from) = next {
            is_index_wrong |= survey_gap(pack, from, offset, found);
        }
        let is_live = !pack.dead.contains(&offset);
        if is_live {
            found.blocks += 1;
            found.bytes = found.bytes.saturating_add(entry.place.block_bytes());
        }
        let place = Found { pack: pack.id, place: entry.place };
        let section = section_at(&pack.map, offset, pack.readable);
        next = section.as_ref().map(|section| section.end);
        match section {
            Some(section) if is_as_indexed(&section, entry) => {
                if is_live {
                    jobs.push(Job { cid: section.cid, start: section.block_start, end: section.end, found: place });
                }
            }
            // A sound block, and not the one that the index names: it is the index that lies, and is made again. That of an open pack is
            // what the journal says itself.
            Some(section) if pack.is_sealed && is_sound(pack, &section) => {
                is_index_wrong = true;
                if is_live {
                    found.displaced.push(BadCopy { found: place, key: entry.key });
                }
            }
            Some(_) | None => {
                next = None;
                let reason = if offset >= pack.readable { Reason::Cut } else { Reason::Head };
                if is_live {
                    let damage = Damage { cid: None, pack: Some(pack.id), path: None, offset, reason };
                    found.add(damage, Some(BadCopy { found: place, key: entry.key }));
                }
            }
        }
    }
    if let Some(from) = next {
        is_index_wrong |= survey_gap(pack, from, slice.to, found);
    }
    if is_index_wrong && pack.is_sealed {
        found.wrong_indexes.insert(pack.id);
    }
    jobs
}

fn is_as_indexed(section: &Section, entry: &Entry) -> bool {
    section.end - section.block_start == entry.place.block_bytes() && key(&section.cid) == Some(entry.key)
}

fn is_sound(pack: &Pack, section: &Section) -> bool {
    let block = pack.map.get(section.block_start, section.end).unwrap_or_default();
    hash::verify(&section.cid, block).is_ok()
}

/// Looks at bytes that the index says nothing of. Whether blocks stand there.
fn survey_gap(pack: &Pack, from: u64, to: u64, found: &mut Findings) -> bool {
    let (mut at, mut has_blocks) = (from, false);
    while at < to {
        match section_at(&pack.map, at, to).filter(|section| is_sound(pack, section)) {
            // Of an adopted pack, blocks of identity CIDs stand in no index.
            Some(section) => (at, has_blocks) = (section.end, has_blocks || key(&section.cid).is_some()),
            None => {
                found.place(pack.id, at, Reason::Stray);
                break;
            }
        }
    }
    has_blocks
}

/// Whether the log of an open pack leads to what the journal says of it.
fn is_log_sound(inner: &Inner, pack: &Pack) -> bool {
    let wanted = inner.state().active.as_ref().filter(|active| active.id == pack.id).and_then(|active| active.log);
    // Done without already: what could be wrong with it does no harm.
    let Some(wanted) = wanted else { return true };
    let Ok(file) = inner.disk.open(&inner.paths.log(pack.id), false) else { return wanted.bytes == 0 };
    let Ok(bytes) = crate::disk::read_to_end(&*file, 0) else { return false };
    let mut end = LogEnd::start(pack.id);
    let mut entries = Vec::new();
    while end != wanted {
        let rest = usize::try_from(end.bytes).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let Some((group, _, next)) = end.read_group(rest) else { return false };
        entries.extend(group);
        end = next;
    }
    entries.sort_unstable_by_key(|entry| entry.place);
    entries == pack.entries
}

/// Compares merged indexes with those of the packs, which were compared with the packs.
fn check_merged(inner: &Inner) -> Result<bool> {
    let unsound = inner.look_up(|state| {
        for (at, merged) in state.merged.iter().map(|merged| &merged.index).enumerate() {
            // Of each sealed pack, how many of its entries were met.
            let mut met = vec![0u64; state.sealed.len()];
            for slot in 0..merged.len() {
                let entry = merged.entry(slot).map_err(|BadPage| BadIndex::Merged(at))?;
                let Ok(which) = state.sealed.binary_search_by_key(&entry.pack, |sealed| sealed.id) else { continue };
                let (Some(sealed), Some(met)) = (state.sealed.get(which), met.get_mut(which)) else { continue };
                let indexed = sealed.index.entry(u64::from(entry.slot)).map_err(|BadPage| BadIndex::Pack(entry.pack))?;
                if !indexed.key.starts_with(&entry.prefix.to_be_bytes()) {
                    return Ok(Some(at));
                }
                *met += 1;
            }
            let mut covered = state.sealed.iter().zip(&met).filter(|(sealed, _)| merged.packs.contains(&sealed.id));
            if covered.any(|(sealed, met)| *met != sealed.index.len()) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    })?;
    if let Some(at) = unsound {
        inner.mend(BadIndex::Merged(at), false)?;
    }
    Ok(unsound.is_none())
}

/// The keys of damaged blocks that have no sound copy elsewhere.
pub(super) fn without_other_copy(store: &Store, damaged: &[BadCopy]) -> Result<HashSet<Key>> {
    let bad: HashSet<Found> = damaged.iter().map(|copy| copy.found).collect();
    let mut lost = HashSet::new();
    for copy in damaged {
        if !store.0.look_up(|state| state.find(&copy.key, true, &mut |found| !bad.contains(&found)))? {
            lost.insert(copy.key);
        }
    }
    Ok(lost)
}
