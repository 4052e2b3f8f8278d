//! Counting data connections that are handed on to other replicas.

use super::{ByteCount, Counted, Forwarded, Metrics, Toward};

impl Metrics {
    /// Counts a data connection as handed on for as long as the guard lives.
    pub fn forwarding(&self) -> Counted {
        Counted::new(self.forwarded_connections.clone())
    }

    /// Counts a data connection that was handed on, or was to be.
    pub fn forwarded(&self, result: Forwarded) {
        self.forwarded_connections_total.with_label_values(&[result.label()]).inc();
    }

    /// Counts bytes that are handed on.
    pub fn forwarded_bytes(&self, to: Toward) -> ByteCount {
        ByteCount::new([self.forwarded_bytes.with_label_values(&[to.label()])])
    }

    pub(super) fn start_forwarded_at_zero(&self) {
        for result in Forwarded::ALL {
            self.forwarded_connections_total.with_label_values(&[result.label()]);
        }
        for to in Toward::ALL {
            self.forwarded_bytes.with_label_values(&[to.label()]);
        }
    }
}
