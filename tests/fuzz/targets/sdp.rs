#![no_main]
//! Offers, as far as our own code looks at them.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_ingest::webrtc::fuzzing::sdp(bytes));
