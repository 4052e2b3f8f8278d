//! What cameras, recorders, controllers and old programs say in the field: a table of dialogues and what each needs.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::support::{Home, Killed, Place, Raw, Setup, assert_same, bytes, killed, reset};

/// What is said and answered.
#[derive(Clone, Copy)]
enum Talk {
    /// See `support/dialogue.rs`.
    Lines(&'static str),
    /// What depends on when bytes are sent, or on how they come together.
    Own(fn(&Home)),
}

use Talk::{Lines, Own};

/// Who speaks so, and what.
const DEVICES: &[(&str, Talk)] = &[
    (
        "library connectors with an attached byte size",
        Lines(
            "TYPE L8 → 200 · TYPE l 8 → 200 · TYPE AN → 504 · TYPE L7 → 504 · MODE Z → 504 · STRU R → 504 · \
             STOR x ← 9 · x is 9",
        ),
    ),
    (
        "clients that double the carriage return",
        Lines("NOOP\r → 200 · MKD d\r → 257 · CWD d → 250 · STOR x\r ← 9 · d/x is 9 · RETR x\r = 9"),
    ),
    ("programs that print a line end of their own", Own(empty_lines_between_commands)),
    ("shell scripts that pipe all into netcat", Own(all_in_one_write)),
    ("a camera killed in mid-file", Own(killed_in_mid_file)),
    ("controllers that send QUIT before they read", Own(quit_before_reading)),
    (
        "recorders that make their tree",
        Lines(
            "CWD /E → 550 · MKD /E → 257 · CWD /E → 250 · SIZE /E/Work → 550 · ALLO 9 → 200 · STOR x.jpg_ ← 9 · \
             RNFR x.jpg_ → 350 · RNTO x.jpg → 250 · SIZE x.jpg → 213 · E/x.jpg is 9 · E/x.jpg_ is absent",
        ),
    ),
    (
        "cameras that test the account",
        Lines(
            "CWD //t → 550 · MKD t → 257 · CWD t → 250 · STOR test ← 4 · DELE test → 250 · CDUP → 250 · \
             RMD t → 250 · CWD t → 550",
        ),
    ),
    (
        "old verbs",
        Lines(
            "XMKD /d → 257 · XMKD /d/i/ → 257 · CWD /d/i/ → 250 · XPWD → 257 · XCUP → 250 · XRMD i → 250 · \
             XCWD i → 550",
        ),
    ),
    (
        "backup programs",
        Lines(
            "put x 20000000 · REST 4096 → 350 · begin RETR x · ABOR → 426, 226 · NOOP → 200 · RETR x = 20000000",
        ),
    ),
    (
        "clients that ask for both modes",
        Lines("PASV · PORT 127,0,0,1,200,10 → 502 · begin STOR x · send 9 · fin → 226 · x is 9"),
    ),
    (
        "consoles that talk during a transfer",
        Lines("begin STOR x · send 4 · PWD → 257 · NOOP → 200 · STAT → 211 · send 5 · fin → 226 · x is 9"),
    ),
    (
        "mainframes",
        Lines("SITE FIXrecfm 80 LRECL=80 → 200|500|501|502|504 · TYPE I → 200 · STOR x ← 800 · x is 800"),
    ),
    (
        "time stamps as names",
        Lines(
            "MKD 2026:11:25 → 257 · CWD 2026:11:25 → 250 · STOR 10:00:00.jpg ← 9 · 2026:11:25/10:00:00.jpg is 9 · \
             NLST = 10:00:00.jpg",
        ),
    ),
    ("eager stacks", Own(all_bytes_before_the_command)),
    (
        "stacks that reset the data connection after what they announced",
        Lines("ALLO 5000 → 200 · begin STOR x · send 5000 · rst → 226 · x is 5000"),
    ),
    (
        "pollers",
        Lines(
            "put in/x 9 · CWD in → 250 · LIST = x · RETR x = 9 · DELE x → 250 · LIST = nothing · CWD . → 250 · \
             CDUP → 250 · RMD in → 250 · CWD in → 550",
        ),
    ),
    (
        "recursive deletion of a tree that STOR made",
        Lines(
            "STOR a/b/c/x ← 1 · STOR a/b/y ← 2 · STOR a/z ← 3 · DELE a/b/c/x → 250 · RMD a/b/c → 250 · \
             DELE a/b/y → 250 · RMD a/b → 250 · DELE a/z → 250 · RMD a → 250 · LIST = nothing",
        ),
    ),
    (
        "listings of odd names",
        Lines("MKD /x [1] → 257 · STOR /x [1]/a ← 9 · LIST /x [1] = a · NLST /x [1] = /x [1]/a"),
    ),
    ("scripts over NLST", Own(names_that_can_be_fetched)),
    ("uploaders with an empty name", Own(a_slash_and_no_name)),
    ("clients in lockstep with a pipelined SIZE", Own(abor_behind_size)),
];

#[test]
fn on_a_local_folder() {
    all_devices(Place::local);
}

#[test]
fn on_s3() {
    all_devices(Place::s3);
}

#[test]
fn in_memory() {
    all_devices(Place::memory);
}

/// Each dialogue with a home of its own; all that go wrong are told.
fn all_devices(place: impl Fn(Setup) -> Place) {
    let numbered = || (1..).zip(DEVICES).map(|(row, device)| (format!("row{row}"), device));
    let homes: Vec<_> = numbered()
        .map(|(row, _)| format!("[[users]]\nname = \"{row}\"\npassword = \"secret\"\nhome = \"{row}\"\n"))
        .collect();
    let users = format!("[[users]]\nname = \"demo\"\npassword = \"secret\"\n{}", homes.concat());
    let place = place(Setup::default().users(&users));
    let fails = |home: &Home, talk: &Talk| {
        let talk = || match talk {
            Lines(lines) => home.converse(lines),
            Own(own) => own(home),
        };
        catch_unwind(AssertUnwindSafe(talk)).is_err()
    };
    let mut failed = Vec::new();
    for (row, (who, talk)) in numbered() {
        eprintln!("--- {row}: {who}");
        if fails(&Home::new(&place, &row), talk) {
            failed.push(row);
        }
    }
    assert!(failed.is_empty(), "{failed:?} failed, see above");
}

fn empty_lines_between_commands(home: &Home) {
    let mut raw = home.place.gateway.connect();
    raw.send_bytes(format!("USER {}\r\n\r\nPASS secret\r\n\r\n", home.user()).as_bytes());
    raw.reply_is(331);
    raw.reply_is(230);
    raw.silent_for(Duration::from_millis(200));
    raw.expect("PWD", 257);
}

/// The end must be orderly: netcat shows nothing of what a reset overtakes.
fn all_in_one_write(home: &Home) {
    let mut raw = Raw::connect_only(home.place.gateway.ftp, None);
    let script = format!("USER {}\nPASS secret\nmkd /a/b\nquit\n\n", home.user());
    raw.send_bytes(script.as_bytes());
    for code in [220, 331, 230, 257, 221] {
        raw.reply_is(code);
    }
    raw.ends_in_order();
}

fn killed_in_mid_file(home: &Home) {
    let old = bytes(1000, 9);
    for command in ["STOR old", "APPE old", "STOR new"] {
        home.put("old", &old);
        while killed(home.login(), command, 2000, Killed::DataFirst).is_none() {
            home.place.gateway.wait_for_uploads();
            home.put("old", &old);
            home.login().ask("DELE new");
        }
        home.place.gateway.wait_for_uploads();
        assert_same(&home.stored("old").expect("stored"), &old);
        assert!(home.stored("new").is_none(), "{command}");
    }
}

fn quit_before_reading(home: &Home) {
    let content = bytes(700_000, 1);
    for resets in [false, true] {
        let name = format!("resets-{resets}");
        let mut raw = home.login();
        let mut data = raw.pasv();
        raw.send(&format!("STOR {name}"));
        data.write_all(&content).expect("the gateway reads");
        drop(data);
        raw.send("QUIT");
        raw.reply_is(150);
        if resets {
            raw.reset();
        } else {
            drop(raw);
        }
        home.place.gateway.wait_for_uploads();
        assert_same(&home.stored(&name).expect("stored"), &content);
    }
}

fn all_bytes_before_the_command(home: &Home) {
    let content = bytes(20_000, 1);
    let mut raw = home.login();
    let mut data = raw.pasv();
    data.write_all(&content).expect("room in the socket");
    drop(data);
    raw.expect("STOR x", 150);
    raw.reply_is(226);
    assert_same(&home.stored("x").expect("stored"), &content);
}

fn names_that_can_be_fetched(home: &Home) {
    home.put("in/a b", b"one");
    home.put("in/c", b"two");
    let mut raw = home.login();
    raw.expect("MKD elsewhere", 257);
    for (directory, command) in
        [("/", "NLST /in"), ("/", "NLST in"), ("/in", "NLST"), ("/elsewhere", "NLST ../in")]
    {
        raw.expect(&format!("CWD {directory}"), 250);
        let mut got: Vec<_> = raw.list(command).iter().map(|name| raw.retr(name)).collect();
        got.sort();
        assert_eq!(got, [b"one", b"two"], "{command}");
    }
}

/// Neither a file of the directory's name nor one without a name.
fn a_slash_and_no_name(home: &Home) {
    let mut raw = home.login();
    raw.refused("STOR /inc/", 553);
    assert_eq!(home.objects(), [""; 0]);
    home.put("inc/x", b"x");
    raw.refused("STOR /inc/", 553);
    assert_eq!(home.objects(), ["inc/x"]);
}

fn abor_behind_size(home: &Home) {
    let mut raw = home.login();
    let mut data = raw.begin("STOR x");
    data.write_all(&bytes(1000, 1)).expect("the gateway reads");
    raw.send("SIZE x");
    let begun = Instant::now();
    raw.send("ABOR");
    raw.reply_is(426);
    raw.reply_is(226);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    raw.reply_is(550);
    drop(data);
    assert!(home.stored("x").is_none());
}

/// A reset is the same as an end only once everything announced has arrived.
#[test]
fn less_or_more_than_announced_is_not_complete() {
    let place = Place::memory(Setup::default());
    for size in [4999, 5001] {
        let mut raw = place.gateway.login();
        raw.expect("ALLO 5000", 200);
        let mut data = raw.begin("STOR x");
        data.write_all(&bytes(size, 1)).expect("the gateway reads");
        reset(&data);
        drop(data);
        raw.reply_is(426);
        assert!(place.stored("x").is_none(), "{size}");
    }
}

/// Firmware that knows no size announces 0: that must not make an empty file of one that was cut off at once.
#[test]
fn nothing_announced_is_no_announcement() {
    let place = Place::local(Setup::default());
    place.put("x", b"old");
    let mut raw = place.gateway.login();
    raw.expect("ALLO 0", 200);
    let data = raw.begin("STOR x");
    std::thread::sleep(Duration::from_millis(100));
    reset(&data);
    drop(data);
    raw.reply_is(426);
    assert_eq!(place.stored("x").as_deref(), Some(&b"old"[..]));
}

/// What was announced for an upload that was refused says nothing of the next one.
#[test]
fn an_announcement_holds_for_one_upload() {
    let place = Place::local(Setup::default());
    let mut raw = place.gateway.login();
    raw.expect("ALLO 3", 200);
    raw.refused("STOR x/", 553);
    let mut data = raw.begin("STOR x");
    data.write_all(b"cut").expect("the gateway reads");
    std::thread::sleep(Duration::from_millis(100));
    reset(&data);
    drop(data);
    raw.reply_is(426);
    assert_eq!(place.stored("x"), None);
}
