//! Downloads from a store to a client's data connection. Each is planned first, when it can still be refused without a 150,
//! and then run on the data connection.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::download::Download;
use super::error::{Error, Result};
use super::path::StorePath;
use super::store::Store;
use crate::data::{Abort, DataConnection, Pacing};

/// A download whose object is open.
#[derive(Debug)]
pub struct PlannedDownload {
    download: Download,
}

impl Store {
    /// Opens the object at `path` from byte `offset` on.
    pub async fn plan_download(self: &Arc<Self>, path: &StorePath, offset: u64) -> Result<PlannedDownload> {
        match Download::open(self, path, offset).await {
            Ok(download) => Ok(PlannedDownload { download }),
            Err(Error::NotFound) if self.is_directory(path).await? => Err(Error::IsADirectory),
            Err(error) => Err(error),
        }
    }
}

impl PlannedDownload {
    /// How many bytes it is.
    pub fn size(&self) -> u64 {
        self.download.size()
    }

    /// The SHA-256 of the whole file and its size, if the checksum was kept when the file was uploaded.
    pub fn kept_sha256(&self) -> Option<(String, u64)> {
        self.download.expected().map(|(checksum, size)| (checksum.to_string(), size))
    }

    /// Hands out every byte, no faster than `pace` allows, until `take` breaks off. Other sessions of the thread get their
    /// turn in between.
    pub async fn read(
        mut self,
        mut pace: impl Pacing,
        mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        while let Some(chunk) = self.download.next().await? {
            pace.owe(chunk.bytes.len());
            pace.pay().await;
            if take(&chunk.bytes).is_break() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

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
