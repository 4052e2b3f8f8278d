//! What is counted for as long as something lives, and bytes that are counted as they pass.

use prometheus::{IntCounter, IntGauge};

/// Counts bytes, in all of its counters at once.
#[derive(Clone, Debug)]
pub struct ByteCount(Vec<IntCounter>);

impl ByteCount {
    pub(super) fn new(counters: impl Into<Vec<IntCounter>>) -> Self {
        Self(counters.into())
    }

    /// Counts `bytes` more.
    pub fn add(&self, bytes: u64) {
        for counter in &self.0 {
            counter.inc_by(bytes);
        }
    }
}

/// One in a gauge, for as long as this lives.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Counted {
    pub(super) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
