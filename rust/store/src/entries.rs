//! Walking through what the packs hold, section by section, without checking hashes.

use crate::disk::Map;
use crate::error::{Error, Result};
use crate::pack::{Place, section_at};
use crate::store::{Store, StoredBlock};

/// Iterator of [`Store::entries`].
pub struct Entries {
    pub(crate) store: Store,
    /// Still to come, last first.
    pub(crate) packs: Vec<u32>,
    pub(crate) current: Option<PackEntries>,
}

pub(crate) struct PackEntries {
    pack: u32,
    places: std::vec::IntoIter<Place>,
    map: Map,
    limit: u64,
}

/// Places asked about under one lock, for which those who put wait.
const ASKED_TOGETHER: usize = 16_384;

impl Entries {
    /// A sealed pack, without holding a lock for as long as it takes to go through its index. `None` when it is not sealed, or its
    /// index is bad.
    fn open_sealed(&self, pack: u32) -> Option<PackEntries> {
        let inner = &self.store.0;
        let sealed = inner.state().sealed(pack).cloned()?;
        let mut places = Vec::new();
        for slot in 0..sealed.index.len() {
            places.push(sealed.index.entry(slot).ok()?.place);
        }
        places.sort_unstable();
        let live: Vec<Place> = places.chunks(ASKED_TOGETHER).flat_map(|some| inner.state().retain_live(pack, some)).collect();
        Some(PackEntries { pack, places: live.into_iter(), map: sealed.map.clone(), limit: sealed.readable })
    }

    fn open_pack(&self, pack: u32) -> Result<Option<PackEntries>> {
        if let Some(opened) = self.open_sealed(pack) {
            return Ok(Some(opened));
        }
        let inner = &self.store.0;
        let opened = inner.look_up(|state| {
            let Some(places) = state.places(pack, true)? else { return Ok(Ok(None)) };
            let view = match state.active.as_ref().filter(|active| active.id == pack) {
                Some(active) => {
                    let limit = active.committed.min(active.readable);
                    active.map_to(limit).map(|map| (map, limit))
                }
                None => Ok(state.sealed(pack).map_or((Map::from_bytes(Vec::new()), 0), |sealed| (sealed.map.clone(), sealed.readable))),
            };
            Ok(view.map(|(map, limit)| Some(PackEntries { pack, places: places.into_iter(), map, limit })))
        })?;
        opened.map_err(|e| Error::io("mapping", &inner.paths.car(pack), e))
    }
}

impl Iterator for Entries {
    type Item = Result<StoredBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(place) = current.places.next() {
                    let (pack, offset) = (current.pack, place.offset());
                    let section = section_at(&current.map, offset, current.limit)
                        .filter(|section| section.end - section.block_start == place.block_bytes());
                    return Some(match section {
                        Some(section) => Ok(StoredBlock { cid: section.cid, pack, offset, bytes: place.block_bytes() }),
                        None => Err(Error::DamagedSection { pack, offset }),
                    });
                }
                self.current = None;
            }
            let pack = self.packs.pop()?;
            match self.open_pack(pack) {
                Ok(current) => self.current = current,
                Err(e) => return Some(Err(e)),
            }
        }
    }
}
