//! One download: from an offset, pinned to the version (etag) that it began with, read ahead within the budget.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStoreExt};
use tokio_util::task::AbortOnDropHandle;

use super::Store;
use super::budget::Charge;
use super::error::{Error, Result};
use super::path::StorePath;

/// `object_store` reads local files 8 KiB at a time, which gave 103 to 136 MB/s; this size gives ten times that.
const FILE_READ: usize = 1024 * 1024;

/// A piece of the object, in order.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Given back when the client has taken the bytes.
    pub(super) _charge: Arc<Charge>,
}

/// A download in progress; dropping it ends its requests.
#[derive(Debug)]
pub(super) struct Download {
    reader: Reader,
    ready: VecDeque<Chunk>,
}

#[derive(Debug)]
enum Reader {
    Empty,
    File(FileReader),
    Ranges(RangeReader),
}

impl Download {
    /// The object at `path` from byte `offset` on.
    pub(super) async fn open(store: &Arc<Store>, path: &StorePath, offset: u64) -> Result<Self> {
        let mut options = GetOptions::default();
        let mut pinned = None;
        if offset > 0 {
            // Stores answer a range that begins at or beyond the end in different ways, so the size is asked first.
            let meta = store.objects().head(path.as_path()).await?;
            if offset > meta.size {
                return Err(Error::OffsetBeyondEnd);
            }
            if offset == meta.size {
                return Ok(Self::new(Reader::Empty));
            }
            options.range = Some(GetRange::Offset(offset));
            pinned.clone_from(&meta.e_tag);
            options.if_match = meta.e_tag;
        }
        let result = store.objects().get_opts(path.as_path(), options).await?;
        let etag = result.meta.e_tag;
        if pinned.is_some() && pinned != etag {
            return Err(Error::Changed);
        }
        let reader = match result.payload {
            GetResultPayload::File(file, _) => Reader::File(FileReader::new(store, file, result.range)),
            GetResultPayload::Stream(stream) => {
                Reader::Ranges(RangeReader::new(store, path, etag, stream, result.range))
            }
        };
        Ok(Self::new(reader))
    }

    fn new(reader: Reader) -> Self {
        Self { reader, ready: VecDeque::new() }
    }

    /// The next piece; none after the last byte. Ends in an error rather than early.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            let chunks = match &mut self.reader {
                Reader::Empty => return Ok(None),
                Reader::File(file) => file.next().await?,
                Reader::Ranges(ranges) => ranges.next().await?,
            };
            if chunks.is_empty() {
                return Ok(None);
            }
            self.ready.extend(chunks);
        }
    }
}

/// Reads an open local file, one piece ahead.
#[derive(Debug)]
struct FileReader {
    store: Arc<Store>,
    state: FileState,
    left: u64,
}

#[derive(Debug)]
enum FileState {
    Idle(std::fs::File),
    Reading(Reading, Charge),
    Done,
}

pub(super) type Reading = tokio::task::JoinHandle<std::io::Result<(std::fs::File, Vec<u8>)>>;

impl FileReader {
    fn new(store: &Arc<Store>, file: std::fs::File, range: std::ops::Range<u64>) -> Self {
        let state = FileState::Idle(file);
        let mut reader = Self { store: Arc::clone(store), state, left: range.end - range.start };
        // Seeks only when it must: an untouched file stands at 0.
        if range.start > 0
            && let FileState::Idle(file) = &mut reader.state
            && std::io::Seek::seek(file, std::io::SeekFrom::Start(range.start)).is_err()
        {
            reader.state = FileState::Done;
        }
        reader
    }

    async fn next(&mut self) -> Result<Vec<Chunk>> {
        if self.left == 0 {
            return Ok(Vec::new());
        }
        let (reading, charge) = match std::mem::replace(&mut self.state, FileState::Done) {
            FileState::Reading(reading, charge) => (reading, charge),
            FileState::Idle(file) => {
                let mut charge = self.store.budget().charge();
                charge.grow(self.step()).await;
                (read(file, self.step()), charge)
            }
            FileState::Done => return Err(Error::Changed),
        };
        let (file, bytes) = done(reading).await?;
        if bytes.is_empty() {
            // Shorter than it was when it was opened: what the client has is not the file.
            return Err(Error::Changed);
        }
        self.left = self.left.saturating_sub(bytes.len() as u64);
        let mut ahead = self.store.budget().charge();
        if self.left > 0 && ahead.try_grow(self.step()) {
            self.state = FileState::Reading(read(file, self.step()), ahead);
        } else {
            self.state = FileState::Idle(file);
        }
        Ok(vec![Chunk { bytes: bytes.into(), _charge: Arc::new(charge) }])
    }

    fn step(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(FILE_READ)
    }
}

/// Reads the next `size` bytes, fewer only at the end of the file.
pub(super) fn read(file: std::fs::File, size: usize) -> Reading {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::with_capacity(size);
        (&file).take(size as u64).read_to_end(&mut bytes)?;
        Ok((file, bytes))
    })
}

/// The file and what was read of it.
pub(super) async fn done(reading: Reading) -> Result<(std::fs::File, Vec<u8>)> {
    let read = reading.await.map_err(|source| object_store::Error::JoinError { source })?;
    Ok(read.map_err(|source| object_store::Error::Generic { store: "local", source: Box::new(source) })?)
}

/// Reads the first part from the stream that opened the download and the rest in ranges, several ahead.
struct RangeReader {
    store: Arc<Store>,
    path: StorePath,
    etag: Option<String>,
    first: Option<BoxStream<'static, object_store::Result<Bytes>>>,
    first_left: u64,
    next: u64,
    end: u64,
    in_flight: VecDeque<AbortOnDropHandle<Result<Vec<Chunk>>>>,
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
        etag: Option<String>,
        first: BoxStream<'static, object_store::Result<Bytes>>,
        range: std::ops::Range<u64>,
    ) -> Self {
        let total = range.end - range.start;
        let part = store.part_size() as u64;
        // Without an etag nothing pins the ranges to one version, and for little more than a part they do not pay.
        let first_left = if etag.is_none() || total <= 2 * part { total } else { part };
        Self {
            store: Arc::clone(store),
            path: path.clone(),
            etag,
            first: Some(first),
            first_left,
            next: range.start + first_left,
            end: range.end,
            in_flight: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Result<Vec<Chunk>> {
        if self.first_left > 0 {
            self.read_ahead();
            return self.next_of_first().await;
        }
        // Ends the first request; its connection is of no more use if bytes are left in it.
        self.first = None;
        if self.in_flight.is_empty() && self.next < self.end {
            let mut charge = self.store.budget().charge();
            charge.grow(self.step()).await;
            self.request(charge);
        }
        self.read_ahead();
        match self.in_flight.pop_front() {
            None => Ok(Vec::new()),
            Some(range) => {
                range.await.map_err(|source| Error::Store(object_store::Error::JoinError { source }))?
            }
        }
    }

    async fn next_of_first(&mut self) -> Result<Vec<Chunk>> {
        let Some(stream) = &mut self.first else { return Err(Error::Changed) };
        let Some(bytes) = stream.next().await else { return Err(Error::Changed) };
        let mut bytes = bytes?;
        bytes.truncate(usize::try_from(self.first_left).unwrap_or(usize::MAX));
        self.first_left -= bytes.len() as u64;
        let mut charge = self.store.budget().charge();
        charge.grow(bytes.len()).await;
        Ok(vec![Chunk { bytes, _charge: Arc::new(charge) }])
    }

    fn step(&self) -> usize {
        let part = self.store.part_size();
        usize::try_from(self.end - self.next).unwrap_or(usize::MAX).min(part)
    }

    /// Requests further ranges, as far as the window and what is free in the budget go.
    fn read_ahead(&mut self) {
        while self.next < self.end && self.in_flight.len() < self.store.download_concurrency() {
            let mut charge = self.store.budget().charge();
            if !charge.try_grow(self.step()) {
                break;
            }
            self.request(charge);
        }
    }

    fn request(&mut self, charge: Charge) {
        let range = self.next..self.next + self.step() as u64;
        self.next = range.end;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: self.etag.clone(),
            ..GetOptions::default()
        };
        let (store, path, etag) = (Arc::clone(&self.store), self.path.clone(), self.etag.clone());
        let charge = Arc::new(charge);
        let request = async move {
            let result = store.objects().get_opts(path.as_path(), options).await?;
            // Some servers ignore `If-Match`; s3s-fs is one.
            if result.meta.e_tag != etag {
                return Err(Error::Changed);
            }
            let pieces: Vec<Bytes> = result.into_stream().try_collect().await?;
            if pieces.iter().map(|piece| piece.len() as u64).sum::<u64>() != range.end - range.start {
                return Err(Error::Changed);
            }
            Ok(pieces.into_iter().map(|bytes| Chunk { bytes, _charge: Arc::clone(&charge) }).collect())
        };
        self.in_flight.push_back(AbortOnDropHandle::new(self.store.shutdown().runtime().spawn(request)));
    }
}
