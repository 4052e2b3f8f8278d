//! Login: USER, PASS, REIN (RFC 959 section 4.1.1), passed on to control.

use std::io;

use super::attend::Running;
use super::state::{Client, Flow, Login, Settings};
use crate::control::Control;
use crate::reply::Reply;

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
        if password.chars().any(char::is_control) {
            // Nobody's password, and not to be passed on.
            self.restart_login(control).await?;
            self.send(&Reply::new(530, "Login incorrect")).await?;
            return Ok(Flow::Continue);
        }
        let reply = self.attend(control.pass(password), &mut Running::login()).await?;
        if reply.code == 230 {
            self.login = Login::Done;
            tracing::info!("logged in");
        } else {
            self.login = Login::Fresh;
        }
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
        self.route = None;
        Ok(())
    }
}
