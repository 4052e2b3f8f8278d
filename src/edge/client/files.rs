//! Commands that concern files: their paths made absolute and normal, and passed on to control.

use std::borrow::Cow;
use std::io;

use rand::distr::{Alphanumeric, SampleString};
use tokio::sync::oneshot;

use super::attend::Running;
use super::state::{Client, DataType, Flow, NextTransfer};
use crate::config::Backslash;
use crate::control::Control;
use crate::data::AbortReason;
use crate::edge::data::{LineEnds, Opener, Terms};
use crate::edge::verb;
use crate::path::VirtualPath;
use crate::reply::Reply;
use crate::session::{Operation, Pending, Transfer};

impl Client {
    /// Has a command done that needs no data connection.
    pub(super) async fn forward(
        &mut self,
        control: &mut Control,
        operation: Operation,
        argument: &str,
    ) -> io::Result<Flow> {
        // Semantics decision: the size is that of what a transfer would move (RFC 3659 section 4), which nobody knows
        // before the line ends are counted.
        if operation == Operation::Size && self.line_ends() == LineEnds::Converted {
            return self.refuse(&Reply::new(550, "The size under TYPE A is not known, use TYPE I")).await;
        }
        let path = match self.resolve(operation, argument) {
            Ok(path) => path,
            Err(reply) => return self.refuse(&reply).await,
        };
        let mut pending = Pending::new(operation, path.clone());
        if operation == Operation::Rnto {
            pending.from = self.settings.renaming.take();
            if pending.from.is_none() {
                return self.refuse(&Reply::new(503, "RNFR comes first")).await;
            }
        }
        let running = Running::command(&pending);
        let (reply, flow) = self.perform(control, pending, running).await?;
        if operation == Operation::Cwd && !reply.is_failure() {
            self.settings.directory = path;
        } else if operation == Operation::Rnfr {
            self.settings.renaming = (!reply.is_failure()).then_some(path);
        }
        Ok(flow)
    }

    /// Has a file or a listing transferred.
    pub(super) async fn transfer(
        &mut self,
        control: &mut Control,
        operation: Operation,
        argument: &str,
    ) -> io::Result<Flow> {
        let next = std::mem::take(&mut self.settings.next);
        let argument = &*self.separated(argument);
        let path = match self.resolve(operation, argument) {
            Ok(path) => path,
            Err(reply) => return self.refuse(&reply).await,
        };
        let mode = match self.settings.data_type {
            DataType::Ascii => "ASCII",
            DataType::Image => "BINARY",
        };
        let what = if operation.moves_file() { path.file_name() } else { operation.verb() };
        let announcement = format!("Opening {mode} mode data connection for {what}.");
        self.transfer_path(control, operation, path, argument, (next, announcement)).await
    }

    /// STOU: STOR with a name of our own (RFC 959 section 4.1.3).
    pub(super) async fn store_unique(&mut self, control: &mut Control) -> io::Result<Flow> {
        let next = std::mem::take(&mut self.settings.next);
        let name = unique_name();
        let path = match self.resolve(Operation::Stor, &name) {
            Ok(path) => path,
            Err(reply) => return self.refuse(&reply).await,
        };
        // RFC 1123 section 4.1.2.9: this is how the client learns the name.
        let announcement = format!("FILE: {name}");
        self.transfer_path(control, Operation::Stor, path, &name, (next, announcement)).await
    }

    async fn transfer_path(
        &mut self,
        control: &mut Control,
        operation: Operation,
        path: VirtualPath,
        argument: &str,
        (next, announcement): (NextTransfer, String),
    ) -> io::Result<Flow> {
        // A listing is the text that it is.
        let line_ends = if operation.moves_file() { self.line_ends() } else { LineEnds::Kept };
        if next.restart > 0 && line_ends == LineEnds::Converted {
            return self.refuse(&no_restart()).await;
        }
        let announced = next.announced.filter(|_| operation.is_upload());
        // Silence would send, or take, other bytes than the client believes.
        if next.range.is_some() {
            return self.refuse(&Reply::new(504, "RANG is served for HASH only, use REST")).await;
        }
        let tls = match self.data_tls(operation) {
            Ok(tls) => tls,
            Err(reply) => return self.refuse(&reply).await,
        };
        let Some(route) = self.route.take() else {
            return self.refuse(&Reply::new(425, "Use PASV or EPSV first")).await;
        };
        let mut pending = Pending::new(operation, path);
        // What ALLO tells is the size of all of the file, and what crosses the wire under TYPE A has another.
        if let Some(bytes) = announced.filter(|_| next.restart == 0 && line_ends == LineEnds::Kept) {
            pending.expect(bytes);
        }
        let on_control_lost = self.on_control_lost();
        let terms = Terms {
            data_timeout: self.edge.config.data_timeout,
            line_ends,
            abort: pending.abort.clone(),
            moved: pending.moved.clone(),
            presence: self.presence.clone(),
            on_control_lost,
            announced,
        };
        let (tell, told) = oneshot::channel();
        let opener = Box::new(Opener { route, tls, terms, opened: tell });
        let (offset, argument) = (next.restart, argument.to_owned());
        pending.transfer = Some(Transfer { offset, argument, announced, opener });
        let running = Running::command(&pending)
            .announcing(told, Reply::new(150, announcement))
            .outliving(on_control_lost, announced);
        Ok(self.perform(control, pending, running).await?.1)
    }

    /// Has `pending` done and sends the reply, and the one to an ABOR that came meanwhile.
    pub(super) async fn perform(
        &mut self,
        control: &mut Control,
        pending: Pending,
        mut running: Running,
    ) -> io::Result<(Reply, Flow)> {
        let abort = pending.abort.clone();
        let reply = self.attend(control.perform(pending), &mut running).await?;
        self.send(&reply).await?;
        let (aborts, took) = running.aborts();
        for _ in 0..aborts {
            // RFC 959 section 4.1.3: the command's own reply first, then the one to ABOR.
            self.send(&Reply::new(226, "ABOR done")).await?;
            self.edge.front.metrics.command(verb::ABOR, took);
        }
        let lost = abort.reason() == Some(AbortReason::ClientLost);
        Ok((reply, if lost { Flow::Close } else { Flow::Continue }))
    }

    /// Sends a reply that is all there is to it.
    pub(super) async fn refuse(&mut self, reply: &Reply) -> io::Result<Flow> {
        self.send(reply).await?;
        Ok(Flow::Continue)
    }

    /// The path `argument` with slashes where this client's separators are.
    fn separated<'a>(&self, argument: &'a str) -> Cow<'a, str> {
        match self.edge.config.backslash {
            Backslash::Separator if argument.contains('\\') => argument.replace('\\', "/").into(),
            Backslash::Separator | Backslash::Keep => argument.into(),
        }
    }

    /// What `argument` means to this client, or the reply with which it is refused.
    pub(super) fn resolve(&self, operation: Operation, argument: &str) -> Result<VirtualPath, Reply> {
        let argument = &*self.separated(argument);
        let refused = |why: String| Reply::new(operation.name_refused(), why);
        let path = self.settings.directory.resolve(argument).map_err(|error| refused(error.to_string()))?;
        let names_directory = matches!(argument.rsplit('/').next(), Some("" | "." | ".."));
        // The root is refused in its own words.
        if operation.writes_file() && names_directory && !path.is_root() {
            return Err(refused("Not the name of a file".to_owned()));
        }
        Ok(path)
    }
}

/// The reply to REST, or to the transfer after it, under `TYPE A`.
// Semantics decision: the offset would count bytes on the wire (RFC 3659 section 5.3), and which byte of the file that
// is cannot be known without reading all of it.
pub(super) fn no_restart() -> Reply {
    Reply::new(504, "Transfers under TYPE A begin at the beginning, use TYPE I")
}

/// A name for STOU that nobody else has: the time for people, the rest for uniqueness.
fn unique_name() -> String {
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%S");
    format!("stou-{now}-{}", Alphanumeric.sample_string(&mut rand::rng(), 12))
}
