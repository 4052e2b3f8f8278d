//! TLS on the control connection, and what data connections get of it: AUTH, PBSZ and PROT (RFC 2228, RFC 4217).

use std::io;
use std::sync::Arc;

use tokio::time::timeout_at;

use super::NO_TLS;
use super::state::{Client, Flow, Login, Protection, Security};
use crate::config::TlsNeed;
use crate::control::Control;
use crate::edge::presence::Presence;
use crate::edge::socket;
use crate::metrics::SessionTls;
use crate::reply::Reply;
use crate::session::Operation;
use crate::tls::{self, Tls, Way};

impl Client {
    /// AUTH (RFC 4217 section 4).
    pub(super) async fn auth(&mut self, control: &mut Control, mechanism: &str) -> io::Result<Flow> {
        let Some(tls) = self.edge.tls.clone() else {
            return self.refuse(&Reply::new(502, NO_TLS)).await;
        };
        if let Security::Secure { .. } = self.security {
            return self.refuse(&Reply::new(503, "TLS is on already")).await;
        }
        if !["TLS", "TLS-C", "SSL"].iter().any(|known| mechanism.eq_ignore_ascii_case(known)) {
            return self.refuse(&Reply::new(504, "Only AUTH TLS is supported")).await;
        }
        if self.login != Login::Fresh {
            // Whoever spoke in the clear need not be who speaks from here on.
            self.restart_login(control).await?;
        }
        self.send(&Reply::new(234, "Begin the TLS handshake")).await?;
        if let Err(error) = self.secure(&tls, Protection::Unasked).await {
            tracing::info!(%error, "TLS handshake failed");
            return Ok(Flow::Close);
        }
        self.counted.encrypted(SessionTls::Explicit);
        Ok(Flow::Continue)
    }

    /// The handshake that an implicit session begins with. Clients from before RFC 4217 count on encrypted data
    /// without a PROT.
    pub(super) async fn begin_implicit_tls(&mut self) -> io::Result<()> {
        // The configuration has no implicit listener without it.
        let tls = self.edge.tls.clone().ok_or(io::ErrorKind::Unsupported)?;
        self.secure(&tls, Protection::Private).await
    }

    /// The handshake. What came in the clear before is dropped, and has set nothing: anybody could have sent it.
    async fn secure(&mut self, tls: &Tls, data: Protection) -> io::Result<()> {
        let edge = Arc::clone(&self.edge);
        let deadline = self.accepted + edge.config.login_timeout;
        let (stream, session) = tokio::select! {
            biased;
            () = edge.front.shutdown.draining() => return Err(io::ErrorKind::ConnectionAborted.into()),
            accepted = timeout_at(deadline, tls.accept(self.socket.clone())) => accepted??,
        };
        let (incoming, outgoing) = socket::secure(&self.socket, stream);
        self.lines.secure(incoming);
        self.outgoing = outgoing;
        self.forget();
        // A QUIT counts as soon as it arrives, and an upload whose client has said QUIT may lose its control connection.
        self.presence = Presence::default();
        self.session.secure(session.version(), session.client_certificate().cloned());
        self.security = Security::Secure { tls: session, data };
        Ok(())
    }

    /// Whether nobody may log in before AUTH.
    pub(super) fn needs_tls(&self) -> bool {
        matches!(self.security, Security::Clear) && self.requires_tls()
    }

    /// Whether all must use it, or the user who is logged in.
    fn requires_tls(&self) -> bool {
        self.edge.tls.as_ref().is_some_and(|tls| tls.need() == TlsNeed::Required)
            || self.session.admission().is_some_and(|admission| admission.requires_tls())
    }

    /// PBSZ (RFC 4217 section 8): TLS has no buffers to agree on.
    pub(super) fn pbsz(&mut self, size: &str) -> Reply {
        match &mut self.security {
            Security::Clear => Reply::new(503, "AUTH comes first"),
            Security::Secure { .. } if size.parse::<u32>().is_err() => Reply::new(501, "Syntax: PBSZ 0"),
            Security::Secure { data, .. } => {
                if *data == Protection::Unasked {
                    *data = Protection::Sized;
                }
                Reply::new(200, "PBSZ=0")
            }
        }
    }

    /// PROT (RFC 4217 section 9).
    pub(super) fn prot(&mut self, level: &str) -> Reply {
        let required = self.requires_tls();
        match (&mut self.security, level.to_ascii_uppercase().as_str()) {
            (Security::Clear, _) => Reply::new(503, "AUTH comes first"),
            (Security::Secure { data: Protection::Unasked, .. }, _) => Reply::new(503, "PBSZ comes first"),
            (Security::Secure { .. }, "C") if required => {
                Reply::new(534, "Data connections must be encrypted: PROT P")
            }
            (Security::Secure { data, .. }, "C") => {
                *data = Protection::Clear;
                Reply::new(200, "Data connections are in the clear")
            }
            (Security::Secure { data, .. }, "P") => {
                *data = Protection::Private;
                Reply::new(200, "Data connections are encrypted")
            }
            (Security::Secure { .. }, "S" | "E") => Reply::new(536, "Only PROT C and PROT P with TLS"),
            (Security::Secure { .. }, _) => Reply::new(504, "Only PROT C and PROT P"),
        }
    }

    /// With what the data connection of `operation` is encrypted, if at all, or the reply with which it is refused.
    pub(super) fn data_tls(&self, operation: Operation) -> Result<Option<(tls::Session, Way)>, Reply> {
        match &self.security {
            Security::Secure { tls, data: Protection::Private } => {
                let way = if operation.is_upload() { Way::Upload } else { Way::Download };
                Ok(Some((tls.clone(), way)))
            }
            // RFC 4217 section 9.
            Security::Clear | Security::Secure { .. } if self.requires_tls() => {
                Err(Reply::new(521, "Data connections must be encrypted: PBSZ 0, PROT P"))
            }
            Security::Clear | Security::Secure { .. } => Ok(None),
        }
    }
}
