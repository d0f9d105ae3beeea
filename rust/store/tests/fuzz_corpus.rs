//! The committed corpus of the fuzzer, replayed over the checks of the store (rust/fuzz).
//!
//! A binary of its own: it counts what its threads allocate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a check may fail where it likes")]

#[path = "../../fuzz/src/blob.rs"]
mod blob;
#[path = "../../fuzz/src/edits.rs"]
mod edits;
#[path = "../../fuzz/src/import.rs"]
mod import;
#[path = "../../fuzz/src/memory.rs"]
mod memory;
#[path = "../../fuzz/src/reference.rs"]
mod reference;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

#[path = "../../fuzz/src/store.rs"]
mod store;

use std::path::Path;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fn replay(targets: &[replay::Target]) {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus"), targets);
}

#[test]
fn no_mangled_file_that_was_ever_found_makes_the_store_panic_or_give_a_wrong_byte() {
    replay(store::TARGETS);
}

#[test]
fn no_mangled_table_of_references_makes_the_store_give_a_wrong_byte() {
    replay(reference::TARGETS);
}

#[test]
fn no_mangled_blob_and_no_slice_from_a_stranger_makes_the_store_give_a_wrong_byte() {
    replay(blob::TARGETS);
}

#[test]
fn archives_are_taken_in_whole_or_not_at_all_and_rules_are_an_error_or_answer() {
    replay(import::TARGETS);
}
