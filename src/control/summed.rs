//! The CRC32 of what a client sends, for whoever is told of the upload.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::data::{DataConnection, DataError};
use crate::digest::{Algorithm, Hasher};

/// The sum of all bytes that came, in hexadecimal, once their end has come.
pub(super) type Sum = Arc<OnceLock<String>>;

/// A data connection whose bytes are summed up as they pass. Of all algorithms this one costs least: docs/performance.md.
pub(super) struct Summed {
    inner: Box<dyn DataConnection>,
    hasher: Option<Hasher>,
    sum: Sum,
}

impl Summed {
    /// `opened`, which tells `sum` what it is.
    pub(super) fn open(opened: Box<dyn DataConnection>, sum: &Sum) -> Box<dyn DataConnection> {
        Box::new(Self { inner: opened, hasher: Some(Hasher::new(Algorithm::Crc32)), sum: Arc::clone(sum) })
    }
}

#[async_trait]
impl DataConnection for Summed {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        let before = buffer.len();
        let read = self.inner.read(buffer).await?;
        if read > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[before..]);
            }
        } else if let Some(hasher) = self.hasher.take() {
            // Nothing else sets it.
            let _ = self.sum.set(hasher.finish());
        }
        Ok(read)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.inner.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<(), DataError> {
        self.inner.finish().await
    }

    fn reset(self: Box<Self>) {
        self.inner.reset();
    }
}
