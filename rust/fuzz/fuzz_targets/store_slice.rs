//! libFuzzer's way to the check `store_slice`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::blob::slice(data));
