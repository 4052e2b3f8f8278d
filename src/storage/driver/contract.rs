//! What a kind of store must do. File semantics are built on these operations and on nothing else, so a store of another
//! kind is one more implementation of [`Driver`].
//!
//! The operations are small, one request each where the store has requests, and `Instrumented` measures every one of
//! them. They answer in the storage's own
//! [`Error`](crate::storage::Error): a driver knows best what its own errors mean, and
//! not every driver has `object_store` under it.

use std::collections::HashSet;
use std::fmt::Debug;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::storage::budget::Charge;
use crate::storage::checksum::Checksum;
use crate::storage::entry::Entry;
use crate::storage::error::Result;
use crate::storage::path::StorePath;

/// A store of some kind.
#[async_trait]
pub(in crate::storage) trait Driver: Debug + Send + Sync {
    /// The same store, of which only what is below `home` may be reached. Keys cannot lead out of it, but links in a
    /// local folder can.
    fn within(&self, home: &StorePath) -> Arc<dyn Driver>;

    /// Whether and how large bodies are better fetched in several ranges at once; none if one stream is as quick.
    fn ranges(&self) -> Option<Ranges>;

    /// Sees that the store answers.
    async fn probe(&self, root: &StorePath) -> Result<()>;

    /// The size, time and version of the file at `path`. A directory is not found.
    async fn head(&self, path: &StorePath) -> Result<Meta>;

    /// Opens the file at `path`. Fails with `Changed` if the store knows that it is not the wanted version.
    async fn get(&self, path: &StorePath, get: Get) -> Result<Got>;

    /// Where an upload to `path` will go. Refuses what can be refused without a request.
    async fn destination(&self, path: &StorePath) -> Result<Box<dyn Destination>>;

    /// Takes up an upload to `path` that another session, perhaps of another process, has left open.
    async fn reopen(&self, path: &StorePath, saved: &Saved) -> Result<Box<dyn OpenUpload>>;

    /// Leaves nothing of an upload to `path` that nobody goes on with. It may have ended already.
    async fn discard(&self, path: &StorePath, saved: &Saved) -> Result<()>;

    /// Deletes the file at `path`.
    async fn delete(&self, path: &StorePath) -> Result<()>;

    /// The largest file that [`copy`](Self::copy) takes; none if there is no limit.
    fn largest_copy(&self) -> Option<u64>;

    /// Writes the file `from`, which `source` describes, to `to` as well. If nothing may be replaced there, nothing has
    /// just been seen there; a store that can makes it part of the request, so that it holds against a rival too.
    async fn copy(&self, from: &StorePath, to: &StorePath, source: &Meta, existing: Existing) -> Result<()>;

    /// Gives the file `from` the name `to` in one step, if the store can do that.
    async fn rename(&self, from: &StorePath, to: &StorePath, existing: Existing) -> Result<Renamed>;

    /// Gives the directory `from` the name `to`, where nothing stands, in one step, if the store can do that.
    async fn rename_directory(&self, from: &StorePath, to: &StorePath) -> Result<Renamed>;

    /// Gives the file at `path` this time instead of that of its upload, if the store can do that without writing the file
    /// again.
    async fn set_modified(&self, path: &StorePath, time: DateTime<Utc>) -> Result<Dated>;

    /// Begins to list the directory at `path`; none if nothing shows that it is one.
    async fn list(&self, path: &StorePath) -> Result<Option<Box<dyn Pages>>>;

    /// Up to `limit` keys below the directory at `path`, at whatever depth the store looks for them. A `dir/` marker of
    /// another tool counts, without its slash.
    async fn keys_below(&self, path: &StorePath, limit: usize) -> Result<Vec<String>>;

    /// All keys below the directory at `path`, at whatever depth, for a store whose directories cannot be renamed in one
    /// step.
    async fn keys(&self, path: &StorePath) -> Result<Box<dyn Keys>>;

    /// The directory at `path`; none if nothing shows that it is one.
    async fn directory(&self, path: &StorePath) -> Result<Option<Directory>>;

    /// Whether a directory stays when nothing is left in it. Where it does not, a marker has to keep it.
    fn keeps_directories(&self) -> bool;

    /// Removes what is left of a directory in which no key is left.
    async fn remove_directory(&self, path: &StorePath) -> Result<()>;

    /// Removes what processes that died have left beside the files, in all of the store. Dropping the future stops it.
    async fn sweep(&self, left_over: LeftOver) -> Result<Swept>;
}

/// Who uploads a file, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::storage) struct Uploader<'a> {
    pub(in crate::storage) name: Option<&'a str>,
    pub(in crate::storage) address: Option<IpAddr>,
}

/// Where an upload goes; nothing of it is in the store yet.
#[async_trait]
pub(in crate::storage) trait Destination: Debug + Send {
    /// A body of up to so many bytes comes as one [`put`](Self::put). A longer one is [opened](Self::open), and so many
    /// bytes are its first part.
    fn first_part(&self) -> usize;

    /// It is a file of this uploader, and not an object of the gateway's own. A store that can says so on the object, and
    /// what else the configuration wants on files.
    fn describe(&mut self, uploader: Uploader<'_>);

    /// Makes the object appear, whole. `condition` has just been seen to hold; a store that can makes it part of the
    /// request, so that it holds against a rival too. The caller waits for the end.
    async fn put(self: Box<Self>, body: Vec<Bytes>, condition: &Condition) -> Result<Written>;

    /// Begins an upload in parts.
    async fn open(self: Box<Self>, lifetime: Lifetime) -> Result<Box<dyn OpenUpload>>;
}

/// What a store says of a file that it has just written, as far as it says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct Written {
    /// Differs between two contents of one name.
    pub(in crate::storage) etag: Option<String>,
    /// The name of this version, in a store that keeps older ones.
    pub(in crate::storage) version: Option<String>,
    /// What the content is, if that is kept with it.
    pub(in crate::storage) checksum: Option<Checksum>,
}

/// An upload in parts, which the store holds open until it is completed or aborted.
#[async_trait]
pub(in crate::storage) trait OpenUpload: Debug + Send {
    /// The size of the next part; only the last may be smaller.
    fn part_size(&self) -> usize;

    /// How many parts may be on their way at once. With 1 each is sent when the one before it has arrived, which is what
    /// a store needs that takes a stream.
    fn window(&self) -> usize;

    /// Sends the next part. It goes on whether or not the answer is waited for, until the answer is dropped.
    fn send(&mut self, part: Vec<Bytes>) -> Result<Sending>;

    /// Makes the object appear, once all parts have arrived. `condition` is as in [`Destination::put`].
    async fn complete(&mut self, condition: &Condition) -> Result<Written>;

    /// Leaves nothing of it.
    async fn abort(&mut self) -> Result<()>;

    /// What others need to know to go on with it or to abort it; none if it ends with this process, or by itself.
    fn saved(&self) -> Option<Saved>;

    /// Whether a part that is not the last one may be of any size.
    fn takes_short_parts(&self) -> bool;

    /// Leaves it open, for whoever knows what [`saved`](Self::saved) tells.
    fn leave(&mut self);
}

/// For how long an upload in parts may stay open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Lifetime {
    /// As long as whoever began it.
    Session,
    /// Longer: somebody may come and go on with it.
    Kept,
}

/// An open upload as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct Saved {
    /// What the store calls it.
    pub(in crate::storage) id: String,
    /// What marks its object as this upload's, if anything does.
    pub(in crate::storage) mark: Option<String>,
    /// What has arrived, from the first byte on, without a gap.
    pub(in crate::storage) parts: Vec<SavedPart>,
    /// How many directories were made for it, the lowest first.
    pub(in crate::storage) directories: usize,
}

/// A part that has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct SavedPart {
    /// What the store calls it.
    pub(in crate::storage) id: String,
    /// Its bytes.
    pub(in crate::storage) size: u64,
}

impl Saved {
    /// How many bytes have arrived.
    pub(in crate::storage) fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }
}

/// The answer to a part that was sent.
pub(in crate::storage) type Sending = BoxFuture<'static, Result<()>>;

/// A directory being listed, from its first page on.
#[async_trait]
pub(in crate::storage) trait Pages: Debug + Send {
    /// The next entries, possibly none of them; `None` after the last page.
    async fn next(&mut self) -> Result<Option<EntryPage>>;
}

/// Some entries of a directory.
#[derive(Debug, Default)]
pub(in crate::storage) struct EntryPage {
    pub(in crate::storage) entries: Vec<Entry>,
    /// What stands in the store between them under names that no client could use.
    pub(in crate::storage) left_out: usize,
}

/// The keys below a directory, from the first page on.
#[async_trait]
pub(in crate::storage) trait Keys: Debug + Send {
    /// The next keys, as paths below the directory, possibly none of them; `None` after the last page. A `dir/` marker of
    /// another tool comes without its slash. Fails with `NotSupported` at a key that no path can name.
    async fn next(&mut self) -> Result<Option<Vec<String>>>;
}

/// The bytes of an open file, in order.
#[async_trait]
pub(in crate::storage) trait Body: Send {
    /// The next piece; none after the last byte. Ends in an error rather than early. With [`Memory::Callers`] dropping
    /// the future loses nothing.
    async fn next(&mut self) -> Result<Option<Chunk>>;
}

/// A piece of a file.
#[derive(Debug)]
pub(in crate::storage) struct Chunk {
    pub(in crate::storage) bytes: Bytes,
    /// Given back when the client has taken the bytes.
    pub(in crate::storage) _charge: Option<Arc<Charge>>,
}

/// What the store says of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::storage) struct Meta {
    pub(in crate::storage) size: u64,
    /// None if the store does not tell.
    pub(in crate::storage) modified: Option<DateTime<Utc>>,
    /// None if the store does not tell.
    pub(in crate::storage) version: Option<Version>,
    /// The mark of the upload that wrote it, which its copies have as well. None if the store keeps none, or has not said.
    pub(in crate::storage) mark: Option<Mark>,
    /// What the content was when it was uploaded, if that was kept.
    #[serde(skip)]
    pub(in crate::storage) checksum: Option<Checksum>,
}

impl Meta {
    /// Whether `self` and `other` may be of the same content: as far as the store tells they are.
    pub(in crate::storage) fn may_equal(&self, other: &Self) -> bool {
        match (&self.version, &other.version, &self.mark, &other.mark) {
            (Some(one), Some(other), ..) => one == other,
            (.., Some(one), Some(other)) => one == other,
            _ => {
                let times = self.modified.zip(other.modified);
                self.size == other.size && times.is_none_or(|(one, other)| one == other)
            }
        }
    }
}

/// Tells an upload from every other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct Mark(pub(in crate::storage::driver) String);

/// What the store says of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Directory {
    /// None if the store does not tell; object stores never do.
    pub(in crate::storage) modified: Option<DateTime<Utc>>,
}

/// Differs between two contents of one name: an etag. Servers write one etag in several ways, with and without quotes
/// or as a weak one (RFC 9110 section 8.8.3); all of them are equal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::storage) struct Version(pub(in crate::storage::driver) String);

impl Version {
    /// For `If-Match`, which no weak etag ever matches (RFC 9110 section 13.1.1).
    pub(in crate::storage::driver) fn strong(&self) -> &str {
        self.0.trim_start_matches("W/")
    }

    fn opaque(&self) -> &str {
        self.strong().trim_matches('"')
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.opaque() == other.opaque()
    }
}

impl Eq for Version {}

/// What is wanted of a file.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Get {
    /// The first byte.
    pub(in crate::storage) from: u64,
    /// The byte after the last one; none is the end of the file.
    pub(in crate::storage) to: Option<u64>,
    /// The version that is wanted, if only one will do.
    pub(in crate::storage) version: Option<Version>,
    pub(in crate::storage) memory: Memory,
}

/// Who charges the bytes of a body to the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Memory {
    /// The body, before it hands them out; it may read ahead as far as memory is free.
    Charged,
    /// The caller has memory for them already and copies them there. Nothing waits for memory, nothing is read ahead.
    Callers,
}

/// An open file.
pub(in crate::storage) struct Got {
    pub(in crate::storage) meta: Meta,
    /// What of the file the body holds.
    pub(in crate::storage) range: Range<u64>,
    pub(in crate::storage) body: Box<dyn Body>,
}

/// How a large body is fetched.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct Ranges {
    /// Bytes in one request.
    pub(in crate::storage) size: usize,
    /// Requests on their way at once.
    pub(in crate::storage) window: usize,
    /// Bytes of memory that a request takes beside the range, until it has arrived.
    pub(in crate::storage) beside: usize,
}

/// What must hold of the target when an upload is made to appear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::storage) enum Condition {
    /// Whatever is there is replaced.
    Any,
    /// Nothing may be there.
    Absent,
    /// What was seen must still be there.
    Unchanged(Meta),
}

/// What to do when a file stands at the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Replace it.
    Replace,
    /// Fail.
    Refuse,
}

/// What became of a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Renamed {
    /// It was one step.
    Done,
    /// There is no such step here; nothing was done. A copy and a delete will do.
    NeedsCopy,
}

/// Which of the files that uploads have beside their names are nobody's.
#[derive(Clone, Debug, Default)]
pub struct LeftOver {
    /// Nobody has written to one for so long.
    pub older_than: Duration,
    /// The same for one that was to be kept; none if all of those stay.
    pub kept_older_than: Option<Duration>,
    /// Those that were to be kept and stay however old they are, by the store's names for them.
    pub claimed: HashSet<String>,
}

/// What became of a time that a file was to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dated {
    /// It has it.
    Done,
    /// Files have the time of their upload here, and no other; nothing was done, nor looked at.
    ByUpload,
}

/// What a clean-up has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl std::ops::Add for Swept {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { files: self.files + other.files, bytes: self.bytes + other.bytes }
    }
}
