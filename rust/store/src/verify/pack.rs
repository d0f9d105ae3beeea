//! Verifying packs: first their structure, from one thread, then the blocks, on all cores.

use super::checkpoint::{Part, pack_line};
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
use shoal_core::hash::{self, VerifyError};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// A block to hash.
struct Job {
    cid: Cid,
    start: u64,
    end: u64,
    found: Found,
}

/// Neighbours in one pack, hashed side by side.
struct Batch<'a> {
    map: Map,
    jobs: Vec<Job>,
    part: Arc<Part<'a>>,
}

/// Blocks in a batch: as many as SHA-256 takes side by side, twice over.
const BATCH_BLOCKS: usize = 32;
/// Bytes of blocks in a batch, give or take one block.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Batches that may wait for a worker.
const QUEUED_MAX: usize = 8;

/// Batches are not shared further.
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
}

impl Findings {
    fn add(&mut self, damage: Damage, copy: Option<BadCopy>) {
        self.count += 1;
        if self.damaged.len() < DAMAGES_MAX {
            self.damaged.push(damage);
        }
        self.copies.extend(copy);
    }

    fn place(&mut self, pack: u32, offset: u64, reason: Reason) {
        self.add(Damage { cid: None, pack: Some(pack), path: None, offset, reason }, None);
    }
}

/// What is known of a pack before it is read.
struct Pack {
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

/// Verifies all packs: the bad copies of live blocks.
pub(super) fn verify_packs(run: &Run<'_>, report: &mut VerifyReport) -> Result<Vec<BadCopy>> {
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
    let queue: Queue<Batch<'_>, Undivided> = Queue::new(QUEUED_MAX);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let survey = std::thread::scope(|scope| {
        let close = queue.close_on_drop();
        for _ in 0..cores {
            scope.spawn(|| hash_batches(run, &queue, &findings));
        }
        let survey = stats.iter().try_for_each(|stat| {
            if missing.contains(&stat.pack) {
                locked(&findings).place(stat.pack, 0, Reason::Missing);
                return Ok(());
            }
            survey(run, stat.pack, &queue, &findings, report)
        });
        if survey.is_err() {
            queue.stop();
        }
        drop(close);
        survey
    });
    survey?;
    operation.check()?;
    report.is_merged_rebuilt = !check_merged(inner)?;
    report.pack_trees_rebuilt = inner.save_distrusted_trees();
    let mut findings = findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // So that putting these blocks again heals them.
    inner.pending_mut().damaged.extend(findings.copies.iter().map(|copy| copy.found));
    mark(store, &findings.copies);
    findings.damaged.sort_by_key(|damage| (damage.pack, damage.offset));
    report.damaged = findings.damaged;
    report.damaged_count = findings.count;
    Ok(findings.copies)
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

fn hash_batches(run: &Run<'_>, queue: &Queue<Batch<'_>, Undivided>, findings: &Mutex<Findings>) {
    let (inner, operation) = (&*run.store.0, run.operation);
    let _stop = OnPanic(queue);
    while let Some(Work::Job(batch)) = queue.next() {
        let _done = queue.done_on_drop();
        let bytes = batch.jobs.iter().map(|job| job.end.saturating_sub(job.start)).sum();
        if run.pace.take(bytes, operation).is_err() || operation.check().is_err() {
            queue.stop();
            return;
        }
        if let (Some(first), Some(last)) = (batch.jobs.first(), batch.jobs.last()) {
            batch.map.will_need(first.start, last.end);
        }
        let blocks: Vec<(&Cid, &[u8])> =
            batch.jobs.iter().map(|job| (&job.cid, batch.map.get(job.start, job.end).unwrap_or_default())).collect();
        let mut failures = Vec::new();
        hash::verify_many(&blocks, &mut failures);
        for (job, (cid, data)) in failures.iter().filter_map(|&at| batch.jobs.get(at).zip(blocks.get(at))) {
            let reason = match hash::verify(cid, data) {
                Err(VerifyError::UnknownHash(_)) => Reason::UnknownHash,
                Err(VerifyError::Mismatch) | Ok(()) => Reason::Block,
            };
            let copy = key(&job.cid).map(|key| BadCopy { found: job.found, key });
            let damage =
                Damage { cid: Some(job.cid.clone()), pack: Some(job.found.pack), path: None, offset: job.found.place.offset(), reason };
            locked(findings).add(damage, copy);
        }
        for (at, (job, (cid, data))) in batch.jobs.iter().zip(&blocks).enumerate() {
            if failures.binary_search(&at).is_err() {
                inner.verify_list(cid, job.found, data);
            }
        }
        operation.add_bytes(bytes);
        operation.add_files(blocks.len() as u64);
        batch.part.done(failures.is_empty());
    }
}

/// A worker that dies must not leave the others waiting.
struct OnPanic<'a, 'b>(&'a Queue<Batch<'b>, Undivided>);

impl Drop for OnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// The pack as it is now; `None` when it was retired meanwhile.
fn open(inner: &Inner, pack: u32) -> Result<Option<Pack>> {
    inner.look_up(|state| {
        let Some(record) = state.contents.packs.get(&pack) else { return Ok(Ok(None)) };
        if let Some(active) = state.active.as_ref().filter(|active| active.id == pack) {
            let readable = active.committed.min(active.readable);
            let entries = active.entries().iter().take(active.committed_entries).copied().collect();
            return Ok(active.map_to(readable).map_err(|e| Error::io("mapping", &inner.paths.car(pack), e)).map(|map| {
                let dead = record.dead.clone();
                let (header_bytes, is_header_sound) = (record.header_bytes(), record.has_sound_header(&map, readable));
                let committed = active.committed;
                Some(Pack { id: pack, map, readable, committed, entries, dead, is_sealed: false, header_bytes, is_header_sound })
            }));
        }
        let Some(sealed) = state.sealed(pack) else { return Ok(Ok(None)) };
        let mut entries = Vec::new();
        for slot in 0..sealed.index.len() {
            entries.push(sealed.index.entry(slot).map_err(|BadPage| BadIndex::Pack(pack))?);
        }
        entries.sort_unstable_by_key(|entry| entry.place);
        let (map, dead, readable) = (sealed.map.clone(), record.dead.clone(), sealed.readable);
        let (header_bytes, is_header_sound) = (record.header_bytes(), record.has_sound_header(&map, readable));
        let committed = record.length;
        Ok(Ok(Some(Pack { id: pack, map, readable, committed, entries, dead, is_sealed: true, header_bytes, is_header_sound })))
    })?
}

/// Checks that a pack's sections stand one behind the other just where its index says, and hands the blocks to the workers.
fn survey<'a>(
    run: &'a Run<'_>,
    id: u32,
    queue: &Queue<Batch<'a>, Undivided>,
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
    let before = locked(findings).count;
    if !pack.is_header_sound {
        locked(findings).place(id, 0, Reason::Header);
    }
    let is_index_wrong = survey_sections(&pack, &part, queue, findings, report, operation)?;
    if pack.readable < pack.committed {
        locked(findings).place(id, pack.readable, Reason::Cut);
    }
    if is_index_wrong && pack.is_sealed {
        inner.mend(BadIndex::Pack(id), false)?;
        report.indexes_rebuilt.push(id);
    }
    if !pack.is_sealed && !is_log_sound(inner, &pack) {
        report.logs_damaged.push(id);
    }
    // What the workers find of other packs meanwhile counts against this one too: then it is looked at again.
    part.done(locked(findings).count == before);
    Ok(())
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

/// Whether the index names other blocks than the pack has, or at other places.
fn survey_sections<'a>(
    pack: &Pack,
    part: &Arc<Part<'a>>,
    queue: &Queue<Batch<'a>, Undivided>,
    findings: &Mutex<Findings>,
    report: &mut VerifyReport,
    operation: &Operation,
) -> Result<bool> {
    let mut is_index_wrong = false;
    let mut jobs: Vec<Job> = Vec::new();
    let push = |jobs: &mut Vec<Job>| {
        let jobs = std::mem::take(jobs);
        if jobs.is_empty() {
            return Ok(());
        }
        part.add();
        if queue.push(Batch { map: pack.map.clone(), jobs, part: Arc::clone(part) }) { Ok(()) } else { operation.check() }
    };
    // Where the next section should begin; not known behind a damaged one.
    let mut next = Some(pack.header_bytes);
    for entry in &pack.entries {
        operation.check()?;
        let offset = entry.place.offset();
        if let Some(from) = next {
            is_index_wrong |= survey_gap(pack, from, offset, findings);
        }
        let is_live = !pack.dead.contains(&offset);
        if is_live {
            report.blocks += 1;
            report.bytes = report.bytes.saturating_add(entry.place.block_bytes());
        }
        let found = Found { pack: pack.id, place: entry.place };
        let section = section_at(&pack.map, offset, pack.readable);
        next = section.as_ref().map(|section| section.end);
        match section {
            Some(section) if is_as_indexed(&section, entry) => {
                if is_live {
                    jobs.push(Job { cid: section.cid, start: section.block_start, end: section.end, found });
                }
            }
            // A sound block, and not the one that the index names: it is the index that lies.
            Some(section) if is_sound(pack, &section) => is_index_wrong = true,
            Some(_) | None => {
                next = None;
                let reason = if offset >= pack.readable { Reason::Cut } else { Reason::Head };
                if is_live {
                    let damage = Damage { cid: None, pack: Some(pack.id), path: None, offset, reason };
                    locked(findings).add(damage, Some(BadCopy { found, key: entry.key }));
                }
            }
        }
        let batch_bytes = jobs.first().map_or(0, |first| offset.saturating_sub(first.start));
        if jobs.len() >= BATCH_BLOCKS || batch_bytes >= BATCH_BYTES {
            push(&mut jobs)?;
        }
    }
    push(&mut jobs)?;
    if let Some(from) = next {
        is_index_wrong |= survey_gap(pack, from, pack.committed.min(pack.readable), findings);
    }
    Ok(is_index_wrong)
}

fn is_as_indexed(section: &Section, entry: &Entry) -> bool {
    section.end - section.block_start == entry.place.block_bytes() && key(&section.cid) == Some(entry.key)
}

fn is_sound(pack: &Pack, section: &Section) -> bool {
    let block = pack.map.get(section.block_start, section.end).unwrap_or_default();
    hash::verify(&section.cid, block).is_ok()
}

/// Looks at bytes that the index says nothing of. Whether blocks stand there.
fn survey_gap(pack: &Pack, from: u64, to: u64, findings: &Mutex<Findings>) -> bool {
    let (mut at, mut has_blocks) = (from, false);
    while at < to {
        match section_at(&pack.map, at, to).filter(|section| is_sound(pack, section)) {
            // Of an adopted pack, blocks of identity CIDs stand in no index.
            Some(section) => (at, has_blocks) = (section.end, has_blocks || key(&section.cid).is_some()),
            None => {
                locked(findings).place(pack.id, at, Reason::Stray);
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
            let mut slots: HashMap<u32, u64> = HashMap::new();
            for slot in 0..merged.len() {
                let entry = merged.entry(slot).map_err(|BadPage| BadIndex::Merged(at))?;
                let Some(sealed) = state.sealed(entry.pack) else { continue };
                let indexed = sealed.index.entry(u64::from(entry.slot)).map_err(|BadPage| BadIndex::Pack(entry.pack))?;
                if !indexed.key.starts_with(&entry.prefix.to_be_bytes()) {
                    return Ok(Some(at));
                }
                *slots.entry(entry.pack).or_default() += 1;
            }
            let is_whole =
                |pack: &u32| state.sealed(*pack).is_none_or(|sealed| slots.get(pack).copied().unwrap_or(0) == sealed.index.len());
            if !merged.packs.iter().all(is_whole) {
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
