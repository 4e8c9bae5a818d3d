#![no_main]
//! FLV tag bodies and aggregate messages of a publisher.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_rtmp::fuzzing::flv(bytes));
