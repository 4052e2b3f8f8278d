//! Records of work that must not be forgotten: small hidden objects, so that whoever comes next, on this machine or
//! another one, can finish the work or undo it.

use chrono::{DateTime, TimeDelta, Utc};
use rand::distr::{Alphanumeric, SampleString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::driver::{Condition, Get, Memory};
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::{HIDDEN, Store};

/// The largest record that is read.
const LARGEST: u64 = 16 * 1024 * 1024;

/// What a record is about. Records of a kind are in a folder of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory that is being renamed.
    Rename,
    /// A multipart upload that is open.
    Upload,
    /// What arrived of a broken upload.
    Resume,
    /// The bytes of it that are in no part.
    Tail,
    /// That somebody takes it up.
    Turn,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Rename => "renames",
            Self::Upload => "uploads",
            Self::Resume => "resume",
            Self::Tail => "tails",
            Self::Turn => "turns",
        }
    }
}

/// What stands under a record's name.
#[derive(Debug)]
pub(super) enum Found<T> {
    Record(T),
    Nothing,
    /// It cannot be read: it is damaged, or of another version.
    Damaged,
}

impl<T> Found<T> {
    /// The record, if it can be read.
    pub(super) fn record(self) -> Option<T> {
        match self {
            Self::Record(record) => Some(record),
            Self::Nothing | Self::Damaged => None,
        }
    }
}

/// A record as a listing shows it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// What it was written under.
    pub(super) name: String,
    /// When it was written, if the store tells.
    pub(super) written: Option<DateTime<Utc>>,
}

impl Store {
    /// Where the records of a kind are, below the store's prefix and out of every user's reach.
    pub(super) fn records_folder(&self, kind: Kind) -> Result<StorePath> {
        self.root.join(HIDDEN)?.join(kind.folder())
    }

    /// Writes a record, over an old one of its name. It is as durable as any object of the store.
    pub(super) async fn write_record(&self, kind: Kind, name: &str, record: &impl Serialize) -> Result<()> {
        self.put_record(kind, name, record, &Condition::Any).await
    }

    /// Writes a record of a new name; fails with `AlreadyExists` if there is one of that name.
    pub(super) async fn create_record(&self, kind: Kind, name: &str, record: &impl Serialize) -> Result<()> {
        self.put_record(kind, name, record, &Condition::Absent).await
    }

    async fn put_record(
        &self,
        kind: Kind,
        name: &str,
        record: &impl Serialize,
        condition: &Condition,
    ) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(|error| Error::record(error.into()))?;
        let path = self.records_folder(kind)?.join(name)?;
        self.whole.destination(&path).await?.put(vec![text.into()], condition).await.map(drop)
    }

    /// How old a record is by the store's clock and ours; none if there is none. Where the store does not tell, it may be
    /// new.
    pub(super) async fn record_age(&self, kind: Kind, name: &str) -> Result<Option<TimeDelta>> {
        match self.whole.head(&self.records_folder(kind)?.join(name)?).await {
            Ok(meta) => Ok(Some(meta.modified.map_or(TimeDelta::zero(), |written| Utc::now() - written))),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The record of this name; none if there is none, or none that can be read.
    pub(super) async fn read_record<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Option<T>> {
        Ok(self.find_record(kind, name).await?.record())
    }

    /// What stands under this name.
    pub(super) async fn find_record<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Result<Found<T>> {
        let path = self.records_folder(kind)?.join(name)?;
        let get = Get { from: 0, to: None, version: None, memory: Memory::Callers };
        let mut got = match self.whole.get(&path, get).await {
            Ok(got) if got.meta.size > LARGEST => return Err(Error::TooLarge("not a record")),
            Ok(got) => got,
            Err(Error::NotFound) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        while let Some(chunk) = got.body.next().await? {
            text.extend_from_slice(&chunk.bytes);
        }
        match serde_json::from_slice(&text) {
            Ok(record) => Ok(Found::Record(record)),
            // A rename must not go on without it. The others are damaged, or of another version, and may be written over.
            Err(error) if kind == Kind::Rename => Err(Error::record(error.into())),
            Err(error) => {
                tracing::warn!(record = %path, %error, "a record cannot be read and counts as none");
                Ok(Found::Damaged)
            }
        }
    }

    /// Removes a record; it need not be there.
    pub(super) async fn forget_record(&self, kind: Kind, name: &str) -> Result<()> {
        match self.whole.delete(&self.records_folder(kind)?.join(name)?).await {
            Err(Error::NotFound) => Ok(()),
            deleted => deleted,
        }
    }

    /// Removes a record that cannot be read and that nobody waits to write again.
    pub(super) async fn forget_damaged(&self, kind: Kind, name: &str) -> Result<()> {
        self.forget_record(kind, name).await?;
        let key = self.records_folder(kind)?.join(name)?;
        tracing::warn!(store = self.name, %key, "removed an old record that could not be read");
        Ok(())
    }

    /// The records of a kind, `most` of them at most. They are listed before anybody changes them.
    pub(super) async fn records(&self, kind: Kind, most: usize) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        let Some(mut pages) = self.whole.list(&self.records_folder(kind)?).await? else { return Ok(records) };
        while records.len() < most
            && let Some(page) = pages.next().await?
        {
            let files = page.entries.into_iter().filter(|entry| !entry.is_directory());
            records.extend(files.map(|entry| Record { name: entry.name, written: entry.modified }));
        }
        records.truncate(most);
        Ok(records)
    }
}

/// A name that no other record has.
pub(super) fn new_name() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 20)
}
