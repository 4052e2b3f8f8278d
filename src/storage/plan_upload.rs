//! Uploads from a client's data connection to a store. Each is checked first, when it can still be refused without a 150, then
//! takes what it goes on with, and is then run on the data connection.

use std::sync::Arc;

use super::append::Position;
use super::driver::{Condition, Written};
use super::error::{Error, Result};
use super::keeper::Keeper;
use super::kept::Kept;
use super::path::StorePath;
use super::source::OldBytes;
use super::store::Store;
use super::upload::Upload;
use crate::data::{Abort, AbortReason, DataConnection, DataError, Pacing};

/// What an upload does to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadMode {
    /// Replaces it, atomically.
    Replace,
    /// Fails: `AlreadyExists`.
    Create,
    /// Adds to its end.
    Append,
    /// Replaces what stands from this byte on.
    From(u64),
    /// Goes on from this byte of what was kept of a broken upload, and touches nothing else.
    Continue(u64),
}

impl UploadMode {
    /// Where it goes on, if it goes on with something.
    fn position(self) -> Option<Position> {
        match self {
            Self::Replace | Self::Create => None,
            Self::Append => Some(Position::End),
            Self::From(offset) | Self::Continue(offset) => Some(Position::Offset(offset)),
        }
    }

    /// Whether what arrives is kept when it breaks.
    ///
    /// Semantics decision: not of an append to a complete file, which is all there or not at all. Who does not look
    /// before they try again would add the same bytes twice.
    fn is_kept(self) -> bool {
        match self {
            Self::Replace | Self::Create | Self::From(_) => true,
            Self::Append | Self::Continue(_) => false,
        }
    }
}

/// An upload whose conditions hold. What it goes on with, if that was kept of a broken one, is nobody's still.
#[derive(Debug)]
pub struct PossibleUpload(Possible);

#[derive(Debug)]
enum Possible {
    Whole(Box<PlannedUpload>),
    Rest(Box<Rest>),
}

/// What goes on with `kept` at byte `from`.
#[derive(Debug)]
struct Rest {
    store: Arc<Store>,
    path: StorePath,
    position: Position,
    kept: Kept,
    from: u64,
}

/// An upload whose conditions held when it was planned, and that has what it goes on with.
#[derive(Debug)]
pub struct PlannedUpload {
    upload: Upload,
    old: Option<Box<OldBytes>>,
    condition: Condition,
}

/// What became of an upload that the store has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Bytes that were taken from the client.
    pub taken: u64,
    /// Bytes of the whole object, those that stood there before included.
    pub size: u64,
    /// The store's tag of this content, if it has told one.
    pub etag: Option<String>,
    /// The store's name for this version, if it has told one.
    pub version: Option<String>,
    /// The SHA-256 of the whole object, if it was kept with it.
    pub sha256: Option<String>,
}

impl Store {
    /// Checks that an upload to `path` is possible. Writes nothing, so that it can still be refused for other reasons.
    pub async fn check_upload(
        self: &Arc<Self>,
        path: &StorePath,
        mode: UploadMode,
    ) -> Result<PossibleUpload> {
        let kept = self.kept_at_all(path).await?;
        match (mode.position(), kept) {
            (Some(position), Some(kept)) if self.is_rest(path, position, &kept).await? => {
                let rest = Rest::of(self, path, position, kept)?;
                Ok(PossibleUpload(Possible::Rest(Box::new(rest))))
            }
            (_, kept) => Ok(PossibleUpload::whole(Box::pin(self.plan_whole(path, mode, kept)).await?)),
        }
    }

    /// Like [`Store::check_upload`], for bytes that the client counts otherwise.
    ///
    /// Semantics decision: nothing of it is kept, and it does not go on with what was. Whoever asks for the size to go on
    /// from there would send the wrong bytes.
    pub async fn check_converted_upload(
        self: &Arc<Self>,
        path: &StorePath,
        mode: UploadMode,
    ) -> Result<PossibleUpload> {
        let kept = self.kept_at_all(path).await?;
        let mut planned = Box::pin(self.plan_whole(path, mode, kept)).await?;
        planned.upload.keep_nothing();
        Ok(PossibleUpload::whole(planned))
    }

    /// Whether an upload to `path` goes on with `kept`.
    ///
    /// Semantics decision: an APPE does only where no complete file stands. Whoever appends lines to one may not know of
    /// what was kept, and that would replace the file.
    async fn is_rest(&self, path: &StorePath, position: Position, kept: &Kept) -> Result<bool> {
        Ok(kept.is_of_use()
            && match position {
                Position::End => !self.exists(path).await?,
                Position::Offset(_) => true,
            })
    }

    /// An upload that begins with its first byte, or with those of a complete file.
    async fn plan_whole(
        self: &Arc<Self>,
        path: &StorePath,
        mode: UploadMode,
        kept: Option<Kept>,
    ) -> Result<PlannedUpload> {
        let mut upload = Upload::plan(self, path.clone()).await?;
        self.check_file_place(path).await?;
        let (old, condition) = match mode {
            UploadMode::Replace => (None, Condition::Any),
            UploadMode::Create => {
                self.require(path, &Condition::Absent).await?;
                (None, Condition::Absent)
            }
            UploadMode::Append => self.old_bytes(path, Position::End).await?,
            UploadMode::From(offset) => self.old_bytes(path, Position::Offset(offset)).await?,
            UploadMode::Continue(_) => return Err(Error::AlreadyExists),
        };
        if let Some(owner) = self.keeps_for().filter(|_| mode.is_kept()) {
            upload.kept_by(Keeper::new(self, path, owner, &condition, kept));
        }
        Ok(PlannedUpload { upload, old: old.map(Box::new), condition })
    }
}

impl Rest {
    /// Fails if `kept` has no such byte to go on from.
    fn of(store: &Arc<Store>, path: &StorePath, position: Position, kept: Kept) -> Result<Self> {
        let from = match position {
            Position::End => kept.len(),
            Position::Offset(offset) if offset > kept.len() => return Err(Error::OffsetBeyondEnd),
            // Parts that the store has cannot be read again, nor cut.
            Position::Offset(offset) if offset < kept.in_parts() => {
                return Err(Error::OffsetNotKept(kept.in_parts()));
            }
            Position::Offset(offset) => offset,
        };
        Ok(Self { store: Arc::clone(store), path: path.clone(), position, kept, from })
    }

    async fn take_up(self) -> Result<PlannedUpload> {
        let Self { store, path, position, kept, from } = self;
        // What is taken up is what was seen, so `from` is a byte of it.
        let taken = store.take_up(&kept).await?;
        let condition = taken.condition.clone();
        match Upload::resume(&store, &path, taken, from).await {
            Ok((upload, old)) => Ok(PlannedUpload { upload, old: old.map(Box::new), condition }),
            // Semantics decision: nothing is left to go on with. Who appends without an offset is asked to try again, since
            // a file of the rest alone would pass for whole.
            Err(Error::Changed) if matches!(position, Position::Offset(_)) => Err(Error::OffsetBeyondEnd),
            Err(error) => Err(error),
        }
    }
}

impl PossibleUpload {
    fn whole(planned: PlannedUpload) -> Self {
        Self(Possible::Whole(Box::new(planned)))
    }

    /// Bytes of the file that are there before the first one arrives.
    pub fn begins_at(&self) -> u64 {
        match &self.0 {
            Possible::Whole(planned) => planned.old.as_ref().map_or(0, |old| old.left()),
            Possible::Rest(rest) => rest.from,
        }
    }

    /// Takes up what it goes on with, so that nobody else does. Fails with `Busy` if somebody else has or something was
    /// changed since, and if something of it is gone; then nothing of it is left.
    pub async fn take_up(self) -> Result<PlannedUpload> {
        match self.0 {
            Possible::Whole(planned) => Ok(*planned),
            Possible::Rest(rest) => Box::pin(rest.take_up()).await,
        }
    }
}

impl PlannedUpload {
    /// What of the file is in the store already comes from there no faster than `pace` allows.
    pub fn read_at(&mut self, pace: impl Pacing + 'static) {
        if let Some(old) = &mut self.old {
            old.at(pace);
        }
    }

    /// Takes everything from `data` and makes the object appear, or leaves nothing but what is kept for its uploader.
    ///
    /// `abort` is heeded until the client's last byte is here; after that the store decides.
    pub async fn run(mut self, mut data: Box<dyn DataConnection>, abort: &Abort) -> Result<Stored> {
        let (upload, old) = (&mut self.upload, &mut self.old);
        let mut ready = false;
        let filling = async {
            upload.begin().await;
            if let Some(old) = old {
                upload.fill(old.as_mut()).await?;
            }
            ready = true;
            let kept = upload.total();
            upload.fill(&mut data).await?;
            Ok(upload.total() - kept)
        };
        match abort.unless_requested(filling).await {
            Ok(taken) => {
                let size = self.upload.total();
                let Written { etag, version, checksum } = self.upload.commit(&self.condition).await?;
                Ok(Stored {
                    taken,
                    size,
                    // As people and notifications of stores write it, without the quotes of the header.
                    etag: etag.map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned()),
                    version,
                    sha256: checksum.map(|sum| sum.to_string()),
                })
            }
            Err(error) => {
                data.reset();
                match (is_break(&error, abort), ready) {
                    (true, true) => Box::pin(self.upload.suspend()).await,
                    // What was kept before is kept still.
                    (true, false) => drop(self.upload),
                    (false, _) => Box::pin(self.upload.abort()).await,
                }
                Err(error)
            }
        }
    }
}

/// Whether an upload ended because the client, its line or the gateway went away.
///
/// Semantics decision: who asks to abort wants nothing kept.
fn is_break(error: &Error, abort: &Abort) -> bool {
    match error {
        Error::Data(DataError::Lost(_) | DataError::Stalled(_) | DataError::ControlLost) => true,
        Error::Data(DataError::Aborted) => abort.reason() == Some(AbortReason::Shutdown),
        _ => false,
    }
}
