//! Counting the bytes of a transfer as they pass: those on the wire, whatever line ends become.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::data::{DataConnection, DataError};
use crate::metrics::ByteCount;

/// A data connection whose bytes are counted as they pass.
pub(super) struct Metered {
    inner: Box<dyn DataConnection>,
    /// What has crossed the wire, and how much of that is counted.
    moved: Arc<AtomicU64>,
    counted: u64,
    bytes: ByteCount,
}

impl Metered {
    /// `opened`, which adds to `moved` what crosses the wire, counted.
    pub(super) fn open(
        opened: Box<dyn DataConnection>,
        moved: &Arc<AtomicU64>,
        bytes: ByteCount,
    ) -> Box<dyn DataConnection> {
        Box::new(Self { inner: opened, moved: Arc::clone(moved), counted: 0, bytes })
    }

    fn count(&mut self) {
        let moved = self.moved.load(Ordering::Relaxed);
        self.bytes.add(moved - self.counted);
        self.counted = moved;
    }
}

#[async_trait]
impl DataConnection for Metered {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        let read = self.inner.read(buffer).await;
        self.count();
        read
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let written = self.inner.write(bytes).await;
        self.count();
        written
    }

    async fn finish(self: Box<Self>) -> Result<(), DataError> {
        self.inner.finish().await
    }

    fn reset(self: Box<Self>) {
        self.inner.reset();
    }
}
