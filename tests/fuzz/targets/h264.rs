#![no_main]
//! Parameter sets, in every reader that we have, and slice headers.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_transcode::fuzzing::h264(bytes));
