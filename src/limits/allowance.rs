//! What one upload may take: of its file's size, and of the day.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;

use super::account::Share;
use super::day::date;
use super::exceeded::Exceeded;
use crate::metrics::Metrics;

/// What one upload may take, and has. Dropping it gives back what it has taken of the day, unless it was told otherwise.
///
/// Semantics decision: what a client has sent counts for the day's bytes, also if it then breaks off: the gateway had it.
/// What a limit, the store or the gateway itself refuses does not. A file counts when it is stored.
#[derive(Debug)]
pub(crate) struct Allowance {
    file_size: Option<u64>,
    shares: Vec<Share>,
    /// Bytes of the file that are there so far.
    size: AtomicU64,
    /// Of each share, what has arrived on the last of its days, and which day that counts for.
    taken: Mutex<Vec<(NaiveDate, u64)>>,
    /// The day that its file counts for, of each share that has counted it.
    files: Vec<NaiveDate>,
    keeps_file: AtomicBool,
    keeps_bytes: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Allowance {
    /// Fails if the day allows no more files or bytes.
    pub(super) fn begin(
        file_size: Option<u64>,
        shares: Vec<Share>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Exceeded> {
        let date = date();
        let taken = vec![(date, 0); shares.len()];
        let mut allowance = Self {
            file_size,
            shares,
            size: AtomicU64::new(0),
            taken: Mutex::new(taken),
            files: Vec::new(),
            keeps_file: AtomicBool::new(false),
            keeps_bytes: AtomicBool::new(false),
            metrics: Arc::clone(metrics),
        };
        for Share { scope, today, files_per_day, .. } in &allowance.shares {
            let counted = match *files_per_day {
                Some(most) => {
                    today.add_file(most, date).ok_or(Exceeded::FilesPerDay { most, scope: *scope })?
                }
                None => date,
            };
            allowance.files.push(counted);
        }
        // Not even an empty file, or who has nothing left would learn so only in the middle of a file.
        allowance.room_for(1)?;
        Ok(allowance)
    }

    /// Fails if `announced` bytes, of which it may be that they are the whole file, are too many.
    pub(super) fn announced(&self, announced: Option<u64>) -> Result<(), Exceeded> {
        let Some(announced) = announced else { return Ok(()) };
        self.fits(announced)?;
        self.room_for(announced)
    }

    /// The file has `size` bytes before any have arrived. Fails if those are too many.
    pub(crate) fn begins_at(&self, size: u64) -> Result<(), Exceeded> {
        self.size.store(size, Ordering::Relaxed);
        self.counted(self.fits(size))
    }

    /// `bytes` have arrived. Fails if those were too many.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Exceeded> {
        let bytes = bytes as u64;
        let size = self.size.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let within = self.fits(size);
        let limited = |share: &Share| share.bytes_per_day.is_some();
        if !self.shares.iter().any(limited) {
            return self.counted(within);
        }
        // No code that can panic runs under the lock.
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let counting = self.shares.iter().zip(&mut *taken).try_for_each(|(share, taken)| {
            let Some(most) = share.bytes_per_day else { return Ok(()) };
            let day = share.today.add_bytes(bytes, most, date());
            let day = day.ok_or(Exceeded::BytesPerDay { most, scope: share.scope })?;
            let before = if taken.0 == day { taken.1 } else { 0 };
            *taken = (day, before + bytes);
            Ok(())
        });
        if counting.is_err() {
            // The upload fails, and must not take room from others until the store has cleaned up after it.
            for (share, (day, bytes)) in
                self.shares.iter().zip(&mut *taken).filter(|(share, _)| limited(share))
            {
                share.today.give_back(0, std::mem::take(bytes), *day);
            }
        }
        drop(taken);
        self.counted(within.and(counting))
    }

    /// Whether nothing that arrives can be too much.
    pub(crate) fn is_boundless(&self) -> bool {
        self.file_size.is_none() && self.shares.iter().all(|share| share.bytes_per_day.is_none())
    }

    /// The file is stored.
    pub(crate) fn keep_file(&self) {
        self.keeps_file.store(true, Ordering::Relaxed);
        self.keep_bytes();
    }

    /// What has arrived counts, whatever has become of it.
    pub(crate) fn keep_bytes(&self) {
        self.keeps_bytes.store(true, Ordering::Relaxed);
    }

    fn fits(&self, size: u64) -> Result<(), Exceeded> {
        match self.file_size {
            Some(most) if size > most => Err(Exceeded::FileSize(most)),
            Some(_) | None => Ok(()),
        }
    }

    /// Fails if the day has no room for `bytes`.
    fn room_for(&self, bytes: u64) -> Result<(), Exceeded> {
        for Share { scope, today, bytes_per_day, .. } in &self.shares {
            if let Some(most) = *bytes_per_day
                && today.bytes_left(most, date()) < bytes
            {
                return Err(Exceeded::BytesPerDay { most, scope: *scope });
            }
        }
        Ok(())
    }

    fn counted(&self, within: Result<(), Exceeded>) -> Result<(), Exceeded> {
        within.inspect_err(|exceeded| {
            let (limit, scope) = exceeded.counted();
            self.metrics.limited(limit, scope);
        })
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        let (keeps_file, keeps_bytes) = (*self.keeps_file.get_mut(), *self.keeps_bytes.get_mut());
        let taken = self.taken.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (index, (share, &mut (day, bytes))) in self.shares.iter().zip(taken).enumerate() {
            if !keeps_file
                && share.files_per_day.is_some()
                && let Some(&day) = self.files.get(index)
            {
                share.today.give_back(1, 0, day);
            }
            if !keeps_bytes && share.bytes_per_day.is_some() {
                share.today.give_back(0, bytes, day);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrafficLimits;
    use crate::limits::account::Traffic;
    use crate::metrics::Scope;

    fn shares(files: Option<u64>, bytes: Option<u64>) -> Vec<Share> {
        let limits = TrafficLimits { files_per_day: files, bytes_per_day: bytes, ..TrafficLimits::default() };
        let user = Traffic::default().share(Scope::User, limits);
        vec![user, Traffic::default().share(Scope::All, TrafficLimits::default())]
    }

    fn begin(file_size: Option<u64>, shares: &[Share]) -> Result<Allowance, Exceeded> {
        Allowance::begin(file_size, shares.to_vec(), &Arc::new(Metrics::new([], [])))
    }

    const BYTES: Exceeded = Exceeded::BytesPerDay { most: 10, scope: Scope::User };

    #[test]
    fn a_file_may_be_as_large_as_the_limit_with_all_that_was_there() {
        let allowance = begin(Some(10), &shares(None, None)).expect("allowed");
        assert_eq!(allowance.announced(Some(10)), Ok(()));
        assert_eq!(allowance.announced(Some(11)), Err(Exceeded::FileSize(10)));
        assert_eq!(allowance.begins_at(11), Err(Exceeded::FileSize(10)));
        assert_eq!(allowance.begins_at(6), Ok(()));
        assert_eq!(allowance.take(4), Ok(()));
        assert_eq!(allowance.take(1), Err(Exceeded::FileSize(10)));
        assert!(
            !allowance.is_boundless() && begin(None, &shares(Some(1), None)).expect("allowed").is_boundless()
        );
    }

    #[test]
    fn files_count_when_they_are_stored() {
        let shares = shares(Some(2), None);
        let exceeded = Some(Exceeded::FilesPerDay { most: 2, scope: Scope::User });
        begin(None, &shares).expect("the first").keep_file();
        let running = begin(None, &shares).expect("the second");
        assert_eq!(begin(None, &shares).err(), exceeded, "what runs has its place");
        drop(running);
        begin(None, &shares).expect("the second again").keep_bytes();
        begin(None, &shares).expect("a broken file is none").keep_file();
        assert_eq!(begin(None, &shares).err(), exceeded);
    }

    #[test]
    fn bytes_count_unless_they_were_refused() {
        let shares = shares(None, Some(10));
        let refused = begin(None, &shares).expect("allowed");
        assert_eq!((refused.take(10), refused.take(1)), (Ok(()), Err(BYTES)));
        drop(refused);
        let broken = begin(None, &shares).expect("nothing was counted");
        broken.take(6).expect("room");
        broken.keep_bytes();
        drop(broken);
        let rest = begin(None, &shares).expect("room");
        assert_eq!((rest.announced(Some(4)), rest.announced(Some(5))), (Ok(()), Err(BYTES)));
        rest.take(4).expect("room");
        rest.keep_file();
        drop(rest);
        assert_eq!(begin(None, &shares).err(), Some(BYTES));
    }

    #[test]
    fn an_upload_that_is_too_much_takes_nothing_from_others() {
        let shares = shares(None, Some(10));
        let (large, small) = (begin(None, &shares).expect("allowed"), begin(None, &shares).expect("allowed"));
        assert_eq!((large.take(8), large.take(8)), (Ok(()), Err(BYTES)));
        // It is not gone yet: its store cleans up.
        assert_eq!(small.take(10), Ok(()));
        small.keep_file();
        drop((large, small));
        assert_eq!(begin(None, &shares).err(), Some(BYTES), "what was given back was given back once");
    }

    #[test]
    fn over_midnight_each_day_has_its_own() {
        let shares = shares(Some(2), Some(10));
        let (today, tomorrow) = (&shares[0].today, date().succ_opt().expect("a date"));
        let over = begin(None, &shares).expect("allowed");
        over.take(8).expect("room");
        // Midnight, as others see it.
        assert!(today.add_file(2, tomorrow).is_some() && today.add_bytes(3, 10, tomorrow).is_some());
        assert_eq!(over.take(7), Ok(()), "what came before is of another day");
        assert_eq!(today.bytes_left(10, tomorrow), 0);
        drop(over);
        assert_eq!(today.bytes_left(10, tomorrow), 7, "only what was taken of this day");
        assert!(today.add_file(2, tomorrow).is_some(), "its file was one of the day before");
        assert!(today.add_file(2, tomorrow).is_none());
        // Who begins now, and what is too much of it, is of this day, whatever the clock shows.
        today.give_back(1, 0, tomorrow);
        let begun = begin(None, &shares).expect("room");
        assert_eq!((begun.take(7), begun.take(1)), (Ok(()), Err(BYTES)));
        assert_eq!(today.bytes_left(10, tomorrow), 7);
        drop(begun);
        assert_eq!(today.bytes_left(10, tomorrow), 7);
        assert!(today.add_file(2, tomorrow).is_some());
    }

    #[test]
    fn what_one_share_refuses_is_given_back_to_the_other() {
        let of = |scope, bytes| {
            let limits = TrafficLimits {
                files_per_day: Some(2),
                bytes_per_day: Some(bytes),
                ..TrafficLimits::default()
            };
            Traffic::default().share(scope, limits)
        };
        let shares = vec![of(Scope::User, 20), of(Scope::All, 10)];
        let large = begin(None, &shares).expect("allowed");
        let all = Exceeded::BytesPerDay { most: 10, scope: Scope::All };
        assert_eq!((large.take(6), large.take(6)), (Ok(()), Err(all)));
        let left = || [0, 1].map(|index| shares[index].today.bytes_left(20, date()));
        assert_eq!(left(), [20, 20]);
        drop(large);
        assert_eq!(left(), [20, 20], "once");
        // What the day of all refuses takes no file of the user's.
        for _ in 0..2 {
            assert!(shares[1].today.add_file(2, date()).is_some());
        }
        let refused = Exceeded::FilesPerDay { most: 2, scope: Scope::All };
        assert_eq!(begin(None, &shares).err(), Some(refused));
        assert!(shares[0].today.is_empty(date()));
    }
}
