//! Which groups of a partial blob are here, on disk: a log that only ever claims what was synced before (blob §6).

use super::Digest;
use crate::disk::{DiskFile, read_full_at, write_all_at};
use crate::meta::{Check, check};
use shoal_core::bao::{Groups, groups};
use std::io::{self, IoSlice};
use std::sync::Arc;

/// blob §6.2: magic, version, zero, length of the blob, digest, checksum.
const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"shoalprt";
const VERSION: u32 = 1;
/// blob §6.3: number of runs and checksum, in front of a record's runs.
const RECORD_HEADER_BYTES: usize = 12;
const RUN_BYTES: usize = 16;

fn header(digest: &Digest, bytes: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&0u32.to_le_bytes());
    header.extend_from_slice(&bytes.to_le_bytes());
    header.extend_from_slice(digest);
    let sum = check(&[&header]);
    header.extend_from_slice(&sum);
    header
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.first_chunk().copied()?))
}

/// What a log says.
#[derive(Debug, PartialEq)]
pub(super) struct Logged {
    /// Length of the blob, by the word of whoever began it.
    pub bytes: u64,
    pub present: Groups,
    /// Where the next record goes, and the checksum it starts from.
    end: u64,
    chain: Check,
}

/// Read of a log at a time.
const STEP_BYTES: usize = 64 * 1024;

/// blob §6.4: reads a log up to its last good record. `None` where not even the header is whole, or is another blob's: nothing more
/// is read then. Never more is held than a step, and one record, which has no more runs than the blob has groups.
fn parse(digest: &Digest, read_at: &mut dyn FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<Option<Logged>> {
    let mut step = vec![0; STEP_BYTES];
    let read = read_at(&mut step, 0)?;
    let mut held = step.get(..read).unwrap_or_default().to_vec();
    let Some(bytes) = held.get(16..).and_then(number) else { return Ok(None) };
    let head = header(digest, bytes);
    if !held.starts_with(&head) {
        return Ok(None);
    }
    held.drain(..HEADER_BYTES);
    let mut logged =
        Logged { bytes, present: Groups::new(), end: HEADER_BYTES as u64, chain: head.last_chunk().copied().unwrap_or_default() };
    loop {
        let taken = logged.take(&held);
        held.drain(..taken);
        // What is left is a bad record, or a part of one that may be good.
        let runs = held.first_chunk().map_or(0, |count| u64::from(u32::from_le_bytes(*count)));
        let wanted = (RECORD_HEADER_BYTES as u64).saturating_add(runs.saturating_mul(RUN_BYTES as u64));
        if runs > groups(bytes) || held.len() as u64 >= wanted {
            return Ok(Some(logged));
        }
        let read = read_at(&mut step, logged.end + held.len() as u64)?;
        if read == 0 {
            return Ok(Some(logged));
        }
        held.extend_from_slice(step.get(..read).unwrap_or_default());
    }
}

impl Logged {
    /// Takes the good records that `log` begins with: how many bytes they have.
    fn take(&mut self, log: &[u8]) -> usize {
        let mut rest = log;
        while let Some((runs, sum, after)) = record(rest, &self.chain) {
            // Checked, so it is what we wrote; what we did not write ends the reading all the same.
            if runs.iter().any(|(start, end)| start >= end || *end > groups(self.bytes)) {
                break;
            }
            runs.into_iter().for_each(|(start, end)| self.present.insert(start..end));
            (self.chain, rest) = (sum, after);
        }
        let taken = log.len() - rest.len();
        self.end += taken as u64;
        taken
    }
}

type Record<'a> = (Vec<(u64, u64)>, Check, &'a [u8]);

fn record<'a>(rest: &'a [u8], chain: &Check) -> Option<Record<'a>> {
    let count = u32::from_le_bytes(rest.first_chunk().copied()?);
    let sum: Check = rest.get(4..)?.first_chunk().copied()?;
    let length = usize::try_from(count).ok()?.checked_mul(RUN_BYTES)?;
    let (payload, after) = rest.get(RECORD_HEADER_BYTES..)?.split_at_checked(length)?;
    if check(&[chain, payload]) != sum {
        return None;
    }
    let runs = payload.chunks_exact(RUN_BYTES).map(|run| Some((number(run)?, number(run.get(8..)?)?)));
    Some((runs.collect::<Option<_>>()?, sum, after))
}

/// The log, open for writing.
pub(super) struct PresentLog {
    file: Arc<dyn DiskFile>,
    end: u64,
    chain: Check,
}

impl PresentLog {
    /// Begins a log that claims nothing. Synced by the first [`PresentLog::claim`].
    pub fn begin(file: Arc<dyn DiskFile>, digest: &Digest, bytes: u64) -> io::Result<Self> {
        let head = header(digest, bytes);
        file.set_len(0)?;
        write_all_at(&*file, &mut [IoSlice::new(&head)], 0)?;
        Ok(Self { file, end: HEADER_BYTES as u64, chain: head.last_chunk().copied().unwrap_or_default() })
    }

    /// Goes on with a log.
    pub fn resume(file: Arc<dyn DiskFile>, digest: &Digest) -> io::Result<Option<(Self, u64, Groups)>> {
        let Some(logged) = read(&*file, digest)? else { return Ok(None) };
        file.set_len(logged.end)?;
        Ok(Some((Self { file, end: logged.end, chain: logged.chain }, logged.bytes, logged.present)))
    }

    /// Adds groups, and syncs. Their data and nodes were synced before.
    pub fn claim(&mut self, fresh: &Groups) -> io::Result<()> {
        let mut payload = Vec::new();
        for run in fresh.runs() {
            payload.extend_from_slice(&run.start.to_le_bytes());
            payload.extend_from_slice(&run.end.to_le_bytes());
        }
        let sum = check(&[&self.chain, &payload]);
        let count = u32::try_from(payload.len() / RUN_BYTES).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut record = count.to_le_bytes().to_vec();
        record.extend_from_slice(&sum);
        record.extend_from_slice(&payload);
        write_all_at(&*self.file, &mut [IoSlice::new(&record)], self.end)?;
        self.file.sync_data()?;
        self.end += record.len() as u64;
        self.chain = sum;
        Ok(())
    }
}

/// Reads a log, in whichever process.
pub(super) fn read(file: &dyn DiskFile, digest: &Digest) -> io::Result<Option<Logged>> {
    parse(digest, &mut |buffer, offset| read_full_at(file, buffer, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, read_to_end};
    use crate::memory_disk::MemoryDisk;
    use std::path::Path;

    fn parse(digest: &Digest, log: &[u8]) -> Option<Logged> {
        let mut read_at = |buffer: &mut [u8], offset: u64| {
            let rest = log.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        };
        super::parse(digest, &mut read_at).unwrap()
    }

    #[test]
    fn a_log_cut_or_changed_anywhere_claims_only_what_stood_before() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/")).unwrap();
        let file = disk.create(Path::new("/log")).unwrap();
        let digest = [7; 32];
        let mut log = PresentLog::begin(Arc::clone(&file), &digest, 1 << 24).unwrap();
        let mut ends = vec![(log.end, Groups::new())];
        let mut all = Groups::new();
        for fresh in [&[(0, 1)][..], &[(5, 9), (12, 13)], &[(2, 3)]] {
            let fresh: Groups = fresh.iter().map(|(first, behind)| *first..*behind).collect();
            log.claim(&fresh).unwrap();
            all.insert_all(&fresh);
            ends.push((log.end, all.clone()));
        }
        let whole = read_to_end(&*file, 0).unwrap();
        let at_most = |length: u64| ends.iter().rev().find(|(end, _)| *end <= length).map(|(_, groups)| groups.clone());
        for at in 0..=whole.len() {
            let cut = parse(&digest, &whole[..at]);
            assert_eq!(cut.map(|logged| logged.present), at_most(at as u64), "cut to {at}");
            if let Some(byte) = whole.get(at) {
                let mut bad = whole.clone();
                bad[at] = byte ^ 1;
                assert_eq!(parse(&digest, &bad).map(|logged| logged.present), at_most(at as u64), "changed at {at}");
            }
        }
        assert_eq!(parse(&[8; 32], &whole), None);
        let (_, bytes, present) = PresentLog::resume(file, &digest).unwrap().unwrap();
        assert_eq!((bytes, present), (1 << 24, all));
    }
}
