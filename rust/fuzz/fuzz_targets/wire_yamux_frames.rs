//! libFuzzer's way to the check `wire_yamux_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::wire::yamux_frames(data));
