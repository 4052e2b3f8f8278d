//! How quick a folder was lately.
//!
//! Every call on a session's thread is timed, and the folder counts as slow for a minute
//!
//! - when the moving average of what calls took exceeds [`SLOW`]. Every call of a slow folder is slow, while a thread of
//!   a busy machine that had to wait for its processor is so now and then: a single call counts for [`MOST`] at most.
//! - when one call, or a probe, took [`STUCK`]. While a call or a probe is out that long, the folder is not quick either.
//!   Probes run now and then, and always on a blocking thread.
//!
//! After the minute the first calls decide anew, and sooner than at the start.

use std::time::{Duration, Instant};

/// The average above which calls are kept off the sessions' threads.
const SLOW: Duration = Duration::from_millis(2);
/// What one call adds to the average at most, an eighth of it at a time: three such calls in a row make a folder slow.
const MOST: Duration = Duration::from_millis(8);
const WEIGHT: u32 = 8;
/// One call that takes so long is enough.
pub(super) const STUCK: Duration = Duration::from_millis(200);
/// How long a slow folder counts as slow.
const REST: Duration = Duration::from_mins(1);

/// How quick the folder was lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    average: Duration,
    slow_until: Option<Instant>,
    /// Since when a probe is out.
    probing: Option<Instant>,
    /// Since when calls on sessions' threads are out, at most one for each thread.
    out: Vec<Instant>,
}

impl Pace {
    /// Whether a call may begin on a session's thread; then it is out until it [has ended](Self::ended).
    pub(super) fn begins(&mut self, now: Instant) -> bool {
        let quick = self.is_quick(now);
        if quick {
            self.out.push(now);
        }
        quick
    }

    /// A call that began at `begun` has ended.
    pub(super) fn ended(&mut self, begun: Instant, now: Instant) {
        if let Some(index) = self.out.iter().position(|out| *out == begun) {
            self.out.swap_remove(index);
        }
        self.took(now, now - begun);
    }

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
        self.average = (self.average * (WEIGHT - 1) + time.min(MOST)) / WEIGHT;
        if self.average > SLOW || time >= STUCK {
            self.rest(now);
        }
    }

    /// Whether a probe may begin: not while one is out.
    pub(super) fn probe_began(&mut self, now: Instant) -> bool {
        let may = self.probing.is_none();
        self.probing.get_or_insert(now);
        may
    }

    /// A probe that took this long has ended.
    pub(super) fn probe_ended(&mut self, now: Instant, time: Duration) {
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

    #[test]
    fn a_call_that_hangs_keeps_everybody_else_off_the_folder() {
        let (mut pace, mut clock) = (Pace::default(), clock());
        let begun = clock.0;
        assert!(pace.begins(begun));
        assert!(pace.begins(clock.after(CALL)));
        pace.ended(clock.0, clock.0);
        assert!(!pace.begins(clock.after(STUCK)));
        pace.ended(begun, clock.0);
        assert!(pace.out.is_empty());
        assert!(!pace.begins(clock.after(Duration::from_secs(59))), "it took long");
        assert!(pace.begins(clock.after(Duration::from_secs(2))));
    }
}
