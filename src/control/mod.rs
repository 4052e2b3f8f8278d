//! The control front end: one libunftp server per session, over a loopback pair. The only module that names libunftp.
//!
//! The edge sends canonical commands with absolute paths and gets replies; libunftp logs users in, keeps the session's
//! state, dispatches, and calls the backend, which moves files straight between the client's data connection
//! and the store. libunftp's own data connection is only a doorbell: it lets its state machine run.

mod authenticator;
mod backend;
mod failure;
mod listing;
mod loopback;
mod metered;
mod reply;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::runtime::Handle;

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
    doorbell: Option<Doorbell>,
}

/// libunftp's data connection, opened ahead of a transfer.
#[derive(Debug)]
struct Doorbell {
    stream: TcpStream,
    opened: Instant,
}

/// libunftp gives up a data connection that gets no command for five minutes.
const DOORBELL_LASTS: Duration = Duration::from_mins(4);

impl Control {
    /// Starts a front end for `session`, in the state before login.
    pub async fn start(front: &Front, session: &Arc<Session>) -> io::Result<Self> {
        let (loopback, ours, theirs) = Loopback::connect().await?;
        let service = backend::serve(front, session, loopback.binder(), theirs);
        // On the session's own thread.
        front.shutdown.spawn_on(service, &Handle::current());
        let mut replies = Replies::new(ours);
        let greeting = replies.next().await?;
        if greeting.code == 220 {
            Ok(Self { loopback, replies, doorbell: None })
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Sends a command and waits for its reply. The store's own deadlines bound the wait.
    pub async fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.replies.send(line).await?;
        self.replies.next().await
    }

    /// Opens libunftp's data connection ahead of a transfer, while the client opens its own.
    pub async fn prepare(&mut self) -> io::Result<()> {
        if self.doorbell.as_ref().is_none_or(|doorbell| doorbell.opened.elapsed() > DOORBELL_LASTS) {
            let reply = self.command("PASV").await?;
            let port = reply.passive_port().ok_or(io::ErrorKind::InvalidData)?;
            let stream = self.loopback.doorbell(port).await?;
            self.doorbell = Some(Doorbell { stream, opened: Instant::now() });
        }
        Ok(())
    }

    /// Sends a transfer command and waits until the transfer has ended. The session must hold the transfer.
    pub async fn transfer(&mut self, line: &str) -> io::Result<Reply> {
        self.prepare().await?;
        // Held open until libunftp has replied.
        let _ringing = self.doorbell.take().map(|doorbell| doorbell.stream);
        self.replies.send(line).await?;
        loop {
            let reply = self.replies.next().await?;
            // Its 150 comes before it has looked at anything; the client gets ours when the data connection opens.
            if reply.code >= 200 {
                return Ok(reply);
            }
        }
    }
}
