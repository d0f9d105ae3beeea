//! Pins: what is kept, and why. The rules are Kubo's.
//!
//! A CID has one pin at most: recursive replaces direct, not the other way round; pinning again renames.
//! The rule kept here: a pin is set only after the whole of what it promises was found in the store.

use crate::error::{Error, Result};
use crate::meta::{PIN_NAME_BYTES_MAX, Pin, PinKind};
use crate::operation::Operation;
use crate::store::Store;
use crate::walk::{Seen, WalkOptions, walk, walk_on};
use shoal_core::Cid;
use std::collections::HashSet;

/// Why a block is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kept {
    /// Pinned itself, alone.
    Direct,
    /// Pinned itself, with all under it.
    Recursive,
    /// Under a recursive pin.
    Indirect,
}

impl From<PinKind> for Kept {
    fn from(kind: PinKind) -> Self {
        match kind {
            PinKind::Direct => Self::Direct,
            PinKind::Recursive => Self::Recursive,
        }
    }
}

/// A block that pins keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The block.
    pub cid: Cid,
    /// Why.
    pub kind: Kept,
    /// The pin's name. None for indirect ones.
    pub name: Option<String>,
    /// For indirect ones, a recursive pin it is under.
    pub through: Option<Cid>,
}

/// Which pinned blocks to list.
#[derive(Debug, Clone, Default)]
pub struct PinFilter {
    /// Only this kind. None: all three.
    pub kind: Option<Kept>,
    /// Only this CID.
    pub cid: Option<Cid>,
    /// Only pins whose name contains this text.
    pub name: Option<String>,
}

impl PinFilter {
    fn takes(&self, pin: &Pin) -> bool {
        self.kind.is_none_or(|kind| kind == Kept::from(pin.kind))
            && self.cid.as_ref().is_none_or(|cid| *cid == pin.cid)
            && self.name.as_ref().is_none_or(|part| pin.name.as_ref().is_some_and(|name| name.contains(part.as_str())))
    }

    /// Whether indirect ones can pass. They have no name.
    fn takes_indirect(&self) -> bool {
        self.name.is_none() && self.kind.is_none_or(|kind| kind == Kept::Indirect)
    }
}

/// Pins a CID, once everything the pin promises is known to be in the store.
///
/// A recursive pin wants the whole DAG: nodes are read and verified, raw leaves looked up. A direct one wants the block, verified.
/// Fails with [`Error::InDag`] or [`Error::NotFound`] naming what is missing, with [`Error::AlreadyPinned`] when a direct pin is
/// asked for on a recursive one, and with [`Error::PinName`].
pub fn add(store: &Store, cid: &Cid, kind: PinKind, name: Option<String>, operation: &Operation) -> Result<()> {
    check_name(name.as_deref())?;
    // What is found through the session stays until it is over.
    let session = store.write()?;
    match kind {
        PinKind::Direct => {
            if store.pin(cid)?.is_some_and(|pin| pin.kind == PinKind::Recursive) {
                return Err(Error::AlreadyPinned { cid: cid.clone() });
            }
            // A blob is looked up, as leaves are.
            if !session.stay_many(std::slice::from_ref(cid))?.contains(&true) {
                return Err(Error::NotFound { cid: cid.clone() });
            }
            if store.blob_bytes(cid)?.is_none() {
                session.block(cid)?;
            }
        }
        PinKind::Recursive => {
            walk(&session, std::slice::from_ref(cid), WalkOptions::default(), operation, &mut |visited| {
                operation.add_bytes(visited.bytes);
                Ok(())
            })?;
        }
    }
    session.pin(Pin { cid: cid.clone(), kind, name })?;
    session.commit()?;
    Ok(())
}

/// Whether a name is short enough for a pin.
pub fn check_name(name: Option<&str>) -> Result<()> {
    match name.map_or(0, str::len) {
        bytes if bytes > PIN_NAME_BYTES_MAX => Err(Error::PinName { bytes }),
        _ => Ok(()),
    }
}

/// Takes a pin away, of either kind. The blocks stay until the next collection. [`Error::NotPinned`] when there is none.
pub fn remove(store: &Store, cid: &Cid) -> Result<()> {
    let session = store.write()?;
    if store.pin(cid)?.is_none() {
        return Err(Error::NotPinned { cid: cid.clone() });
    }
    session.unpin(cid)?;
    session.used_now(cid)?;
    session.commit()?;
    Ok(())
}

/// Gives each pinned block that passes the filter to `each`: recursive pins first, then direct ones, then what is kept indirectly,
/// in the order of a walk. A block is listed once; a pin of its own comes before being under another.
pub fn list(store: &Store, filter: &PinFilter, operation: &Operation, each: &mut dyn FnMut(Pinned) -> Result<()>) -> Result<()> {
    let pins = store.pins()?;
    for kind in [PinKind::Recursive, PinKind::Direct] {
        for pin in pins.iter().filter(|pin| pin.kind == kind && filter.takes(pin)) {
            each(Pinned { cid: pin.cid.clone(), kind: kind.into(), name: pin.name.clone(), through: None })?;
        }
    }
    if !filter.takes_indirect() {
        return Ok(());
    }
    let own: HashSet<&Cid> = pins.iter().map(|pin| &pin.cid).collect();
    walk(store, &recursive_roots(&pins), WalkOptions::default(), operation, &mut |visited| {
        if own.contains(visited.cid) || filter.cid.as_ref().is_some_and(|cid| cid != visited.cid) {
            return Ok(());
        }
        let through = Some(visited.root.clone());
        each(Pinned { cid: visited.cid.clone(), kind: Kept::Indirect, name: None, through })
    })?;
    Ok(())
}

fn recursive_roots(pins: &[Pin]) -> Vec<Cid> {
    pins.iter().filter(|pin| pin.kind == PinKind::Recursive).map(|pin| pin.cid.clone()).collect()
}

/// Which of some blocks are pinned, and how: what a deletion asks first. Blocks are compared, not CIDs: the same bytes pinned under
/// another codec or CID version are pinned. In no order.
pub fn pinned_among(store: &Store, cids: &[Cid], operation: &Operation) -> Result<Vec<Pinned>> {
    let pins = store.pins()?;
    let mut wanted: std::collections::HashMap<&[u8], &Cid> = cids.iter().map(|cid| (cid.multihash(), cid)).collect();
    let mut found = Vec::new();
    for pin in &pins {
        if let Some(cid) = wanted.remove(pin.cid.multihash()) {
            found.push(Pinned { cid: cid.clone(), kind: pin.kind.into(), name: pin.name.clone(), through: None });
        }
    }
    let mut seen = Seen::new(false);
    for root in recursive_roots(&pins) {
        if wanted.is_empty() {
            break;
        }
        let mut visit = |visited: crate::walk::Visited<'_>| {
            if let Some(cid) = wanted.remove(visited.cid.multihash()) {
                let through = Some(visited.root.clone());
                found.push(Pinned { cid: cid.clone(), kind: Kept::Indirect, name: None, through });
            }
            Ok(())
        };
        let roots = std::slice::from_ref(&root);
        walk_on(store, roots, WalkOptions::default(), &mut seen, operation, &mut visit, &mut |lost, error| Err(lost.because(error)))?;
    }
    Ok(found)
}
