//! Putting blocks into the open pack.
//!
//! A write that fails leaves the pack as long as it was, so there are never holes.

use crate::disk::{DiskFile, write_all_at};
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use crate::pack::{Active, Entry, HEADER, Key, Place, key, write_section_head};
use crate::session::PutCount;
use shoal_core::Cid;
use shoal_core::car::v1::section_bytes;
use shoal_core::limits::BLOCK_BYTES_MAX;
use std::collections::HashSet;
use std::io::IoSlice;
use std::sync::Arc;

/// Buffers of whoever appends.
#[derive(Default)]
pub(crate) struct Scratch {
    heads: Vec<u8>,
}

/// Blocks up to this size are gathered into one buffer; larger ones are written from where they are.
const GATHER_BYTES_MAX: usize = 8 * 1024;
/// Most bytes handed to one write.
const WRITE_BYTES_MAX: u64 = 16 * 1024 * 1024;

struct Room {
    file: Arc<dyn DiskFile>,
    pack: u32,
    start: u64,
    entries_max: usize,
}

impl Inner {
    /// Copies in the pack `leaving` do not count: what is put moves out of it.
    pub fn put_many(&self, blocks: &[(&Cid, &[u8])], leaving: Option<u32>) -> Result<PutCount> {
        self.check_poison()?;
        let mut wanted: Vec<(Key, &Cid, &[u8])> = Vec::with_capacity(blocks.len());
        for (cid, data) in blocks {
            if data.len() > BLOCK_BYTES_MAX {
                return Err(Error::BlockTooLarge { cid: (*cid).clone(), bytes: data.len() as u64 });
            }
            if let Some(key) = key(cid) {
                wanted.push((key, cid, data));
            }
        }
        if wanted.len() > 1 {
            let mut seen = HashSet::with_capacity(wanted.len());
            wanted.retain(|(key, ..)| seen.insert(*key));
        }
        self.holds.take(wanted.iter().map(|(key, ..)| key));
        let mut looked_at = self.retain_missing(&mut wanted, leaving)?;
        // What moves leaves as much behind.
        if leaving.is_none() && !wanted.is_empty() {
            self.check_quota(wanted.iter().map(|(_, cid, data)| section_bytes(cid, data.len()) as u64).sum())?;
        }
        let mut count = PutCount::default();
        let mut rest = wanted.as_slice();
        let mut again;
        while !rest.is_empty() {
            let mut scratch = locked(&self.append);
            if self.state().version != looked_at {
                // Someone has appended or sealed since. Nobody can now, while we hold the lock.
                again = rest.to_vec();
                looked_at = self.retain_missing(&mut again, leaving)?;
                rest = again.as_slice();
            }
            let Some(room) = self.room(&mut scratch)? else {
                drop(scratch);
                self.seal_if_full()?;
                continue;
            };
            let written = self.append(&mut scratch, &room, rest)?;
            looked_at += 1;
            let (done, later) = rest.split_at_checked(written).unwrap_or((rest, &[]));
            count.new_blocks += done.len() as u64;
            count.new_bytes += done.iter().map(|(_, _, data)| data.len() as u64).sum::<u64>();
            rest = later;
        }
        Ok(count)
    }

    /// Drops what is here already; the state's version that this was true of.
    fn retain_missing(&self, wanted: &mut Vec<(Key, &Cid, &[u8])>, leaving: Option<u32>) -> Result<u64> {
        let (is_here, version) = self.look_up(|state| {
            let pending = self.pending();
            let keys: Vec<&Key> = wanted.iter().map(|(key, ..)| key).collect();
            Ok((state.has_many(&keys, false, &|found| Some(found.pack) != leaving && pending.counts(state, found))?, state.version))
        })?;
        let mut is_here = is_here.into_iter();
        wanted.retain(|_| !is_here.next().unwrap_or(false));
        Ok(version)
    }

    pub fn is_full(&self, active: &Active) -> bool {
        let entries = active.entries().len();
        entries > 0 && (active.written >= self.options.pack_bytes_max || entries >= self.options.pack_entries_max)
    }

    /// The open pack, opened if need be; `None` when it must be sealed first.
    fn room(&self, _append: &mut Scratch) -> Result<Option<Room>> {
        loop {
            if let Some(active) = &self.state().active {
                let room = Room {
                    file: Arc::clone(&active.file),
                    pack: active.id,
                    start: active.written,
                    entries_max: self.options.pack_entries_max.saturating_sub(active.entries().len()),
                };
                return Ok(if self.is_full(active) { None } else { Some(room) });
            }
            let id = self.state().contents.pack_next;
            let path = self.paths.car(id);
            let mut state = self.state_mut();
            match self.disk.create(&path) {
                Ok(file) => {
                    if let Err(e) = write_all_at(&*file, &mut [IoSlice::new(&HEADER)], 0) {
                        let _ = self.disk.remove(&path);
                        return Err(Error::io("writing", &path, e));
                    }
                    state.active = Some(Active::new(id, file, self.map_bytes(), false));
                }
                // Not one of ours, or we would have taken it over: leave it alone.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    let next = id.checked_add(1).ok_or_else(|| {
                        Error::Format(format!("no number is left for a new pack, since {} is there: move it away", path.display()))
                    })?;
                    state.contents.pack_next = next;
                }
                Err(e) => return Err(Error::io("creating", &path, e)),
            }
        }
    }

    /// Writes as many of the blocks as fit in one go, and takes them in: how many.
    fn append(&self, scratch: &mut Scratch, room: &Room, blocks: &[(Key, &Cid, &[u8])]) -> Result<usize> {
        let heads = &mut scratch.heads;
        heads.clear();
        let mut entries: Vec<(Entry, u64)> = Vec::with_capacity(blocks.len());
        // What stands in `heads` up to here, and then perhaps one large block.
        let mut pieces: Vec<(usize, &[u8])> = Vec::new();
        let mut at = room.start;
        for (key, cid, data) in blocks.iter().take(room.entries_max) {
            if !entries.is_empty() && (at >= self.options.pack_bytes_max || at - room.start >= WRITE_BYTES_MAX) {
                break;
            }
            let place = Place::new(at, data.len()).ok_or_else(|| Error::Format(format!("pack {} is too large", room.pack)))?;
            let before = heads.len();
            write_section_head(cid, data.len(), heads);
            if data.len() <= GATHER_BYTES_MAX {
                heads.extend_from_slice(data);
                at += (heads.len() - before) as u64;
            } else {
                at += (heads.len() - before + data.len()) as u64;
                pieces.push((heads.len(), data));
            }
            entries.push((Entry { key: *key, place }, at));
        }
        pieces.push((heads.len(), &[]));
        let mut buffers = Vec::with_capacity(2 * pieces.len());
        let mut from = 0;
        for (to, data) in pieces {
            buffers.push(IoSlice::new(heads.get(from..to).unwrap_or_default()));
            buffers.push(IoSlice::new(data));
            from = to;
        }
        buffers.retain(|buffer| !buffer.is_empty());
        if let Err(e) = write_all_at(&*room.file, &mut buffers, room.start) {
            let _ = room.file.set_len(room.start);
            return Err(Error::io("writing", &self.paths.car(room.pack), e));
        }
        let mut state = self.state_mut();
        state.version += 1;
        let written = entries.len();
        if let Some(active) = &mut state.active {
            for (entry, end) in entries {
                active.push(entry, end);
            }
        }
        Ok(written)
    }
}
