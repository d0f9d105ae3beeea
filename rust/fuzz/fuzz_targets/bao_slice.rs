//! libFuzzer's way to the check `bao_slice`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::bao_slice(data));
