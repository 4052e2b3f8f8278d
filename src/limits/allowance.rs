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
    /// When it began, which is the day that its file counts for.
    date: NaiveDate,
    /// Bytes of the file that are there so far.
    size: AtomicU64,
    /// What has arrived on the last of its days, which is the one that it counts for.
    taken: Mutex<(NaiveDate, u64)>,
    /// How many of the shares have counted its file.
    files: usize,
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
        let mut allowance = Self {
            file_size,
            shares,
            date,
            size: AtomicU64::new(0),
            taken: Mutex::new((date, 0)),
            files: 0,
            keeps_file: AtomicBool::new(false),
            keeps_bytes: AtomicBool::new(false),
            metrics: Arc::clone(metrics),
        };
        for index in 0..allowance.shares.len() {
            let Share { scope, today, files_per_day, .. } = &allowance.shares[index];
            if let Some(most) = *files_per_day
                && !today.add_file(most, allowance.date)
            {
                return Err(Exceeded::FilesPerDay { most, scope: *scope });
            }
            allowance.files = index + 1;
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
        let mut within = self.fits(size);
        if self.shares.iter().all(|share| share.bytes_per_day.is_none()) {
            return self.counted(within);
        }
        let date = date();
        // No code that can panic runs under the lock.
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if taken.0 == date { taken.1 } else { 0 };
        for (index, Share { scope, today, bytes_per_day, .. }) in self.shares.iter().enumerate() {
            let Some(most) = *bytes_per_day else { continue };
            if today.add_bytes(bytes, most, date) {
                continue;
            }
            within = within.and(Err(Exceeded::BytesPerDay { most, scope: *scope }));
            // The upload fails, and must not take room from others until the store has cleaned up after it.
            for (other, share) in self.shares.iter().enumerate().filter(|(_, it)| it.bytes_per_day.is_some())
            {
                share.today.give_back(0, before + if other < index { bytes } else { 0 }, date);
            }
            *taken = (date, 0);
            return self.counted(within);
        }
        *taken = (date, before + bytes);
        drop(taken);
        self.counted(within)
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
        let (date, bytes) = *self.taken.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (index, share) in self.shares.iter().enumerate() {
            if !keeps_file && share.files_per_day.is_some() && index < self.files {
                share.today.give_back(1, 0, self.date);
            }
            if !keeps_bytes && share.bytes_per_day.is_some() {
                share.today.give_back(0, bytes, date);
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
}
