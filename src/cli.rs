//! The command line: what was asked for, and the exit code that tells how it went.

mod amend;
mod output;
mod password;
mod users;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{Write as _, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use secrecy::ExposeSecret;
use url::Url;

use crate::config::{self, ConfigErrors, Loaded, Origin};
use crate::hashes::PasswordHash;
use crate::terminal::{Form, Gateway, Times};
use crate::tls::SelfSigned;
use crate::{app, logging};
use output::{USAGE, complain, fail, print, printed, refuse, refused_or_failed};
use users::{Users, Wanted};

/// How long blocking work may hold up the end of the process after the service has stopped.
const LAST_WORK: Duration = Duration::from_secs(1);

/// FTP gateway to object storage.
#[derive(Debug, Parser)]
#[command(name = "bucketport", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file [default: bucketport.toml if present, else built-in settings to try it out]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Serve,
    /// Check the configuration and show every mistake in it
    Check,
    /// Read a password from standard input and print its hash for `password_hash`
    HashPassword,
    /// Make a first certificate for TLS: tls.crt and tls.key
    SelfSigned {
        /// A DNS name or address by which clients connect; may be given several times
        #[arg(long = "host", value_name = "NAME", default_value = "localhost")]
        hosts: Vec<String>,
        /// How long it is valid
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
        /// Where the two files are put; none of them may be there
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
    },
    /// Show, check and add users
    #[command(subcommand)]
    Users(Users),
    /// Show what a running gateway is doing
    Status {
        /// Where it is [default: what the configuration says, else port 8080 of this machine]
        #[arg(long, value_name = "URL")]
        url: Option<Url>,
        /// The file with its admin token, without which no names are shown [default: what the configuration says]
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Again every two seconds
        #[arg(long)]
        watch: bool,
    },
    /// Print what completes these commands in a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print a manual page
    Man {
        /// Of which command, such as `users add` [default: of the program]
        command: Vec<String>,
    },
}

const AFTER_HELP: &str = "\
Any key of the configuration can be set by the environment: BUCKETPORT_FTP__PASSIVE_HOST sets ftp.passive_host.

Exit codes: 0 clean stop, 64 bad configuration or usage, 1 failure.";

/// Does what the arguments (the program's name first) ask for, and returns when that is done.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => {
            // Nothing can be done about a closed terminal.
            let _ = answer.print();
            // `--help` and `--version` come as errors as well, but not for standard error.
            return if answer.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let file = arguments.config.as_deref();
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(file),
        Command::Check => check(file),
        Command::HashPassword => hash_password(),
        Command::SelfSigned { hosts, days, folder } => match self_signed(&hosts, days, &folder) {
            Ok(made) => print(made + "\n"),
            Err(error) => refused_or_failed(&error),
        },
        Command::Users(command) => match users(command, file) {
            Ok(said) => print(said),
            Err(error) => refused_or_failed(&error),
        },
        Command::Status { url, token_file, json, watch } => {
            let form = if json { Form::Json } else { Form::Tables };
            let times = if watch { Times::Again } else { Times::Once };
            printed(status(url, token_file, file, form, times))
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "bucketport", &mut text);
            print(text)
        }
        Command::Man { command } => match manual(&command) {
            Ok(page) => print(page),
            Err(error) => refused_or_failed(&error),
        },
    }
}

/// The page of the program, or of the command with this name below it.
fn manual(names: &[String]) -> anyhow::Result<Vec<u8>> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    // Gives each the name by which others refer to it.
    command.build();
    for name in names {
        let below = command.find_subcommand(name).cloned();
        command = below.with_context(|| format!("there is no command `{}`", names.join(" ")))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

/// What is to be said. A configuration is read if one is named, and where there is nothing else to read.
fn users(command: Users, config: Option<&Path>) -> anyhow::Result<String> {
    let with_config = |file: Option<&Path>| {
        let is_read = config.is_some() || file.is_none();
        is_read.then(|| config::load(config)).transpose().map(|loaded| loaded.map(|it| it.config))
    };
    Ok(match command {
        Users::List { file } => users::list(file.as_deref(), with_config(file.as_deref())?.as_ref())?,
        Users::Check { file } => users::check(file.as_deref(), with_config(file.as_deref())?.as_ref())?,
        Users::Add { name, file, store, home, permissions } => {
            let config = with_config(Some(&file))?;
            let wanted = Wanted { name, store, home, permissions };
            users::add(&file, wanted, config.as_ref(), password::read)?;
            String::new()
        }
    })
}

/// The configuration is asked only for what the arguments leave open.
fn status(
    url: Option<Url>,
    token_file: Option<PathBuf>,
    file: Option<&Path>,
    form: Form,
    times: Times,
) -> anyhow::Result<()> {
    let usual = Path::new("bucketport.toml");
    let file = file.or((url.is_none() && usual.exists()).then_some(usual));
    let loaded = file.map(|file| config::load(Some(file))).transpose()?;
    Gateway::find(url, token_file, loaded.as_ref().map(|loaded| &loaded.config.http))?.show(
        form,
        times,
        &mut stdout().lock(),
    )
}

fn serve(file: Option<&Path>) -> ExitCode {
    let loaded = match load(file) {
        Ok(loaded) => loaded,
        Err(errors) => return refuse(errors),
    };
    // Dropped at the end, when all spans have ended.
    let _traces = match logging::init(loaded.config.log, loaded.config.traces.as_ref()) {
        Ok(traces) => traces,
        Err(error) => return fail(&error),
    };
    if let Some(welcome) = welcome(&loaded) {
        complain(welcome.trim_end());
    }
    for warning in warnings(&loaded) {
        tracing::warn!("{warning}");
    }
    match run_service(loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_service(loaded: Loaded) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(app::run(loaded.config, loaded.reload));
    // Without a limit the process would wait for every password that is still being verified.
    runtime.shutdown_timeout(LAST_WORK);
    result
}

fn check(file: Option<&Path>) -> ExitCode {
    let loaded = match load(file) {
        Ok(loaded) => loaded,
        Err(errors) => return refuse(errors),
    };
    for warning in warnings(&loaded) {
        complain(format!("warning: {warning}"));
    }
    print("configuration is valid\n")
}

/// The configuration, after every check that needs no network.
fn load(file: Option<&Path>) -> Result<Loaded, ConfigErrors> {
    config::load_checked(file, app::check)
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    match loaded.origin {
        Origin::File(_) => loaded.config.warnings(),
        // Nobody wrote it, so nobody can be asked to write it better.
        Origin::Embedded { .. } => Vec::new(),
    }
}

/// What a person who starts the program without a configuration needs to know to try it.
fn welcome(loaded: &Loaded) -> Option<String> {
    let Origin::Embedded { generated_password } = &loaded.origin else { return None };
    let mut text = String::from("no bucketport.toml here, running with built-in settings:\n");
    let mut line = |name: &str, value: &str| {
        writeln!(text, "  {name:<9} {value}").expect("writing to a string cannot fail");
    };
    for address in &loaded.config.ftp.listen {
        line("ftp", &format!("ftp://{address}"));
    }
    for user in &loaded.config.users {
        line("user", &user.name);
    }
    match generated_password {
        Some(password) => line("password", password.expose_secret()),
        None => line("password", "as set in the environment"),
    }
    for store in loaded.config.stores.values() {
        line("files", store.url.as_str());
    }
    Some(text)
}

fn hash_password() -> ExitCode {
    match password::read() {
        Ok(password) => print(format!("{}\n", PasswordHash::make(&password).expose_secret())),
        Err(error) => refuse(format!("{error:#}")),
    }
}

/// Writes both files and returns their paths, a line each, or leaves none: a key without its certificate is of no use to anybody.
fn self_signed(hosts: &[String], days: u32, folder: &Path) -> anyhow::Result<String> {
    let made = SelfSigned::new(hosts, days)?;
    let mut created = Vec::new();
    // The key is for its owner alone.
    for (name, mode, content) in
        [("tls.key", 0o600, &made.private_key), ("tls.crt", 0o644, &made.certificate)]
    {
        let path = folder.join(name);
        let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        let written = opened.and_then(|mut file| {
            created.push(path.clone());
            file.write_all(content.as_bytes())
        });
        if let Err(error) = written {
            for path in &created {
                // The error that counts is the first one.
                let _ = std::fs::remove_file(path);
            }
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
    }
    let paths: Vec<_> = created.iter().map(|path| path.display().to_string()).collect();
    Ok(paths.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn config_may_stand_before_or_after_the_command() {
        for line in ["bucketport --config x.toml check", "bucketport check --config x.toml"] {
            let arguments = parse(line).expect("a legal line");
            assert_eq!(arguments.config.as_deref(), Some(Path::new("x.toml")), "{line}");
            assert!(matches!(arguments.command, Some(Command::Check)), "{line}");
        }
        assert!(parse("bucketport --config x.toml").expect("a legal line").command.is_none());
    }

    #[test]
    fn bad_usage_is_64_and_help_is_0() {
        let code = |line: &str| run(line.split(' ').map(OsString::from));
        assert_eq!(code("bucketport fly"), ExitCode::from(USAGE));
        assert_eq!(code("bucketport --config"), ExitCode::from(USAGE));
        assert_eq!(code("bucketport --version"), ExitCode::SUCCESS);
        assert_eq!(code("bucketport --help"), ExitCode::SUCCESS);
        assert_eq!(code("bucketport check --config /nowhere/x.toml"), ExitCode::from(USAGE));
    }
}
