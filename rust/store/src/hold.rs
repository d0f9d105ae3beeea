//! What sessions rely on while a collection runs beside them.
//!
//! A session that began before the collection is waited for; one that began later takes hold of every block before it looks whether
//! the block is here. The collector asks before it gives a copy up, under the lock under which puts look. So whatever a session was
//! told is here stays, or the session was told that it is not.

use crate::inner::{Inner, locked};
use crate::operation::Operation;
use crate::pack::{Key, hash_of};
use crate::session::Session;
use hashbrown::HashTable;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Blocks that were looked for or put since the collection began: some 40 bytes of memory for each, and nothing while none runs.
#[derive(Default)]
pub(crate) struct Holds {
    is_on: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// In the order in which they were taken.
    keys: Vec<Key>,
    /// Where in `keys`, by the key's hash.
    by_key: HashTable<u32>,
    /// What leases keep, by their sessions, whether a collection runs or not.
    leases: BTreeMap<u64, HashSet<Key>>,
}

impl Held {
    fn has(&self, key: &Key) -> bool {
        self.by_key.find(hash_of(key), |at| self.keys.get(*at as usize) == Some(key)).is_some()
    }

    fn insert(&mut self, key: &Key) {
        // So many that memory was full long before.
        let Ok(at) = u32::try_from(self.keys.len()) else { return };
        if !self.has(key) {
            self.keys.push(*key);
            let keys = &self.keys;
            self.by_key.insert_unique(hash_of(key), at, |at| keys.get(*at as usize).map_or(0, hash_of));
        }
    }
}

impl Holds {
    /// Takes hold of blocks, before they are looked for.
    pub fn take<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        if self.is_on.load(Ordering::Acquire) {
            let mut held = locked(&self.held);
            keys.into_iter().for_each(|key| held.insert(key));
        }
    }

    /// Takes hold of blocks for a lease, before they are looked for. False when it would keep more than `blocks_max`, and then none.
    pub fn lease(&self, lease: u64, keys: &[Key], blocks_max: usize) -> bool {
        let mut held = locked(&self.held);
        let leased = held.leases.entry(lease).or_default();
        if leased.len().saturating_add(keys.len()) > blocks_max {
            return false;
        }
        leased.extend(keys);
        if self.is_on.load(Ordering::Acquire) {
            keys.iter().for_each(|key| held.insert(key));
        }
        true
    }

    /// From the next collection on, what the lease kept may go.
    pub fn end_lease(&self, lease: u64) {
        locked(&self.held).leases.remove(&lease);
    }

    /// Whether a session took hold of the block.
    pub fn has(&self, key: &Key) -> bool {
        locked(&self.held).has(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        locked(&self.held).keys.len()
    }

    /// Those that were taken when there were so many already.
    pub fn since(&self, len: usize) -> Vec<Key> {
        locked(&self.held).keys.get(len..).unwrap_or_default().to_vec()
    }
}

/// How often the collector looks whether it was stopped while it waits. It is told when a session is over.
const LOOK: Duration = Duration::from_millis(1);

/// From its making until it is dropped, sessions take hold of what they look for.
pub(crate) struct Holding<'a> {
    inner: &'a Inner,
    /// Sessions that began earlier, and may rely on what nobody noted.
    earlier: BTreeSet<u64>,
}

impl<'a> Holding<'a> {
    /// `own` is the collector's session, which is not waited for.
    pub fn begin(inner: &'a Inner, own: &Session) -> Self {
        let gate = locked(&inner.gate);
        inner.holds.is_on.store(true, Ordering::Release);
        {
            let mut held = locked(&inner.holds.held);
            let leases = std::mem::take(&mut held.leases);
            leases.values().flatten().for_each(|key| held.insert(key));
            held.leases = leases;
        }
        let earlier = gate.alive.iter().copied().filter(|number| *number != own.number()).collect();
        Self { inner, earlier }
    }

    /// Waits until every session that began earlier is over. What they pinned is committed then, and what they did not is given up.
    pub fn wait(&self, operation: &Operation, pause: &mut dyn FnMut()) -> crate::Result<()> {
        loop {
            operation.check()?;
            let gate = locked(&self.inner.gate);
            let left = self.earlier.intersection(&gate.alive).count();
            if left == 0 {
                return Ok(());
            }
            operation.name_current(&format_args!("waiting for {left} that began to write earlier"));
            drop(self.inner.gate_changed.wait_timeout(gate, LOOK).unwrap_or_else(PoisonError::into_inner));
            pause();
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.inner.holds.is_on.store(false, Ordering::Release);
        let mut held = locked(&self.inner.holds.held);
        *held = Held { leases: std::mem::take(&mut held.leases), ..Held::default() };
    }
}
