//! Telnet's bytes in command lines and replies.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (before, bytes) = input;
    bucketport::fuzzing::telnet_bytes(&before, bytes);
});
