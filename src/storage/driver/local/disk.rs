//! Where a folder's work runs: small work right on the session's thread while the folder is quick, everything else on
//! blocking threads.
//!
//! Looking up, opening or writing a small file takes microseconds on a local disk, less than a blocking thread takes to
//! wake up. On a network folder the same calls take milliseconds, or hang, and would hold up every session of the
//! thread. So it is watched how quick the folder is (`pace.rs`).
//!
//! A folder that hangs still holds up the thread whose call met it first. A network file system is therefore never quick:
//! nothing of it is done on a session's thread (see [`Disk::of`]).

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use nix::sys::statfs::{self, FsType};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::pace::Pace;
use crate::storage::budget::LARGEST_BUFFER;
use crate::storage::error::{Error, Result};

/// Bytes that are written in one go on a session's thread: one buffer of an upload, which is in the processor's cache there.
/// They take some 100 µs. Writing them on another thread took half as much processor time again (0.9 s instead of 0.6 for
/// a GB) and was no faster.
pub(super) const SMALL: usize = LARGEST_BUFFER;

/// The largest file that is freed on a session's thread: freeing 5 GB took 0.6 s.
const FREED_AT_ONCE: u64 = 8 * 1024 * 1024;

/// How much work something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    /// A few names, writing up to [`SMALL`] bytes.
    Small,
    /// More, or nobody knows.
    Large,
}

impl Cost {
    /// Of freeing a file of `bytes`: what is in the page cache of it has to go.
    pub(super) fn of_freeing(bytes: u64) -> Self {
        if bytes <= FREED_AT_ONCE { Self::Small } else { Self::Large }
    }

    /// Of writing `bytes`.
    pub(super) fn of(bytes: usize) -> Self {
        if bytes <= SMALL { Self::Small } else { Self::Large }
    }
}

/// The disk, or whatever else a folder is on.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pace: Mutex<Pace>,
    /// It is a network file system.
    remote: bool,
}

/// File systems that can hang: NFS, SMB, Ceph, AFS, 9P, Lustre, and all that FUSE serves. From linux/magic.h and
/// statfs(2).
const REMOTE: [FsType; 9] = [
    statfs::NFS_SUPER_MAGIC,
    statfs::SMB_SUPER_MAGIC,
    FsType(0xff53_4d42),
    FsType(0xfe53_4d42),
    FsType(0x00c3_6400),
    statfs::AFS_SUPER_MAGIC,
    FsType(0x0102_1997),
    FsType(0x0bd0_0bd0),
    statfs::FUSE_SUPER_MAGIC,
];

impl Disk {
    /// What the folder at `path` is on. What cannot be found out counts as a disk of this machine.
    pub(super) fn of(path: &Path) -> Self {
        let kind = statfs::statfs(path).map(|folder| folder.filesystem_type());
        Self { remote: kind.is_ok_and(|kind| REMOTE.contains(&kind)), ..Self::default() }
    }

    /// Does `work` where work of this cost belongs now.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        cost: Cost,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match self.here(cost, work) {
            Ok(result) => result,
            // What has not begun when nobody waits for it any more must not be done later.
            Err(work) => joined(AbortOnDropHandle::new(start(work)).await),
        }
    }

    /// Like [`Disk::run`], but what runs elsewhere goes on whether or not it is waited for.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        cost: Cost,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        match self.here(cost, work) {
            Ok(result) => std::future::ready(result).boxed(),
            Err(work) => {
                let working = start(work);
                async { joined(working.await) }.boxed()
            }
        }
    }

    /// Does `work` on this thread, or gives it back if it does not belong here now.
    fn here<T, W: FnOnce() -> Result<T>>(&self, cost: Cost, work: W) -> std::result::Result<Result<T>, W> {
        let begun = Instant::now();
        if cost == Cost::Large || self.remote || !self.pace().begins(begun) {
            return Err(work);
        }
        let _call = Call { disk: self, begun };
        Ok(work())
    }

    /// Does `work` on a blocking thread, to see how quick the folder is.
    pub(super) async fn probe(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let disk = Arc::clone(self);
        let begun = Instant::now();
        // A folder that hangs takes one thread, and not another one with every probe.
        if !disk.pace().probe_began(begun) {
            return Err(Error::local(ErrorKind::TimedOut.into()));
        }
        let probing = start(move || {
            let result = work();
            let ended = Instant::now();
            disk.pace().probe_ended(ended, ended - begun);
            result
        });
        joined(probing.await)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // No code that can panic runs under the lock.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on a session's thread, until it ends.
struct Call<'a> {
    disk: &'a Disk,
    begun: Instant,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.disk.pace().ended(self.begun, Instant::now());
    }
}

/// Begins `work` on a blocking thread.
pub(super) fn start<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> JoinHandle<Result<T>> {
    tokio::task::spawn_blocking(work)
}

/// The result of work on a blocking thread.
pub(super) fn joined<T>(joined: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    joined.map_err(Error::task_lost)?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::storage::driver::local::pace::STUCK;

    /// Where work ran, by whether it was on this thread.
    async fn runs_here(disk: &Disk, cost: Cost) -> bool {
        let here = std::thread::current().id();
        disk.run(cost, move || Ok(std::thread::current().id() == here)).await.expect("cannot fail")
    }

    #[tokio::test]
    async fn work_moves_to_blocking_threads_when_the_folder_is_slow_and_while_it_is_probed() {
        let disk = Arc::new(Disk::default());
        assert!(runs_here(&disk, Cost::Small).await);
        assert!(!runs_here(&disk, Cost::Large).await);
        assert_eq!((Cost::of(SMALL), Cost::of(SMALL + 1)), (Cost::Small, Cost::Large));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let probe = tokio::spawn({
            let disk = Arc::clone(&disk);
            async move { disk.probe(move || wait.recv().map_err(|_| Error::NotFound)).await }
        });
        tokio::time::sleep(STUCK + Duration::from_millis(50)).await;
        assert!(!runs_here(&disk, Cost::Small).await, "the probe hangs");
        go.send(()).expect("it waits");
        probe.await.expect("no panic").expect("it was told to go on");
        assert!(!runs_here(&disk, Cost::Small).await, "the probe took long");
    }
}
