//! The committed corpus of the fuzzer, replayed over the checks of the wire machines (rust/fuzz).
//!
//! A binary of its own: it counts what its threads allocate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a check may fail where it likes")]

#[path = "../../fuzz/src/wire.rs"]
mod checks;
#[path = "../../fuzz/src/memory.rs"]
mod memory;
#[path = "../../fuzz/src/pair.rs"]
mod pair;
#[path = "../../fuzz/src/replay.rs"]
mod replay;

use std::path::Path;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

#[test]
fn nothing_a_peer_ever_sent_panics_costs_more_than_it_brought_or_depends_on_how_it_was_cut() {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus"), checks::TARGETS);
}

#[test]
fn two_machines_never_find_fault_with_each_other_and_lose_nothing() {
    replay::replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus"), pair::TARGETS);
}

/// Two addresses had one text: of a path that begins with two slashes it had one, so reading it again gave another address.
#[test]
fn a_path_that_begins_with_two_slashes_keeps_both_in_its_text() {
    for text in ["/unix//tmp/socket", "/unix/tmp/socket"] {
        let address: shoal_wire::Multiaddr = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
    }
}
