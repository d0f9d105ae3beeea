//! libFuzzer's way to the check `store_log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::store::log(data));
