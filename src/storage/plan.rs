//! Transfers between a client's data connection and a store. Each is planned first, when it can still be refused
//! without a 150, and then run on the data connection.

use std::sync::Arc;

use super::append::{OldBytes, Position};
use super::download::Download;
use super::driver::Condition;
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;
use super::upload::Upload;
use crate::data::{Abort, DataConnection};

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
}

/// An upload whose conditions held when it was planned.
#[derive(Debug)]
pub struct PlannedUpload {
    upload: Upload,
    old: Option<OldBytes>,
    condition: Condition,
}

/// A download whose object is open.
#[derive(Debug)]
pub struct PlannedDownload {
    download: Download,
}

impl Store {
    /// Checks that an upload to `path` is possible.
    pub async fn plan_upload(self: &Arc<Self>, path: &StorePath, mode: UploadMode) -> Result<PlannedUpload> {
        let upload = Upload::plan(self, path.clone()).await?;
        self.check_file_place(path).await?;
        let (old, condition) = match mode {
            UploadMode::Replace => (None, Condition::Any),
            UploadMode::Create => {
                self.require(path, &Condition::Absent).await?;
                (None, Condition::Absent)
            }
            UploadMode::Append => self.old_bytes(path, Position::End).await?,
            UploadMode::From(offset) => self.old_bytes(path, Position::Offset(offset)).await?,
        };
        Ok(PlannedUpload { upload, old, condition })
    }

    /// Opens the object at `path` from byte `offset` on.
    pub async fn plan_download(self: &Arc<Self>, path: &StorePath, offset: u64) -> Result<PlannedDownload> {
        match Download::open(self, path, offset).await {
            Ok(download) => Ok(PlannedDownload { download }),
            Err(Error::NotFound) if self.is_directory(path).await? => Err(Error::IsADirectory),
            Err(error) => Err(error),
        }
    }
}

impl PlannedUpload {
    /// Takes everything from `data` and makes the object appear, or leaves nothing. Returns the bytes taken.
    ///
    /// `abort` is heeded until the client's last byte is here; after that the store decides.
    pub async fn run(mut self, mut data: Box<dyn DataConnection>, abort: &Abort) -> Result<u64> {
        let (upload, old) = (&mut self.upload, &mut self.old);
        let filling = async {
            if let Some(old) = old {
                upload.fill(old).await?;
            }
            let kept = upload.total();
            upload.fill(&mut data).await?;
            Ok(upload.total() - kept)
        };
        match abort.unless_requested(filling).await {
            Ok(taken) => {
                self.upload.commit(&self.condition).await?;
                Ok(taken)
            }
            Err(error) => {
                data.reset();
                self.upload.abort().await;
                Err(error)
            }
        }
    }
}

impl PlannedDownload {
    /// Sends everything to `data`, or resets it so that the client cannot take a part for the whole. Returns the
    /// bytes sent.
    pub async fn run(mut self, mut data: Box<dyn DataConnection>, abort: &Abort) -> Result<u64> {
        let sending = async {
            let mut sent = 0;
            while let Some(chunk) = self.download.next().await? {
                data.write(&chunk.bytes).await?;
                sent += chunk.bytes.len() as u64;
            }
            Ok(sent)
        };
        match abort.unless_requested(sending).await {
            Ok(sent) => {
                data.finish().await?;
                Ok(sent)
            }
            Err(error) => {
                data.reset();
                // Bytes of one version have gone out already.
                Err(if matches!(error, Error::Changed) { Error::Replaced } else { error })
            }
        }
    }
}
