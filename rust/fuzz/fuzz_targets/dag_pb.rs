//! libFuzzer's way to the check `dag_pb`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_fuzz::core::dag_pb(data));
