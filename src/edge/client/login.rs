//! Login: USER, PASS, REIN (RFC 959 section 4.1.1), passed on to control.

use std::io;

use super::attend::Running;
use super::state::{Client, Flow, Login, Settings};
use crate::control::Control;
use crate::encoding::UNREADABLE;
use crate::reply::Reply;

/// Failed logins, after which a session ends. Those that succeed in between change nothing: who has one password is not
/// to guess another.
const MOST_FAILED: u32 = 3;

impl Client {
    /// USER starts a login at any time (RFC 959 section 4.1.1).
    pub(super) async fn user(&mut self, control: &mut Control, name: &str) -> io::Result<Flow> {
        if self.login != Login::Fresh {
            self.restart_login(control).await?;
        }
        if name.chars().any(char::is_control) {
            self.send(&Reply::new(501, "Syntax: USER <name>")).await?;
            return Ok(Flow::Continue);
        }
        let reply = control.user(name).await?;
        if reply.code == 331 {
            self.login = Login::Named;
        }
        self.send(&reply).await?;
        Ok(Flow::Continue)
    }

    pub(super) async fn pass(&mut self, control: &mut Control, password: &str) -> io::Result<Flow> {
        if self.login != Login::Named {
            self.send(&Reply::new(503, "USER comes first")).await?;
            return Ok(Flow::Continue);
        }
        // In nobody's password, and not to be passed on; the rest of it fails as any other does, and counts.
        let password = password.replace(char::is_control, UNREADABLE);
        let reply = self.attend(control.pass(&password), &mut Running::login()).await?;
        if reply.code == 230 {
            self.login = Login::Done;
            let source = self.session.user().map(|user| tracing::field::display(user.source));
            tracing::info!(source, "logged in");
            self.send(&reply).await?;
            return Ok(Flow::Continue);
        }
        self.login = Login::Fresh;
        self.login_failed(&reply).await
    }

    async fn login_failed(&mut self, reply: &Reply) -> io::Result<Flow> {
        self.failed_logins += 1;
        self.send(reply).await?;
        let ends = reply.code == 421 || self.failed_logins >= MOST_FAILED;
        Ok(if ends { Flow::Close } else { Flow::Continue })
    }

    /// Back to the state after the greeting, with a front end of its own.
    pub(super) async fn restart_login(&mut self, control: &mut Control) -> io::Result<()> {
        self.forget();
        *control = Control::start(&self.edge.front, &self.session).await?;
        // Who only says USER again and again has no more time than others.
        if self.login == Login::Done {
            self.accepted = tokio::time::Instant::now();
        }
        self.login = Login::Fresh;
        Ok(())
    }

    /// Forgets the user and everything that the client has set.
    pub(super) fn forget(&mut self) {
        self.session.log_out();
        self.session.write_names_in(self.edge.config.filename_encoding);
        self.settings = Settings::default();
        self.route = None;
    }
}
