//! What the program says to whoever has started it, and the exit codes that go with that.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _, stderr, stdout};
use std::process::ExitCode;

use crate::config::ConfigErrors;

/// `EX_USAGE` of sysexits.h: bad usage, and bad configuration as well. Starting again cannot help.
pub(super) const USAGE: u8 = 64;

/// Prints `text`.
pub(super) fn print(text: impl AsRef<[u8]>) -> ExitCode {
    let mut out = stdout().lock();
    printed(out.write_all(text.as_ref()).and_then(|()| out.flush()).map_err(anyhow::Error::from))
}

/// The exit code after something was printed, or was not, which is told. Who reads only the beginning, as `head` does, has what
/// is wanted: nothing is wrong then.
pub(super) fn printed(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<ConfigErrors>() => refuse(format!("{error:#}")),
        Err(error) => fail(&error),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// It was asked for what cannot be.
pub(super) fn refuse(problem: impl Display) -> ExitCode {
    complain(problem);
    ExitCode::from(USAGE)
}

/// It did not work.
pub(super) fn fail(error: &anyhow::Error) -> ExitCode {
    complain(format!("{error:#}"));
    ExitCode::FAILURE
}

/// It was asked for what cannot be, unless it was the machine that failed: a disk that is full, a file that may not be written.
pub(super) fn refused_or_failed(error: &anyhow::Error) -> ExitCode {
    let failed = |cause: &io::Error| {
        !matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::InvalidFilename)
    };
    if error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(failed) {
        return fail(error);
    }
    refuse(format!("{error:#}"))
}

/// A line on standard error.
pub(super) fn complain(problem: impl Display) {
    // Nothing can be done about a closed terminal.
    let _ = writeln!(stderr(), "{problem}");
}
