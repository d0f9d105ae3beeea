//! libFuzzer's way to the check `store_references`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::reference::references(data));
