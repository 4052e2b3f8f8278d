//! Where the bytes of an upload come from: the client, or what is in the store already.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::driver::{Body, Driver, Get, Memory, Version};
use super::error::{Error, Result};
use super::path::StorePath;
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
/// They come without a charge to the budget: they go straight into the part, which has one. An append that waited for
/// memory to read with, while its part holds memory that others wait for, could wait for ever. So they come in one body,
/// which pins them to one version, and if that breaks in another one of the same version.
pub(super) struct OldBytes {
    driver: Arc<dyn Driver>,
    path: StorePath,
    version: Option<Version>,
    /// None if it broke.
    body: Option<Box<dyn Body>>,
    /// Nothing has come since it was opened again.
    in_doubt: bool,
    piece: Bytes,
    /// Bytes that were taken.
    position: u64,
    left: u64,
    /// None if they may come as fast as the store gives them.
    pace: Option<Box<dyn Pacing>>,
}

impl OldBytes {
    /// The first `left` bytes of `body`, which is of this version of the file at `path` from its first byte on.
    pub(super) fn of(
        driver: &Arc<dyn Driver>,
        path: &StorePath,
        (body, version): (Box<dyn Body>, Option<Version>),
        left: u64,
    ) -> Self {
        Self {
            driver: Arc::clone(driver),
            path: path.clone(),
            version,
            body: Some(body),
            in_doubt: false,
            piece: Bytes::new(),
            position: 0,
            left,
            pace: None,
        }
    }

    /// They come no faster than this allows.
    pub(super) fn at(&mut self, pace: impl Pacing + 'static) {
        self.pace = Some(Box::new(pace));
    }

    /// Bytes that are left of it.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next piece, when all of the one before was taken. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Bytes> {
        loop {
            let Some(body) = &mut self.body else {
                self.body = Some(self.rest().await?);
                self.in_doubt = true;
                continue;
            };
            // The body keeps what it is waiting for when this future is dropped.
            match body.next().await {
                Ok(chunk) => {
                    let bytes = chunk.ok_or(Error::Changed)?.bytes;
                    self.in_doubt &= bytes.is_empty();
                    return Ok(bytes);
                }
                // Its own retries end a few minutes after it began, and what is held to a rate may take hours.
                Err(Error::Store(error)) if self.version.is_some() && !self.in_doubt => {
                    tracing::debug!(path = %self.path, error = &error as &dyn std::error::Error, "goes on in another body");
                    self.body = None;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What has not been taken yet, of the same version.
    async fn rest(&mut self) -> Result<Box<dyn Body>> {
        let get = Get {
            from: self.position,
            to: Some(self.position + self.left),
            version: self.version.clone(),
            memory: Memory::Callers,
        };
        match self.driver.get(&self.path, get).await {
            Ok(got) => Ok(got.body),
            // It was there.
            Err(Error::NotFound) => Err(Error::Changed),
            Err(error) => Err(error),
        }
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
            self.piece = self.next().await?;
        }
        let spare = buffer.capacity() - buffer.len();
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(spare).min(self.piece.len());
        buffer.extend_from_slice(&self.piece.split_to(taken));
        self.position += taken as u64;
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
