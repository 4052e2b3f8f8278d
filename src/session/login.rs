//! What a session has of a login until that ends.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Direction;

/// What a login has until it ends.
#[derive(Debug)]
pub(crate) struct Login {
    traffic: Arc<Traffic>,
    _tells_end: Box<dyn Debug + Send>,
}

impl Login {
    /// `tells_end` is dropped when the login ends: once, whichever way that is. What was moved is added to `traffic`.
    pub(crate) fn new(traffic: Arc<Traffic>, tells_end: Box<dyn Debug + Send>) -> Self {
        Self { traffic, _tells_end: tells_end }
    }

    pub(super) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }
}

/// Bytes of files that have crossed the data connections of one login.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    uploaded: AtomicU64,
    downloaded: AtomicU64,
}

impl Traffic {
    /// A transfer has ended that has moved `bytes`.
    pub(crate) fn add(&self, direction: Direction, bytes: u64) {
        let counted = match direction {
            Direction::Upload | Direction::Append => &self.uploaded,
            Direction::Download => &self.downloaded,
        };
        counted.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that the client has sent, and bytes that it has got.
    pub(crate) fn sums(&self) -> (u64, u64) {
        (self.uploaded.load(Ordering::Relaxed), self.downloaded.load(Ordering::Relaxed))
    }
}
