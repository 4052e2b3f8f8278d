//! The arguments of PORT and EPRT.
#![no_main]

libfuzzer_sys::fuzz_target!(|argument: &str| bucketport::fuzzing::host_and_port(argument));
