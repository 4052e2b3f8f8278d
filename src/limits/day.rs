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
    /// Counts one file more, unless there are `most` already. Returns the day that it counts for.
    pub(super) fn add_file(&self, most: u64, date: NaiveDate) -> Option<NaiveDate> {
        let mut counts = self.on(date);
        if counts.files >= most {
            return None;
        }
        counts.files += 1;
        Some(counts.date)
    }

    /// Counts `bytes` more, unless that is more than `most`: who has too many takes nothing from those that fit. Returns the
    /// day that they count for.
    pub(super) fn add_bytes(&self, bytes: u64, most: u64, date: NaiveDate) -> Option<NaiveDate> {
        let mut counts = self.on(date);
        counts.bytes = counts.bytes.checked_add(bytes).filter(|&sum| sum <= most)?;
        Some(counts.date)
    }

    /// Bytes that are left of `most`.
    pub(super) fn bytes_left(&self, most: u64, date: NaiveDate) -> u64 {
        most.saturating_sub(self.on(date).bytes)
    }

    /// Takes back what was counted for `day`. What was counted for a day that is over is of no interest any more.
    pub(super) fn give_back(&self, files: u64, bytes: u64, day: NaiveDate) {
        let mut counts = self.lock();
        if counts.date == day {
            counts.files = counts.files.saturating_sub(files);
            counts.bytes = counts.bytes.saturating_sub(bytes);
        }
    }

    /// Whether there is anything to remember.
    pub(super) fn is_empty(&self, date: NaiveDate) -> bool {
        let counts = self.on(date);
        counts.files == 0 && counts.bytes == 0
    }

    /// The counts of the day that it is when the clock shows `date`.
    ///
    /// Semantics decision: a clock that is set back over midnight goes on with the day that had begun, so that nobody has a
    /// day twice. One that is set back by more was wrong, and a day that it had counted must not hold until it comes.
    fn on(&self, date: NaiveDate) -> MutexGuard<'_, Counts> {
        let mut counts = self.lock();
        let goes_on = counts.date == date || Some(counts.date) == date.succ_opt();
        if !goes_on {
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
        let added = [(); 3].map(|()| today.add_file(2, day(6)));
        assert_eq!(added, [Some(day(6)), Some(day(6)), None]);
        assert_eq!((today.add_bytes(10, 10, day(6)), today.add_bytes(1, 10, day(6))), (Some(day(6)), None));
        assert_eq!((today.bytes_left(10, day(6)), today.bytes_left(15, day(6))), (0, 5));
        assert!(!today.is_empty(day(6)));
        assert_eq!(today.bytes_left(10, day(7)), 10);
        assert!(today.is_empty(day(7)) && today.add_file(2, day(7)) == Some(day(7)));
    }

    #[test]
    fn a_clock_that_is_set_back_neither_doubles_a_day_nor_freezes_it() {
        let today = Today::default();
        assert_eq!(today.add_file(2, day(6)), Some(day(6)));
        assert!(today.add_file(1, day(7)).is_some() && today.add_bytes(10, 10, day(7)).is_some());
        // Over midnight: what has begun goes on, back and forth.
        for date in [6, 7, 6, 7, 6] {
            assert_eq!((today.add_file(1, day(date)), today.bytes_left(10, day(date))), (None, 0), "{date}");
        }
        assert_eq!(today.add_file(2, day(6)), Some(day(7)), "it counts for what goes on");
        today.give_back(2, 10, day(6));
        assert_eq!(today.bytes_left(10, day(6)), 0);
        today.give_back(1, 10, day(7));
        assert_eq!((today.bytes_left(10, day(6)), today.add_file(2, day(6))), (10, Some(day(7))));
        // It was years ahead.
        let wrong = NaiveDate::from_ymd_opt(2031, 1, 1).expect("a date");
        assert!(today.add_file(1, wrong).is_some() && today.add_bytes(10, 10, wrong).is_some());
        assert_eq!((today.add_file(1, day(6)), today.bytes_left(10, day(6))), (Some(day(6)), 10));
        assert_eq!(today.add_file(1, day(6)), None, "counted as ever");
        assert_eq!(today.add_file(1, day(4)), Some(day(4)), "two days are more than midnight");
    }

    #[test]
    fn what_is_given_back_is_there_again_on_the_same_day_only() {
        let today = Today::default();
        assert!(today.add_file(1, day(6)).is_some() && today.add_bytes(10, 10, day(6)).is_some());
        today.give_back(1, 10, day(6));
        assert!(today.is_empty(day(6)));
        assert!(today.add_file(1, day(7)).is_some() && today.add_bytes(5, 10, day(7)).is_some());
        today.give_back(1, 10, day(6));
        assert_eq!(today.add_file(1, day(7)), None);
        assert_eq!(today.bytes_left(10, day(7)), 5);
    }
}
