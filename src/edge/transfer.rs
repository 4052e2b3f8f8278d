//! Transfers as the control connection sees them: preparing the data connection, the 150, and the commands that are
//! answered while a transfer runs (RFC 959 section 4.1.3; ABOR, STAT, NOOP, QUIT).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::oneshot;

use super::command::{Command, Local};
use super::connection::{Client, Flow};
use super::data::PassiveOpener;
use super::line::Line;
use super::reply::reworded;
use super::verb::Service;
use crate::control::{Control, Reply};
use crate::data::{Abort, AbortReason};
use crate::files::VirtualPath;
use crate::session::{Transfer, TransferKind};

/// A transfer command, understood.
pub(super) struct Request {
    /// The verb that control gets.
    pub(super) verb: &'static str,
    pub(super) path: VirtualPath,
    pub(super) kind: TransferKind,
    /// The text of the 150.
    pub(super) announcement: String,
}

/// What a running transfer looks like from the control connection.
struct Running {
    abort: Abort,
    moved: Arc<AtomicU64>,
    verb: &'static str,
    aborted_by_client: bool,
}

impl Client {
    /// Runs a transfer and answers what may be answered meanwhile.
    pub(super) async fn transfer(&mut self, control: &mut Control, request: Request) -> io::Result<Flow> {
        let Some(slot) = self.passive.take() else {
            self.send(&Reply::new(425, "Use PASV or EPSV first")).await?;
            return Ok(Flow::Continue);
        };
        let mut running = Running {
            abort: Abort::new(),
            moved: Arc::default(),
            verb: request.verb,
            aborted_by_client: false,
        };
        let (tell, mut told) = oneshot::channel();
        let opening = Box::new(PassiveOpener {
            slot,
            control: self.socket.clone(),
            data_timeout: self.edge.config.data_timeout,
            abort: running.abort.clone(),
            moved: Arc::clone(&running.moved),
            opened: tell,
        });
        let transfer = Transfer { kind: request.kind, opener: opening, abort: running.abort.clone() };
        self.session.begin(request.verb, Some(transfer));
        let line = format!("{} {}", request.verb, request.path);
        let mut ending = Box::pin(control.transfer(&line));
        let mut announced = false;
        let stopping = self.edge.front.shutdown.clone();
        let reply = loop {
            tokio::select! {
                biased;
                announcing = &mut told, if !announced => {
                    announced = true;
                    if announcing.is_ok() {
                        self.announce(&request.announcement, &running).await;
                    }
                }
                reply = &mut ending => break reply?,
                () = stopping.stopping(), if !running.abort.is_requested() => {
                    running.abort.abort(AbortReason::Shutdown);
                }
                line = self.lines.next(), if self.reads_on() => self.meanwhile(line, &mut running).await,
            }
        };
        // Both may have come at once.
        if !announced && told.try_recv().is_ok() {
            self.announce(&request.announcement, &running).await;
        }
        drop(ending);
        let reply = reworded(request.verb, &request.path, reply, &self.session);
        self.send(&reply).await?;
        if running.aborted_by_client {
            // RFC 959 section 4.1.3: the transfer's own reply first, then the one to ABOR.
            self.send(&Reply::new(226, "ABOR done")).await?;
        }
        Ok(if running.abort.reason() == Some(AbortReason::ClientLost) { Flow::Close } else { Flow::Continue })
    }

    async fn announce(&mut self, text: &str, running: &Running) {
        if self.send(&Reply::new(150, text)).await.is_err() {
            running.abort.abort(AbortReason::ClientLost);
        }
    }

    /// Whether the next line may be read: not while one is held back, and not after the end.
    fn reads_on(&self) -> bool {
        self.held.is_none() && !self.leaving && !self.ended
    }

    /// Answers a line that came while a transfer runs, or holds it back.
    async fn meanwhile(&mut self, line: io::Result<Line>, running: &mut Running) {
        let answered = match line {
            Ok(Line::Command(line)) => self.meanwhile_command(line, running).await,
            Ok(Line::TooLong) => self.send(&Reply::new(500, "Command line too long")).await,
            Ok(Line::Endless | Line::End) | Err(_) => {
                self.ended = true;
                running.abort.abort(AbortReason::ClientLost);
                Ok(())
            }
        };
        if answered.is_err() {
            self.ended = true;
            running.abort.abort(AbortReason::ClientLost);
        }
    }

    async fn meanwhile_command(&mut self, line: Vec<u8>, running: &mut Running) -> io::Result<()> {
        let begun = Instant::now();
        let command = match Command::parse(&line) {
            Ok(command) if command.verb.during_transfer() => command,
            // Everything else is answered in its turn, errors included.
            Ok(_) | Err(_) => {
                self.hold(line);
                return Ok(());
            }
        };
        match command.verb.service {
            Service::Edge(Local::Abor) => {
                // Its reply follows that of the transfer.
                running.aborted_by_client = true;
                running.abort.abort(AbortReason::Requested);
            }
            Service::Edge(Local::Quit) => {
                // The transfer finishes first (RFC 959 section 4.1.1).
                self.hold(line);
                self.leaving = true;
                return Ok(());
            }
            Service::Edge(Local::Stat) if command.argument.is_empty() => {
                let moved = running.moved.load(Ordering::Relaxed);
                let lines = [
                    "Status:".to_owned(),
                    format!(" {} in progress, {moved} bytes so far", running.verb),
                    "End of status".to_owned(),
                ];
                self.send(&Reply { code: 211, lines: lines.to_vec() }).await?;
            }
            Service::Edge(local) if local != Local::Stat => {
                if let Some(reply) = self.answer(local, &command.argument) {
                    self.send(&reply).await?;
                }
            }
            Service::Edge(_) | Service::Forward(_) | Service::Transfer(_) | Service::Refused(..) => {
                self.hold(line);
                return Ok(());
            }
        }
        self.edge.front.metrics.command(command.verb.name, begun.elapsed());
        Ok(())
    }

    /// Keeps a line for after the transfer. Having sent it, the client may close its side without being lost.
    fn hold(&mut self, line: Vec<u8>) {
        self.held = Some(line);
        self.socket.set_owed(true);
    }
}
