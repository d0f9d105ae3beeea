//! Checked values of blobs, kept in memory so that a warm read hashes nothing but its group.
//!
//! A page is up to 256 values side by side: of the groups of 4 MiB of data, or of 256 such pages, and so on. Its values were
//! checked against the value over all of them, up to the digest, before it came in here.

use crate::inner::locked;
use shoal_core::bao::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Values in a full page: 8 KiB, which stand for 4 MiB of data.
pub(super) const PAGE_VALUES: u64 = 256;
/// Bytes of values kept by a store: those of 32 GiB of blobs, so that random reads over that much stay warm.
const PAGES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The values of neighbours.
pub(crate) type Page = Box<[Value]>;

/// Blob (by its number in this process), height, and place at that height.
pub(super) type PageKey = (u64, u32, u64);

struct Kept {
    page: Arc<Page>,
    /// Whether it was used since the hand last passed.
    is_used: bool,
}

#[derive(Default)]
struct Shelf {
    pages: HashMap<PageKey, Kept>,
    /// The order in which the hand of the clock passes them.
    clock: VecDeque<PageKey>,
    bytes: usize,
}

/// The pages of all blobs of a store.
#[derive(Default)]
pub(crate) struct Pages(Mutex<Shelf>);

impl Pages {
    pub(super) fn get(&self, key: PageKey) -> Option<Arc<Page>> {
        let mut shelf = locked(&self.0);
        let kept = shelf.pages.get_mut(&key)?;
        kept.is_used = true;
        Some(Arc::clone(&kept.page))
    }

    pub(super) fn put(&self, key: PageKey, page: Arc<Page>) {
        let mut shelf = locked(&self.0);
        let bytes = size_of_val::<[Value]>(&page);
        if shelf.pages.insert(key, Kept { page, is_used: false }).is_none() {
            shelf.clock.push_back(key);
            shelf.bytes += bytes;
        }
        while shelf.bytes > PAGES_BYTES_MAX {
            let Some(oldest) = shelf.clock.pop_front() else { break };
            match shelf.pages.get_mut(&oldest) {
                Some(kept) if kept.is_used => {
                    kept.is_used = false;
                    shelf.clock.push_back(oldest);
                }
                _ => {
                    let gone = shelf.pages.remove(&oldest).map_or(0, |kept| size_of_val::<[Value]>(&kept.page));
                    shelf.bytes = shelf.bytes.saturating_sub(gone);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_stay_within_their_budget_and_those_in_use_stay_longest() {
        let pages = Pages::default();
        let page = || Arc::new(vec![[0; 32]; 256].into_boxed_slice());
        let most = (PAGES_BYTES_MAX / (32 * 256)) as u64;
        for n in 0..most {
            pages.put((0, 0, n), page());
        }
        for n in 0..most / 4 {
            assert!(pages.get((0, 0, n)).is_some());
        }
        for n in most..most + most / 2 {
            pages.put((0, 0, n), page());
        }
        assert!((0..most / 4).all(|n| pages.get((0, 0, n)).is_some()), "used since");
        assert!((most / 4..most / 2).all(|n| pages.get((0, 0, n)).is_none()), "not used");
        let shelf = locked(&pages.0);
        assert!(shelf.bytes <= PAGES_BYTES_MAX && shelf.clock.len() == shelf.pages.len());
    }
}
