#![no_main]
//! Names, queries and grants of HLS.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_hls::fuzzing::request(bytes));
