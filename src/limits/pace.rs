//! How fast one transfer may go: as all the rates that it is subject to allow.

use std::sync::Arc;

use super::bucket::Bucket;
use crate::metrics::{Limited, Metrics, Scope};

/// One transfer's rates. It owes what it has moved, and pays before it moves more.
#[derive(Debug)]
pub(crate) struct Pace {
    buckets: Vec<(Scope, Arc<Bucket>)>,
    limit: Limited,
    quantum: usize,
    owed: usize,
    /// How many of the buckets have been paid for the next quantum.
    paid: usize,
    /// Whose rates it has waited for, which counts once a transfer.
    waited: Vec<Scope>,
    metrics: Arc<Metrics>,
}

impl Pace {
    pub(super) fn new(buckets: Vec<(Scope, Arc<Bucket>)>, limit: Limited, metrics: &Arc<Metrics>) -> Self {
        let quantum = buckets.iter().map(|(_, bucket)| bucket.quantum()).min().unwrap_or(usize::MAX);
        let metrics = Arc::clone(metrics);
        Self { buckets, limit, quantum, owed: 0, paid: 0, waited: Vec::new(), metrics }
    }

    /// Whether there is no rate at all.
    pub(crate) fn is_free(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The most that is to be moved between two payments.
    pub(crate) fn quantum(&self) -> usize {
        self.quantum
    }

    /// `bytes` have been moved, or are about to be.
    pub(crate) fn owe(&mut self, bytes: usize) {
        self.owed += bytes;
    }

    /// Waits until everything that is owed is paid. Dropping the future loses nothing but the place in the queue.
    pub(crate) async fn pay(&mut self) {
        while self.owed > 0 {
            let bytes = self.owed.min(self.quantum);
            while let Some((scope, bucket)) = self.buckets.get(self.paid) {
                if bucket.take(bytes).await && !self.waited.contains(scope) {
                    self.waited.push(*scope);
                    self.metrics.limited(self.limit, *scope);
                }
                self.paid += 1;
            }
            (self.owed, self.paid) = (self.owed - bytes, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_rate_counts_and_broken_off_payments_are_not_paid_twice() {
        let metrics = Arc::new(Metrics::new([], []));
        let [user, all] = [100_000, 50_000].map(|rate| Arc::new(Bucket::new(rate)));
        let buckets = vec![(Scope::User, user), (Scope::All, all)];
        let mut pace = Pace::new(buckets, Limited::UploadRate, &metrics);
        assert!(!pace.is_free() && pace.quantum() == 12 * 1024);
        let begun = Instant::now();
        pace.owe(500_000);
        while timeout(Duration::from_millis(1_001), pace.pay()).await.is_err() {}
        let took = begun.elapsed().as_secs_f64();
        assert!((took - 9.75).abs() < 0.2, "{took}");
        let counted = metrics.render();
        assert!(
            counted.contains("bucketport_limited_total{limit=\"upload_rate\",scope=\"all\"} 1"),
            "{counted}"
        );
    }
}
