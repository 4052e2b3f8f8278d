//! What people have at a terminal: the status as tables, completions, the manual page, colours.

use std::io::Read;
use std::process::{Command, Output, Stdio};

use crate::support::{Gateway, Setup, eventually, program, python};

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn status(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String, String) {
    let url = format!("http://{}", gateway.http);
    run(program().args(["status", "--url", &url]).args(arguments).current_dir(gateway.folder()))
}

#[test]
fn the_status_is_a_table() {
    let gateway = Setup::default().admin().start();
    let mut raw = gateway.login();
    let long = format!("a{}z.bin", "b".repeat(200));
    raw.stor(&long, b"12345");
    let (code, out, err) = status(&gateway, &[]);
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(out.starts_with(concat!("Bucketport ", env!("CARGO_PKG_VERSION"), ", ")), "{out}");
    assert!(
        out.contains("sessions 1 of 10000") && !out.contains("demo") && !out.contains("127.0.0.1"),
        "{out}"
    );
    let (code, out, _) = status(&gateway, &["--token-file", "token"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("demo") && out.contains("127.0.0.1") && out.contains("abbb"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() < 160) && !out.contains(&long), "{out}");
    // From the configuration; the port there is 0, so the address is still to be told.
    let (code, out, _) = status(&gateway, &["--config", "gateway.toml"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("demo"), "{out}");
    let (_, out, _) = status(&gateway, &["--json", "--token-file", "token"]);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["sessions"]["list"][0]["user"], "demo");
    for number in 0..11 {
        raw.stor(&format!("{number}"), b"x");
    }
    // What is shown may be a second old.
    eventually("the last ten of twelve", std::time::Duration::from_secs(20), || {
        status(&gateway, &[]).1.matches(" upload ").count() == 10
    });
}

#[test]
fn a_gateway_that_does_not_answer_is_one_line_and_exit_code_1() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let url = format!("http://{free}");
    let (code, out, err) = run(program().args(["status", "--url", &url]).current_dir("/"));
    assert_eq!((code, &*out, err.lines().count()), (Some(1), "", 1), "{err}");
    assert!(err.contains(&url), "{err}");
    let gateway = Setup::default().admin().start();
    std::fs::write(gateway.folder().join("wrong"), "not-the-token-of-it").expect("a writable folder");
    let (code, _, err) = status(&gateway, &["--token-file", "wrong"]);
    assert_eq!((code, err.lines().count()), (Some(1), 1), "{err}");
    assert!(err.contains("not its admin token"), "{err}");
    let (code, _, err) = status(&gateway, &["--token-file", "missing"]);
    assert_eq!((code, err.lines().count()), (Some(1), 1), "{err}");
}

#[test]
fn who_reads_only_the_beginning_ends_it_quietly() {
    let gateway = Setup::default().admin().start();
    let url = format!("http://{}", gateway.http);
    // As after `head`: nobody reads the pipe any more.
    let cut = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = program();
        command.args(arguments).current_dir(gateway.folder()).stdin(std::process::Stdio::null());
        run(command.stdout(writer))
    };
    for arguments in [
        &["status", "--url", &url][..],
        &["status", "--url", &url, "--json"],
        &["status", "--url", &url, "--watch"],
        &["users", "list", "--config", "gateway.toml"],
        &["check", "--config", "gateway.toml"],
        &["completions", "bash"],
        &["man"],
        &["self-signed"],
        &["--help"],
    ] {
        let (code, _, err) = cut(arguments);
        assert_eq!(code, Some(0), "{arguments:?}");
        // The warning that `check` has is wanted.
        assert!(err.lines().all(|line| line.starts_with("warning: ")), "{arguments:?}: {err}");
    }
    // Mistakes are told on standard error, where it makes no difference either.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let refused = program().args(["check", "--config", "/nowhere"]).stderr(writer).status();
    assert_eq!(refused.expect("the program starts").code(), Some(64));
}

#[test]
fn what_cannot_be_printed_is_a_failure() {
    for arguments in [&["man"][..], &["completions", "bash"], &["users", "list"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (code, _, err) = run(program().args(arguments).current_dir(folder.path()).stdout(full));
        assert_eq!((code, err.lines().count()), (Some(1), 1), "{arguments:?}: {err}");
    }
}

#[test]
fn a_status_that_is_watched_comes_again() {
    let gateway = Gateway::start();
    let url = format!("http://{}", gateway.http);
    let program = env!("CARGO_BIN_EXE_bucketport");
    let watch = |command: &mut Command| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = command.env_clear().env("PATH", path).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let piped = |more: &[&str]| {
        watch(Command::new("timeout").args(["5", program, "status", "--watch", "--url", &url]).args(more))
    };
    let line = format!("timeout 5 {program} status --watch --url {url}");
    let (out, _) = watch(Command::new("script").args(["-qec", &line, "/dev/null"]));
    assert!(out.matches("\x1b[2J\x1b[HBucketport ").count() >= 2, "{out}");
    // What is not a terminal is read by programs.
    let (out, _) = piped(&["--json"]);
    let read = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).is_ok_and(|it| it["version"].is_string())
    };
    assert!(out.lines().count() >= 2 && out.lines().all(read), "{out}");
    let (out, _) = piped(&[]);
    assert!(out.matches("Bucketport ").count() >= 2 && !out.contains('\x1b'), "{out}");
    // A gateway that is gone may come again, one that never was there may not.
    let mut watching = Command::new("timeout");
    watching.args(["5", program, "status", "--watch", "--url", &url]);
    let mut watching = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut first = [0];
    watching.stdout.as_mut().expect("piped").read_exact(&mut first).expect("its status");
    gateway.kill();
    let output = watching.wait_with_output().expect("it runs");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), err.contains("cannot reach")), (Some(124), true), "{err}");
    let (out, err) = piped(&[]);
    assert!(out.is_empty() && err.matches("cannot reach").count() == 1, "{out} {err}");
}

#[test]
fn completions_and_the_manual_page_are_printed() {
    for (shell, word) in [
        ("bash", "complete -F _bucketport"),
        ("zsh", "#compdef bucketport"),
        ("fish", "complete -c bucketport"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let (code, out, err) = run(program().args(["completions", shell]));
        assert_eq!((code, &*err), (Some(0), ""), "{shell}");
        assert!(out.contains(word) && out.contains("self-signed"), "{shell}: {out}");
    }
    assert_eq!(run(program().args(["completions", "cmd.com"])).0, Some(64));
    let (code, out, err) = run(program().arg("man"));
    assert_eq!((code, &*err), (Some(0), ""));
    for part in [".TH bucketport 1", "status", "\\-\\-config", "Exit codes"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (code, out, err) = run(program().args(["man", "users", "add"]));
    assert_eq!((code, &*err), (Some(0), ""));
    for part in [".TH bucketport-users-add 1", "\\fBbucketport users add\\fR", "\\-\\-permissions"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (code, _, err) = run(program().args(["man", "users", "fly"]));
    assert_eq!((code, &*err), (Some(64), "there is no command `users fly`\n"));
}

#[test]
fn a_bad_configuration_is_64_for_a_status_as_well() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("x.toml");
    std::fs::write(&file, "colour = 1\n").expect("a writable folder");
    let (code, _, err) = run(program().arg("status").arg("--config").arg(&file));
    assert!(code == Some(64) && err.contains("colour: unknown key"), "{code:?} {err}");
    let (code, _, err) = run(program().args(["status", "--url", "http://127.0.0.1:9/"]));
    assert!(code == Some(1) && err.contains("cannot reach"), "{code:?} {err}");
}

#[test]
fn a_disk_that_takes_nothing_is_a_failure_and_no_misuse() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for arguments in ["self-signed", "users add acme --file users.toml"] {
        let line = format!(
            "trap '' XFSZ; ulimit -f 0; echo secret | {} {arguments}",
            env!("CARGO_BIN_EXE_bucketport")
        );
        let (code, _, err) = run(Command::new("sh").args(["-c", &line]).current_dir(folder.path()));
        assert!(code == Some(1) && err.contains("File too large"), "{code:?} {err}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}

/// Starts the program on a terminal and prints its first line of log.
const ON_A_TERMINAL: &str = r"
import os, pty, select, signal, sys
child, terminal = pty.fork()
if child == 0:
    os.chdir(sys.argv[2])
    os.execv(sys.argv[1], [sys.argv[1]])
text = b''
while b'http listening' not in text:
    if not select.select([terminal], [], [], 30)[0]:
        sys.exit('nothing came: %r' % text)
    text += os.read(terminal, 4096)
os.kill(child, signal.SIGKILL)
print([line for line in text.decode().splitlines() if 'listening' in line][-1])
";

#[test]
fn logs_on_a_terminal_are_coloured_unless_they_are_not_to_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listen = "[ftp]\nlisten = [\"127.0.0.1:0\"]\n[http]\nlisten = \"127.0.0.1:0\"\n[stores.a]\nurl = \"memory:///\"\n";
    let ports = format!("{listen}[log]\n")
        .replace("[http]", &format!("passive_ports = \"{}\"\n[http]", crate::support::passive_ports(3)));
    std::fs::write(folder.path().join("bucketport.toml"), ports).expect("a writable folder");
    let path = folder.path().display().to_string();
    let log = |prefix: &str| {
        let script = format!("import os\n{prefix}\n{ON_A_TERMINAL}");
        python(&script, &[env!("CARGO_BIN_EXE_bucketport"), &path]).success()
    };
    let coloured = log("os.environ.pop('NO_COLOR', None)");
    assert!(coloured.contains("\x1b[32m INFO\x1b[0m"), "{coloured:?}");
    let plain = log("os.environ['NO_COLOR'] = '1'");
    assert!(!plain.contains('\x1b') && plain.contains(" INFO "), "{plain:?}");
}
