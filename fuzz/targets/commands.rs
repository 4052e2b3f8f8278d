//! Command lines and the commands in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (sizes, bytes) = input;
    bucketport::fuzzing::commands(&sizes, bytes);
});
