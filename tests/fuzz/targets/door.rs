#![no_main]
//! Datagrams at a WebRTC peer's front door.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_ingest::webrtc::fuzzing::door(bytes));
