//! The `bucketport` program.

use std::process::ExitCode;

/// Every upload allocates and frees parts of megabytes; the allocator of musl is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bucketport::cli::run(std::env::args_os())
}
