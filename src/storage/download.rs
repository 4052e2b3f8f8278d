//! One download: from an offset, pinned to the version (etag) that it began with, read ahead within the budget.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use super::budget::{Budget, Buffer, Charge, LARGEST_BUFFER};
use super::checksum::{Checksum, Hasher};
use super::driver::{Body, Chunk, Get, Memory, Ranges, Version};
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;
use crate::spans;

/// The smallest range that is asked for while memory is short: the less each download holds the more can go on.
const SMALLEST_RANGE: usize = 2 * 1024 * 1024;

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

    /// What all of the file must be, if that is known and all of it is to be read, and its size.
    pub(super) fn expected(&self) -> Option<(Checksum, u64)> {
        match (&self.reader, &self.check) {
            (Reader::Ranges(ranges), Some((_, expected))) => Some((*expected, ranges.end)),
            (Reader::Empty, _) | (_, None) => None,
        }
    }

    /// How many bytes it is, before the first of them is read.
    pub(super) fn size(&self) -> u64 {
        match &self.reader {
            Reader::Empty => 0,
            Reader::Ranges(ranges) => ranges.end.saturating_sub(ranges.position),
        }
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
    /// How far the first body was read.
    position: u64,
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
            position: range.start,
            // Where there are none, nothing is left for them either.
            ranges: ranges.unwrap_or(Ranges { size: 0, window: 0, beside: 0 }),
            next: range.start + first_left,
            end: range.end,
            in_flight: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Chunk>> {
        if self.first_left > 0 {
            self.read_ahead();
            if let Some(chunk) = self.next_of_first().await? {
                return Ok(Some(chunk));
            }
        }
        // Ends the first request; its connection is of no more use if bytes are left in it.
        self.first = None;
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            self.read_ahead();
            if self.in_flight.is_empty() && self.next < self.end {
                let step = self.step().min(SMALLEST_RANGE);
                let mut charge = self.store.budget.charge();
                charge.grow(step + self.beside(step)).await;
                self.request(step, charge);
            }
            match self.in_flight.pop_front() {
                None => return Ok(None),
                Some(range) => self.ready = range.await.map_err(Error::task_lost)??,
            }
        }
    }

    /// The next piece of the first body; none if it broke, and ranges are to go on from there.
    async fn next_of_first(&mut self) -> Result<Option<Chunk>> {
        let first = self.first.as_mut().ok_or(Error::Changed)?;
        let mut chunk = match first.next().await {
            Ok(chunk) => chunk.ok_or(Error::Changed)?,
            // Its own retries end a few minutes after it began, which a slow client may take for it.
            Err(Error::Store(error)) if self.version.is_some() && self.ranges.window > 0 => {
                tracing::debug!(path = %self.path, error = &error as &dyn std::error::Error, "goes on in ranges");
                self.next = self.position;
                self.first_left = 0;
                self.in_flight.clear();
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        chunk.bytes.truncate(usize::try_from(self.first_left).unwrap_or(usize::MAX));
        self.first_left -= chunk.bytes.len() as u64;
        self.position += chunk.bytes.len() as u64;
        Ok(Some(chunk))
    }

    fn step(&self) -> usize {
        usize::try_from(self.end - self.next).unwrap_or(usize::MAX).min(self.ranges.size)
    }

    /// What a request of `step` bytes takes beside them.
    fn beside(&self, step: usize) -> usize {
        self.ranges.beside.min(step)
    }

    /// Requests further ranges, as far as the window and what is free in the budget go.
    fn read_ahead(&mut self) {
        while self.next < self.end && self.in_flight.len() < self.ranges.window {
            let step = self.step();
            let mut charge = self.store.budget.charge();
            if !charge.try_grow(step + self.beside(step)) {
                break;
            }
            self.request(step, charge);
        }
    }

    /// Requests the next `step` bytes; `charge` covers them and what the request takes beside them.
    fn request(&mut self, step: usize, mut charge: Charge) {
        let range = self.next..self.next + step as u64;
        self.next = range.end;
        let get = Get {
            from: range.start,
            to: Some(range.end),
            version: self.version.clone(),
            // All of the range is charged already.
            memory: Memory::Callers,
        };
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        let beside = charge.split(self.beside(step));
        let request = async move {
            let _beside = beside;
            let mut body = store.driver.get(&path, get).await?.body;
            let mut kept = Kept::new(&store.budget, step, charge);
            while let Some(Chunk { bytes, .. }) = body.next().await? {
                kept.add(&bytes)?;
            }
            kept.finish()
        };
        let request = self.store.shutdown.runtime().spawn(spans::carried(request));
        self.in_flight.push_back(AbortOnDropHandle::new(request));
    }
}

/// The bytes of a range. They are copied: the HTTP client's pieces are slices of far larger buffers, each of which a piece
/// would keep alive until the client has taken it.
struct Kept {
    budget: Arc<Budget>,
    charge: Arc<Charge>,
    buffer: Buffer,
    full: VecDeque<Chunk>,
    /// Bytes that are still to come.
    left: usize,
}

impl Kept {
    fn new(budget: &Arc<Budget>, left: usize, charge: Charge) -> Self {
        let (budget, charge) = (Arc::clone(budget), Arc::new(charge));
        Self { budget, charge, buffer: Buffer::default(), full: VecDeque::new(), left }
    }

    /// Fails for more than was charged: a server may give more than it was asked for.
    fn add(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if !self.buffer.has_room() {
                let size = self.left.min(LARGEST_BUFFER);
                self.next_buffer(self.budget.buffer(size));
            }
            let room = self.buffer.bytes_mut();
            let fits = bytes.len().min(room.capacity() - room.len());
            self.left = self.left.checked_sub(fits).filter(|_| fits > 0).ok_or(Error::Changed)?;
            room.extend_from_slice(&bytes[..fits]);
            bytes = &bytes[fits..];
        }
        Ok(())
    }

    /// All of it. Fails if something is missing.
    fn finish(mut self) -> Result<VecDeque<Chunk>> {
        self.next_buffer(Buffer::default());
        if self.left == 0 { Ok(self.full) } else { Err(Error::Changed) }
    }

    fn next_buffer(&mut self, next: Buffer) {
        let filled = std::mem::replace(&mut self.buffer, next);
        if !filled.as_ref().is_empty() {
            let bytes = Bytes::from_owner(filled);
            self.full.push_back(Chunk { bytes, _charge: Some(Arc::clone(&self.charge)) });
        }
    }
}
