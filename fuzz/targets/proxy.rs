//! PROXY headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bucketport::fuzzing::proxy_header(bytes));
