//! What has been uploaded today, in days of UTC.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{NaiveDate, Utc};

/// What has been uploaded today.
#[derive(Debug, Default)]
pub(super) struct Today(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    date: NaiveDate,
    files: u64,
    bytes: u64,
}

/// The date that counts as today.
pub(super) fn date() -> NaiveDate {
    Utc::now().date_naive()
}

impl Today {
    /// Counts one file more, unless there are `most` already.
    pub(super) fn add_file(&self, most: u64, date: NaiveDate) -> bool {
        let mut counts = self.on(date);
        let room = counts.files < most;
        counts.files += u64::from(room);
        room
    }

    /// Counts `bytes` more, unless that is more than `most`: who has too many takes nothing from those that fit.
    pub(super) fn add_bytes(&self, bytes: u64, most: u64, date: NaiveDate) -> bool {
        let mut counts = self.on(date);
        let sum = counts.bytes.saturating_add(bytes);
        let room = sum <= most;
        if room {
            counts.bytes = sum;
        }
        room
    }

    /// Bytes that are left of `most`.
    pub(super) fn bytes_left(&self, most: u64, date: NaiveDate) -> u64 {
        most.saturating_sub(self.on(date).bytes)
    }

    /// Takes back what was counted on `date`. What was counted on a day that is over is of no interest any more.
    pub(super) fn give_back(&self, files: u64, bytes: u64, date: NaiveDate) {
        let mut counts = self.lock();
        if counts.date == date {
            counts.files = counts.files.saturating_sub(files);
            counts.bytes = counts.bytes.saturating_sub(bytes);
        }
    }

    /// Whether there is anything to remember.
    pub(super) fn is_empty(&self, date: NaiveDate) -> bool {
        let counts = self.on(date);
        counts.files == 0 && counts.bytes == 0
    }

    fn on(&self, date: NaiveDate) -> MutexGuard<'_, Counts> {
        let mut counts = self.lock();
        // A clock that is set back does not give a day twice.
        if counts.date < date {
            *counts = Counts { date, ..Counts::default() };
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 7, day).expect("a date")
    }

    #[test]
    fn a_new_day_begins_with_nothing() {
        let today = Today::default();
        assert!(today.is_empty(day(6)));
        assert!(today.add_file(2, day(6)) && today.add_file(2, day(6)) && !today.add_file(2, day(6)));
        assert!(today.add_bytes(10, 10, day(6)) && !today.add_bytes(1, 10, day(6)));
        assert_eq!((today.bytes_left(10, day(6)), today.bytes_left(15, day(6))), (0, 5));
        assert!(!today.is_empty(day(6)));
        assert!(!today.add_file(2, day(5)), "a clock that is set back changes nothing");
        assert_eq!(today.bytes_left(10, day(7)), 10);
        assert!(today.is_empty(day(7)) && today.add_file(2, day(7)));
    }

    #[test]
    fn what_is_given_back_is_there_again_on_the_same_day_only() {
        let today = Today::default();
        assert!(today.add_file(1, day(6)) && today.add_bytes(10, 10, day(6)));
        today.give_back(1, 10, day(6));
        assert!(today.is_empty(day(6)));
        assert!(today.add_file(1, day(7)) && today.add_bytes(5, 10, day(7)));
        today.give_back(1, 10, day(6));
        assert!(!today.add_file(1, day(7)));
        assert_eq!(today.bytes_left(10, day(7)), 5);
    }
}
