//! libFuzzer's way to the check `wire_identify`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::wire::identify(data));
