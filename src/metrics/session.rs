//! Counting a session by how it is encrypted, which may change once.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::{Counted, SessionTls};

/// A session that is open for as long as this lives, and has ended after that.
#[derive(Debug)]
pub struct CountedSession {
    /// Its place in `all`.
    open: Counted,
    all: IntGaugeVec,
    ended: IntCounterVec,
    tls: SessionTls,
}

impl CountedSession {
    pub(super) fn new(all: IntGaugeVec, ended: IntCounterVec, tls: SessionTls) -> Self {
        Self { open: Counted::new(all.with_label_values(&[tls.label()])), all, ended, tls }
    }

    /// From now on the session is encrypted like this.
    pub fn encrypted(&mut self, tls: SessionTls) {
        self.tls = tls;
        self.open = Counted::new(self.all.with_label_values(&[tls.label()]));
    }
}

impl Drop for CountedSession {
    fn drop(&mut self) {
        self.ended.with_label_values(&[self.tls.label()]).inc();
    }
}
