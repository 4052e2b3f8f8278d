//! The threads that sessions run on. A session and the front end behind it talk to each other a dozen times for every
//! file; on one thread that costs no wake-up of another. On a runtime that shares its tasks among threads, small
//! uploads took half as much CPU time again.
//!
//! What is better spread over all processors, such as sending parts, runs on the process's own runtime instead
//! (`Shutdown::spawn`).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// One single-threaded runtime for each processor. Dropping it ends them and whatever runs on them.
#[derive(Debug)]
pub(crate) struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
    _end: DropGuard,
}

impl Workers {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Self> {
        let end = CancellationToken::new();
        let mut handles = Vec::new();
        for number in 0..thread::available_parallelism()?.get() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let ended = end.clone();
            thread::Builder::new().name(format!("sessions-{number}")).spawn(move || {
                runtime.block_on(ended.cancelled());
                // Blocking work that hangs must not hold up the end of the process.
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { handles, next: AtomicUsize::new(0), _end: end.drop_guard() })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.handles.len()
    }

    /// The thread for the next session: each in turn.
    pub(crate) fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()
    }

    /// The runtime of thread `index`.
    pub(crate) fn handle(&self, index: usize) -> &Handle {
        &self.handles[index]
    }
}
