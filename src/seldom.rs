//! Telling operators of what may fail time and again, but not of every time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const TELL_AGAIN: Duration = Duration::from_mins(1);

/// What operators have been told of one kind of failure.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// How many failures there were since then.
    since: u64,
}

impl Seldom {
    /// Counts a failure. Tells, once a minute at most, how many others nobody was told of: then this one is to be told.
    pub(crate) fn tell(&self) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.last.is_some_and(|last| last.elapsed() < TELL_AGAIN) {
            told.since += 1;
            return None;
        }
        let others = told.since;
        *told = Told { last: Some(Instant::now()), since: 0 };
        Some(others)
    }
}
