//! One client's control connection: reads commands, answers them in order, and never ends because of a bad one.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rand::distr::{Alphanumeric, SampleString};
use tokio::time::sleep_until;

use super::Edge;
use super::command::{Command, Local};
use super::line::{Line, LineReader};
use super::login::Login;
use super::passive::Slot;
use super::reply::reworded;
use super::socket::ControlSocket;
use super::transfer::Request;
use super::verb::{self, Service};
use crate::control::{Control, Reply};
use crate::files::VirtualPath;
use crate::session::{Session, TransferKind};

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Close,
}

/// TYPE. Conversion of line ends is not done; the type is told in 150 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    Image,
    Ascii,
}

/// What a client has set since it logged in.
pub(super) struct Settings {
    pub(super) directory: VirtualPath,
    pub(super) data_type: DataType,
    /// From REST, for the next transfer.
    pub(super) restart: u64,
    /// After EPSV ALL (RFC 2428 section 4).
    pub(super) extended_passive_only: bool,
    /// RNFR was accepted.
    pub(super) renaming: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            directory: VirtualPath::root(),
            data_type: DataType::Image,
            restart: 0,
            extended_passive_only: false,
            renaming: false,
        }
    }
}

/// The client's side of a session: its socket and what it has set.
pub(super) struct Client {
    pub(super) edge: Arc<Edge>,
    pub(super) session: Arc<Session>,
    pub(super) socket: ControlSocket,
    pub(super) lines: LineReader,
    pub(super) passive: Option<Slot>,
    /// A line that came during a transfer and waits for its turn.
    pub(super) held: Option<Vec<u8>>,
    /// QUIT came during a transfer.
    pub(super) leaving: bool,
    /// The control connection ended during a transfer.
    pub(super) ended: bool,
    /// When the connection, or the last REIN, came.
    pub(super) accepted: tokio::time::Instant,
    pub(super) login: Login,
    pub(super) settings: Settings,
}

/// Serves a control connection until it ends.
pub(super) async fn run(edge: Arc<Edge>, socket: ControlSocket, session: Arc<Session>) {
    tracing::info!("session begins");
    let client = Client {
        lines: LineReader::new(socket.clone()),
        edge,
        session,
        socket,
        passive: None,
        held: None,
        leaving: false,
        ended: false,
        accepted: tokio::time::Instant::now(),
        login: Login::Fresh,
        settings: Settings::default(),
    };
    match client.serve().await {
        Ok(()) => tracing::info!("session ends"),
        Err(error) => tracing::info!(%error, "session lost"),
    }
}

impl Client {
    async fn serve(mut self) -> io::Result<()> {
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
                    continue;
                }
                Ok(Line::Endless) => {
                    return self.send(&Reply::new(421, "Command line without end, closing")).await;
                }
                Ok(Line::End) => return Ok(()),
                Err(closing) => return self.send(&closing).await,
            };
            let begun = Instant::now();
            let parsed = Command::parse(&line);
            let label = parsed.as_ref().map_or(verb::OTHER, |command| command.verb.name);
            let flow = match parsed {
                Ok(command) => match self.execute(&mut control, command).await {
                    Ok(flow) => flow,
                    Err(error) => {
                        // Either the client is gone and hears nothing, or our own front end is and the client must.
                        let _ = self.send(&Reply::new(421, "Service not available, closing")).await;
                        return Err(error);
                    }
                },
                Err(reply) => {
                    self.send(&reply).await?;
                    Flow::Continue
                }
            };
            self.edge.front.metrics.command(label, begun.elapsed());
            if flow == Flow::Close || self.ended {
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
        if let Some(line) = self.held.take() {
            self.socket.set_owed(false);
            return Ok(Ok(Line::Command(line)));
        }
        let config = &self.edge.config;
        let deadline = match self.login {
            Login::Done => tokio::time::Instant::now() + config.idle_timeout,
            Login::Fresh | Login::Named => self.accepted + config.login_timeout,
        };
        tokio::select! {
            biased;
            () = shutdown.draining() => Ok(Err(Reply::new(421, "Shutting down"))),
            line = self.lines.next() => Ok(Ok(line?)),
            () = sleep_until(deadline) => Ok(Err(Reply::new(421, "Timeout, closing"))),
        }
    }

    async fn execute(&mut self, control: &mut Control, command: Command) -> io::Result<Flow> {
        let Command { verb, argument } = command;
        if self.login != Login::Done && !verb.before_login() {
            self.send(&Reply::new(530, "Log in with USER and PASS first")).await?;
            return Ok(Flow::Continue);
        }
        match verb.service {
            Service::Refused(code, text) => self.send(&Reply::new(code, text)).await?,
            Service::Forward(name) => self.forward(control, name, &argument).await?,
            Service::Transfer(name) => return self.begin_transfer(control, verb.name, name, &argument).await,
            Service::Edge(Local::User) => self.user(control, &argument).await?,
            Service::Edge(Local::Pass) => return self.pass(control, &argument).await,
            Service::Edge(Local::Rein) => {
                self.restart_login(control).await?;
                self.send(&Reply::new(220, "Ready for a new user")).await?;
            }
            Service::Edge(Local::Quit) => {
                self.send(&Reply::new(221, "Goodbye")).await?;
                return Ok(Flow::Close);
            }
            Service::Edge(Local::Cdup) => self.forward(control, "CWD", "..").await?,
            Service::Edge(Local::Stat) if !argument.is_empty() => {
                if self.login == Login::Done {
                    self.forward(control, "STAT", &argument).await?;
                } else {
                    self.send(&Reply::new(530, "Log in with USER and PASS first")).await?;
                }
            }
            Service::Edge(local @ (Local::Pasv | Local::Epsv)) => {
                let reply = if local == Local::Pasv { self.pasv().await } else { self.epsv(&argument) };
                self.send(&reply).await?;
                if self.passive.is_some() {
                    control.prepare().await?;
                }
            }
            Service::Edge(local) => {
                if let Some(reply) = self.answer(local, &argument) {
                    self.send(&reply).await?;
                }
            }
        }
        Ok(Flow::Continue)
    }

    /// Passes a command on with its path made absolute and normal.
    async fn forward(&mut self, control: &mut Control, name: &'static str, argument: &str) -> io::Result<()> {
        let path = match self.settings.directory.resolve(argument) {
            Ok(path) => path,
            Err(error) => {
                return self
                    .send(&Reply::new(if name == "RNTO" { 553 } else { 550 }, error.to_string()))
                    .await;
            }
        };
        if name == "RNTO" && !std::mem::take(&mut self.settings.renaming) {
            return self.send(&Reply::new(503, "RNFR comes first")).await;
        }
        self.session.begin(name, None);
        let reply = control.command(&format!("{name} {path}")).await?;
        let succeeded = reply.code < 400;
        let reply = reworded(name, &path, reply, &self.session);
        match name {
            "CWD" if succeeded => self.settings.directory = path,
            "RNFR" => self.settings.renaming = succeeded,
            _ => {}
        }
        self.send(&reply).await
    }

    async fn begin_transfer(
        &mut self,
        control: &mut Control,
        asked: &'static str,
        name: &'static str,
        argument: &str,
    ) -> io::Result<Flow> {
        // RFC 3659 section 5.2: REST holds for the next transfer only, whatever becomes of that.
        let offset = std::mem::take(&mut self.settings.restart);
        let unique = (asked == "STOU").then(unique_name);
        let (argument, pattern, prefix) = match &unique {
            Some(unique) => (unique.as_str(), None, String::new()),
            None if matches!(name, "LIST" | "NLST") => split_pattern(argument),
            None => (argument, None, String::new()),
        };
        let path = match self.settings.directory.resolve(argument) {
            Ok(path) => path,
            Err(error) => {
                self.send(&Reply::new(
                    if matches!(name, "STOR" | "APPE") { 553 } else { 550 },
                    error.to_string(),
                ))
                .await?;
                return Ok(Flow::Continue);
            }
        };
        let kind = match name {
            "STOR" => TransferKind::Store { offset },
            "APPE" => TransferKind::Append,
            "RETR" => TransferKind::Retrieve { offset },
            _ => TransferKind::List { pattern, prefix },
        };
        let mode = match self.settings.data_type {
            DataType::Ascii => "ASCII",
            DataType::Image => "BINARY",
        };
        let announcement = match &unique {
            // RFC 1123 section 4.1.2.9: this is how the client learns the name.
            Some(unique) => format!("FILE: {unique}"),
            None if matches!(kind, TransferKind::List { .. }) => {
                format!("Opening {mode} mode data connection for {name}.")
            }
            None => format!("Opening {mode} mode data connection for {}.", path.file_name()),
        };
        self.transfer(control, Request { verb: name, path, kind, announcement }).await
    }

    /// Sends a reply.
    pub(super) async fn send(&self, reply: &Reply) -> io::Result<()> {
        tracing::debug!(code = reply.code, text = reply.lines.first(), "reply");
        self.socket.write(reply.to_wire().as_bytes()).await
    }
}

/// A name for STOU that nobody else has: the time for people, the rest for uniqueness.
fn unique_name() -> String {
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%S");
    format!("stou-{now}-{}", Alphanumeric.sample_string(&mut rand::rng(), 12))
}

/// `dir/*.csv` is the directory `dir`, the pattern `*.csv`, and `dir/` before each name in NLST.
fn split_pattern(argument: &str) -> (&str, Option<String>, String) {
    let (prefix, last) = argument.rfind('/').map_or(("", argument), |slash| argument.split_at(slash + 1));
    if last.contains(['*', '?', '[']) {
        (prefix, Some(last.to_owned()), prefix.to_owned())
    } else {
        (argument, None, String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_told_from_paths() {
        assert_eq!(split_pattern("*.csv"), ("", Some("*.csv".into()), String::new()));
        assert_eq!(split_pattern("in/a?"), ("in/", Some("a?".into()), "in/".into()));
        assert_eq!(split_pattern("in/a"), ("in/a", None, String::new()));
        assert_eq!(split_pattern("in*/a"), ("in*/a", None, String::new()));
    }
}
