//! One client's control connection: reads commands, answers them in order, and never ends because of a bad one.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rand::distr::{Alphanumeric, SampleString};
use tokio::time::sleep_until;

use super::Edge;
use super::command::{Command, Local};
use super::line::{Line, LineReader};
use super::passive::Slot;
use super::reply::{quoted, reworded};
use super::socket::ControlSocket;
use super::transfer::Request;
use super::verb::{self, FEATURES, Service, VERBS};
use crate::control::{Control, Reply};
use crate::files::VirtualPath;
use crate::session::{Session, TransferKind};

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Close,
}

/// How far login has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    /// Nothing yet.
    Fresh,
    /// USER was sent.
    Named,
    /// The session is a user's.
    Done,
}

/// TYPE. Conversion of line ends is not done; the type is told in 150 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataType {
    Image,
    Ascii,
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
    accepted: tokio::time::Instant,
    login: Login,
    directory: VirtualPath,
    data_type: DataType,
    restart: u64,
    extended_passive_only: bool,
    renaming: bool,
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
        directory: VirtualPath::root(),
        data_type: DataType::Image,
        restart: 0,
        extended_passive_only: false,
        renaming: false,
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
                Ok(Line::Endless) => return self.send(&Reply::new(421, "Command line without end, closing")).await,
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
        let path = match self.directory.resolve(argument) {
            Ok(path) => path,
            Err(error) => return self.send(&Reply::new(if name == "RNTO" { 553 } else { 550 }, error.to_string())).await,
        };
        if name == "RNTO" && !std::mem::take(&mut self.renaming) {
            return self.send(&Reply::new(503, "RNFR comes first")).await;
        }
        self.session.begin(name, None);
        let reply = control.command(&format!("{name} {path}")).await?;
        let succeeded = reply.code < 400;
        let reply = reworded(name, &path, reply, &self.session);
        match name {
            "CWD" if succeeded => self.directory = path,
            "RNFR" => self.renaming = succeeded,
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
        let offset = std::mem::take(&mut self.restart);
        let unique = (asked == "STOU").then(unique_name);
        let (argument, pattern, prefix) = match &unique {
            Some(unique) => (unique.as_str(), None, String::new()),
            None if matches!(name, "LIST" | "NLST") => split_pattern(argument),
            None => (argument, None, String::new()),
        };
        let path = match self.directory.resolve(argument) {
            Ok(path) => path,
            Err(error) => {
                self.send(&Reply::new(if matches!(name, "STOR" | "APPE") { 553 } else { 550 }, error.to_string()))
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
        let mode = match self.data_type {
            DataType::Ascii => "ASCII",
            DataType::Image => "BINARY",
        };
        let announcement = match &unique {
            // RFC 1123 section 4.1.2.9: this is how the client learns the name.
            Some(unique) => format!("FILE: {unique}"),
            None if matches!(kind, TransferKind::List { .. }) => format!("Opening {mode} mode data connection for {name}."),
            None => format!("Opening {mode} mode data connection for {}.", path.file_name()),
        };
        self.transfer(control, Request { verb: name, path, kind, announcement }).await
    }

    /// USER starts a login at any time (RFC 959 section 4.1.1).
    async fn user(&mut self, control: &mut Control, name: &str) -> io::Result<()> {
        if self.login != Login::Fresh {
            self.restart_login(control).await?;
        }
        self.session.begin("USER", None);
        let reply = control.command(&format!("USER {name}")).await?;
        let reply = match reply.code {
            331 => {
                self.login = Login::Named;
                Reply::new(331, "Password required")
            }
            code => Reply::new(code, "Login not possible"),
        };
        self.send(&reply).await
    }

    async fn pass(&mut self, control: &mut Control, password: &str) -> io::Result<Flow> {
        if self.login != Login::Named {
            self.send(&Reply::new(503, "USER comes first")).await?;
            return Ok(Flow::Continue);
        }
        self.session.begin("PASS", None);
        let reply = control.command(&format!("PASS {password}")).await?;
        if reply.code == 230 {
            self.login = Login::Done;
            tracing::info!("logged in");
            self.send(&Reply::new(230, "Logged in")).await?;
            return Ok(Flow::Continue);
        }
        self.login = Login::Fresh;
        let failure = self.session.take_failure();
        let reply = failure.map_or_else(|| Reply::new(530, "Login incorrect"), |f| Reply::new(f.code, f.text));
        self.send(&reply).await?;
        Ok(if reply.code == 421 { Flow::Close } else { Flow::Continue })
    }

    /// Back to the state after the greeting, with a front end of its own.
    async fn restart_login(&mut self, control: &mut Control) -> io::Result<()> {
        self.session.log_out();
        *control = Control::start(&self.edge.front, &self.session).await?;
        self.login = Login::Fresh;
        self.accepted = tokio::time::Instant::now();
        self.directory = VirtualPath::root();
        self.data_type = DataType::Image;
        self.restart = 0;
        self.passive = None;
        self.extended_passive_only = false;
        self.renaming = false;
        Ok(())
    }

    async fn pasv(&mut self) -> Reply {
        if self.extended_passive_only {
            return Reply::new(503, "EPSV ALL was sent");
        }
        self.passive = None;
        let Some(address) = self.edge.passive.address_for(self.session.local.ip()).await else {
            return Reply::new(425, "No IPv4 address to offer, use EPSV");
        };
        let Some(slot) = self.edge.passive.wait_for(self.session.peer.ip()) else {
            return Reply::new(425, "No passive port free, try again later");
        };
        let ([a, b, c, d], [high, low]) = (address.octets(), slot.port().to_be_bytes());
        self.passive = Some(slot);
        Reply::new(227, format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low})"))
    }

    /// EPSV (RFC 2428 section 3).
    fn epsv(&mut self, argument: &str) -> Reply {
        let ours = if self.session.peer.is_ipv4() { "1" } else { "2" };
        match argument {
            "" => {}
            protocol if protocol == ours => {}
            "1" | "2" => return Reply::new(522, format!("Network protocol not supported, use ({ours})")),
            all if all.eq_ignore_ascii_case("ALL") => {
                self.extended_passive_only = true;
                return Reply::new(200, "EPSV only from now on");
            }
            _ => return Reply::new(501, "Syntax: EPSV [1|2|ALL]"),
        }
        self.passive = None;
        match self.edge.passive.wait_for(self.session.peer.ip()) {
            Some(slot) => {
                let reply = Reply::new(229, format!("Entering Extended Passive Mode (|||{}|)", slot.port()));
                self.passive = Some(slot);
                reply
            }
            None => Reply::new(425, "No passive port free, try again later"),
        }
    }

    /// What needs neither control nor waiting. None where the answer comes from elsewhere.
    pub(super) fn answer(&mut self, local: Local, argument: &str) -> Option<Reply> {
        Some(match local {
            Local::Pwd => Reply::new(257, format!("{} is current directory.", quoted(&self.directory))),
            Local::Noop => Reply::new(200, "OK"),
            // RFC 959 section 4.1.3. Clients take this as the sign that LIST looks like `ls -l`.
            Local::Syst => Reply::new(215, "UNIX Type: L8"),
            // A 202 makes some cameras loop. No space is reserved: object stores need none.
            Local::Allo => Reply::new(200, "No storage allocation necessary"),
            Local::Clnt => Reply::new(200, "Noted"),
            Local::Type => self.set_type(argument),
            Local::Stru => match argument.to_ascii_uppercase().as_str() {
                "F" => Reply::new(200, "Structure is file"),
                "R" | "P" => Reply::new(504, "Only STRU F is supported"),
                _ => Reply::new(501, "Syntax: STRU F"),
            },
            Local::Mode => match argument.to_ascii_uppercase().as_str() {
                "S" => Reply::new(200, "Mode is stream"),
                "B" | "C" => Reply::new(504, "Only MODE S is supported"),
                _ => Reply::new(501, "Syntax: MODE S"),
            },
            Local::Rest => match argument.parse() {
                Ok(offset) => {
                    self.restart = offset;
                    Reply::new(350, format!("Restarting at {offset}"))
                }
                Err(_) => Reply::new(501, "Syntax: REST <bytes>"),
            },
            Local::Abor => {
                self.passive = None;
                Reply::new(226, "No transfer to abort")
            }
            Local::Feat => features(),
            Local::Help => help(argument),
            Local::Opts => options(argument),
            Local::Stat => self.status(),
            Local::User
            | Local::Pass
            | Local::Cdup
            | Local::Rein
            | Local::Quit
            | Local::Pasv
            | Local::Epsv => return None,
        })
    }

    fn set_type(&mut self, argument: &str) -> Reply {
        let upper = argument.to_ascii_uppercase();
        // RFC 959 section 3.1.1: "A" and "L" may be followed by a format and a byte size.
        match upper.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["A"] | ["A", "N"] => self.data_type = DataType::Ascii,
            ["I"] | ["L", "8"] => self.data_type = DataType::Image,
            ["A", "T" | "C"] | ["E", ..] | ["L", _] => return Reply::new(504, "Only TYPE A, I and L 8 are supported"),
            _ => return Reply::new(501, "Syntax: TYPE A|I|L 8"),
        }
        Reply::new(200, format!("Type set to {upper}."))
    }

    fn status(&self) -> Reply {
        let mut lines = vec!["Bucketport status:".to_owned()];
        match self.session.user() {
            Some(user) => lines.push(format!(" Logged in as {user}, working directory {}", quoted(&self.directory))),
            None => lines.push(" Not logged in".to_owned()),
        }
        lines.push(" No transfer in progress".to_owned());
        lines.push("End of status".to_owned());
        Reply { code: 211, lines }
    }

    /// Sends a reply.
    pub(super) async fn send(&self, reply: &Reply) -> io::Result<()> {
        tracing::debug!(code = reply.code, text = reply.lines.first(), "reply");
        self.socket.write(reply.to_wire().as_bytes()).await
    }
}

/// RFC 2389 section 3.2.
fn features() -> Reply {
    let mut lines = vec!["Features:".to_owned()];
    let features = VERBS.iter().filter_map(|verb| verb.feature).chain(FEATURES.iter().copied());
    lines.extend(features.map(|feature| format!(" {feature}")));
    lines.push("End".to_owned());
    Reply { code: 211, lines }
}

fn help(argument: &str) -> Reply {
    if argument.is_empty() {
        let served = VERBS.iter().filter(|verb| !matches!(verb.service, Service::Refused(..)));
        let names: Vec<_> = served.map(|verb| verb.name).collect();
        let mut lines = vec!["Commands:".to_owned()];
        lines.extend(names.chunks(10).map(|names| format!(" {}", names.join(" "))));
        lines.push("End".to_owned());
        return Reply { code: 214, lines };
    }
    match verb::find(argument) {
        Some(verb) => match verb.service {
            Service::Refused(_, why) => Reply::new(214, format!("{}: {why}", verb.name)),
            Service::Edge(_) | Service::Forward(_) | Service::Transfer(_) => {
                Reply::new(214, format!("Syntax: {}", verb.syntax()))
            }
        },
        None => Reply::new(502, "Unknown command"),
    }
}

/// OPTS (RFC 2389 section 4).
fn options(argument: &str) -> Reply {
    let upper = argument.to_ascii_uppercase();
    match upper.split_whitespace().collect::<Vec<_>>().as_slice() {
        // Names are UTF-8 whatever the client says (RFC 2640).
        ["UTF8" | "UTF-8"] | ["UTF8" | "UTF-8", "ON" | "NLST"] => Reply::new(200, "Names are in UTF-8"),
        ["UTF8" | "UTF-8", "OFF"] => Reply::new(504, "Names are always in UTF-8"),
        // RFC 3659 section 7.9: the reply names the facts that will be sent.
        ["MLST", ..] => Reply::new(200, "MLST OPTS type;size;modify;"),
        _ => Reply::new(501, "Option not understood"),
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
    if last.contains(['*', '?', '[']) { (prefix, Some(last.to_owned()), prefix.to_owned()) } else { (argument, None, String::new()) }
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
