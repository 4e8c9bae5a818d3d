#![no_main]
//! Backups that are restored.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sluice_store::fuzzing::archive(bytes));
