//! SITE: what is the gateway's own matter (RFC 959 section 4.1.3). Clients set modes and times after an upload and take
//! a refusal for its failure, so these are accepted and have no effect; a time is set with MFMT.

use std::io;
use std::time::Duration;

use super::state::{Client, Flow};
use crate::control::Control;
use crate::digest::Algorithm;
use crate::reply::Reply;

/// Every SITE command, as SITE HELP shows it.
const COMMANDS: &[(&str, &str, Site)] = &[
    ("HELP", "", Site::Help),
    ("CHMOD", " <mode> <path> (accepted, has no effect)", Site::Nothing),
    ("UMASK", " [mode] (accepted, has no effect)", Site::Nothing),
    ("UTIME", " <time> <path> (accepted, has no effect)", Site::Nothing),
    ("IDLE", " [seconds]", Site::Idle),
    ("MD5", " <path>", Site::Checksum(Algorithm::Md5)),
    ("SHA1", " <path>", Site::Checksum(Algorithm::Sha1)),
    ("SHA256", " <path>", Site::Checksum(Algorithm::Sha256)),
    ("SHA512", " <path>", Site::Checksum(Algorithm::Sha512)),
    ("CRC32", " <path>", Site::Checksum(Algorithm::Crc32)),
];

/// What a SITE command does.
#[derive(Clone, Copy)]
enum Site {
    Help,
    Nothing,
    Idle,
    Checksum(Algorithm),
}

impl Client {
    pub(super) async fn site(&mut self, control: &mut Control, argument: &str) -> io::Result<Flow> {
        let (name, rest) = argument.split_once(' ').unwrap_or((argument, ""));
        let found = COMMANDS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        let reply = match found {
            None => Reply::new(502, "Command not implemented, see SITE HELP"),
            Some((_, _, Site::Help)) => help(),
            Some((_, _, Site::Nothing)) => Reply::new(200, "Accepted, but it has no effect here"),
            Some((_, _, Site::Idle)) => self.idle(rest.trim()),
            Some((name, _, Site::Checksum(_))) if rest.is_empty() => {
                Reply::new(501, format!("Syntax: SITE {name} <path>"))
            }
            Some(&(_, _, Site::Checksum(algorithm))) => {
                return self.plain_checksum(control, rest, algorithm).await;
            }
        };
        self.refuse(&reply).await
    }

    /// How long the session may be idle: told, or made shorter.
    fn idle(&mut self, argument: &str) -> Reply {
        let most = self.most_idle();
        if !argument.is_empty() {
            let wanted = argument.parse().ok().map(Duration::from_secs);
            let Some(time) = wanted.filter(|time| !time.is_zero() && *time <= most) else {
                return Reply::new(501, format!("Syntax: SITE IDLE [1-{}]", most.as_secs()));
            };
            self.settings.idle_timeout = Some(time);
        }
        let time = self.idle_timeout().as_secs();
        Reply::new(200, format!("An idle session ends after {time} seconds"))
    }

    /// How long the session may be idle.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.settings.idle_timeout.unwrap_or_else(|| self.most_idle())
    }

    fn most_idle(&self) -> Duration {
        let own = self.session.admission().and_then(|admission| admission.idle_timeout());
        own.unwrap_or(self.edge.config.idle_timeout)
    }
}

/// Every SITE command.
pub(super) fn help() -> Reply {
    let mut lines = vec!["SITE commands:".to_owned()];
    lines.extend(COMMANDS.iter().map(|(name, syntax, _)| format!(" {name}{syntax}")));
    lines.push("End".to_owned());
    Reply::of_lines(214, lines)
}
