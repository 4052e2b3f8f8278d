//! Login: USER, PASS, REIN (RFC 959 section 4.1.1), passed on to control.

use std::io;

use super::connection::{Client, Flow, Settings};
use crate::control::{Control, Reply};

/// How far login has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Nothing yet.
    Fresh,
    /// USER was sent.
    Named,
    /// The session is a user's.
    Done,
}

impl Client {
    /// USER starts a login at any time (RFC 959 section 4.1.1).
    pub(super) async fn user(&mut self, control: &mut Control, name: &str) -> io::Result<()> {
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

    pub(super) async fn pass(&mut self, control: &mut Control, password: &str) -> io::Result<Flow> {
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
        let reply =
            failure.map_or_else(|| Reply::new(530, "Login incorrect"), |f| Reply::new(f.code, f.text));
        self.send(&reply).await?;
        Ok(if reply.code == 421 { Flow::Close } else { Flow::Continue })
    }

    /// Back to the state after the greeting, with a front end of its own.
    pub(super) async fn restart_login(&mut self, control: &mut Control) -> io::Result<()> {
        self.session.log_out();
        *control = Control::start(&self.edge.front, &self.session).await?;
        self.login = Login::Fresh;
        self.accepted = tokio::time::Instant::now();
        self.settings = Settings::default();
        self.passive = None;
        Ok(())
    }
}
