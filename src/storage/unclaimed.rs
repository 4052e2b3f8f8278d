//! What is left of uploads that were kept: whose time is over, and what no record names. The janitor removes it.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::error::{Error, Result};
use super::journal::{Kind, Record};
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
    /// many it discarded, and what the records of all others name; none if there are more than `most`.
    pub(super) async fn discard_kept_too_long(
        &self,
        most: usize,
        now: DateTime<Utc>,
    ) -> Result<(u64, Option<Claims>)> {
        let (mut count, mut claims, mut result) = (0, Claims::default(), Ok(()));
        let records = self.records(Kind::Resume, most).await?;
        let all = records.len() < most;
        for record in &records {
            match self.discard_if_over(record, now).await {
                Ok(Looked::Discarded) => count += 1,
                Ok(Looked::Nothing) => {}
                Ok(Looked::Kept(kept)) => claims.add(*kept),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result?;
        if !all {
            return Ok((count, None));
        }
        for kind in [Kind::Tail, Kind::Turn] {
            for record in self.records(kind, most).await? {
                if self.is_old(&record, now) && !claims.tails.contains(&record.name) {
                    self.forget_record(kind, &record.name).await?;
                }
            }
        }
        Ok((count, Some(claims)))
    }

    async fn discard_if_over(&self, record: &Record, now: DateTime<Utc>) -> Result<Looked> {
        let Some(kept) = self.read_record::<Kept>(Kind::Resume, &record.name).await? else {
            // It is damaged, or gone since it was listed.
            if self.is_old(record, now) {
                self.forget_damaged(Kind::Resume, &record.name).await?;
            }
            return Ok(Looked::Nothing);
        };
        if !kept.is_over(now) {
            return Ok(Looked::Kept(Box::new(kept)));
        }
        let taken = match self.take_up(&kept).await {
            Err(Error::Busy) => return Ok(Looked::Kept(Box::new(kept))),
            taken => taken?,
        };
        self.discard_kept(&taken).await?;
        tracing::info!(store = self.name, key = taken.key(), "discarded what was kept of a broken upload");
        Ok(Looked::Discarded)
    }
}

/// What became of a record.
enum Looked {
    Discarded,
    /// There is none that can be read.
    Nothing,
    Kept(Box<Kept>),
}
