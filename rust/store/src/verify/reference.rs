//! Verifying what stands in files outside: every leaf that a table names, read and hashed.

use super::{Damage, Reason, Run, VerifyReport};
use crate::error::Result;
use crate::pack::Key;
use crate::reference::{hash_leaves, path_of};
use std::collections::HashSet;

/// Verifies every block that is referenced, and takes note of the files that changed. Of the blocks that were `lost` so far, takes
/// out those that a file outside has; adds those that only a changed file had.
pub(super) fn verify_references(run: &Run<'_>, report: &mut VerifyReport, lost: &mut HashSet<Key>) -> Result<()> {
    let inner = &run.store.0;
    for key in lost.clone() {
        if inner.has_sound_reference(&key)? {
            lost.remove(&key);
        }
    }
    let (tables, bad) = {
        let state = inner.state();
        (state.references.clone(), state.references_bad.clone())
    };
    let mut hurt = Vec::new();
    for table in tables {
        let pace = |bytes| run.pace.take(bytes, run.operation);
        let found = hash_leaves(&*inner.disk, &table, run.operation, &pace)?;
        report.blocks += table.len();
        report.bytes = report.bytes.saturating_add(table.about.block_bytes);
        if found.is_damaged {
            let path = Some(path_of(&inner.root, table.about.table));
            report.note(Damage { cid: None, pack: None, path, offset: 0, reason: Reason::References });
        }
        for (leaf, path, change) in found.changed {
            report.note(Damage { cid: leaf.cid(), pack: None, path: Some(path), offset: leaf.offset, reason: Reason::File(change) });
            hurt.push(leaf.key);
        }
    }
    for table in bad {
        let path = Some(path_of(&inner.root, table));
        report.note(Damage { cid: None, pack: None, path, offset: 0, reason: Reason::References });
    }
    for key in hurt {
        let is_in_pack = inner.look_up(|state| state.find(&key, true, &mut |found| !state.is_damaged(found)))?;
        if !is_in_pack && !inner.has_sound_reference(&key)? {
            lost.insert(key);
        }
    }
    Ok(())
}
