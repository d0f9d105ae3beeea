//! The committed corpus of the fuzzer, replayed over the checks of the store (rust/fuzz).
//!
//! A binary of its own: it counts what its threads allocate.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a check may fail where it likes")]

#[path = "../../fuzz/src/store.rs"]
mod checks;
#[path = "../../fuzz/src/memory.rs"]
mod memory;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

#[test]
fn no_mangled_file_that_was_ever_found_makes_the_store_panic_or_give_a_wrong_byte() {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus"), checks::TARGETS);
}
