//! libFuzzer's way to the check `store_import`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::import::archive(data));
