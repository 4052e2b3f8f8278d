//! Places for pages that are kept up to date.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::observer::Sight;

/// How many there are.
pub(super) const MOST: usize = 32;

/// The places. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    all: Arc<Semaphore>,
    /// Those of them that are not for holders of the token alone.
    anybodys: Arc<Semaphore>,
}

/// A place, for as long as this lives.
#[derive(Debug)]
pub(super) struct Stream {
    _one: OwnedSemaphorePermit,
    _anybodys: Option<OwnedSemaphorePermit>,
}

impl Streams {
    /// Of the places so many are kept for those who see details.
    pub(super) fn keeping(for_details: usize) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { all: places(MOST), anybodys: places(MOST.saturating_sub(for_details)) }
    }

    /// A place for who may see this, if there is one.
    pub(super) fn take(&self, sight: Sight) -> Option<Stream> {
        let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let anybodys = match sight {
            Sight::Details => None,
            Sight::Numbers => Some(take(&self.anybodys)?),
        };
        Some(Stream { _one: take(&self.all)?, _anybodys: anybodys })
    }
}
