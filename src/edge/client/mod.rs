//! One client's session at the edge: reads commands, has them done in order, and never ends because of a bad one.

mod active;
mod answer;
mod attend;
mod digest;
mod files;
mod login;
mod passive;
mod security;
mod site;
mod state;
mod time;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tracing::Instrument;

use super::command::Command;
use super::data::Route;
use super::entrance::Entrance;
use super::line::Line;
use super::shared::Edge;
use super::tcp::Tcp;
use super::verb::{self, Local, Service, Verb};
use crate::control::Control;
use crate::metrics::CountedSession;
use crate::reply::Reply;
use crate::session::{Operation, Session};
use crate::spans;
use state::{Client, Flow, Login, log_in_first};

const NO_TLS: &str = "TLS is not available";

/// Serves a control connection until it ends, on the thread `worker`.
pub(super) async fn serve(
    edge: Arc<Edge>,
    socket: Tcp,
    entrance: Entrance,
    session: Arc<Session>,
    worker: usize,
    counted: CountedSession,
) {
    tracing::info!("session begins");
    let mut client = Client::new(edge, socket, session, worker, counted);
    if entrance == Entrance::ImplicitTls
        && let Err(error) = client.begin_implicit_tls().await
    {
        return tracing::info!(%error, "session lost in the TLS handshake");
    }
    let ended = client.run().await;
    client.session.leave();
    match ended {
        Ok(()) => {
            client.outgoing.close(client.lines.into_incoming()).await;
            tracing::info!("session ends");
        }
        Err(error) => tracing::info!(%error, "session lost"),
    }
}

impl Client {
    async fn run(&mut self) -> io::Result<()> {
        let mut control = match Control::start(&self.edge.front, &self.session).await {
            Ok(control) => control,
            Err(error) => {
                tracing::error!(%error, "cannot start a control front end");
                return self.send(&Reply::new(421, "Service not available, try again later")).await;
            }
        };
        self.send(&Reply::new(220, "Bucketport ready")).await?;
        loop {
            let line = match self.next_line().await? {
                Ok(Line::Command(line)) => line,
                Ok(Line::TooLong) => {
                    self.send(&Reply::new(500, "Command line too long")).await?;
                    self.edge.front.metrics.command(verb::OTHER, Duration::ZERO);
                    continue;
                }
                Ok(Line::Endless) => {
                    return self.send(&Reply::new(421, "Command line without end, closing")).await;
                }
                Ok(Line::End) => return Ok(()),
                Err(closing) => return self.send(&closing).await,
            };
            if self.session.is_outdated() {
                tracing::info!("the session ends because its user was removed or changed");
                return self
                    .send(&Reply::new(421, "Your account was changed or removed, log in again"))
                    .await;
            }
            // Semantics decision: what runs when the hours end goes on to its own end; the next command is not served.
            if let Some(refusal) = self.session.admission().and_then(|admission| admission.ended()) {
                return self.send(&Reply::new(421, format!("Closing: {refusal}"))).await;
            }
            let begun = Instant::now();
            let parsed = Command::parse(&line, self.session.names());
            let label = parsed.as_ref().map_or(verb::OTHER, |command| command.verb.name);
            let flow = match parsed {
                Ok(command) => {
                    match self.execute(&mut control, command).instrument(spans::command(label)).await {
                        Ok(flow) => flow,
                        Err(error) => {
                            // Either the client is gone and hears nothing, or our own front end is and the client must.
                            let _ = self.send(&Reply::new(421, "Service not available, closing")).await;
                            return Err(error);
                        }
                    }
                }
                Err(reply) => {
                    self.send(&reply).await?;
                    Flow::Continue
                }
            };
            self.edge.front.metrics.command(label, begun.elapsed());
            if flow == Flow::Close {
                return Ok(());
            }
        }
    }

    /// The next line, or the reply with which the session ends.
    async fn next_line(&mut self) -> io::Result<Result<Line, Reply>> {
        let shutdown = &self.edge.front.shutdown;
        if shutdown.is_draining() {
            return Ok(Err(Reply::new(421, "Shutting down")));
        }
        let config = &self.edge.config;
        let deadline = match self.login {
            Login::Done => tokio::time::Instant::now() + self.idle_timeout(),
            Login::Fresh | Login::Named => self.accepted + config.login_timeout,
        };
        loop {
            let expiry = self.route.as_ref().and_then(Route::expires);
            tokio::select! {
                biased;
                () = shutdown.draining() => return Ok(Err(Reply::new(421, "Shutting down"))),
                () = self.session.dismissed() => return Ok(Err(Reply::new(421, "Closed by the operator"))),
                // Before the next line, so that no transfer takes what has expired while a command ran.
                () = sleep_until(expiry.unwrap_or(deadline)), if expiry.is_some() => self.route = None,
                // Before the next line, or who always has one would never have to log in.
                () = sleep_until(deadline), if self.login != Login::Done => {
                    return Ok(Err(Reply::new(421, "Timeout, closing")));
                }
                line = self.lines.next() => return Ok(Ok(line?)),
                () = sleep_until(deadline) => return Ok(Err(Reply::new(421, "Timeout, closing"))),
            }
        }
    }

    async fn execute(&mut self, control: &mut Control, command: Command) -> io::Result<Flow> {
        let Command { verb, argument } = command;
        if self.login != Login::Done && !verb.before_login() {
            self.send(&log_in_first()).await?;
            return Ok(Flow::Continue);
        }
        match self.service(verb) {
            Service::Refused(code, text) => {
                self.send(&Reply::new(code, text)).await?;
                Ok(Flow::Continue)
            }
            Service::Forward(operation) => self.forward(control, operation, &argument).await,
            Service::Transfer(operation) => self.transfer(control, operation, &argument).await,
            Service::Own(local) => self.own(control, local, &argument).await,
        }
    }

    /// Who serves `verb` as the gateway is configured.
    fn service(&self, verb: &Verb) -> Service {
        match verb.service {
            Service::Own(Local::Port | Local::Eprt) if !self.edge.config.active_mode => {
                Service::Refused(502, "Active mode is disabled, use PASV or EPSV")
            }
            Service::Own(Local::Auth) if self.edge.tls.is_none() => Service::Refused(502, NO_TLS),
            Service::Own(Local::Pbsz | Local::Prot) if self.edge.tls.is_none() => {
                Service::Refused(503, NO_TLS)
            }
            service => service,
        }
    }

    /// What the edge serves itself, alone or with a little help from control.
    async fn own(&mut self, control: &mut Control, local: Local, argument: &str) -> io::Result<Flow> {
        match local {
            Local::User | Local::Pass if self.needs_tls() => {
                self.send(&Reply::new(530, "TLS is required here: send AUTH TLS first")).await?;
                Ok(Flow::Continue)
            }
            Local::Auth => self.auth(control, argument).await,
            Local::User => self.user(control, argument).await,
            Local::Pass => self.pass(control, argument).await,
            Local::Rein => {
                self.restart_login(control).await?;
                self.send(&Reply::new(220, "Ready for a new user")).await?;
                Ok(Flow::Continue)
            }
            Local::Quit => {
                self.session.leave();
                self.send(&Reply::new(221, "Goodbye")).await?;
                Ok(Flow::Close)
            }
            Local::Cdup => self.forward(control, Operation::Cwd, "..").await,
            Local::Stou => self.store_unique(control).await,
            Local::Hash => self.hash(control, argument).await,
            Local::Checksum(algorithm) => self.plain_checksum(control, argument, algorithm).await,
            Local::Mdtm => self.mdtm(control, argument).await,
            Local::Mfmt => self.mfmt(control, argument).await,
            Local::Site => self.site(control, argument).await,
            Local::Pasv => {
                let reply = self.pasv().await;
                self.send(&reply).await?;
                Ok(Flow::Continue)
            }
            // STAT is allowed before login, but not a look at files.
            Local::Stat if !argument.is_empty() && self.login == Login::Done => {
                self.forward(control, Operation::Stat, argument).await
            }
            Local::Stat
            | Local::Epsv
            | Local::Port
            | Local::Eprt
            | Local::Type
            | Local::Stru
            | Local::Mode
            | Local::Allo
            | Local::Rest
            | Local::Abor
            | Local::Pwd
            | Local::Syst
            | Local::Help
            | Local::Noop
            | Local::Feat
            | Local::Opts
            | Local::Acct
            | Local::Rang
            | Local::Clnt
            | Local::Pbsz
            | Local::Prot => {
                if let Some(reply) = self.immediate(local, argument) {
                    self.send(&reply).await?;
                }
                Ok(Flow::Continue)
            }
        }
    }
}
