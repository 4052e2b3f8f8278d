//! One download: from an offset, pinned to the version (etag) that it began with, read ahead within the budget.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use super::budget::Charge;
use super::checksum::{Checksum, Hasher};
use super::driver::{Body, Chunk, Get, Memory, Ranges, Version};
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;

/// A download in progress; dropping it ends its requests.
#[derive(Debug)]
pub(super) struct Download {
    reader: Reader,
    /// What has passed so far and what all of it must be, if that is known and all of it is read.
    check: Option<(Hasher, Checksum)>,
}

#[derive(Debug)]
enum Reader {
    Empty,
    Ranges(RangeReader),
}

impl Download {
    /// The object at `path` from byte `offset` on.
    pub(super) async fn open(store: &Arc<Store>, path: &StorePath, offset: u64) -> Result<Self> {
        let mut get = Get { from: offset, to: None, version: None, memory: Memory::Charged };
        if offset > 0 {
            // Stores answer a range that begins at or beyond the end in different ways, so the size is asked first.
            let meta = store.driver.head(path).await?;
            if offset > meta.size {
                return Err(Error::OffsetBeyondEnd);
            }
            if offset == meta.size {
                return Ok(Self { reader: Reader::Empty, check: None });
            }
            get.version = meta.version;
        }
        let got = store.driver.get(path, get).await?;
        let (version, ranges) = (got.meta.version, store.driver.ranges());
        let check = got.meta.checksum.filter(|_| offset == 0).map(|expected| (Hasher::new(), expected));
        let reader = RangeReader::new(store, path, (got.body, got.range), version, ranges);
        Ok(Self { reader: Reader::Ranges(reader), check })
    }

    /// The next piece; none after the last byte. Ends in an error rather than early.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>> {
        let chunk = match &mut self.reader {
            Reader::Empty => None,
            Reader::Ranges(ranges) => ranges.next().await?,
        };
        match (&chunk, &mut self.check) {
            (Some(chunk), Some((hasher, _))) => hasher.update(&chunk.bytes),
            (None, Some(_)) => {
                let (hasher, expected) = self.check.take().ok_or(Error::Changed)?;
                if hasher.finish() != expected {
                    return Err(Error::damaged());
                }
            }
            (_, None) => {}
        }
        Ok(chunk)
    }
}

/// Reads from the body that opened the download, and what that is not to give in ranges, several ahead.
struct RangeReader {
    store: Arc<Store>,
    path: StorePath,
    version: Option<Version>,
    first: Option<Box<dyn Body>>,
    first_left: u64,
    ranges: Ranges,
    next: u64,
    end: u64,
    in_flight: VecDeque<AbortOnDropHandle<Result<VecDeque<Chunk>>>>,
    ready: VecDeque<Chunk>,
}

impl std::fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RangeReader")
            .field("path", &self.path)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl RangeReader {
    fn new(
        store: &Arc<Store>,
        path: &StorePath,
        (first, range): (Box<dyn Body>, Range<u64>),
        version: Option<Version>,
        ranges: Option<Ranges>,
    ) -> Self {
        let total = range.end.saturating_sub(range.start);
        let first_left = match ranges {
            // Without a version nothing pins the ranges to one, and for little more than a part they do not pay.
            Some(Ranges { size, .. }) if version.is_some() && total > 2 * size as u64 => size as u64,
            Some(_) | None => total,
        };
        Self {
            store: Arc::clone(store),
            path: path.clone(),
            version,
            first: Some(first),
            first_left,
            // Where there are none, nothing is left for them either.
            ranges: ranges.unwrap_or(Ranges { size: 0, window: 0 }),
            next: range.start + first_left,
            end: range.end,
            in_flight: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Chunk>> {
        if self.first_left > 0 {
            self.read_ahead();
            return self.next_of_first().await.map(Some);
        }
        // Ends the first request; its connection is of no more use if bytes are left in it.
        self.first = None;
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            if self.in_flight.is_empty() && self.next < self.end {
                let mut charge = self.store.budget.charge();
                charge.grow(self.step()).await;
                self.request(charge);
            }
            self.read_ahead();
            match self.in_flight.pop_front() {
                None => return Ok(None),
                Some(range) => self.ready = range.await.map_err(Error::task_lost)??,
            }
        }
    }

    async fn next_of_first(&mut self) -> Result<Chunk> {
        let first = self.first.as_mut().ok_or(Error::Changed)?;
        let mut chunk = first.next().await?.ok_or(Error::Changed)?;
        chunk.bytes.truncate(usize::try_from(self.first_left).unwrap_or(usize::MAX));
        self.first_left -= chunk.bytes.len() as u64;
        Ok(chunk)
    }

    fn step(&self) -> usize {
        usize::try_from(self.end - self.next).unwrap_or(usize::MAX).min(self.ranges.size)
    }

    /// Requests further ranges, as far as the window and what is free in the budget go.
    fn read_ahead(&mut self) {
        while self.next < self.end && self.in_flight.len() < self.ranges.window {
            let mut charge = self.store.budget.charge();
            if !charge.try_grow(self.step()) {
                break;
            }
            self.request(charge);
        }
    }

    fn request(&mut self, charge: Charge) {
        let range = self.next..self.next + self.step() as u64;
        self.next = range.end;
        let get = Get {
            from: range.start,
            to: Some(range.end),
            version: self.version.clone(),
            // All of the range is charged already.
            memory: Memory::Callers,
        };
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        let charge = Arc::new(charge);
        let request = async move {
            let mut body = store.driver.get(&path, get).await?.body;
            let (mut chunks, mut held) = (VecDeque::new(), 0);
            while let Some(Chunk { bytes, .. }) = body.next().await? {
                held += bytes.len() as u64;
                chunks.push_back(Chunk { bytes, _charge: Some(Arc::clone(&charge)) });
            }
            if held == range.end - range.start { Ok(chunks) } else { Err(Error::Changed) }
        };
        self.in_flight.push_back(AbortOnDropHandle::new(self.store.shutdown.runtime().spawn(request)));
    }
}
