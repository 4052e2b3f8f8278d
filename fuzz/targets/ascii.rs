//! Files under `TYPE A`, both ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (Vec<u8>, u8, &[u8])| {
    let (sizes, room, bytes) = input;
    bucketport::fuzzing::ascii_file(&sizes, room, bytes);
});
