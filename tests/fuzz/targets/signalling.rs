#![no_main]
//! Frames and messages on the signalling WebSocket.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_ingest::webrtc::fuzzing::signalling(bytes));
