//! The control front end: one libunftp server per session, over a loopback pair. The only module that names libunftp.
//!
//! The edge hands over a command with its path and gets the reply for the client. libunftp logs users in, keeps the
//! session's state, orders and dispatches commands, and calls the other end of this module: the backend for what it
//! knows itself, the handler of `SITE XFER` for transfers and for whatever it lacks.

mod authenticator;
mod backend;
mod command;
mod front;
mod handler;
mod listing;
mod metered;
mod pair;
mod replies;
mod server;
mod words;

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

pub(crate) use front::Front;

use crate::reply::Reply;
use crate::session::{Operation, Pending, Session};
use replies::Replies;

/// Our end of one session's front end. Dropping it ends the front end.
#[derive(Debug)]
pub(crate) struct Control {
    replies: Replies,
    session: Arc<Session>,
}

impl Control {
    /// Starts a front end for `session`, in the state before login.
    pub(crate) async fn start(front: &Front, session: &Arc<Session>) -> io::Result<Self> {
        let (ours, theirs) = front.pairs.connect()?;
        // On the session's own thread.
        front.shutdown.spawn_on(server::serve(front, session, theirs), &Handle::current());
        let mut replies = Replies::new(ours);
        let greeting = replies.next().await?;
        if greeting.code == 220 {
            Ok(Self { replies, session: Arc::clone(session) })
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// USER (RFC 959 section 4.1.1).
    pub(crate) async fn user(&mut self, name: &str) -> io::Result<Reply> {
        let reply = self.send(&format!("USER {name}")).await?;
        Ok(words::of_login(reply, self.session.finish()))
    }

    /// PASS (RFC 959 section 4.1.1). With a 230 the session is a user's.
    pub(crate) async fn pass(&mut self, password: &str) -> io::Result<Reply> {
        let reply = self.send(&format!("PASS {password}")).await?;
        Ok(words::of_login(reply, self.session.finish()))
    }

    /// Has `pending` done and returns the reply for the client. Its abort and the store's own deadlines bound the wait.
    pub(crate) async fn perform(&mut self, pending: Pending) -> io::Result<Reply> {
        let (operation, path) = (pending.operation, pending.path.clone());
        let line = match operation {
            Operation::Cwd
            | Operation::Mkd
            | Operation::Rmd
            | Operation::Dele
            | Operation::Rnfr
            | Operation::Rnto
            | Operation::Size
            | Operation::Mdtm
            | Operation::Stat => command::argument(operation, &path),
            Operation::Mlst
            | Operation::Stor
            | Operation::Appe
            | Operation::Retr
            | Operation::List
            | Operation::Nlst
            | Operation::Mlsd => format!("SITE {} {}", handler::NAME, command::argument(operation, &path)),
        };
        self.session.begin(pending);
        let reply = self.send(&line).await?;
        Ok(words::of(operation, &path, reply, self.session.finish()))
    }

    async fn send(&mut self, line: &str) -> io::Result<Reply> {
        self.replies.send(line).await?;
        self.replies.next().await
    }
}
