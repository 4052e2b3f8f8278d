//! A data connection under the limits of its user: as fast as the rates allow, and no more than an upload may take.
//!
//! The wait is for the socket: what has not been read from it yet stays with the client. It is no stall, since nothing is
//! asked of the client meanwhile, and it ends with the transfer that waits.

use std::sync::Arc;

use async_trait::async_trait;

use crate::data::{DataConnection, DataError};
use crate::limits::{Allowance, Pace};

/// A data connection under limits.
pub(super) struct Limited {
    inner: Box<dyn DataConnection>,
    pace: Pace,
    /// For uploads.
    allowance: Option<Arc<Allowance>>,
    /// Where what is read goes if there is room for more than may come at once.
    piece: Vec<u8>,
}

impl Limited {
    /// The data connection of an upload; `opened` itself if nothing limits it.
    pub(super) fn upload(
        opened: Box<dyn DataConnection>,
        pace: Pace,
        allowance: &Arc<Allowance>,
    ) -> Box<dyn DataConnection> {
        let allowance = (!allowance.is_boundless()).then(|| Arc::clone(allowance));
        if pace.is_free() && allowance.is_none() {
            return opened;
        }
        Box::new(Self { inner: opened, pace, allowance, piece: Vec::new() })
    }

    /// The same for a download.
    pub(super) fn download(opened: Box<dyn DataConnection>, pace: Pace) -> Box<dyn DataConnection> {
        if pace.is_free() {
            return opened;
        }
        Box::new(Self { inner: opened, pace, allowance: None, piece: Vec::new() })
    }

    async fn read_piece(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        if buffer.capacity() - buffer.len() <= self.pace.quantum() {
            return self.inner.read(buffer).await;
        }
        self.piece.reserve_exact(self.pace.quantum());
        let read = self.inner.read(&mut self.piece).await;
        buffer.append(&mut self.piece);
        read
    }
}

#[async_trait]
impl DataConnection for Limited {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        self.pace.pay().await;
        let read = self.read_piece(buffer).await?;
        self.pace.owe(read);
        if let Some(allowance) = &self.allowance {
            allowance.take(read)?;
        }
        Ok(read)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        for piece in bytes.chunks(self.pace.quantum()) {
            self.pace.owe(piece.len());
            self.pace.pay().await;
            self.inner.write(piece).await?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), DataError> {
        self.inner.finish().await
    }

    fn reset(self: Box<Self>) {
        self.inner.reset();
    }
}
