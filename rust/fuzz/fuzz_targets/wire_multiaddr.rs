//! libFuzzer's way to the check `wire_multiaddr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::wire::multiaddr(data));
