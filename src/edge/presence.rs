//! Whether the client is still there. A client that was killed closes its data connection as orderly as one that has
//! sent everything; what its control connection does tells the two apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// What is known of one client. Clones share it: whoever reads the control connection tells, data connections ask.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence(Arc<State>);

#[derive(Debug, Default)]
struct State {
    leaving: AtomicBool,
    lost: CancellationToken,
}

impl Presence {
    /// The client has sent QUIT: it may end the control connection now.
    pub(super) fn set_leaving(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the client has sent QUIT.
    pub(super) fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// The control connection has ended. After QUIT that is in order.
    pub(super) fn set_ended(&self) {
        if !self.is_leaving() {
            self.0.lost.cancel();
        }
    }

    /// Whether the control connection ended without QUIT.
    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.is_cancelled()
    }

    /// Resolves when the control connection ends without QUIT.
    pub(super) async fn lost(&self) {
        self.0.lost.cancelled().await;
    }
}
