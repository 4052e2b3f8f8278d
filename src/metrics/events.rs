//! The metrics of events, by the sinks of the configuration.

use super::{EventOutcome, Metrics};

impl Metrics {
    /// Begins with a zero for each of these sinks.
    #[must_use]
    pub fn of_sinks<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        for sink in names {
            self.events_queued.with_label_values(&[sink]);
            self.events_oldest.with_label_values(&[sink]);
            for outcome in EventOutcome::ALL {
                self.events.with_label_values(&[sink, outcome.label()]);
            }
        }
        self
    }

    /// Counts what became of events for `sink`.
    pub fn events(&self, sink: &str, outcome: EventOutcome, count: u64) {
        self.events.with_label_values(&[sink, outcome.label()]).inc_by(count);
    }

    /// States how many events wait for `sink`, and since when the oldest does, in seconds since 1970.
    pub fn events_wait(&self, sink: &str, count: u64, oldest: i64) {
        self.events_queued.with_label_values(&[sink]).set(i64::try_from(count).unwrap_or(i64::MAX));
        self.events_oldest.with_label_values(&[sink]).set(oldest);
    }
}
