//! Events as lines: the audit file and its rotation, standard output.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Gateway, Setup, eventually, passive_ports, program};

const USERS: &str = "[[users]]\nname = \"demo\"\npassword = \"secret\"\n";

fn with(sink: &str) -> Setup {
    Setup::default().users(&format!("{USERS}[[events]]\nname = \"audit\"\n{sink}\n"))
}

/// The subjects of the uploads in a file, each line of which is a whole event.
fn uploads(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let uploads = events.filter(|event| event["type"] == "org.bucketport.upload");
    uploads.map(|event| event["subject"].as_str().expect("a path").to_owned()).collect()
}

#[track_caller]
fn wait_for(path: &Path, subjects: &[&str]) {
    eventually(&format!("{subjects:?} in {}", path.display()), Duration::from_secs(20), || {
        uploads(path) == subjects
    });
}

#[test]
fn a_file_is_appended_to_and_followed_when_it_is_rotated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
    let sink = format!("type = \"file\"\npath = \"{}\"", path.display());
    let gateway = with(&sink).start();
    let mut raw = gateway.login();
    raw.stor("a", b"x");
    wait_for(&path, &["/a"]);
    std::fs::rename(&path, &old).expect("rotated");
    raw.stor("b", b"x");
    wait_for(&path, &["/b"]);
    assert_eq!(uploads(&old), ["/a"]);
    // By hand as well, as logrotate does it: the new file is there at once.
    std::fs::rename(&path, &old).expect("rotated");
    gateway.signal(Signal::SIGHUP);
    eventually("a new file", Duration::from_secs(20), || path.exists());
    raw.stor("c", b"x");
    wait_for(&path, &["/c"]);

    // What comes in order comes in order, and the end writes everything.
    for number in 0..20 {
        raw.stor(&format!("n{number}"), b"x");
    }
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended(Duration::from_secs(30)).success());
    let expected: Vec<_> =
        std::iter::once("/c".to_owned()).chain((0..20).map(|number| format!("/n{number}"))).collect();
    assert_eq!(uploads(&path), expected);
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.lines().last().expect("lines").contains("session_closed"), "{text}");

    // Another process goes on at its end.
    let gateway = with(&sink).start();
    gateway.login().stor("d", b"x");
    eventually("the next line", Duration::from_secs(20), || {
        uploads(&path).last().is_some_and(|last| last == "/d")
    });
}

#[test]
fn a_file_that_must_be_written_refuses_what_it_cannot_tell() {
    // It takes nothing.
    let sink = "type = \"file\"\npath = \"/dev/full\"\ntypes = [\"upload\", \"delete\"]\nrequired = true";
    let users = format!("{USERS}[events_queue]\nmemory = 1\n[[events]]\nname = \"audit\"\n{sink}\n");
    let gateway = Setup::default().users(&users).start();
    gateway.put("old", b"x");
    let mut raw = gateway.login();
    // There is room for one, of which nobody learns in time.
    raw.expect("MKD made", 257);
    let mut waiting = gateway.login();
    let begun = std::thread::spawn(move || waiting.upload("STOR a", b"x"));
    eventually("the first event", Duration::from_secs(20), || {
        gateway.metric("bucketport_events_queued{sink=\"audit\"}") > 0.5
    });
    raw.refused("STOR b", 451);
    raw.expect("DELE old", 451);
    assert_eq!(begun.join().expect("no panic").code, 451);
    assert_eq!(gateway.file("old"), b"x");
    assert!(!gateway.files().contains(&"b".to_owned()), "{:?}", gateway.files());
    gateway.wait_for_log("events cannot be written");
    assert!(gateway.metric("bucketport_events_total{result=\"refused\",sink=\"audit\"}") > 1.5);
}

#[test]
fn a_file_that_is_known_not_to_take_anything_refuses_before_anything_is_done() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, good) = (folder.path().join("audit.jsonl"), folder.path().join("good.jsonl"));
    std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
    let types = "types = [\"upload\", \"mkdir\"]";
    let sink = format!("type = \"file\"\npath = \"{}\"\n{types}\nrequired = true", path.display());
    let gateway = with(&sink).start();
    gateway.put("old", b"x");
    let mut raw = gateway.login();
    // The first finds out, when it is done.
    let found_out = raw.upload("STOR a", b"x");
    assert!(found_out.code == 451 && found_out.text().contains("Done"), "{found_out:?}");
    for command in ["STOR b", "APPE old", "MKD b"] {
        raw.refused(command, 451);
    }
    assert_eq!(
        (gateway.file("old"), gateway.files()),
        (b"x".to_vec(), vec!["a".to_owned(), "old".to_owned()])
    );
    // Once it takes events again it is told of what was done, and everything goes on.
    std::fs::write(&good, "").expect("writable");
    std::fs::rename(&good, &path).expect("the link is replaced");
    gateway.wait_for_log("events are written again");
    raw.stor("b", b"x");
    wait_for(&path, &["/a", "/b"]);
}

#[test]
fn standard_output_has_whole_lines_and_no_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out.jsonl");
    let text = format!(
        "[ftp]\nlisten = [\"127.0.0.1:0\"]\npassive_ports = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [stores.main]\nurl = \"file://{}\"\n{USERS}[[events]]\nname = \"out\"\ntype = \"stdout\"\n",
        passive_ports(20),
        folder.path().join("data").display()
    );
    let config = folder.path().join("gateway.toml");
    std::fs::write(&config, text).expect("writable");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$0\" --config \"$1\" > \"$2\""]);
    command.arg(program().get_program()).args([&config, &out]).current_dir(folder.path());
    let gateway = Gateway::run(command, folder);
    let mut raw = gateway.login();
    raw.stor("a", b"x");
    raw.stor("b", b"x");
    wait_for(&out, &["/a", "/b"]);
}
