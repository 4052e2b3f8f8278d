//! One rate in bytes a second, shared by all transfers that it is for.
//!
//! A transfer takes what it moves in small quanta, and whoever takes waits in order of arrival: with ten transfers under
//! way a small file waits for ten quanta and not for ten files.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// What the limiter counts in. It keeps time in nanoseconds, and single bytes would come faster than those.
const CELL: u64 = 1024;
/// What can be taken at once after a pause, as a share of a second.
const BURST_SHARE: u64 = 4;
/// The most that a transfer takes before others have their turn.
const LARGEST_QUANTUM: u64 = 64 * 1024;
/// After a pause of so long every bucket is as full as it gets: its burst, or one cell at the slowest rate.
const REFILLED: Duration = Duration::from_secs(2);

/// One rate.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: u64,
    quantum: usize,
    clock: TokioClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    /// Tokio's lock is fair, and so is the wait for it.
    turn: Mutex<Turn>,
}

#[derive(Debug)]
struct Turn {
    /// Bytes of a cell that was taken for fewer.
    spare: u64,
    last: Instant,
}

impl Bucket {
    /// `rate` bytes a second, which the configuration has checked.
    pub(super) fn new(rate: u64) -> Self {
        let burst = u32::try_from(rate / BURST_SHARE / CELL).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let nanoseconds = u128::from(CELL) * 1_000_000_000 / u128::from(rate.max(1));
        let period = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX).max(1));
        // None only for a period of zero.
        let quota =
            Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MAX)).allow_burst(burst);
        let quantum = (u64::from(burst.get()) * CELL).min(LARGEST_QUANTUM);
        let clock = TokioClock(Instant::now());
        Self {
            rate,
            quantum: usize::try_from(quantum).unwrap_or(usize::MAX),
            clock,
            limiter: RateLimiter::direct_with_clock(quota, clock),
            turn: Mutex::new(Turn { spare: 0, last: Instant::now() }),
        }
    }

    /// Bytes a second.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// The most that can be taken at a time.
    pub(super) fn quantum(&self) -> usize {
        self.quantum
    }

    /// Whether it has been left alone for so long that a new one would be no other.
    pub(super) fn is_idle(&self) -> bool {
        self.turn.try_lock().is_ok_and(|turn| turn.last.elapsed() >= REFILLED)
    }

    /// Takes up to a quantum of `bytes`, in turn, when the rate allows it. Tells whether it had to wait. Dropping the
    /// future takes nothing and leaves the queue.
    pub(super) async fn take(&self, bytes: usize) -> bool {
        let (mut turn, mut waited) = match self.turn.try_lock() {
            Ok(turn) => (turn, false),
            Err(_) => (self.turn.lock().await, true),
        };
        let lacking = (bytes as u64).saturating_sub(turn.spare).div_ceil(CELL);
        if let Some(cells) = u32::try_from(lacking).ok().and_then(NonZeroU32::new) {
            // A quantum is within the burst, so there is always a moment at which it can be had.
            while let Ok(Err(early)) = self.limiter.check_n(cells) {
                waited = true;
                sleep_until(self.clock.0 + early.earliest_possible()).await;
            }
        }
        turn.spare = (turn.spare + lacking * CELL).saturating_sub(bytes as u64);
        turn.last = Instant::now();
        waited
    }
}

/// The runtime's clock, since its birth.
#[derive(Clone, Copy, Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MB: u64 = 1_000_000;

    async fn take_all(bucket: &Bucket, mut bytes: u64) {
        while bytes > 0 {
            let taken = bytes.min(bucket.quantum() as u64);
            bucket.take(usize::try_from(taken).expect("small")).await;
            bytes -= taken;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rates_hold_over_seconds_and_bursts_are_a_quarter_of_one() {
        for rate in [1024, 3000, 64 * 1024, 5 * MB, 333 * MB, 5_000 * MB] {
            let bucket = Bucket::new(rate);
            let begun = Instant::now();
            take_all(&bucket, rate * 10).await;
            let took = begun.elapsed();
            // Rates are kept to a cell, which is a second's at the slowest; and a cell may come at once in any case.
            let cell = Duration::from_nanos(CELL * 1_000_000_000 / rate);
            let burst = cell.max(Duration::from_millis(250));
            let off = (took + burst).abs_diff(Duration::from_secs(10));
            assert!(off < cell + Duration::from_millis(100), "{rate}: {took:?}");
            assert!(!bucket.is_idle());
            tokio::time::sleep(REFILLED).await;
            assert!(bucket.is_idle());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_files_count_byte_for_byte() {
        let bucket = Bucket::new(100 * 1024);
        let begun = Instant::now();
        for _ in 0..10 * 1024 {
            bucket.take(100).await;
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((took - 9.75).abs() < 0.1, "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_file_does_not_wait_for_large_ones() {
        let bucket = Arc::new(Bucket::new(MB));
        for _ in 0..4 {
            let bucket = Arc::clone(&bucket);
            tokio::spawn(async move { take_all(&bucket, 100 * MB).await });
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        for _ in 0..5 {
            let begun = Instant::now();
            assert!(bucket.take(4096).await, "it has to wait");
            // Four quanta of 64 KiB are ahead of it, and one may just have begun.
            assert!(begun.elapsed() < Duration::from_millis(5 * 66 + 10), "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn transfers_share_alike() {
        let bucket = Arc::new(Bucket::new(MB));
        let [first, second] = [(); 2].map(|()| Arc::clone(&bucket)).map(|bucket| {
            tokio::spawn(async move {
                take_all(&bucket, 2 * MB).await;
                Instant::now()
            })
        });
        let (first, second) = (first.await.expect("done"), second.await.expect("done"));
        let apart = first.max(second) - first.min(second);
        // The first has had the burst.
        assert!(apart < Duration::from_millis(400), "{apart:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_takes_nothing() {
        let bucket = Arc::new(Bucket::new(64 * 1024));
        take_all(&bucket, 16 * 1024).await;
        let begun = Instant::now();
        let impatient = tokio::time::timeout(Duration::from_millis(10), bucket.take(16 * 1024)).await;
        assert!(impatient.is_err());
        bucket.take(16 * 1024).await;
        assert!(begun.elapsed() < Duration::from_millis(260), "{:?}", begun.elapsed());
    }
}
