//! libFuzzer's way to the check `wire_peer_id`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::wire::peer_id(data));
