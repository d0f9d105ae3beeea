//! The committed corpus of the fuzzer, replayed over the checks of the wire machines (rust/fuzz).
//!
//! A binary of its own: it counts what its threads allocate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a check may fail where it likes")]

#[path = "../../fuzz/src/wire.rs"]
mod checks;
#[path = "../../fuzz/src/memory.rs"]
mod memory;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

#[test]
fn nothing_a_peer_ever_sent_panics_costs_more_than_it_brought_or_depends_on_how_it_was_cut() {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus"), checks::TARGETS);
}
