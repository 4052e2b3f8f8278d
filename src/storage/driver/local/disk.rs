//! Where a folder's work runs: small work right on the session's thread while the folder is quick, everything else on
//! blocking threads.
//!
//! Looking up, opening or writing a small file takes microseconds on a local disk, less than a blocking thread takes to
//! wake up. On a network folder the same calls take milliseconds, or hang, and would hold up every session of the
//! thread. So each call on a session's thread is timed, and the folder counts as slow for a minute
//!
//! - when the moving average of what calls took exceeds [`SLOW`]. Every call of a slow folder is slow, while a thread of
//!   a busy machine that had to wait for its processor is so now and then: a single call counts for [`MOST`] at most.
//! - when one call, or a probe, took [`STUCK`]. While a call or a probe is out that long, the folder is not quick either.
//!   Probes run now and then, and always on a blocking thread.
//!
//! A folder that hangs still holds up the thread whose call met it first. A network file system is therefore never quick:
//! nothing of it is done on a session's thread (see [`Disk::of`]).
//!
//! After the minute the first calls decide anew, and sooner than at the start.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use nix::sys::statfs::{self, FsType};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::storage::budget::LARGEST_BUFFER;
use crate::storage::error::{Error, Result};

/// The average above which calls are kept off the sessions' threads.
const SLOW: Duration = Duration::from_millis(2);
/// What one call adds to the average at most, an eighth of it at a time: three such calls in a row make a folder slow.
const MOST: Duration = Duration::from_millis(8);
const WEIGHT: u32 = 8;
/// One call that takes so long is enough.
const STUCK: Duration = Duration::from_millis(200);
/// How long a slow folder counts as slow.
const REST: Duration = Duration::from_mins(1);

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
        if cost == Cost::Large || self.remote || !self.pace().is_quick(begun) {
            return Err(work);
        }
        self.pace().out.push(begun);
        let result = work();
        let ended = Instant::now();
        self.pace().took(ended, ended - begun);
        Ok(result)
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

/// How quick the folder was lately.
#[derive(Debug, Default)]
struct Pace {
    average: Duration,
    slow_until: Option<Instant>,
    /// Since when a probe is out.
    probing: Option<Instant>,
    /// Since when calls on sessions' threads are out, at most one for each thread.
    out: Vec<Instant>,
}

impl Pace {
    fn is_quick(&mut self, now: Instant) -> bool {
        let mut out = self.probing.iter().chain(&self.out);
        if out.any(|since| now.saturating_duration_since(*since) >= STUCK) {
            return false;
        }
        match self.slow_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.slow_until = None;
                true
            }
            None => true,
        }
    }

    /// A call on a session's thread took this long.
    fn took(&mut self, now: Instant, time: Duration) {
        if let Some(index) = self.out.iter().position(|begun| *begun + time == now) {
            self.out.swap_remove(index);
        }
        self.average = (self.average * (WEIGHT - 1) + time.min(MOST)) / WEIGHT;
        if self.average > SLOW || time >= STUCK {
            self.rest(now);
        }
    }

    /// Whether a probe may begin: not while one is out.
    fn probe_began(&mut self, now: Instant) -> bool {
        let may = self.probing.is_none();
        self.probing.get_or_insert(now);
        may
    }

    fn probe_ended(&mut self, now: Instant, time: Duration) {
        self.probing = None;
        if time >= STUCK {
            self.rest(now);
        }
    }

    fn rest(&mut self, now: Instant) {
        if self.slow_until.is_none() {
            tracing::info!(
                "a local folder is slow: for a minute nothing of it is done on the sessions' threads"
            );
        }
        self.slow_until = Some(now + REST);
        // Not forgiven: after the minute one slow call is enough.
        self.average = SLOW;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Duration = Duration::from_micros(20);

    /// A clock that stands still until it is told otherwise.
    struct Clock(Instant);

    impl Clock {
        fn after(&mut self, time: Duration) -> Instant {
            self.0 += time;
            self.0
        }
    }

    fn clock() -> Clock {
        Clock(Instant::now())
    }

    fn takes(pace: &mut Pace, clock: &mut Clock, time: Duration) {
        pace.took(clock.after(time), time);
    }

    #[test]
    fn a_quick_folder_stays_quick_though_a_thread_waits_for_its_processor_now_and_then() {
        let (mut pace, mut clock) = (Pace::default(), clock());
        for round in 0..1000 {
            let time = if round % 20 == 0 { Duration::from_millis(30) } else { CALL };
            takes(&mut pace, &mut clock, time);
            assert!(pace.is_quick(clock.0), "round {round}");
        }
    }

    #[test]
    fn a_folder_whose_every_call_is_slow_rests_for_a_minute() {
        let (mut pace, mut clock) = (Pace::default(), clock());
        let mut calls = 0;
        while pace.is_quick(clock.0) {
            takes(&mut pace, &mut clock, Duration::from_millis(5));
            calls += 1;
            assert!(calls < 10, "it never counts as slow");
        }
        assert!(calls > 1, "one call says little");
        assert!(!pace.is_quick(clock.after(Duration::from_secs(59))));
        assert!(pace.is_quick(clock.after(Duration::from_secs(2))));
        // Then one call is enough.
        takes(&mut pace, &mut clock, Duration::from_millis(5));
        assert!(!pace.is_quick(clock.0));
    }

    #[test]
    fn a_folder_that_has_become_quick_again_is_trusted_again() {
        let (mut pace, mut clock) = (Pace::default(), clock());
        takes(&mut pace, &mut clock, STUCK);
        assert!(!pace.is_quick(clock.0), "one call that was stuck is enough");
        clock.after(REST);
        for _ in 0..100 {
            assert!(pace.is_quick(clock.0));
            takes(&mut pace, &mut clock, CALL);
        }
        takes(&mut pace, &mut clock, Duration::from_millis(5));
        assert!(pace.is_quick(clock.0));
    }

    #[test]
    fn a_probe_that_hangs_keeps_everybody_else_off_the_folder() {
        let (mut pace, mut clock) = (Pace::default(), clock());
        pace.probe_began(clock.0);
        assert!(pace.is_quick(clock.after(STUCK.saturating_sub(Duration::from_millis(1)))));
        assert!(!pace.is_quick(clock.after(Duration::from_millis(1))));
        pace.probe_ended(clock.0, STUCK);
        assert!(!pace.is_quick(clock.after(Duration::from_secs(59))));
        assert!(pace.is_quick(clock.after(Duration::from_secs(2))));
    }

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
