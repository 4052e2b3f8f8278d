//! Opening the data connection of one transfer, once it is known that there is something to transfer.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::passive::Slot;
use super::plain::PlainData;
use super::terms::Terms;
use crate::data::{DataConnection, DataError, OpenData};

/// A client that does not open its data connection for this long will not.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// Opens a data connection.
#[derive(Debug)]
pub(in crate::edge) struct Opener {
    /// Where the client connects.
    pub(in crate::edge) slot: Slot,
    pub(in crate::edge) terms: Terms,
    /// Told when the connection is there, so that 150 goes out.
    pub(in crate::edge) opened: oneshot::Sender<()>,
}

#[async_trait]
impl OpenData for Opener {
    async fn open(mut self: Box<Self>) -> Result<Box<dyn DataConnection>, DataError> {
        let connecting = timeout(OPEN_DEADLINE.min(self.terms.data_timeout), self.slot.connected());
        let waiting =
            async { connecting.await.map_err(|_| DataError::NotOpened("the client did not connect")) };
        let stream = self.terms.abort.unless_requested(waiting).await?;
        let stream = stream.ok_or(DataError::NotOpened("the port was taken back"))?;
        let data = PlainData::new(stream, self.terms);
        // The receiver is gone only if the session is, which the first read or write will notice.
        let _ = self.opened.send(());
        Ok(Box::new(data))
    }
}
