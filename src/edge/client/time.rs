//! The time of a file, which clients set after an upload: MFMT, and MDTM with a time.

use std::io;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::attend::Running;
use super::state::{Client, Flow};
use crate::control::Control;
use crate::reply::Reply;
use crate::session::{Operation, Pending};

impl Client {
    /// MFMT (draft-somers-ftp-mfxx section 3).
    pub(super) async fn mfmt(&mut self, control: &mut Control, argument: &str) -> io::Result<Flow> {
        let Some((time, path)) = time_and_path(argument) else {
            return self.refuse(&Reply::new(501, "Syntax: MFMT <YYYYMMDDHHMMSS> <path>")).await;
        };
        self.set_time(control, time, path).await
    }

    /// MDTM (RFC 3659 section 3), and what clients from before MFMT say instead of that.
    pub(super) async fn mdtm(&mut self, control: &mut Control, argument: &str) -> io::Result<Flow> {
        match time_and_path(argument) {
            Some((time, path)) => self.set_time(control, time, path).await,
            None => self.forward(control, Operation::Mdtm, argument).await,
        }
    }

    async fn set_time(&mut self, control: &mut Control, time: DateTime<Utc>, path: &str) -> io::Result<Flow> {
        let path = match self.resolve(Operation::Mfmt, path) {
            Ok(path) => path,
            Err(reply) => return self.refuse(&reply).await,
        };
        let mut pending = Pending::new(Operation::Mfmt, path);
        pending.time = Some(time);
        let running = Running::command(&pending);
        Ok(self.perform(control, pending, running).await?.1)
    }
}

/// `20261125103000 a path`, in UTC. Fractions of a second are left out (RFC 3659 section 2.3).
// Semantics decision: whatever begins so has a time in it. The name of a file that does is asked for with `./` before it.
fn time_and_path(argument: &str) -> Option<(DateTime<Utc>, &str)> {
    let (time, path) = argument.split_once(' ').filter(|(_, path)| !path.is_empty())?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.len() != 14 || !digits(seconds) || !digits(fraction) {
        return None;
    }
    let time = NaiveDateTime::parse_from_str(seconds, "%Y%m%d%H%M%S").ok()?;
    Some((time.and_utc(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_before_a_path() {
        let read =
            |argument| time_and_path(argument).map(|(time, path)| (time.to_rfc3339(), path.to_owned()));
        let noon = |path: &str| Some(("2026-02-28T12:00:00+00:00".to_owned(), path.to_owned()));
        assert_eq!(read("20260228120000 x"), noon("x"));
        assert_eq!(read("20260228120000.123  a b "), noon(" a b "));
        for name in [
            "x",
            "20260228120000",
            "20260228120000 ",
            "20260230120000 x",
            "2026022812000 x",
            "202602281200000 x",
            "+2026022812000 x",
            "20260228120000. x",
            "20260228120000_x",
        ] {
            assert_eq!(read(name), None, "{name}");
        }
    }
}
