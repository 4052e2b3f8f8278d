//! APPE and REST + STOR. Object stores cannot append, so the old bytes up to the offset and the new bytes are written
//! as one new object, and only if the old one did not change meanwhile.

use std::sync::Arc;

use super::driver::{Condition, Get, Memory};
use super::error::{Error, Result};
use super::path::StorePath;
use super::source::OldBytes;
use super::store::Store;

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
        let condition = Condition::Unchanged(old.meta.clone());
        let old = OldBytes::of(&self.driver, path, (old.body, old.meta.version), offset);
        Ok((Some(old), condition))
    }
}
