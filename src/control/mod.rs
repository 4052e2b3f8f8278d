//! The control front end: one libunftp server per session, over a loopback pair. The only module that names libunftp.
//!
//! The edge sends canonical commands with absolute paths and gets replies; libunftp logs users in, keeps the session's
//! state, dispatches, and calls [`backend::Backend`], which moves files straight between the client's data connection
//! and the store. libunftp's own data connection is only a doorbell: it lets its state machine run.

mod authenticator;
mod backend;
mod failure;
mod listing;
mod loopback;
mod reply;

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

pub use reply::Reply;

use crate::auth::Auth;
use crate::metrics::Metrics;
use crate::session::Session;
use crate::shutdown::Shutdown;
use crate::storage::Stores;
use loopback::Loopback;
use reply::Replies;

/// What all sessions' front ends share.
#[derive(Clone, Debug)]
pub struct Front {
    /// Who may log in.
    pub auth: Arc<Auth>,
    /// Where files live.
    pub stores: Stores,
    /// Where events are counted.
    pub metrics: Arc<Metrics>,
    /// The stages of stopping.
    pub shutdown: Shutdown,
}

/// Our end of one session's front end. Dropping it ends the front end.
#[derive(Debug)]
pub struct Control {
    loopback: Loopback,
    replies: Replies,
}

impl Control {
    /// Starts a front end for `session`, in the state before login.
    pub async fn start(front: &Front, session: &Arc<Session>) -> io::Result<Self> {
        let (loopback, ours, theirs) = Loopback::connect().await?;
        let service = backend::serve(front, session, loopback.binder(), theirs);
        front.shutdown.spawn(service);
        let mut replies = Replies::new(ours);
        let greeting = replies.next().await?;
        if greeting.code == 220 { Ok(Self { loopback, replies }) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Sends a command and waits for its reply. The store's own deadlines bound the wait.
    pub async fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.replies.send(line).await?;
        self.replies.next().await
    }

    /// Sends a transfer command and waits until the transfer has ended. The session must hold the transfer.
    pub async fn transfer(&mut self, line: &str) -> io::Result<Reply> {
        let _doorbell = self.ring().await?;
        self.replies.send(line).await?;
        loop {
            let reply = self.replies.next().await?;
            // Its 150 comes before it has looked at anything; the client gets ours when the data connection opens.
            if reply.code >= 200 {
                return Ok(reply);
            }
        }
    }

    /// Opens libunftp's data connection.
    async fn ring(&mut self) -> io::Result<TcpStream> {
        let reply = self.command("PASV").await?;
        let port = reply.passive_port().ok_or(io::ErrorKind::InvalidData)?;
        self.loopback.doorbell(port).await
    }
}
