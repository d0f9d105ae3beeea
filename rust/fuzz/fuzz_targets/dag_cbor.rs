//! libFuzzer's way to the check `dag_cbor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::dag_cbor(data));
