//! Building and running one session's libunftp.

use std::sync::Arc;

use libunftp::ServerBuilder;
use tokio::net::TcpStream;

use super::authenticator::SessionAuthenticator;
use super::command::Backend;
use super::front::Front;
use super::handler::{self, Handler};
use crate::session::Session;

/// libunftp ends a session that is idle for this long; the edge's own `ftp.idle_timeout` always comes first.
const NEVER: u64 = 366 * 24 * 3600;

/// Runs libunftp for `session` on its end of the loopback pair, until that is closed.
pub(super) fn serve(
    front: &Front,
    session: &Arc<Session>,
    stream: TcpStream,
) -> impl Future<Output = ()> + Send + use<> {
    let login = Arc::new(SessionAuthenticator::new(front, session));
    let backend = Backend::new(front, session);
    let server =
        ServerBuilder::with_user_detail_provider(Box::new(move || backend.clone()), Arc::clone(&login) as _)
            .authenticator(login)
            .site_command(handler::NAME, Handler)
            .idle_session_timeout(NEVER)
            .metrics()
            .build();
    async move {
        match server {
            Ok(server) => {
                if let Err(error) = server.service(stream).await {
                    tracing::warn!(%error, "control front end failed");
                }
            }
            Err(error) => tracing::error!(%error, "control front end refused its configuration"),
        }
    }
}
