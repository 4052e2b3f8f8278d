//! Real FTP clients, run to their end within a deadline.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

/// In seconds; `timeout` of coreutils ends what takes longer.
const DEADLINE: &str = "90";

/// What a client said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    out: String,
    #[expect(dead_code, reason = "shown when a client was to succeed and did not")]
    err: String,
}

impl Outcome {
    /// The client was content; returns what it said on standard output.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }
}

/// Runs curl.
pub(crate) fn curl<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Outcome {
    let mut command = bounded("curl");
    run(command.args(["--silent", "--show-error", "--max-time", "80"]).args(arguments))
}

/// Runs commands in lftp, which fails at the first that fails.
pub(crate) fn lftp(commands: &str) -> Outcome {
    let settings = "set cmd:fail-exit true; set net:max-retries 2; set net:timeout 20; set ftp:ssl-allow false; \
                    set xfer:clobber true; set net:reconnect-interval-base 1;";
    run(bounded("lftp").args(["--norc", "-c", &format!("{settings} {commands}")]))
}

/// Runs a Python script; `arguments` are `sys.argv[1:]`.
pub(crate) fn python(script: &str, arguments: &[&str]) -> Outcome {
    run(bounded("python3").args(["-c", script]).args(arguments))
}

/// Runs a client of tests/clients or of Debian, with `environment`.
pub(crate) fn client(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    run(bounded(program).args(arguments).envs(environment.iter().copied()))
}

/// What `make clients` has installed and begins with `name`; none if the language is not installed.
pub(crate) fn installed(name: &str) -> Option<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = found
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)));
    if found.is_none() {
        eprintln!("SKIPPED: `make clients` has not installed {name}");
    }
    Some(found?.display().to_string())
}

/// A program of tests/clients.
pub(crate) fn source(path: &str) -> String {
    format!("{}/tests/clients/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn bounded(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", DEADLINE, program]);
    command
}

fn run(command: &mut Command) -> Outcome {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?} does not run: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: status.code(), out: text(stdout), err: text(stderr) }
}
