//! The journal of a directory that is being renamed where that takes copies: what becomes what, how far it has got, whose
//! work it is, and what was copied.
//!
//! A record and numbered pages beside it hold it, so that neither memory nor a record grows with the directory. Whoever
//! works on it writes the record again every minute; who has not for ten minutes is taken for dead, and anybody may take
//! over. Who has not for five minutes takes himself for dead, so that no two work on one directory.
//!
//! A write can be late, and nothing that anybody wrote before tells. So what must not be done twice is an object that only
//! one can make: whether all is undone or finished, and each time that somebody takes over.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::driver::{Mark, Meta, Version};
use super::error::{Error, Result};
use super::journal::{Kind, new_name};
use super::path::StorePath;
use super::store::Store;

/// How often the record is written again.
const BEAT: Duration = Duration::from_mins(1);
/// For how long one that was not written again is still ours.
const LEASE: Duration = Duration::from_mins(5);
/// A rename of a directory on which nobody has worked for so long is nobody's any more: who works on one writes its record
/// again every minute, and takes it for lost after five.
pub const RENAME_ABANDONED: Duration = Duration::from_mins(10);

/// The record.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    from: String,
    to: String,
    /// The home of the user who asked for it, which is a directory whatever is in it.
    home: String,
    /// None when nobody works on it.
    owner: Option<String>,
    /// How often it was taken over.
    turn: u64,
    pages: u64,
}

/// Which way it ends. Nothing is deleted before this stands in the store, where nothing ever changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Decision {
    /// Not all was copied: the copies go.
    Undo,
    /// All was copied: the old names go.
    Finish,
}

/// A file of the directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Item {
    /// Its path below the directory.
    pub(super) key: String,
    /// What was copied.
    pub(super) source: Seen,
    /// The copy, once it was seen.
    pub(super) copy: Option<Seen>,
}

/// What was seen of a file, to know it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    version: Option<Version>,
    size: u64,
    /// In milliseconds.
    modified: Option<i64>,
    mark: Option<Mark>,
}

impl Seen {
    pub(super) fn of(meta: &Meta) -> Self {
        Self {
            version: meta.version.clone(),
            size: meta.size,
            modified: millis(meta),
            mark: meta.mark.clone(),
        }
    }

    /// Whether `meta` is of that very file, unchanged.
    pub(super) fn is(&self, meta: &Meta) -> bool {
        match (&self.version, &meta.version, &self.mark, &meta.mark) {
            (Some(then), Some(now), ..) => then == now,
            // No two uploads have the same.
            (.., Some(then), Some(now)) => then == now,
            // One is of an upload of ours, and the other is not.
            (.., Some(_), None) | (.., None, Some(_)) => false,
            // What is to be deleted must be known for sure.
            (.., None, None) => {
                self.size == meta.size && self.modified.is_some() && self.modified == millis(meta)
            }
        }
    }
}

fn millis(meta: &Meta) -> Option<i64> {
    meta.modified.map(|modified| modified.timestamp_millis())
}

/// A directory that is being renamed, and that is ours to work on.
#[derive(Debug)]
pub(super) struct Relocation {
    pub(super) store: Arc<Store>,
    pub(super) from: StorePath,
    pub(super) to: StorePath,
    name: String,
    record: Record,
    renewed: Instant,
}

impl Relocation {
    /// Makes it known that `from` is to become `to`.
    pub(super) async fn begin(store: Arc<Store>, from: StorePath, to: StorePath) -> Result<Self> {
        let record = Record {
            from: from.to_string(),
            to: to.to_string(),
            home: store.home.to_string(),
            owner: Some(new_name()),
            turn: 0,
            pages: 0,
        };
        let mut relocation = Self { store, from, to, name: new_name(), record, renewed: Instant::now() };
        relocation.write().await?;
        Ok(relocation)
    }

    /// Makes the one of this name ours, if there is one that nobody works on, or has for `older_than`. Of many who try,
    /// one gets it.
    pub(super) async fn take_over(store: &Store, name: &str, older_than: Duration) -> Result<Option<Self>> {
        let Some(record) = store.read_record::<Record>(Kind::Rename, name).await? else { return Ok(None) };
        // As of now: whoever works on it may have written it since it was listed.
        if record.owner.is_some() && !is_abandoned(store, name, older_than).await? {
            return Ok(None);
        }
        let Some(turn) = take_turn(store, name, record.turn).await? else { return Ok(None) };
        let [from, to, home] =
            [&record.from, &record.to, &record.home].map(|key| StorePath::root().join(key));
        let record = Record { owner: Some(new_name()), turn, ..record };
        let store = Arc::new(store.within(&home?));
        let name = name.to_owned();
        let mut relocation = Self { store, from: from?, to: to?, name, record, renewed: Instant::now() };
        relocation.write().await?;
        Ok(Some(relocation))
    }

    /// How many pages of files there are.
    pub(super) fn pages(&self) -> u64 {
        self.record.pages
    }

    /// Tells which way it ends: the `wanted` one, unless somebody has decided already. If this fails, the journal alone
    /// knows.
    ///
    /// Semantics decision: of many that decide at once, the one does that makes this object. Where a store cannot make an
    /// object only if there is none, two can do it, if one of them takes longer for a request than it takes to be taken
    /// for dead.
    pub(super) async fn decide(&self, wanted: Decision) -> Result<Decision> {
        self.require_ours().await?;
        let name = beside(&self.name, "decision");
        if let Some(decided) = self.store.read_record(Kind::Rename, &name).await? {
            return Ok(decided);
        }
        match self.store.create_record(Kind::Rename, &name, &wanted).await {
            Ok(()) => Ok(wanted),
            Err(Error::AlreadyExists) => {
                self.store.read_record(Kind::Rename, &name).await?.ok_or(Error::Changed)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for `work` and keeps it known meanwhile that it goes on. Fails if it is no longer ours.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        let mut next = self.renewed + BEAT;
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep_until(next) => match self.renew().await {
                    Ok(()) => next = self.renewed + BEAT,
                    Err(Error::Store(error)) => {
                        tracing::warn!(%error, "the journal of a rename cannot be written; once more in a while");
                        next = Instant::now() + BEAT / 4;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Fails if it is no longer ours, and else keeps it so.
    pub(super) async fn renew(&mut self) -> Result<()> {
        self.require_ours().await?;
        self.write().await
    }

    /// Fails if it is no longer ours.
    async fn require_ours(&self) -> Result<()> {
        if self.renewed.elapsed() > LEASE {
            return Err(Error::Changed);
        }
        match self.store.read_record::<Record>(Kind::Rename, &self.name).await? {
            Some(Record { owner, .. }) if owner == self.record.owner => Ok(()),
            Some(_) | None => Err(Error::Changed),
        }
    }

    /// Makes a page of `items`, before any of them is copied.
    pub(super) async fn add_page(&mut self, items: &Vec<Item>) -> Result<u64> {
        let number = self.record.pages;
        self.record.pages += 1;
        self.renew().await?;
        self.write_page(number, items).await?;
        Ok(number)
    }

    pub(super) async fn write_page(&self, number: u64, items: &Vec<Item>) -> Result<()> {
        self.store.write_record(Kind::Rename, &self.page_name(number), items).await
    }

    /// A page; empty if it was never written.
    pub(super) async fn page(&self, number: u64) -> Result<Vec<Item>> {
        let page = self.store.read_record(Kind::Rename, &self.page_name(number)).await?;
        Ok(page.unwrap_or_default())
    }

    /// Nobody works on it any more; somebody may take it over at once.
    pub(super) async fn release(mut self) -> Result<()> {
        self.renew().await?;
        self.record.owner = None;
        self.write().await
    }

    /// Nothing is left to be done. The pages go first: without them nothing can be undone or finished by mistake, and
    /// without the record nobody would know of them.
    pub(super) async fn forget(self) -> Result<()> {
        for number in 0..self.record.pages {
            self.store.forget_record(Kind::Rename, &self.page_name(number)).await?;
        }
        self.store.forget_record(Kind::Rename, &beside(&self.name, "decision")).await?;
        for turn in 1..=self.record.turn {
            self.store.forget_record(Kind::Rename, &turn_name(&self.name, turn)).await?;
        }
        self.store.forget_record(Kind::Rename, &self.name).await
    }

    async fn write(&mut self) -> Result<()> {
        // It is ours for so long from before the store has it.
        let began = Instant::now();
        self.store.write_record(Kind::Rename, &self.name, &self.record).await?;
        self.renewed = began;
        Ok(())
    }

    fn page_name(&self, number: u64) -> String {
        beside(&self.name, &number.to_string())
    }
}

/// Not below the record: some servers keep objects as files, and nothing can stand below a file.
fn beside(name: &str, what: &str) -> String {
    format!("{name}.pages/{what}")
}

fn turn_name(name: &str, turn: u64) -> String {
    beside(name, &format!("turn-{turn}"))
}

/// Takes the next turn after `last`, if nobody else has. Who took one and died before it wrote the record must not keep
/// others out.
async fn take_turn(store: &Store, name: &str, last: u64) -> Result<Option<u64>> {
    let mut turn = last + 1;
    loop {
        let taken = turn_name(name, turn);
        match store.create_record(Kind::Rename, &taken, &()).await {
            Ok(()) => return Ok(Some(turn)),
            Err(Error::AlreadyExists) if is_abandoned(store, &taken, RENAME_ABANDONED).await? => turn += 1,
            Err(Error::AlreadyExists) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Whether a record was not written for `older_than`.
async fn is_abandoned(store: &Store, name: &str, older_than: Duration) -> Result<bool> {
    let age = store.record_age(Kind::Rename, name).await?;
    Ok(age.is_some_and(|age| age.to_std().unwrap_or_default() >= older_than))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn meta(size: u64, modified: i64) -> Meta {
        let modified = DateTime::from_timestamp_millis(modified);
        Meta { size, modified, version: None, mark: None, checksum: None }
    }

    #[test]
    fn a_file_without_a_version_is_known_by_size_and_time() {
        let seen = Seen::of(&meta(1, 1000));
        assert!(seen.is(&meta(1, 1000)));
        assert!(!seen.is(&meta(1, 1001)) && !seen.is(&meta(2, 1000)));
        let timeless = Meta { modified: None, ..meta(1, 1000) };
        assert!(!Seen::of(&timeless).is(&timeless));
        let version = |etag: &str| serde_json::from_value(etag.into()).expect("a string");
        let etag = |etag: &str| Meta { version: Some(version(etag)), ..timeless.clone() };
        assert!(Seen::of(&etag("1")).is(&etag("1")) && !Seen::of(&etag("1")).is(&etag("2")));
    }

    #[test]
    fn a_file_without_a_version_is_known_by_the_mark_of_its_upload() {
        let mark = |mark: &str| serde_json::from_value(mark.into()).expect("a string");
        let marked = |text: &str| Meta { mark: Some(mark(text)), ..meta(1, 1000) };
        let seen = Seen::of(&marked("one"));
        assert!(seen.is(&Meta { modified: None, ..marked("one") }));
        assert!(!seen.is(&marked("two")) && !seen.is(&meta(1, 1000)));
        assert!(!Seen::of(&meta(1, 1000)).is(&marked("one")));
    }
}
