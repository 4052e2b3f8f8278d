//! What an operator sees: the command line, its exit codes, the environment, probes, metrics and logs.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::{Gateway, S3Server, Setup, bytes, eventually, passive_ports, program, python};

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn check(text: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("x.toml");
    std::fs::write(&file, text).expect("a writable folder");
    run(program().arg("check").arg("--config").arg(&file).current_dir(folder.path()))
}

const VALID: &str = r#"
[stores.landing]
url = "s3://bucket/prefix"
[stores.landing.options]
aws_region = "eu-west-1"
[[users]]
name = "acme"
password_hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
"#;

/// Those of the configuration alone, and those of what it names.
#[test]
fn mistakes_of_every_kind_come_together() {
    let text = r#"
[ftp]
colour = "red"
[ftp.tls]
mode = "optional"
certificate = "nowhere.crt"
private_key = "nowhere.key"
[stores.landing]
url = "s3://bucket"
[stores.landing.options]
aws_colour = "red"
[[events]]
name = "audit"
type = "file"
path = "nowhere/audit.jsonl"
"#;
    let (code, _, err) = check(text);
    assert_eq!(code, Some(64), "{err}");
    let keys =
        ["ftp.colour: ", "ftp.tls.certificate: ", "stores.landing.options.aws_colour: ", "events[0].path: "];
    for key in keys {
        assert_eq!(err.lines().filter(|line| line.starts_with(key)).count(), 1, "{key} in {err}");
    }
}

#[test]
fn a_valid_configuration_passes() {
    let (code, out, err) = check(VALID);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(err, "");
}

#[test]
fn every_mistake_is_shown_at_once_with_its_key() {
    let text = r#"
colour = "red"
[ftp]
listen = ["here"]
pasive_ports = "1-2"
[transfer]
part_size = "1MiB"
[stores.landing]
url = "s3://bucket"
[[users]]
name = "acme"
password = "hunter2"
home = "../x"
permissions = ["fly"]
"#;
    let (code, _, err) = check(text);
    assert_eq!(code, Some(64), "{err}");
    for key in [
        "colour",
        "ftp.listen",
        "ftp.pasive_ports",
        "transfer.part_size",
        "users[0].home",
        "users[0].permissions",
    ] {
        assert!(err.lines().any(|line| line.starts_with(&format!("{key}: "))), "{key} in {err}");
    }
    assert!(!err.contains("hunter2"), "{err}");
}

#[test]
fn options_that_a_store_does_not_have_are_mistakes() {
    let (code, _, err) = check(&VALID.replace("aws_region", "aws_regoin"));
    assert_eq!(code, Some(64), "{err}");
    assert!(err.contains("stores.landing.options.aws_regoin: "), "{err}");
    let (code, _, err) = check("[stores.a]\nurl = \"memory:///\"\n[stores.a.options]\nx = 1\n");
    assert_eq!(code, Some(64), "{err}");
    assert!(err.contains("stores.a.options.x: "), "{err}");
}

#[test]
fn a_bad_configuration_does_not_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = run(program().args(["--config", "missing.toml"]).current_dir(folder.path()));
    assert_eq!(missing.0, Some(64), "{missing:?}");
    std::fs::write(folder.path().join("bucketport.toml"), "[ftp]\nx = 1\n").expect("a writable folder");
    let found = run(program().current_dir(folder.path()));
    assert_eq!(found.0, Some(64), "{found:?}");
    assert!(found.2.contains("ftp.x: "), "{found:?}");
}

#[test]
fn version_help_and_bad_usage() {
    let (code, out, _) = run(program().arg("--version"));
    assert_eq!((code, out.as_str()), (Some(0), concat!("bucketport ", env!("CARGO_PKG_VERSION"), "\n")));
    let (code, out, _) = run(program().arg("--help"));
    assert_eq!(code, Some(0));
    for word in ["serve", "check", "hash-password", "self-signed", "--config", "64"] {
        assert!(out.contains(word), "{word} in {out}");
    }
    for arguments in [&["--colour"][..], &["fly"], &["check", "--config"], &["serve", "x"]] {
        let (code, _, err) = run(program().args(arguments));
        assert_eq!(code, Some(64), "{arguments:?} {err}");
        assert_ne!(err, "");
    }
}

#[test]
fn a_password_is_hashed_from_standard_input() {
    let hash = |input: &[u8]| {
        let mut child = program()
            .arg("hash-password")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        child.stdin.take().expect("asked for").write_all(input).expect("it reads");
        child.wait_with_output().expect("it ends")
    };
    let (one, two) = (hash(b"pass word\n"), hash(b"pass word\n"));
    assert!(one.status.success());
    assert!(one.stdout.starts_with(b"$argon2id$"), "{one:?}");
    assert_ne!(one.stdout, two.stdout, "the salt is the same");
    assert!(!String::from_utf8_lossy(&one.stdout).contains("pass"));
    assert_eq!(hash(b"\n").status.code(), Some(64));
    let hash = String::from_utf8(one.stdout).expect("text");
    let users = format!("[[users]]\nname = \"demo\"\npassword_hash = \"{}\"\n", hash.trim_end());
    Setup::default().users(&users).start().connect().logged_in("demo", "pass word");
}

#[test]
fn the_environment_overrides_the_file() {
    let gateway = Setup::default()
        .env("BUCKETPORT_USERS__0__PASSWORD", "from outside")
        .env("BUCKETPORT_FTP__MAX_CONNECTIONS", "1")
        .env("BUCKETPORT_SERVICE_HOST", "10.0.0.1")
        .start();
    let _only = gateway.connect().logged_in("demo", "from outside");
    crate::support::Raw::connect_only(gateway.ftp, None).reply_is(421);
    let (code, _, err) = run(program().arg("check").env("BUCKETPORT_FTP__COLOUR", "red").current_dir("/"));
    assert_eq!(code, Some(64));
    assert!(err.contains("ftp.colour") && err.contains("BUCKETPORT_FTP__COLOUR"), "{err}");
}

#[test]
fn without_a_file_there_is_something_to_try() {
    for password in [Some("chosen"), None] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = program();
        command
            .env("BUCKETPORT_FTP__LISTEN", "[\"127.0.0.1:0\"]")
            .env("BUCKETPORT_FTP__PASSIVE_PORTS", passive_ports(10))
            .env("BUCKETPORT_HTTP__LISTEN", "127.0.0.1:0")
            .current_dir(folder.path());
        if let Some(password) = password {
            command.env("BUCKETPORT_PASSWORD", password);
        }
        let gateway = Gateway::run(command, folder);
        let log = gateway.log();
        let printed = || {
            let mut lines = log.lines().filter_map(|line| line.trim_start().strip_prefix("password "));
            let printed = lines.next().expect("a password").trim();
            assert_eq!(lines.next(), None, "{log}");
            printed
        };
        let password = password.unwrap_or_else(printed);
        gateway.connect().logged_in("demo", password).stor("x", b"kept");
        assert_eq!(gateway.file("x"), b"kept");
    }
}

#[test]
fn every_metric_is_there() {
    let gateway = Gateway::start();
    gateway.put("x", b"12345");
    let mut raw = gateway.login();
    raw.stor("y", b"123");
    raw.retr("x");
    raw.refused("RETR missing", 550);
    raw.expect("FROB", 500);
    let (status, body) = gateway.get("/metrics");
    assert_eq!(status, 200);
    for (name, kind) in [
        ("bucketport_build_info", "gauge"),
        ("bucketport_ready", "gauge"),
        ("bucketport_store_reachable", "gauge"),
        ("bucketport_last_reload_successful", "gauge"),
        ("bucketport_sessions", "gauge"),
        ("bucketport_sessions_limit", "gauge"),
        ("bucketport_sessions_total", "counter"),
        ("bucketport_tls_handshakes_total", "counter"),
        ("bucketport_tls_unannounced_ends_total", "counter"),
        ("bucketport_logins_total", "counter"),
        ("bucketport_transfers_total", "counter"),
        ("bucketport_transfer_bytes_total", "counter"),
        ("bucketport_transfer_seconds", "histogram"),
        ("bucketport_transfers_active", "gauge"),
        ("bucketport_user_sessions", "gauge"),
        ("bucketport_user_transfers_total", "counter"),
        ("bucketport_user_transfer_bytes_total", "counter"),
        ("bucketport_store_request_seconds", "histogram"),
        ("bucketport_buffer_bytes", "gauge"),
        ("bucketport_buffer_limit_bytes", "gauge"),
        ("bucketport_passive_ports", "gauge"),
        ("bucketport_passive_ports_waiting", "gauge"),
        ("bucketport_connections_rejected_total", "counter"),
        ("bucketport_commands_total", "counter"),
        ("bucketport_command_seconds", "histogram"),
    ] {
        assert!(body.contains(&format!("# TYPE {name} {kind}\n")), "{name} {kind}");
        assert!(body.contains(&format!("# HELP {name} ")), "{name}");
    }
    // libunftp's own.
    assert!(body.lines().any(|line| line.starts_with("ftp_")), "{body}");
    let close = |sample: &str, expected: f64| {
        let value = gateway.metric(sample);
        assert!((value - expected).abs() < 0.1, "{sample} {value}");
    };
    close(concat!("bucketport_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0);
    close("bucketport_sessions{tls=\"none\"}", 1.0);
    close("bucketport_logins_total{result=\"ok\"}", 1.0);
    close("bucketport_transfers_total{direction=\"upload\",result=\"ok\"}", 1.0);
    close("bucketport_transfers_total{direction=\"download\",result=\"ok\"}", 1.0);
    close("bucketport_transfers_total{direction=\"download\",result=\"rejected\"}", 1.0);
    close("bucketport_transfer_bytes_total{direction=\"upload\",store=\"main\"}", 3.0);
    close("bucketport_transfer_bytes_total{direction=\"download\",store=\"main\"}", 5.0);
    close("bucketport_commands_total{command=\"RETR\"}", 2.0);
    close("bucketport_commands_total{command=\"other\"}", 1.0);
    close("bucketport_passive_ports", 20.0);
    close("bucketport_buffer_bytes", 0.0);
    close("bucketport_transfers_active{direction=\"upload\"}", 0.0);
}

#[test]
fn ready_means_that_the_store_answers() {
    let gateway = Gateway::start();
    assert_eq!(gateway.get("/livez"), (200, "ok\n".to_owned()));
    eventually("readiness", Duration::from_secs(5), || gateway.get("/readyz").0 == 200);
    assert_eq!(gateway.get("/nothing").0, 404);
    std::fs::remove_dir_all(gateway.data()).expect("a folder");
    eventually("the loss of readiness", Duration::from_secs(30), || gateway.get("/readyz").0 == 503);
    assert_eq!(gateway.get("/readyz").1, "store main unreachable\n");
    assert_eq!(gateway.get("/livez").0, 200);
    std::fs::create_dir(gateway.data()).expect("a writable folder");
    eventually("readiness again", Duration::from_secs(10), || gateway.get("/readyz").0 == 200);
}

#[test]
fn a_dead_endpoint_is_not_ready() {
    // Bound and not listened on, so that nobody else can take it.
    let dead = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let options = [
        ("aws_endpoint", format!("http://{dead}")),
        ("aws_allow_http", "true".to_owned()),
        ("aws_access_key_id", "x".to_owned()),
        ("aws_secret_access_key", "x".to_owned()),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let gateway = Setup::default().at("s3://bucket", options).start();
    let unreachable = || gateway.get("/readyz") == (503, "store main unreachable\n".to_owned());
    eventually("the loss of readiness", Duration::from_secs(20), unreachable);
    // Logging in and what needs no store goes on.
    let mut raw = gateway.login();
    raw.expect("PWD", 257);
    raw.expect("PASV", 227);
}

#[test]
fn a_log_in_json_is_one_object_a_line_with_the_session() {
    let gateway = Setup::default().log("format = \"json\"\nlevel = \"debug\"").start();
    let mut raw = gateway.login();
    raw.stor("a \"quoted\" é name", b"x");
    raw.refused("RETR missing", 550);
    raw.send_bytes(b"\x1b[31m\xff\xfe\r\n");
    raw.reply_is(500);
    raw.expect("QUIT", 221);
    gateway.wait_for_log("session ends");
    let file = gateway.folder().join("log");
    std::fs::write(&file, gateway.log()).expect("a writable folder");
    let script = r#"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1], encoding='utf-8')]
assert all(isinstance(line, dict) and line['message'] is not None and line['level'] for line in lines)
ended = [line for line in lines if line['message'] == 'transfer ended']
assert [line['result'] for line in ended] == ['ok', 'rejected'], ended
for line in ended:
    span = line['span']
    assert span['id'] == 1 and span['user'] == 'demo' and span['peer'].startswith('127.0.0.1:'), span
assert ended[0]['path'] == '/a "quoted" é name' and ended[0]['bytes'] == 1
begins = [line for line in lines if line['message'] == 'session begins']
assert begins[0]['span']['id'] == 1 and begins[0]['span']['peer'], begins
"#;
    python(script, &[&file.display().to_string()]).success();
}

#[test]
fn passwords_and_secrets_are_never_logged() {
    for format in ["text", "json"] {
        let server = S3Server::start();
        let users = "[[users]]\nname = \"demo\"\npassword = \"hunter2-right\"\n";
        let log = format!("format = \"{format}\"\nlevel = \"trace\"");
        let gateway = Setup::default().s3(&server).users(users).log(&log).start();
        let mut raw = gateway.connect();
        raw.expect("USER demo", 331);
        raw.expect("PASS hunter2-wrong", 530);
        raw.expect("PASS hunter2-late", 503);
        raw.expect("USER demo", 331);
        raw.expect("pass hunter2-right", 230);
        raw.stor("x", &bytes(20_000_000, 1));
        server.refuse(true);
        raw.refused("RETR x", 550);
        raw.expect("USER demo hunter2-typo", 331);
        raw.expect("QUIT", 221);
        gateway.wait_for_log("session ends");
        let log = gateway.log();
        for secret in ["hunter2-right", "hunter2-wrong", "hunter2-late", "test-secret-key"] {
            assert!(!log.contains(secret), "{secret}");
        }
    }
}

#[test]
fn an_address_in_use_is_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (variable, value, other) in [
        ("BUCKETPORT_FTP__LISTEN", format!("[\"{address}\"]"), ("BUCKETPORT_HTTP__LISTEN", "127.0.0.1:0")),
        ("BUCKETPORT_HTTP__LISTEN", address.to_string(), ("BUCKETPORT_FTP__LISTEN", "[\"127.0.0.1:0\"]")),
    ] {
        let mut command = program();
        command.env(variable, value).env(other.0, other.1).current_dir(folder.path());
        command.env("BUCKETPORT_FTP__PASSIVE_PORTS", passive_ports(5));
        let (code, _, err) = run(&mut command);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(&address.to_string()), "{err}");
    }
}
