//! A block's bytes, as read from the store: a view into a mapped pack, or a copy.
//!
//! A [`Block`] keeps its pack's mapping alive, also after the pack was unlinked. Whether it was verified is the caller's to know:
//! [`crate::Store::block`] gives only verified ones.

use crate::disk::Map;
use std::ops::Deref;
use std::sync::Arc;

/// The bytes of one block. Cheap to clone, and to send to other threads.
#[derive(Clone)]
pub struct Block(Kind);

#[derive(Clone)]
enum Kind {
    Mapped { map: Map, start: u64, end: u64 },
    Owned(Arc<[u8]>),
}

impl Block {
    /// A view of `map`, which must reach that far.
    pub(crate) fn mapped(map: Map, start: u64, end: u64) -> Self {
        Self(Kind::Mapped { map, start, end })
    }

    /// Asks the system to make all of it present in one go. Only a hint.
    pub(crate) fn will_need(&self) {
        if let Kind::Mapped { map, start, end } = &self.0 {
            map.will_need(*start, *end);
        }
    }

    /// A block of its own bytes.
    #[must_use]
    pub fn owned(bytes: &[u8]) -> Self {
        Self(Kind::Owned(bytes.into()))
    }

    /// Whether the bytes are a view of a pack, not a copy.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Kind::Mapped { .. })
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // The range was checked when the block was made; a map never shrinks.
            Kind::Mapped { map, start, end } => map.get(*start, *end).unwrap_or_default(),
            Kind::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({} bytes)", self.len())
    }
}
