//! The record of a multipart upload for as long as it is open, so that it can be aborted when a crash has left it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::driver::Saved;
use super::error::Result;
use super::journal::{Found, Kind, new_name};
use super::path::StorePath;
use super::store::Store;

/// Who has not written a record again for so long is not there any more.
const LEFT_OVER: TimeDelta = TimeDelta::days(1);
/// An upload that runs for longer writes its record again.
const FRESH: Duration = Duration::from_hours(6);

/// What the record says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OpenUpload {
    key: String,
    upload: Saved,
}

/// An open upload that has a record, or is about to have one. Dropped, it leaves the record to the janitor.
#[derive(Debug)]
pub(super) struct Noted {
    store: Arc<Store>,
    name: String,
    record: OpenUpload,
    written: Instant,
    writing: JoinHandle<()>,
}

impl Noted {
    /// Notes that the upload to `path` is open. Nothing waits for the store.
    pub(super) fn note(store: &Arc<Store>, path: &StorePath, upload: Saved) -> Self {
        let name = new_name();
        let record = OpenUpload { key: path.as_str().to_owned(), upload };
        let writing = write(store, &name, &record);
        Self { store: Arc::clone(store), name, record, written: Instant::now(), writing }
    }

    /// When the record is to be written again.
    pub(super) fn stale_at(&self) -> Instant {
        self.written + FRESH
    }

    /// Sees that the record does not grow old.
    pub(super) fn refresh(&mut self) {
        if Instant::now() >= self.stale_at() {
            self.written = Instant::now();
            // One that has not ended after hours fails by itself.
            if self.writing.is_finished() {
                self.writing = write(&self.store, &self.name, &self.record);
            }
        }
    }

    /// Removes the record, because the upload has ended. Nothing waits for the store.
    pub(super) fn forget(self) {
        let Self { store, name, writing, .. } = self;
        let shutdown = store.shutdown.clone();
        shutdown.spawn(async move {
            // A record that comes after its removal would stay.
            let _ = writing.await;
            if let Err(error) = store.forget_record(Kind::Upload, &name).await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the record of an upload that has ended stays for a day");
            }
        });
    }
}

fn write(store: &Arc<Store>, name: &str, record: &OpenUpload) -> JoinHandle<()> {
    let (store, name, record) = (Arc::clone(store), name.to_owned(), record.clone());
    let shutdown = store.shutdown.clone();
    shutdown.spawn(async move {
        if let Err(error) = store.write_record(Kind::Upload, &name, &record).await {
            // Only a crash would need it, and the store's lifecycle rules are there for that as well.
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "an open upload has no record");
        }
    })
}

impl Store {
    /// Aborts the upload of a record if it was left by a crash; tells whether it was.
    pub(super) async fn abort_left_over(
        &self,
        name: &str,
        written: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        if written.is_none_or(|written| now - written < LEFT_OVER) {
            return Ok(false);
        }
        let record: OpenUpload = match self.find_record(Kind::Upload, name).await? {
            Found::Record(record) => record,
            Found::Nothing => return Ok(false),
            Found::Damaged => {
                self.forget_damaged(Kind::Upload, name).await?;
                return Ok(false);
            }
        };
        let path = StorePath::root().join(&record.key)?;
        self.whole.discard(&path, &record.upload).await?;
        self.forget_record(Kind::Upload, name).await?;
        tracing::info!(store = self.name, key = %path, "aborted an upload that a crash had left open");
        Ok(true)
    }
}
