//! The control front end: one libunftp server per session, over a loopback pair. The only module that names libunftp.
//!
//! The edge hands over a command with its path and gets the reply for the client. libunftp logs users in, keeps the
//! session's state, orders and dispatches commands, and calls the other end of this module: the backend for what it
//! knows itself, the handler of `SITE XFER` for transfers and for whatever it lacks.

mod authenticator;
mod backend;
mod command;
mod digest;
mod front;
mod handler;
mod limited;
mod listing;
mod metered;
mod pair;
mod replies;
mod server;
mod summed;
mod telling;
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
        Ok(words::of_login(&reply, self.session.finish()))
    }

    /// PASS (RFC 959 section 4.1.1). With a 230 the session is a user's.
    pub(crate) async fn pass(&mut self, password: &str) -> io::Result<Reply> {
        let reply = self.send(&format!("PASS {password}")).await?;
        Ok(words::of_login(&reply, self.session.finish()))
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
            | Operation::Mfmt
            | Operation::Hash
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use async_trait::async_trait;

    use super::*;
    use crate::auth::Auth;
    use crate::config::{Config, Environment};
    use crate::data::{Content, DataConnection, DataError, OpenData};
    use crate::events::Events;
    use crate::limits::Limits;
    use crate::metrics::Metrics;
    use crate::net::Ends;
    use crate::path::VirtualPath;
    use crate::session::Transfer;
    use crate::shutdown::Shutdown;
    use crate::storage::{Budget, Stores};

    /// A client's data connection that shows a fault of ours.
    #[derive(Debug)]
    struct Faulty;

    #[async_trait]
    impl OpenData for Faulty {
        async fn open(self: Box<Self>) -> Result<Box<dyn DataConnection>, DataError> {
            panic!("expected by the test");
        }

        fn content(&self) -> Content {
            Content::AsSent
        }
    }

    async fn logged_in() -> (Control, Arc<Session>) {
        let text = "[stores.only]\nurl = \"memory:///\"\n[[users]]\nname = \"acme\"\npassword = \"x\"\n";
        let config = Config::parse(text, &Environment::new()).expect("a valid configuration");
        let shutdown = Shutdown::new(Handle::current());
        let metrics = Arc::new(Metrics::new(["only"], []));
        let budget = Budget::new(1 << 20, Arc::clone(&metrics));
        let stores = Stores::build(&config.stores, &config.transfer, &budget, &metrics, &shutdown);
        let auth = Arc::new(Auth::new(&config.users));
        let limits = Limits::new(config.limits, Arc::clone(&metrics));
        let events = Events::start(&config.events, &metrics, &shutdown).expect("none");
        let stores = stores.expect("a memory store");
        let front = Front::new(auth, limits, stores, events, metrics, shutdown).expect("loopback");
        let address = SocketAddr::from(([127, 0, 0, 1], 21));
        let session = Arc::new(Session::new(1, Ends::direct(address, address)));
        let mut control = Control::start(&front, &session).await.expect("a front end");
        assert_eq!(control.user("acme").await.expect("a reply").code, 331);
        assert_eq!(control.pass("x").await.expect("a reply").code, 230);
        (control, session)
    }

    fn pending(operation: Operation, path: &str) -> Pending {
        Pending::new(operation, VirtualPath::root().resolve(path).expect("plain"))
    }

    #[tokio::test]
    async fn a_panic_costs_one_command_and_not_the_session() {
        let (mut control, _session) = logged_in().await;
        for _ in 0..3 {
            let mut stor = pending(Operation::Stor, "x");
            let (argument, opener) = ("x".into(), Box::new(Faulty));
            stor.transfer = Some(Transfer { offset: 0, argument, announced: None, opener });
            assert_eq!(control.perform(stor).await.expect("a reply").code, 451);
            let made = control.perform(pending(Operation::Mkd, "made")).await.expect("a reply");
            assert!(matches!(made.code, 257 | 550), "{made:?}");
        }
    }

    #[tokio::test]
    async fn what_the_edge_has_not_prepared_is_not_done() {
        let (mut control, session) = logged_in().await;
        assert_eq!(control.send("MKD /a").await.expect("a reply").code, 451, "nothing is prepared");
        session.begin(pending(Operation::Mkd, "b"));
        assert_eq!(control.send("MKD /a").await.expect("a reply").code, 451, "something else is prepared");
        session.begin(pending(Operation::Mkd, "b"));
        assert_eq!(control.send("SITE XFER MKD /b").await.expect("a reply").code, 451, "not the handler's");
        for name in ["a", "b"] {
            let reply = control.perform(pending(Operation::Cwd, name)).await.expect("a reply");
            assert_eq!(reply.code, 550, "{name}");
        }
    }
}
