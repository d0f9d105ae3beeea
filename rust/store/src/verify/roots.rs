//! Which pins do not keep what they promise.

use super::links::Links;
use super::paths::{Met, named};
use super::{DAMAGES_MAX, HurtPath, PATHS_MAX, VerifyReport};
use crate::error::{Error, Result};
use crate::meta::PinKind;
use crate::operation::Operation;
use crate::pack::{Key, key};
use crate::store::Store;
use crate::walk::{Lost, Seen, Visited, WalkOptions, walk_on};
use shoal_core::Cid;
use std::collections::HashSet;

/// The nodes on the way down, and all from which something lost can be reached.
#[derive(Default)]
struct Hurt {
    path: Vec<Cid>,
    /// As CIDv1.
    nodes: HashSet<Cid>,
    missing: Vec<Cid>,
    met: Vec<Met>,
    met_count: u64,
}

impl Hurt {
    /// Something at this depth is lost: so are all above it.
    fn hurt_path(&mut self, depth: usize) {
        self.path.truncate(depth);
        // From below: where one is hurt already, so are those above it.
        for node in self.path.iter().rev() {
            if !self.nodes.insert(node.clone()) {
                break;
            }
        }
    }

    /// Notes what is lost at this depth, under a root, for its name to be told.
    fn meet(&mut self, root: &Cid, depth: usize, cid: &Cid, is_missing: bool) {
        self.met_count += 1;
        if self.met.len() < PATHS_MAX {
            let above = self.path.get(..depth).unwrap_or(&self.path).to_vec();
            self.met.push(Met { root: root.clone(), above, cid: cid.clone(), is_missing });
        }
    }

    fn visit(&mut self, visited: &Visited<'_>, lost: &HashSet<Key>) {
        self.path.truncate(visited.depth);
        let cid = visited.cid.to_v1();
        let is_lost = visited.block.is_none() && key(&cid).is_some_and(|key| lost.contains(&key));
        if is_lost && !visited.is_repeat {
            self.meet(visited.root, visited.depth, visited.cid, false);
        }
        if is_lost {
            self.nodes.insert(cid.clone());
        }
        if self.nodes.contains(&cid) {
            self.hurt_path(visited.depth);
        }
        if !visited.is_repeat {
            self.path.push(cid);
        }
    }

    fn lose(&mut self, lost: &Lost<'_>, error: Error) -> Result<()> {
        let is_missing = matches!(error, Error::NotFound { .. });
        match error {
            Error::NotFound { .. } if self.missing.len() < DAMAGES_MAX => self.missing.push(lost.cid.clone()),
            Error::NotFound { .. } | Error::Damaged { .. } | Error::UnsupportedHash { .. } | Error::Dag { .. } => {}
            Error::ChangedFile { .. } | Error::DamagedReferences { .. } => {}
            // Not about the block: nobody knows whether it is lost.
            error => return Err(lost.because(error)),
        }
        self.nodes.insert(lost.cid.to_v1());
        self.hurt_path(lost.depth);
        self.meet(lost.root, lost.depth, lost.cid, is_missing);
        Ok(())
    }
}

/// Walks all pins, unless the links of all blocks were taken and are whole. `lost` are the keys of blocks that were found damaged, of which no
/// sound copy is left.
pub(super) fn verify_roots(
    store: &Store,
    lost: &HashSet<Key>,
    links: Option<Links>,
    report: &mut VerifyReport,
    operation: &Operation,
) -> Result<()> {
    let pins = store.pins()?;
    let is_known_whole = links.is_some_and(|links| links.are_whole(store, &pins));
    let recursive = pins.iter().filter(|pin| pin.kind == PinKind::Recursive && !is_known_whole);
    let recursive: Vec<Cid> = recursive.map(|pin| pin.cid.clone()).collect();
    let hurt = std::cell::RefCell::new(Hurt::default());
    // Its own counters: these blocks were counted when they were hashed.
    let walked = Operation::new();
    let options = WalkOptions { report_repeats: true, ..WalkOptions::default() };
    let mut visit = |visited: Visited<'_>| {
        operation.check()?;
        hurt.borrow_mut().visit(&visited, lost);
        Ok(())
    };
    let mut lose = |lost: Lost<'_>, error| hurt.borrow_mut().lose(&lost, error);
    walk_on(store, &recursive, options, &mut Seen::new(false), &walked, &mut visit, &mut lose)?;
    let mut hurt = hurt.into_inner();
    for pin in pins {
        let is_hurt = match pin.kind {
            PinKind::Recursive => hurt.nodes.contains(&pin.cid.to_v1()),
            PinKind::Direct if key(&pin.cid).is_some_and(|key| lost.contains(&key)) => true,
            PinKind::Direct if store.blob_bytes(&pin.cid)?.is_some() => false,
            PinKind::Direct => match store.block(&pin.cid) {
                Ok(_) => false,
                Err(Error::NotFound { .. }) => {
                    hurt.missing.push(pin.cid.clone());
                    true
                }
                Err(
                    Error::Damaged { .. } | Error::ChangedFile { .. } | Error::DamagedReferences { .. } | Error::UnsupportedHash { .. },
                ) => true,
                Err(error) => return Err(error),
            },
        };
        if is_hurt {
            if pin.kind == PinKind::Direct {
                hurt.path.clear();
                hurt.meet(&pin.cid, 0, &pin.cid, hurt.missing.last() == Some(&pin.cid));
            }
            report.hurt_roots.push(pin.cid);
        }
    }
    report.missing = hurt.missing;
    report.missing.truncate(DAMAGES_MAX);
    // What was unpinned and collected meanwhile is nobody's loss.
    let still_pinned: HashSet<Cid> = store.pins()?.into_iter().map(|pin| pin.cid).collect();
    report.hurt_roots.retain(|cid| still_pinned.contains(cid));
    if report.hurt_roots.is_empty() {
        report.missing.clear();
        return Ok(());
    }
    report.hurt_paths_count = hurt.met_count;
    report.hurt_paths = hurt.met.into_iter().map(|met| named(store, met)).collect::<Vec<HurtPath>>();
    Ok(())
}
