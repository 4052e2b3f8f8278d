//! Clients that die in the middle of a small file: nothing of it is committed, unless that is what is asked for.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{
    Killed, Place, Raw, Setup, bytes, eventually, killed, on_each_store_and_in_memory, reset,
};

/// How often each case is tried: what depends on a race seldom fails at the first time.
const ROUNDS: usize = 10;

/// Command and size of a piece: new files, an old one and both appended to.
const CASES: [(&str, usize); 8] = [
    ("STOR old", 2000),
    ("STOR new", 2000),
    ("APPE old", 2000),
    ("APPE new", 2000),
    ("STOR old", 1000),
    ("STOR new", 1000),
    ("APPE old", 1000),
    ("APPE new", 1000),
];

fn setup() -> Setup {
    Setup::default().ports(100)
}

on_each_store_and_in_memory! { super::setup();
    a_killed_small_upload_is_never_committed
    what_was_announced_is_complete_without_its_client
}

fn old() -> Vec<u8> {
    bytes(1000, 9)
}

/// Each case below a directory of its own, at the same time, and again from the beginning.
fn a_killed_small_upload_is_never_committed(place: &Place) {
    let (mut counted, mut committed) = (0, Vec::new());
    for round in 0..ROUNDS {
        let folder = |case: usize| format!("{round}-{case}");
        for case in 0..CASES.len() {
            place.put(&format!("{}/old", folder(case)), &old());
        }
        let counts: Vec<_> = std::thread::scope(|scope| {
            let try_one = |(case, (command, piece))| {
                let mut raw = place.gateway.login();
                scope.spawn(move || {
                    raw.expect(&format!("CWD {round}-{case}"), 250);
                    killed(raw, command, piece, Killed::DataFirst).is_some()
                })
            };
            let tries: Vec<_> = CASES.into_iter().enumerate().map(try_one).collect();
            tries.into_iter().map(|tried| tried.join().expect("no panic")).collect()
        });
        place.gateway.wait_for_sessions(Duration::from_secs(20));
        for (case, (command, piece)) in CASES.into_iter().enumerate().filter(|(case, _)| counts[*case]) {
            counted += 1;
            let stored = |name: &str| place.stored(&format!("{}/{name}", folder(case)));
            if stored("old") != Some(old()) || stored("new").is_some() {
                committed.push(format!("{command} in pieces of {piece}, round {round}"));
            }
        }
    }
    assert!(committed.is_empty(), "{} of {counted}: {committed:?}", committed.len());
    assert!(counted > ROUNDS * CASES.len() / 2, "the machine is too busy: {counted}");
    assert_eq!(place.left_over(), [""; 0]);
}

/// Real processes, killed while they send; the kernel closes their connections.
fn kill_all(place: &Place, clients: Vec<Child>) {
    let active = "bucketport_transfers_active{direction=\"upload\"}";
    let all = f64::from(u32::try_from(clients.len()).expect("few")) - 0.5;
    eventually("all uploads", Duration::from_secs(30), || place.gateway.metric(active) > all);
    // So much later each has sent some of its file, and none all of it.
    std::thread::sleep(Duration::from_millis(300));
    for mut client in clients {
        client.kill().expect("our own child");
        client.wait().expect("our own child");
    }
    place.gateway.wait_for_sessions(Duration::from_secs(20));
    let committed: Vec<_> = (0..ROUNDS)
        .filter(|n| {
            place.stored(&format!("old{n}")) != Some(old()) || place.stored(&format!("new{n}")).is_some()
        })
        .collect();
    assert_eq!(committed, [0; 0], "of {ROUNDS}");
}

fn put_old_files(place: &Place) {
    for number in 0..ROUNDS {
        place.put(&format!("old{number}"), &old());
    }
}

fn names() -> impl Iterator<Item = String> {
    (0..ROUNDS).flat_map(|number| [format!("old{number}"), format!("new{number}")])
}

#[test]
fn a_killed_process_that_sends_a_little_at_a_time() {
    let script = "import ftplib, sys, time
class Slow:
    def read(self, size):
        time.sleep(0.05)
        return b'x' * 2000
ftp = ftplib.FTP()
ftp.connect('127.0.0.1', int(sys.argv[1]), 20)
ftp.login('demo', 'secret')
ftp.storbinary('STOR ' + sys.argv[2], Slow())
";
    let place = Place::local(setup());
    put_old_files(&place);
    let port = place.gateway.ftp.port().to_string();
    let client = |name: String| Command::new("python3").args(["-c", script, &port, &name]).spawn();
    kill_all(&place, names().map(|name| client(name).expect("python3 runs")).collect());
}

#[test]
fn a_killed_curl_with_a_limited_rate() {
    let place = Place::local(setup());
    put_old_files(&place);
    let file = place.gateway.folder().join("large");
    std::fs::write(&file, bytes(4_000_000, 1)).expect("a writable folder");
    let client = |name: String| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--limit-rate", "40k", "--upload-file"]).arg(&file);
        curl.arg(place.gateway.url(&format!("/{name}"))).stderr(Stdio::null()).spawn()
    };
    kill_all(&place, names().map(|name| client(name).expect("curl runs")).collect());
}

/// ALLO and as many bytes as it says: whatever ends then, the file is whole.
fn what_was_announced_is_complete_without_its_client(place: &Place) {
    let content = bytes(10_000, 4);
    for (number, how) in [Killed::DataFirst, Killed::ControlFirst].into_iter().cycle().take(6).enumerate() {
        let mut raw = place.gateway.login();
        raw.expect("ALLO 10000", 200);
        killed(raw, &format!("STOR whole{number}"), 2000, how);
        place.gateway.wait_for_sessions(Duration::from_secs(20));
        assert!(place.stored(&format!("whole{number}")).as_ref() == Some(&content), "{how:?}");
        // Less than was announced: the client died.
        loop {
            let mut raw = place.gateway.login();
            raw.expect("ALLO 10001", 200);
            let counts = killed(raw, &format!("STOR part{number}"), 2000, how).is_some();
            place.gateway.wait_for_sessions(Duration::from_secs(20));
            if counts {
                break;
            }
            place.gateway.login().ask(&format!("DELE part{number}"));
        }
        assert!(place.stored(&format!("part{number}")).is_none(), "{how:?}");
    }
}

const KEEPER_AND_OTHER: &str = r#"
[[users]]
name = "demo"
password = "secret"
[[users]]
name = "other"
password = "secret"
on_control_lost = "#;

/// Whether what a killed client of this user had sent is stored; with data that is reset, nothing ever is.
fn is_kept(place: &Place, user: &str, how: Killed) -> bool {
    let login = || place.gateway.connect().logged_in(user, "secret");
    let stored = |name: &str| {
        place.gateway.wait_for_sessions(Duration::from_secs(20));
        place.stored(name)
    };
    broken_off(login());
    assert_eq!(stored("broken"), None);
    loop {
        let sent = killed(login(), "STOR x", 2000, how);
        let stored = stored("x");
        place.gateway.login().ask("DELE x");
        if let Some(sent) = sent {
            assert!(stored.is_none() || stored.as_ref() == Some(&sent), "another content");
            return stored.is_some();
        }
    }
}

/// An upload whose data connection is reset before the control connection ends.
fn broken_off(mut raw: Raw) {
    let mut data = raw.begin("STOR broken");
    data.write_all(&bytes(2000, 4)).expect("the gateway reads");
    reset(&data);
    drop(data);
}

#[test]
fn what_is_lost_with_its_client_is_discarded_unless_it_is_to_be_kept() {
    let place = Place::local(setup());
    assert!(!is_kept(&place, "demo", Killed::DataFirst));
    let place = Place::local(setup().ftp("on_control_lost = \"discard\""));
    assert!(!is_kept(&place, "demo", Killed::DataFirst));
    let place = Place::local(setup().ftp("on_control_lost = \"keep\""));
    assert!(is_kept(&place, "demo", Killed::DataFirst));
}

#[test]
fn a_user_may_keep_or_discard_on_their_own() {
    for (everybody, own) in [("discard", "keep"), ("keep", "discard")] {
        let users = format!("{KEEPER_AND_OTHER}\"{own}\"\n");
        let setup = setup().ftp(&format!("on_control_lost = \"{everybody}\"")).users(&users);
        let place = Place::memory(setup);
        assert_eq!(is_kept(&place, "demo", Killed::DataFirst), everybody == "keep");
        assert_eq!(is_kept(&place, "other", Killed::DataFirst), own == "keep");
    }
}

/// The kernel of a process that dies closes the older connection first: that is the control connection.
#[test]
fn what_is_to_be_kept_is_kept_whichever_connection_ends_first() {
    let place = Place::memory(setup().ftp("on_control_lost = \"keep\""));
    for how in [Killed::ControlFirst, Killed::DataFirst].into_iter().cycle().take(10) {
        assert!(is_kept(&place, "demo", how), "{how:?}");
    }
}
