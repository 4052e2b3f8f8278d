//! The janitor: removes from a store what crashes and clients have left there, at start and every hour.
//!
//! Several replicas may do it at once: what is gone is gone.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use tokio::time::sleep;

use super::driver::LeftOver;
use super::error::Result;
use super::journal::{Kind, Record};
use super::relocation::RENAME_ABANDONED;
use super::store::Store;
use super::unclaimed::Claims;
use crate::metrics::{Cleaned, Metrics};

/// Between two rounds, give or take a tenth, so that replicas do not keep in step.
const PERIOD: Duration = Duration::from_hours(1);
const JITTER: f64 = 0.1;
/// The first round waits for so long at most, so that many replicas that start together do not ask at once.
const START: Duration = Duration::from_secs(20);

/// One thing that is looked after: what it counts as, and how it is done.
type Step = (Cleaned, for<'a> fn(&'a Store, &'a mut Round) -> BoxFuture<'a, Result<u64>>);

/// What a step tells those after it.
struct Round {
    now: DateTime<Utc>,
    /// None unless all records of kept uploads were looked at.
    claims: Option<Claims>,
}

/// Everything that is looked after, in this order.
const STEPS: [Step; 4] = [
    (Cleaned::Rename, |store, _| Box::pin(store.recover_renames(RENAME_ABANDONED))),
    (Cleaned::Upload, |store, round| Box::pin(store.abort_left_overs(round.now))),
    (Cleaned::Kept, |store, round| Box::pin(store.discard_kept_uploads(round))),
    (Cleaned::Staged, |store, round| Box::pin(store.sweep_left_overs(round))),
];

/// A staged file that nobody has written to for so long is nobody's any more.
const LEFT_OVER: Duration = Duration::from_hours(24);

/// The most records of a kind that are looked at in one round, the first of the listing: the others wait until some of
/// those are gone.
const MOST: usize = 10_000;

impl Store {
    /// Looks after the store until the second stage of stopping.
    pub async fn look_after(self: Arc<Self>, metrics: Arc<Metrics>) {
        let mut pause = START.mul_f64(rand::random());
        let mut failed = false;
        loop {
            let round = async {
                sleep(pause).await;
                self.clean(&metrics, Utc::now()).await
            };
            let result = tokio::select! {
                result = round => result,
                () = self.shutdown.stopping() => return,
            };
            // A store that stays away is told of once.
            if let Err(error) = &result
                && !failed
            {
                let error = error as &dyn std::error::Error;
                tracing::warn!(store = self.name, error, "left-overs in the store cannot be removed");
            }
            failed = result.is_err();
            pause = PERIOD.mul_f64(1.0 + JITTER * (2.0 * rand::random::<f64>() - 1.0));
        }
    }

    /// One round, as of `now`. Each step is done whatever became of those before it; the first error is the result.
    pub async fn clean(&self, metrics: &Metrics, now: DateTime<Utc>) -> Result<()> {
        let mut result = Ok(());
        let mut round = Round { now, claims: None };
        for (what, step) in STEPS {
            match step(self, &mut round).await {
                Ok(count) => metrics.cleaned(&self.name, what, count),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    async fn abort_left_overs(&self, now: DateTime<Utc>) -> Result<u64> {
        self.count_records(Kind::Upload, |record| {
            Box::pin(async move { self.abort_left_over(&record.name, record.written, now).await })
        })
        .await
    }

    async fn discard_kept_uploads(&self, round: &mut Round) -> Result<u64> {
        self.discard_kept_too_long(MOST, round.now, &mut round.claims).await
    }

    async fn sweep_left_overs(&self, round: &mut Round) -> Result<u64> {
        let left_over = LeftOver {
            older_than: LEFT_OVER,
            // A file that a record names may be old: a slow client sends less than a piece for long.
            kept_older_than: round.claims.as_ref().and_then(|_| self.unclaimed_age().to_std().ok()),
            claimed: round.claims.take().map(|claims| claims.uploads).unwrap_or_default(),
        };
        let swept = self.sweep(left_over).await?;
        if swept.files > 0 {
            tracing::info!(
                store = self.name,
                files = swept.files,
                bytes = swept.bytes,
                "removed left-over uploads"
            );
        }
        Ok(swept.files)
    }

    /// For how many records of a kind `done` is true. All are tried; the first error is the result.
    pub(super) async fn count_records<'a>(
        &'a self,
        kind: Kind,
        done: impl Fn(Record) -> BoxFuture<'a, Result<bool>> + Send + Sync,
    ) -> Result<u64> {
        let (mut count, mut result) = (0, Ok(()));
        for record in self.records(kind, MOST).await? {
            match done(record).await {
                Ok(true) => count += 1,
                Ok(false) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| count)
    }
}
