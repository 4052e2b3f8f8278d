//! What is done for a client while one of its commands runs: the control connection is read all the time, ABOR and the
//! client's departure take effect at once (RFC 959 section 4.1.3), and whatever has to wait for its turn is queued.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::state::Client;
use crate::config::OnControlLost;
use crate::data::{Abort, AbortReason};
use crate::edge::command::Command;
use crate::edge::line::Line;
use crate::edge::verb::{Local, Service};
use crate::reply::Reply;
use crate::session::{Operation, Pending};

/// Scripts send all their commands, end their side, and read: what was sent before the end is still done, as long as
/// it takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same for who has said QUIT, and so is known to wait for the replies.
const PATIENCE_AFTER_QUIT: Duration = Duration::from_secs(30);
/// How long a command that was told to give up may hold its session. It goes on without one: what a store has begun to
/// confirm is not cut short.
const ABANDON: Duration = Duration::from_secs(10);
/// How long a login may take: longer than verifying a password, or asking somebody else, can.
const LONGEST_LOGIN: Duration = Duration::from_secs(45);

/// The command that runs, as the control connection sees it.
pub(super) struct Running {
    /// None during login.
    operation: Option<Operation>,
    abort: Abort,
    moved: Arc<AtomicU64>,
    /// The 150, and who tells that it is due.
    announcement: Option<(oneshot::Receiver<()>, Reply)>,
    /// An upload that can be complete although the control connection is gone.
    outlives_control: bool,
    /// How often the client has sent ABOR, and when first.
    aborts: Option<(usize, Instant)>,
    limit: Limit,
}

/// How long the command is waited for.
enum Limit {
    None,
    /// Then it is told to give up.
    Cancel(Instant),
    /// Then the session ends without it.
    Abandon(Instant),
}

impl Running {
    /// A login.
    pub(super) fn login() -> Self {
        Self { limit: Limit::Abandon(Instant::now() + LONGEST_LOGIN), ..Self::of(None) }
    }

    fn of(operation: Option<Operation>) -> Self {
        Self {
            operation,
            abort: Abort::new(),
            moved: Arc::default(),
            announcement: None,
            outlives_control: false,
            aborts: None,
            limit: Limit::None,
        }
    }

    /// A command that is passed on.
    pub(super) fn command(pending: &Pending) -> Self {
        Self {
            abort: pending.abort.clone(),
            moved: Arc::clone(&pending.moved),
            ..Self::of(Some(pending.operation))
        }
    }

    /// Has a 150 that goes out when `due` is told.
    pub(super) fn announcing(mut self, due: oneshot::Receiver<()>, reply: Reply) -> Self {
        self.announcement = Some((due, reply));
        self
    }

    /// An upload that these make independent of the control connection.
    pub(super) fn outliving(mut self, on_control_lost: OnControlLost, announced: Option<u64>) -> Self {
        self.outlives_control = on_control_lost == OnControlLost::Keep || announced.is_some();
        self
    }

    /// How often the client has sent ABOR, and how long ago first; each is owed a reply of its own.
    pub(super) fn aborts(&self) -> (usize, Duration) {
        self.aborts.map_or_else(Default::default, |(count, first)| (count, first.elapsed()))
    }

    fn has_data_connection(&self) -> bool {
        self.operation.is_some_and(Operation::has_data_connection)
    }

    fn is_upload(&self) -> bool {
        self.operation.is_some_and(Operation::is_upload)
    }

    fn give_up(&mut self, reason: AbortReason) {
        self.abort.abort(reason);
        self.limit = Limit::Abandon(Instant::now() + ABANDON);
    }
}

impl Client {
    /// Waits for `work`, which is what `running` describes, and serves the control connection meanwhile.
    pub(super) async fn attend<T>(
        &mut self,
        work: impl Future<Output = io::Result<T>>,
        running: &mut Running,
    ) -> io::Result<T> {
        let (edge, session) = (Arc::clone(&self.edge), Arc::clone(&self.session));
        let mut work = pin!(work);
        if self.ended {
            // What was sent ahead of the end has its time like what was running then.
            self.control_ended(running);
        }
        let done = loop {
            let limit = match running.limit {
                Limit::None => None,
                Limit::Cancel(at) | Limit::Abandon(at) => Some(at),
            };
            tokio::select! {
                biased;
                () = due(&mut running.announcement) => self.announce(running).await,
                done = &mut work => break done?,
                () = edge.front.shutdown.stopping(), if !running.abort.is_requested() => {
                    running.abort.abort(AbortReason::Shutdown);
                }
                () = session.dismissed(), if !running.abort.is_requested() => {
                    tracing::info!("closed by the operator");
                    running.give_up(AbortReason::Requested);
                }
                line = self.lines.arrive_or_end(), if !self.ended => self.meanwhile(line, running).await,
                () = sleep_until(limit.unwrap_or_else(Instant::now)), if limit.is_some() => match running.limit {
                    Limit::None => {}
                    Limit::Cancel(_) => running.give_up(AbortReason::ClientLost),
                    Limit::Abandon(_) => {
                        tracing::warn!("the session ends while its last command still runs");
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                },
            }
        };
        // Both may have come at once.
        if let Some((due, _)) = &mut running.announcement
            && due.try_recv().is_ok()
        {
            self.announce(running).await;
        }
        Ok(done)
    }

    async fn announce(&mut self, running: &mut Running) {
        // From here on the data connection tells how it goes.
        if let Limit::Cancel(_) = running.limit {
            running.limit = Limit::None;
        }
        if let Some((_, reply)) = running.announcement.take()
            && self.send(&reply).await.is_err()
        {
            self.control_ended(running);
        }
    }

    /// Serves a line that came while a command runs, or queues it.
    async fn meanwhile(&mut self, line: io::Result<Line>, running: &mut Running) {
        let line = match line {
            Ok(Line::Endless | Line::End) | Err(_) => return self.control_ended(running),
            // The client has said that nothing follows.
            Ok(_) if self.presence.is_leaving() => return,
            Ok(line) => line,
        };
        if let Line::Command(bytes) = &line
            && let Ok(command) = Command::parse(bytes, self.session.names())
        {
            match command.verb.service {
                Service::Own(Local::Abor) if running.operation.is_some() => {
                    // Its reply follows that of the command.
                    running.aborts.get_or_insert_with(|| (0, Instant::now())).0 += 1;
                    running.abort.abort(AbortReason::Requested);
                    return;
                }
                // What runs finishes first (RFC 959 section 4.1.1).
                Service::Own(Local::Quit) => self.presence.set_leaving(),
                // Only a transfer has replies of its own that others may stand between: whoever pipelines commands
                // counts on the order of the replies. The same goes for what follows a line that waits already.
                Service::Own(local)
                    if running.has_data_connection()
                        && command.verb.during_transfer()
                        && !self.lines.has_queued() =>
                {
                    if let Some(reply) = self.reply_during(local, &command.argument, running) {
                        let begun = std::time::Instant::now();
                        if self.send(&reply).await.is_err() {
                            self.control_ended(running);
                        }
                        self.edge.front.metrics.command(command.verb.name, begun.elapsed());
                        return;
                    }
                }
                Service::Own(_) | Service::Forward(_) | Service::Transfer(_) | Service::Refused(..) => {}
            }
        }
        self.lines.queue(line);
    }

    fn reply_during(&mut self, local: Local, argument: &str, running: &Running) -> Option<Reply> {
        if local != Local::Stat {
            return self.immediate(local, argument);
        }
        let verb = running.operation?.verb();
        let moved = running.moved.load(Ordering::Relaxed);
        let progress = format!(" {verb} in progress, {moved} bytes so far");
        let lines = vec!["Status:".to_owned(), progress, "End of status".to_owned()];
        // STAT with a path looks at files, which waits for its turn.
        argument.is_empty().then(|| Reply::of_lines(211, lines))
    }

    /// The control connection has ended, in order or not: what can still make sense goes on.
    fn control_ended(&mut self, running: &mut Running) {
        self.ended = true;
        self.presence.set_ended();
        let patience = if self.presence.is_lost() { PATIENCE } else { PATIENCE_AFTER_QUIT };
        let announced = running.announcement.is_none();
        if running.operation.is_none() {
            return;
        }
        if running.abort.is_requested() {
            running.limit = Limit::Abandon(Instant::now() + ABANDON);
        } else if running.has_data_connection() {
            // After QUIT the data connection alone tells how a transfer ends.
            let goes_on = !self.presence.is_lost() || (running.is_upload() && running.outlives_control);
            if !goes_on {
                running.give_up(AbortReason::ClientLost);
            } else if !announced {
                running.limit = Limit::Cancel(Instant::now() + PATIENCE_AFTER_QUIT);
            }
        } else {
            running.limit = Limit::Cancel(Instant::now() + patience);
        }
    }
}

/// Resolves when the announcement is due. Never, if there is none or nobody is left to tell.
async fn due(announcement: &mut Option<(oneshot::Receiver<()>, Reply)>) {
    if let Some((due, _)) = announcement {
        if due.await.is_ok() {
            return;
        }
        *announcement = None;
    }
    std::future::pending::<()>().await;
}
