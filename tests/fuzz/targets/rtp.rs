#![no_main]
//! Payloads of RTP packets, put together again.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_ingest::webrtc::fuzzing::rtp(bytes));
