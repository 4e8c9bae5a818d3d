#![no_main]
//! A whole RTMP connection, cut anywhere.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_rtmp::fuzzing::engine(bytes));
