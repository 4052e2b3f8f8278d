//! Where users come from, and what becomes of their sessions when they change.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{Gateway, Raw, Setup, eventually};

/// Of `secret`, of the lowest cost.
const BCRYPT: &str = "$2y$04$ElPCFK5h8GyjBbynvYFZrOyvF20P2EklAgqz4ytVQMTlJIGVQtvyG";

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a writable folder");
}

fn reloads(gateway: &Gateway) -> usize {
    gateway.log().matches("users reloaded").count()
}

/// Does `change`, and waits until the users have been replaced.
fn reloaded(gateway: &Gateway, change: impl FnOnce()) {
    let before = reloads(gateway);
    change();
    eventually("the reload", Duration::from_secs(20), || reloads(gateway) > before);
}

/// The session is told that it ends, and ends.
#[track_caller]
fn is_dismissed(mut raw: Raw) {
    let reply = raw.expect("NOOP", 421);
    assert_eq!(reply.text(), "Your account was changed or removed, log in again");
    raw.ends_in_order();
}

struct Sources {
    folder: TempDir,
}

impl Sources {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let it = Self { folder };
        fs::create_dir(it.path("users")).expect("a writable folder");
        write(
            &it.path("file.yaml"),
            "users:\n- {name: filed, password: secret}\n- {name: other, password: secret}\n",
        );
        write(&it.path("users/alone.toml"), "password = \"secret\"\n");
        write(&it.path("htpasswd"), &format!("apache:{BCRYPT}\n"));
        write(&it.path("password"), "secret\n");
        it
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Gateway {
        let folder = self.folder.path().display();
        let text = format!(
            "[auth]\nusers_file = \"{folder}/file.yaml\"\nusers_folder = \"{folder}/users\"\n\
             [auth.htpasswd]\nfile = \"{folder}/htpasswd\"\nhome = \"apache\"\n\
             [[users]]\nname = \"inline\"\npassword = \"secret\"\n\
             [[users]]\nname = \"kept\"\npassword_file = \"{folder}/password\"\n"
        );
        Setup::default().users(&text).start()
    }
}

fn login(gateway: &Gateway, name: &str) -> Raw {
    gateway.connect().logged_in(name, "secret")
}

const ALL: [&str; 6] = ["filed", "other", "alone", "apache", "inline", "kept"];

#[test]
fn users_of_every_source_log_in() {
    let sources = Sources::new();
    let gateway = sources.start();
    for name in ALL {
        login(&gateway, name).stor(name, b"x");
    }
    assert_eq!(gateway.file("apache/apache"), b"x");
    for (name, source) in [("filed", "users_file"), ("alone", "users_folder"), ("apache", "htpasswd")] {
        let log = gateway.log();
        let told = |line: &str| line.contains("logged in") && line.contains(name) && line.contains(source);
        assert!(log.lines().any(told), "{name}");
    }
}

#[test]
fn a_change_of_any_source_ends_the_sessions_of_whom_it_concerns() {
    let sources = Sources::new();
    let gateway = sources.start();
    let changes: [(&str, &str, &str); 5] = [
        (
            "filed",
            "file.yaml",
            "users:\n- {name: filed, password: secret, home: moved}\n- {name: other, password: secret}\n",
        ),
        ("other", "file.yaml", "users:\n- {name: filed, password: secret, home: moved}\n"),
        ("alone", "users/alone.toml", "password = \"changed\"\n"),
        ("apache", "htpasswd", ""),
        ("kept", "password", "changed\n"),
    ];
    let mut left = ALL.to_vec();
    for (name, file, text) in changes {
        let mut sessions: Vec<_> = left.iter().map(|&name| (name, login(&gateway, name))).collect();
        reloaded(&gateway, || write(&sources.path(file), text));
        let concerned = sessions.iter().position(|(of, _)| *of == name).expect("it is left");
        is_dismissed(sessions.remove(concerned).1);
        for (_, raw) in &mut sessions {
            raw.expect("NOOP", 200);
        }
        left.retain(|&left| left != name);
    }
    // Who was changed, and not removed, logs in as the new one.
    login(&gateway, "filed").stor("x", b"x");
    assert_eq!(gateway.file("moved/x"), b"x");
    gateway.connect().logged_in("alone", "changed").expect("NOOP", 200);
    // A user that is put into the folder, and one that goes.
    reloaded(&gateway, || write(&sources.path("users/new"), "password = \"secret\"\n"));
    let new = login(&gateway, "new");
    reloaded(&gateway, || fs::remove_file(sources.path("users/new")).expect("our own file"));
    is_dismissed(new);
}

#[test]
fn a_change_of_the_configuration_file_is_one_of_its_users() {
    let sources = Sources::new();
    let gateway = sources.start();
    let (inline, mut other) = (login(&gateway, "inline"), login(&gateway, "kept"));
    let file = gateway.folder().join("gateway.toml");
    let text = fs::read_to_string(&file).expect("our own file");
    let changed = text.replace("name = \"inline\"\n", "name = \"inline\"\nhome = \"moved\"\n");
    // A mistake changes nothing, and mending it is seen as well.
    write(&file, &format!("{changed}[nonsense"));
    gateway.wait_for_log("users not reloaded");
    other.expect("NOOP", 200);
    reloaded(&gateway, || write(&file, &changed));
    is_dismissed(inline);
    other.expect("NOOP", 200);
    login(&gateway, "inline").stor("x", b"x");
    assert_eq!(gateway.file("moved/x"), b"x");
}

#[test]
fn a_transfer_goes_on_although_its_user_was_changed() {
    let sources = Sources::new();
    let gateway = sources.start();
    let mut raw = login(&gateway, "alone");
    let mut data = raw.begin("STOR x");
    data.write_all(b"first ").expect("an open connection");
    reloaded(&gateway, || write(&sources.path("users/alone.toml"), "password = \"changed\"\n"));
    data.write_all(b"second").expect("an open connection");
    drop(data);
    raw.reply_is(226);
    assert_eq!(gateway.file("x"), b"first second");
    is_dismissed(raw);
}

#[test]
fn a_reload_that_changes_nothing_ends_no_session() {
    let sources = Sources::new();
    let gateway = sources.start();
    let mut sessions: Vec<_> = ALL.iter().map(|name| login(&gateway, name)).collect();
    reloaded(&gateway, || gateway.signal(Signal::SIGHUP));
    let again = fs::read(sources.path("file.yaml")).expect("our own file");
    reloaded(&gateway, || fs::write(sources.path("file.yaml"), again).expect("a writable folder"));
    for raw in &mut sessions {
        raw.expect("NOOP", 200);
    }
}

#[test]
fn with_a_mistake_the_last_good_users_stay() {
    let sources = Sources::new();
    let gateway = sources.start();
    let mut raw = login(&gateway, "alone");
    let metric = "bucketport_last_reload_successful{what=\"users\"}";
    let failures = || gateway.log().matches("users not reloaded, the old ones stay").count();
    for (number, (file, text, mistake)) in [
        ("users/alone.toml", "password = \"x\"\nhome = \"..\"\n", "home: must not hold"),
        ("users/second.yaml", "password: [", "line "),
        ("htpasswd", "apache:{SHA}x\n", "line 1: user `apache`: is not a supported hash"),
        ("file.yaml", "users:\n- {name: alone, password: x}\n", "`alone` is already the name of"),
        ("password", "", "is empty"),
    ]
    .into_iter()
    .enumerate()
    {
        write(&sources.path(file), text);
        eventually("the failure", Duration::from_secs(20), || failures() > number);
        assert!(gateway.log().contains(mistake), "{mistake}");
        assert!(gateway.metric(metric) < 0.5, "{file}");
        raw.expect("NOOP", 200);
        login(&gateway, "apache").expect("NOOP", 200);
    }
    // All of it is mended, in a file that was never read without a mistake as well.
    fs::remove_file(sources.path("users/second.yaml")).expect("our own file");
    write(&sources.path("htpasswd"), &format!("apache:{BCRYPT}\n"));
    write(&sources.path("file.yaml"), "");
    write(&sources.path("users/alone.toml"), "password = \"secret\"\n");
    reloaded(&gateway, || write(&sources.path("password"), "secret\n"));
    eventually("the metric", Duration::from_secs(20), || gateway.metric(metric) > 0.5);
    raw.expect("NOOP", 200);
}

#[test]
fn anybody_may_be_anonymous_if_that_is_on() {
    let gateway =
        Setup::default().users("[auth.anonymous]\nprofile = \"read-only\"\nhome = \"pub\"\n").start();
    gateway.put("pub/x", b"open");
    gateway.put("secret", b"x");
    for (name, password) in [("anonymous", "me@example.com"), ("ftp", ""), ("anonymous", "other")] {
        let mut raw = gateway.connect();
        raw.expect(&format!("USER {name}"), 331);
        raw.expect(&format!("PASS {password}"), 230);
        assert_eq!(raw.list("NLST"), ["x"]);
        assert_eq!(raw.retr("x"), b"open");
        raw.refused("RETR /../secret", 550);
        raw.refused("STOR y", 550);
        for command in ["DELE x", "MKD d", "RMD d", "RNFR x"] {
            let reply = raw.ask(command);
            assert!(matches!(reply.code, 350 | 550), "{command}: {reply:?}");
        }
        raw.expect("RNTO y", 550);
    }
    assert_eq!(gateway.files(), ["pub/x", "secret"]);
    let login = |result: &str| gateway.metric(&format!("bucketport_logins_total{{result=\"{result}\"}}"));
    assert_eq!((login("anonymous"), login("ok")), (3.0, 0.0));
    let log = gateway.log();
    assert!(log.lines().any(|line| line.contains("logged in") && line.contains("source=anonymous")), "{log}");
    assert!(!log.contains("me@example.com"), "what may be a password");
    // Others are not let in by it.
    let mut raw = gateway.connect();
    raw.expect("USER Anonymous", 331);
    raw.expect("PASS x", 530);
}

#[test]
fn anonymous_may_only_drop_if_that_is_meant_and_is_off_by_default() {
    let gateway = Setup::default().users("[auth.anonymous]\nprofile = \"drop-box\"\n").start();
    let mut raw = gateway.connect().logged_in("ftp", "x");
    raw.stor("in", b"x");
    raw.expect("MKD d", 257);
    for command in ["RETR in", "NLST", "LIST", "APPE in"] {
        raw.refused(command, 550);
    }
    raw.refused("STOR in", 553);
    raw.expect("DELE in", 550);
    let gateway = Gateway::start();
    for name in ["ftp", "anonymous"] {
        let mut raw = gateway.connect();
        raw.expect(&format!("USER {name}"), 331);
        raw.expect("PASS x", 530);
    }
}

#[test]
fn fifty_thousand_users_are_loaded_and_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("users.toml");
    let user = |number: usize, home: &str| {
        format!("[[users]]\nname = \"user{number}\"\npassword_hash = \"{BCRYPT}\"\nhome = \"{home}\"\n")
    };
    let text = |home: &str| (0..50_000).map(|number| user(number, home)).collect::<String>();
    write(&file, &text("a"));
    let gateway = Setup::default().users(&format!("[auth]\nusers_file = \"{}\"\n", file.display())).start();
    let mut raw = login(&gateway, "user49999");
    raw.stor("x", b"x");
    assert_eq!(gateway.file("a/x"), b"x");
    let mut last = user(50_000, "a");
    last.push_str(&text("a"));
    reloaded(&gateway, || write(&file, &last));
    raw.expect("NOOP", 200);
    login(&gateway, "user50000").expect("NOOP", 200);
    reloaded(&gateway, || write(&file, &text("b")));
    is_dismissed(raw);
}
