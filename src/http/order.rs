//! What the process can be asked to do over HTTP.

use tokio::sync::oneshot;

/// What the process is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// What SIGHUP asks for. Answered with everything that was not reloaded, and why.
    Reload(oneshot::Sender<Vec<String>>),
    /// What SIGTERM asks for.
    Drain,
}

/// How many orders may wait.
pub(super) const MOST_ORDERS: usize = 4;
