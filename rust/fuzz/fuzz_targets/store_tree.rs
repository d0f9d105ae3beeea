//! libFuzzer's way to the check `store_tree`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::store::tree(data));
