//! APPE and REST + STOR. Object stores cannot append, so the old bytes up to the offset and the new bytes are written
//! as one new object, and only if the old one did not change meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::driver::{Body, Condition, Get, Memory};
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;
use super::upload::Source;

/// The most old bytes that are written again: each append costs as much as they do.
const LARGEST_REWRITE: u64 = 5 * 1024 * 1024 * 1024;

/// Where in the old file new bytes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    End,
    Offset(u64),
}

impl Store {
    /// The old bytes that stay and what must hold of the old file at the end. A missing file has no bytes.
    pub(super) async fn old_bytes(
        self: &Arc<Self>,
        path: &StorePath,
        position: Position,
    ) -> Result<(Option<OldBytes>, Condition)> {
        let get = Get { from: 0, to: None, version: None, memory: Memory::Callers };
        let old = match self.driver.get(path, get).await {
            Ok(old) => old,
            Err(Error::NotFound) => {
                return match position {
                    Position::End | Position::Offset(0) => Ok((None, Condition::Absent)),
                    Position::Offset(_) => Err(Error::OffsetBeyondEnd),
                };
            }
            Err(error) => return Err(error),
        };
        let size = old.meta.size;
        let offset = match position {
            Position::End => size,
            Position::Offset(offset) if offset > size => return Err(Error::OffsetBeyondEnd),
            Position::Offset(offset) => offset,
        };
        if offset > LARGEST_REWRITE {
            return Err(Error::TooLarge("more than 5 GiB cannot be appended to"));
        }
        Ok((Some(OldBytes::of(old.body, offset)), Condition::Unchanged(old.meta.version)))
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
}

impl OldBytes {
    /// The first `left` bytes of `body`.
    pub(super) fn of(body: Box<dyn Body>, left: u64) -> Self {
        Self { body, piece: Bytes::new(), left }
    }
}

#[async_trait]
impl Source for OldBytes {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
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
        Ok(taken)
    }
}

impl std::fmt::Debug for OldBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OldBytes").field("left", &self.left).finish_non_exhaustive()
    }
}
