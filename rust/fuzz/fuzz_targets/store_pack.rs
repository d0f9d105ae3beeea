//! libFuzzer's way to the check `store_pack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::store::pack(data));
