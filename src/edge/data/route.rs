//! How a data connection comes about: the client connects to us, or we connect to the client. What is done with it
//! afterwards is the same.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::active::Target;
use super::passive::Slot;
use super::transport::Transport;
use crate::data::DataError;

/// How the next data connection comes about.
#[derive(Debug)]
pub(in crate::edge) enum Route {
    /// After PASV or EPSV.
    Passive(Slot),
    /// After PORT or EPRT.
    Active(Target),
}

impl Route {
    /// Until when a transfer can take it; none is for ever. A passive one holds a port, and what has connected to it.
    pub(in crate::edge) fn expires(&self) -> Option<Instant> {
        match self {
            Self::Passive(slot) => Some(slot.expires()),
            Self::Active(_) => None,
        }
    }

    /// The connection, within `limit`.
    pub(super) async fn connected(self, limit: Duration) -> Result<Transport, DataError> {
        let reason = match self {
            Self::Passive(mut slot) => match timeout(limit, slot.connected()).await {
                Ok(Some(stream)) => return Ok(stream),
                Ok(None) => "the port was taken back",
                Err(_) => "the client did not connect",
            },
            Self::Active(target) => match timeout(limit, target.connect()).await {
                Ok(Ok(stream)) => return Ok(Transport::Own(stream)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, ?target, "no active data connection");
                    "the client does not accept it"
                }
                Err(_) => "the client did not answer",
            },
        };
        Err(DataError::NotOpened(reason))
    }
}
