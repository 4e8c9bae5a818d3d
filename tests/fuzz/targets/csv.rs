#![no_main]
//! Lists of subscribers that an administrator uploads.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_rest::fuzzing::csv(bytes));
