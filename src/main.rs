//! The `bucketport` program.

use std::process::ExitCode;

/// Buffers of hundreds of kilobytes are made on one thread and dropped on another. With mimalloc 300 MiB stayed after the download
/// of one large file.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    bucketport::cli::run(std::env::args_os())
}
