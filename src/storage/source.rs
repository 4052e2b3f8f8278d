//! Where the bytes of an upload come from: the client, or what is in the store already.

use async_trait::async_trait;
use bytes::Bytes;

use super::driver::Body;
use super::error::{Error, Result};
use crate::data::{DataConnection, Pacing};

/// Where an upload's bytes come from.
#[async_trait]
pub(super) trait Source: Send {
    /// Appends to `buffer`, up to its spare capacity; 0 is the end. Dropping the future loses no bytes.
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize>;
}

#[async_trait]
impl Source for Box<dyn DataConnection> {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        Ok(self.as_mut().read(buffer).await?)
    }
}

/// The old bytes that stay, as the source of an upload.
///
/// They come in one body, which pins them to one version, and without a charge to the budget: they go straight into
/// the part, which has one. An append that waited for memory to read with, while its part holds memory that others
/// wait for, could wait for ever.
pub(super) struct OldBytes {
    body: Box<dyn Body>,
    piece: Bytes,
    left: u64,
    /// None if they may come as fast as the store gives them.
    pace: Option<Box<dyn Pacing>>,
}

impl OldBytes {
    /// The first `left` bytes of `body`.
    pub(super) fn of(body: Box<dyn Body>, left: u64) -> Self {
        Self { body, piece: Bytes::new(), left, pace: None }
    }

    /// They come no faster than this allows.
    pub(super) fn at(&mut self, pace: impl Pacing + 'static) {
        self.pace = Some(Box::new(pace));
    }

    /// Bytes that are left of it.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

#[async_trait]
impl Source for OldBytes {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        if let Some(pace) = &mut self.pace {
            pace.pay().await;
        }
        if self.left == 0 {
            return Ok(0);
        }
        while self.piece.is_empty() {
            // The body keeps what it is waiting for when this future is dropped.
            self.piece = self.body.next().await?.ok_or(Error::Changed)?.bytes;
        }
        let spare = buffer.capacity() - buffer.len();
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(spare).min(self.piece.len());
        buffer.extend_from_slice(&self.piece.split_to(taken));
        self.left -= taken as u64;
        if let Some(pace) = &mut self.pace {
            pace.owe(taken);
        }
        Ok(taken)
    }
}

impl std::fmt::Debug for OldBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OldBytes").field("left", &self.left).finish_non_exhaustive()
    }
}
