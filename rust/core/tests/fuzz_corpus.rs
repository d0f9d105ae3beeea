//! The committed corpus of the fuzzer, replayed over the checks of the core's decoders (rust/fuzz).
//!
//! A binary of its own: it counts what its threads allocate.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a check may fail where it likes")]

#[path = "../../fuzz/src/core.rs"]
mod checks;
#[path = "../../fuzz/src/memory.rs"]
mod memory;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

#[test]
fn every_input_that_was_ever_found_keeps_the_laws_of_its_decoder() {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus"), checks::TARGETS);
}

#[test]
#[should_panic(expected = "bytes at once for 1 of input")]
fn a_decoder_that_believes_a_claim_is_caught() {
    memory::bounded(memory::TIMES, &[0], || vec![0u8; 1 << 17]);
}
