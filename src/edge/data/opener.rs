//! Opening the data connection of one transfer, once it is known that there is something to transfer.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ascii::AsciiData;
use super::plain::PlainData;
use super::route::Route;
use super::terms::{LineEnds, Terms};
use super::wire::Wire;
use crate::data::{Content, DataConnection, DataError, OpenData};
use crate::{net, tls};

/// A data connection that is not there, or has not finished its handshake, after this long will not.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// How long after our own deadline the kernel gives up a client that has vanished: a client that is there and does not
/// read is a stall.
const VANISHED_AFTER: Duration = Duration::from_mins(1);

/// Opens a data connection.
#[derive(Debug)]
pub(in crate::edge) struct Opener {
    pub(in crate::edge) route: Route,
    /// With what it is encrypted, if it is to be.
    pub(in crate::edge) tls: Option<(tls::Session, tls::Way)>,
    pub(in crate::edge) terms: Terms,
    /// Told when the connection is there, so that 150 goes out.
    pub(in crate::edge) opened: oneshot::Sender<()>,
}

#[async_trait]
impl OpenData for Opener {
    async fn open(self: Box<Self>) -> Result<Box<dyn DataConnection>, DataError> {
        let Self { route, tls, terms, opened } = *self;
        let deadline = OPEN_DEADLINE.min(terms.data_timeout);
        let stream = terms.abort.unless_requested(route.connected(deadline)).await?;
        net::watch(stream.tcp(), terms.data_timeout.saturating_add(VANISHED_AFTER))
            .map_err(DataError::Lost)?;
        // The receiver is gone only if the session is, which the first read or write will notice.
        let _ = opened.send(());
        let wire = match tls {
            None => Wire::Clear(stream),
            // Clients begin their handshake after the 150.
            Some((tls, way)) => {
                let securing = timeout(deadline, Wire::secure(stream, tls, way));
                let securing = async {
                    securing.await.unwrap_or(Err(DataError::NotSecured("no TLS handshake in time")))
                };
                terms.abort.unless_requested(securing).await?
            }
        };
        let line_ends = terms.line_ends;
        let data: Box<dyn DataConnection> = Box::new(PlainData::new(wire, terms));
        Ok(match line_ends {
            LineEnds::Kept => data,
            LineEnds::Converted => Box::new(AsciiData::new(data)),
        })
    }

    fn content(&self) -> Content {
        match self.terms.line_ends {
            LineEnds::Kept => Content::AsSent,
            LineEnds::Converted => Content::Converted,
        }
    }
}
