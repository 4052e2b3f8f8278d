//! What is left of uploads that were kept: whose time is over, and what no record names. The janitor removes it.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::error::{Error, Result};
use super::journal::{Found, Kind, Record};
use super::kept::Kept;
use super::store::Store;

/// What records of kept uploads name, which is nobody's to remove.
#[derive(Debug, Default)]
pub(super) struct Claims {
    tails: HashSet<String>,
    /// What the store calls the open uploads.
    pub(super) uploads: HashSet<String>,
}

impl Claims {
    fn add(&mut self, kept: Kept) {
        self.tails.extend(kept.tail_name().map(str::to_owned));
        self.uploads.extend(kept.upload.map(|upload| upload.id));
    }
}

impl Store {
    /// How old what no record names must be to be nobody's: it is written before the record that names it.
    pub(super) fn unclaimed_age(&self) -> TimeDelta {
        let window = TimeDelta::from_std(self.resume_window).unwrap_or(TimeDelta::MAX);
        window.checked_add(&TimeDelta::days(1)).unwrap_or(window)
    }

    fn is_old(&self, record: &Record, now: DateTime<Utc>) -> bool {
        record.written.is_some_and(|written| now - written >= self.unclaimed_age())
    }

    /// Discards what is kept whose time is over as of `now`, and then the tails and turns that no record names. Tells how
    /// many it discarded, and leaves in `claims` what the records of all others name; none if there are more than `most`,
    /// or some that could not be read.
    pub(super) async fn discard_kept_too_long(
        &self,
        most: usize,
        now: DateTime<Utc>,
        claims: &mut Option<Claims>,
    ) -> Result<u64> {
        let records = self.records(Kind::Resume, most).await?;
        let (mut count, mut result, mut all) = (0, Ok(()), records.len() < most);
        let mut claimed = Claims::default();
        for record in &records {
            match self.discard_if_over(record, now).await {
                Ok(Looked::Gone) => {}
                Ok(Looked::Discarded) => count += 1,
                Ok(Looked::Unreadable) => all = false,
                Ok(Looked::Stays(kept, tried)) => {
                    claimed.add(*kept);
                    result = result.and(tried);
                }
                Err(error) => {
                    all = false;
                    result = result.and(Err(error));
                }
            }
        }
        if all {
            let claimed = claims.insert(claimed);
            result = result.and(self.forget_unclaimed(most, now, claimed).await);
        }
        result.map(|()| count)
    }

    async fn forget_unclaimed(&self, most: usize, now: DateTime<Utc>, claims: &Claims) -> Result<()> {
        for kind in [Kind::Tail, Kind::Turn] {
            for record in self.records(kind, most).await? {
                if self.is_old(&record, now) && !claims.tails.contains(&record.name) {
                    self.forget_record(kind, &record.name).await?;
                }
            }
        }
        Ok(())
    }

    async fn discard_if_over(&self, record: &Record, now: DateTime<Utc>) -> Result<Looked> {
        let kept = match self.find_kept(&record.name).await? {
            Found::Record(kept) => Box::new(kept),
            Found::Nothing => return Ok(Looked::Gone),
            Found::Damaged if self.is_old(record, now) => {
                self.forget_damaged(Kind::Resume, &record.name).await?;
                return Ok(Looked::Gone);
            }
            Found::Damaged => return Ok(Looked::Unreadable),
        };
        if !kept.is_over(now) {
            return Ok(Looked::Stays(kept, Ok(())));
        }
        match self.discard_unheld(&kept).await {
            Ok(()) => {
                tracing::info!(
                    store = self.name,
                    key = kept.key(),
                    "discarded what was kept of a broken upload"
                );
                Ok(Looked::Discarded)
            }
            Err(Error::Busy) => Ok(Looked::Stays(kept, Ok(()))),
            Err(error) => Ok(Looked::Stays(kept, Err(error))),
        }
    }
}

/// What became of a record.
enum Looked {
    Discarded,
    /// It is gone, or was of no use to anybody.
    Gone,
    /// Somebody, of another version perhaps, may be able to read it.
    Unreadable,
    /// What it names is not to be touched, also where discarding it was tried.
    Stays(Box<Kept>, Result<()>),
}
