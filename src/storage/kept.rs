//! What is kept of a broken upload, so that its uploader can go on with it from any replica (`resume_window`).
//!
//! It is a record that says what has arrived: an open multipart upload and its parts, and the bytes after the last
//! part as a hidden object. One session at a time has it: who takes it up makes an object that only one can make,
//! and holds the record from then on for as long as it writes it again.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::checksum::Checksum;
use super::driver::{Condition, Get, Memory, Saved};
use super::entry::{Entry, EntryKind};
use super::error::{Error, Result};
use super::journal::{Found, Kind, new_name};
use super::path::StorePath;
use super::source::OldBytes;
use super::store::Store;

/// Who has not written the record again for so long does not have it any more.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How often whoever has it writes it again. A gateway that is killed loses so much at most.
pub(super) const PACE: Duration = Duration::from_secs(5);
/// For how long something is kept whose record does not tell, for a gateway that keeps nothing itself.
const UNTOLD: Duration = Duration::from_hours(7 * 24);

/// What was kept of an upload, as it is written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    key: String,
    owner: String,
    /// What must hold of the target at the end.
    pub(super) condition: Condition,
    pub(super) upload: Option<Saved>,
    tail: Option<Tail>,
    /// When it was written last, in seconds since 1970.
    at: i64,
    /// When its time is over; not after `at` if it is being discarded. It stands here so that gateways with another
    /// `resume_window` go by it as well. Records of old gateways do not tell.
    until: Option<i64>,
    /// Differs each time that somebody takes it up.
    turn: String,
    held_until: Option<i64>,
}

/// The bytes after the last part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tail {
    name: String,
    size: u64,
}

impl Kept {
    /// What a session holds that has kept nothing yet.
    pub(super) fn nothing(path: &StorePath, owner: &str, condition: &Condition) -> Self {
        Self {
            key: path.as_str().to_owned(),
            owner: owner.to_owned(),
            condition: condition.clone(),
            upload: None,
            tail: None,
            at: Utc::now().timestamp(),
            until: None,
            turn: new_name(),
            held_until: None,
        }
    }

    /// Bytes in parts.
    pub(super) fn in_parts(&self) -> u64 {
        self.upload.as_ref().map_or(0, Saved::len)
    }

    /// All bytes that were kept.
    pub(super) fn len(&self) -> u64 {
        self.in_parts() + self.tail.as_ref().map_or(0, |tail| tail.size)
    }

    /// Whether a session has it now.
    pub(super) fn is_held(&self, now: DateTime<Utc>) -> bool {
        self.held_until.is_some_and(|until| until > now.timestamp())
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        !self.is_held(now) && self.until.is_some_and(|until| now.timestamp() >= until)
    }

    /// Whether an upload can go on with it. One that had only just begun has left nothing to go on with, and of one that is
    /// being discarded something may be gone.
    pub(super) fn is_of_use(&self) -> bool {
        self.len() > 0 && self.until > Some(self.at) && !self.is_over(Utc::now())
    }

    /// Takes what has arrived, once it is all that was kept so far. An upload that has only been opened is named before
    /// that: if nobody knew of it, it would stay open.
    pub(super) fn advance(&mut self, saved: Option<Saved>) {
        let Some(saved) = saved else { return };
        if saved.len() >= self.len() {
            (self.upload, self.tail) = (Some(saved), None);
        } else if saved.len() == self.in_parts() {
            self.upload = Some(saved);
        }
    }

    /// Whether its tail is that of `other`.
    pub(super) fn has_tail_of(&self, other: &Self) -> bool {
        self.tail_name() == other.tail_name()
    }

    /// Takes away what is behind the first `from` bytes, which is to be replaced.
    pub(super) fn cut(&mut self, from: u64) {
        let left = from.saturating_sub(self.in_parts());
        if let Some(tail) = &mut self.tail {
            tail.size = tail.size.min(left);
        }
    }

    /// States that whoever writes this has it, and that it is kept for `window` from now on.
    pub(super) fn hold(&mut self, window: Duration) {
        let seconds = window.as_secs().saturating_add(u64::from(window.subsec_nanos() > 0));
        self.at = Utc::now().timestamp();
        self.until = Some(self.at.saturating_add_unsigned(seconds));
        self.held_until = Some(self.at + LEASE.num_seconds());
    }

    /// Takes the `window` of the gateway that reads it, if the one that wrote it has not told.
    fn complete_with(&mut self, window: Duration) {
        let window = if window.is_zero() { UNTOLD } else { window };
        self.until.get_or_insert(self.at.saturating_add_unsigned(window.as_secs().max(1)));
    }

    /// States that nobody has it.
    pub(super) fn let_go(&mut self) {
        self.held_until = None;
    }

    /// Whether this is what `other` was when it was taken up.
    pub(super) fn is_turn_of(&self, other: &Self) -> bool {
        self.turn == other.turn
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// What its tail is called, if it has one.
    pub(super) fn tail_name(&self) -> Option<&str> {
        self.tail.as_ref().map(|tail| tail.name.as_str())
    }

    fn record(&self) -> String {
        record_of(&self.owner, &self.key)
    }

    pub(super) fn path(&self) -> Result<StorePath> {
        StorePath::root().join(&self.key)
    }
}

/// One name for an owner and a key, whatever characters and length those have.
fn record_of(owner: &str, key: &str) -> String {
    Checksum::of(format!("{owner}\0{key}").as_bytes()).to_string()
}

impl Store {
    /// Whose uploads are kept, if any are.
    pub(super) fn keeps_for(&self) -> Option<&str> {
        self.owner.as_deref().filter(|_| !self.resume_window.is_zero())
    }

    /// What was kept for this owner of an upload to `path`, also if its time is over.
    pub(super) async fn kept_at_all(&self, path: &StorePath) -> Result<Option<Kept>> {
        let Some(owner) = self.keeps_for() else { return Ok(None) };
        Ok(self.find_kept(&record_of(owner, path.as_str())).await?.record())
    }

    /// What a record of this name says.
    pub(super) async fn find_kept(&self, name: &str) -> Result<Found<Kept>> {
        let mut found: Found<Kept> = self.find_record(Kind::Resume, name).await?;
        if let Found::Record(kept) = &mut found {
            kept.complete_with(self.resume_window);
        }
        Ok(found)
    }

    /// What was kept for this owner of an upload to `path`, if it can be gone on with.
    async fn kept(&self, path: &StorePath) -> Result<Option<Kept>> {
        let kept = self.kept_at_all(path).await?;
        Ok(kept.filter(Kept::is_of_use))
    }

    /// Whether an upload to `path` can be gone on with.
    pub async fn keeps(&self, path: &StorePath) -> Result<bool> {
        Ok(self.kept(path).await?.is_some())
    }

    /// What its uploader is told of `path`: what was kept of an upload, else what stands there.
    ///
    /// Semantics decision: what was kept goes before a complete file of that name, since clients ask for the size to
    /// know where to go on.
    pub async fn progress(&self, path: &StorePath) -> Result<Entry> {
        match self.kept_progress(path).await? {
            Some(kept) => Ok(kept),
            None => self.stat(path).await,
        }
    }

    /// What was kept of an upload of this owner to `path`, as its uploader sees it, if there is any.
    pub async fn kept_progress(&self, path: &StorePath) -> Result<Option<Entry>> {
        Ok(self.kept(path).await?.map(|kept| Entry {
            name: path.file_name().to_owned(),
            kind: EntryKind::File { size: kept.len() },
            modified: DateTime::from_timestamp(kept.at, 0),
        }))
    }

    /// Takes `kept` up, so that nobody else has it. Fails with `Busy` if somebody else does, or has written it since it was
    /// read.
    pub(super) async fn take_up(&self, kept: &Kept) -> Result<Kept> {
        self.take_up_for(kept, self.resume_window).await
    }

    /// Leaves nothing of `kept`, which nobody has. Fails like [`take_up`](Self::take_up) if somebody has. If it fails
    /// halfway, nobody goes on with what is left, and the janitor tries again.
    pub(super) async fn discard_unheld(&self, kept: &Kept) -> Result<()> {
        let taken = self.take_up_for(kept, Duration::ZERO).await?;
        self.discard_kept(&taken).await
    }

    async fn take_up_for(&self, kept: &Kept, window: Duration) -> Result<Kept> {
        if kept.is_held(Utc::now()) {
            return Err(Error::Busy);
        }
        // Semantics decision: of many sessions that take it up at once, the one has it that makes this object. Where a
        // store cannot make an object only if there is none, two can do it.
        match self.create_record(Kind::Turn, &kept.turn, &()).await {
            Ok(()) => {}
            Err(Error::AlreadyExists) => {
                self.forget_stale_turn(&kept.turn).await?;
                return Err(Error::Busy);
            }
            Err(error) => return Err(error),
        }
        let taken = self.take_turn(kept, window).await;
        // It stands in nobody's way: whoever makes it again finds another turn in the record.
        let forgotten = self.forget_record(Kind::Turn, &kept.turn).await;
        taken.and_then(|taken| forgotten.map(|()| taken))
    }

    async fn take_turn(&self, kept: &Kept, window: Duration) -> Result<Kept> {
        let name = kept.record();
        // Somebody may have been here between the look and the turn. What the caller has decided holds of what it saw only.
        let now = self.find_kept(&name).await?.record();
        let mut taken = now.filter(|now| now == kept).ok_or(Error::Busy)?;
        taken.turn = new_name();
        taken.hold(window);
        self.write_record(Kind::Resume, &name, &taken).await?;
        Ok(taken)
    }

    /// Who died between its turn and the record must not keep others out.
    async fn forget_stale_turn(&self, turn: &str) -> Result<()> {
        if self.record_age(Kind::Turn, turn).await?.is_some_and(|age| age > LEASE) {
            self.forget_record(Kind::Turn, turn).await?;
        }
        Ok(())
    }

    /// Writes down what is kept; fails with `AlreadyExists` if it is `new` and somebody else has written something.
    pub(super) async fn keep(&self, kept: &Kept, new: bool) -> Result<()> {
        if new {
            match self.create_record(Kind::Resume, &kept.record(), kept).await {
                Err(Error::AlreadyExists) => match self.find_kept(&kept.record()).await? {
                    // An earlier try may have succeeded without an answer: then the record is this session's own.
                    Found::Record(now) if now.is_turn_of(kept) => {}
                    // Nobody can go on with it.
                    Found::Damaged => {}
                    Found::Record(_) | Found::Nothing => return Err(Error::AlreadyExists),
                },
                created => return created,
            }
        }
        self.write_record(Kind::Resume, &kept.record(), kept).await
    }

    /// Whether whoever wrote `kept` has it still.
    pub(super) async fn still_holds(&self, kept: &Kept) -> Result<bool> {
        let now = self.find_kept(&kept.record()).await?.record();
        Ok(now.is_some_and(|now| now.is_turn_of(kept)))
    }

    /// Whether the record of `kept` names the open upload that is called `id`.
    pub(super) async fn names(&self, kept: &Kept, id: &str) -> Result<bool> {
        let now = self.find_kept(&kept.record()).await?.record();
        Ok(now.and_then(|now| now.upload).is_some_and(|upload| upload.id == id))
    }

    /// Keeps `bytes` as the tail of `kept`, in place of the one that it has.
    pub(super) async fn keep_tail(&self, kept: &mut Kept, bytes: Vec<Bytes>) -> Result<()> {
        let size = bytes.iter().map(|piece| piece.len() as u64).sum();
        kept.tail = None;
        if size > 0 {
            let name = new_name();
            let path = self.records_folder(Kind::Tail)?.join(&name)?;
            self.whole.destination(&path).await?.put(bytes, &Condition::Any).await?;
            kept.tail = Some(Tail { name, size });
        }
        Ok(())
    }

    /// The first `size` bytes of the tail, as the source of an upload.
    pub(super) async fn read_tail(&self, kept: &Kept, size: u64) -> Result<Option<OldBytes>> {
        let Some(tail) = kept.tail.as_ref().filter(|_| size > 0) else { return Ok(None) };
        let path = self.records_folder(Kind::Tail)?.join(&tail.name)?;
        let get = Get { from: 0, to: None, version: None, memory: Memory::Callers };
        let got = self.whole.get(&path, get).await?;
        // It may be longer: who went on within it has cut it.
        if got.meta.size < tail.size {
            return Err(Error::Changed);
        }
        Ok(Some(OldBytes::of(&self.whole, &path, (got.body, got.meta.version), size)))
    }

    /// Deletes the tail of `kept`, which its record does not name any more.
    pub(super) async fn forget_tail(&self, kept: &Kept) -> Result<()> {
        match &kept.tail {
            Some(tail) => self.forget_record(Kind::Tail, &tail.name).await,
            None => Ok(()),
        }
    }

    /// Removes the record, then the tail.
    pub(super) async fn forget_kept(&self, kept: &Kept) -> Result<()> {
        self.forget_record(Kind::Resume, &kept.record()).await?;
        self.forget_tail(kept).await
    }

    /// Leaves nothing of what was kept, which the caller has taken up.
    pub(super) async fn discard_kept(&self, kept: &Kept) -> Result<()> {
        if let Some(upload) = &kept.upload {
            self.whole.discard(&kept.path()?, upload).await?;
        }
        self.forget_kept(kept).await
    }

    /// Leaves nothing of what was kept for this owner of an upload to `path`. Tells whether there was something.
    pub(super) async fn give_up(&self, path: &StorePath) -> Result<bool> {
        let Some(kept) = self.kept_at_all(path).await? else { return Ok(false) };
        self.discard_unheld(&kept).await?;
        Ok(!kept.is_over(Utc::now()))
    }
}
