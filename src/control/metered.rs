//! Counting the bytes of a transfer as they pass.

use async_trait::async_trait;

use crate::data::{DataConnection, DataError};
use crate::metrics::ByteCount;

/// A data connection whose bytes are counted as they pass.
pub(super) struct Metered {
    inner: Box<dyn DataConnection>,
    bytes: ByteCount,
}

impl Metered {
    /// `opened`, counted.
    pub(super) fn open(opened: Box<dyn DataConnection>, bytes: ByteCount) -> Box<dyn DataConnection> {
        Box::new(Self { inner: opened, bytes })
    }
}

#[async_trait]
impl DataConnection for Metered {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        let read = self.inner.read(buffer).await?;
        self.bytes.add(read);
        Ok(read)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.inner.write(bytes).await?;
        self.bytes.add(bytes.len());
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), DataError> {
        self.inner.finish().await
    }

    fn reset(self: Box<Self>) {
        self.inner.reset();
    }
}
