//! Refusals in order: what can never be is told before what may be possible later, and a refusal holds nothing.

use std::fs;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use crate::support::{Gateway, Manner, Raw, Receiver, Setup, eventually, files_below, reset};

const SOON: Duration = Duration::from_secs(20);

/// A gateway whose user may add files and directories and read, and change nothing that is there; `limits` are theirs.
fn adding(limits: &str, sections: &str) -> Gateway {
    let gateway = Setup::default()
        .users(&format!(
            "[[users]]\nname = \"demo\"\npassword = \"secret\"\n\
             permissions = [\"list\", \"read\", \"write\", \"mkdir\"]\ndeny_names = [\"*.exe\"]\n\
             [users.limits]\n{limits}\n{sections}"
        ))
        .start();
    gateway.put("dir/there", b"there");
    gateway
}

/// Uploads that can never be, with what each of them gets.
#[track_caller]
fn uploads_that_can_never_be(raw: &mut Raw) {
    for (command, code) in [
        ("STOR new.exe", 553),
        ("STOR .", 550),
        ("STOR dir", 550),
        ("STOR dir/there", 553),
        ("APPE dir/there", 550),
    ] {
        raw.refused(command, code);
    }
}

/// Stores files until a sink has no room; returns how many.
fn fill(raw: &mut Raw, round: &str) -> usize {
    let mut stored = 0;
    loop {
        let mut data = raw.pasv();
        let reply = raw.ask(&format!("STOR {round}{stored}"));
        if reply.code == 451 {
            return stored;
        }
        assert!(reply.code == 150 && stored < 5, "{reply:?}");
        let _ = data.write_all(b"x");
        drop(data);
        raw.reply_is(226);
        stored += 1;
    }
}

/// The sections of a sink that has to be told of all that users do and has room for two.
fn required(receiver: &Receiver) -> String {
    format!(
        "[events_queue]\nmemory = 2\n[[events]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\nrequired = true\n\
         types = [\"upload\", \"download\", \"delete\", \"rename\", \"mkdir\", \"rmdir\"]\n",
        receiver.url()
    )
}

#[test]
fn what_can_never_be_uploaded_is_told_before_the_day_is_over_and_counts_for_nothing() {
    let gateway = adding("files_per_day = 2\nbytes_per_day = \"1KiB\"\nfile_size = \"2KiB\"", "");
    let mut raw = gateway.login();
    for _ in 0..3 {
        uploads_that_can_never_be(&mut raw);
    }
    raw.stor("a", b"1");
    raw.stor("b", &[2; 1023]);
    raw.refused("STOR c", 452);
    uploads_that_can_never_be(&mut raw);
    // Of whoever may not upload at all nobody has to know how large it would have been.
    raw.expect("ALLO 4096", 200);
    raw.refused("STOR new.exe", 553);
    let limited = |limit: &str| {
        gateway.metric(&format!("bucketport_limited_total{{limit=\"{limit}\",scope=\"user\"}}"))
    };
    assert!((limited("files_per_day") - 1.0).abs() < 0.1 && limited("file_size") < 0.5);
    eventually("nothing is left", SOON, || gateway.files() == ["a", "b", "dir/there"]);
}

#[test]
fn what_can_never_be_is_told_before_a_sink_has_no_room_and_takes_none() {
    let receiver = Receiver::start();
    receiver.does(Manner::Close);
    let sections = required(&receiver);
    let gateway = adding("files_per_day = 10", &sections);
    let mut raw = gateway.login();
    let can_never_be = |raw: &mut Raw| {
        uploads_that_can_never_be(raw);
        raw.refused("RETR missing", 550);
        raw.refused("RETR dir", 550);
        raw.expect("DELE dir/there", 550);
        raw.expect("RMD dir", 550);
        raw.expect("MKD new.exe", 550);
        raw.expect("RNFR dir/there", 350);
        raw.expect("RNTO dir/new", 550);
    };
    let first = fill(&mut raw, "first");
    can_never_be(&mut raw);
    // More often than the day has files: what the sink refuses is none.
    for _ in 0..12 {
        raw.refused("STOR late", 451);
    }
    raw.refused("RETR dir/there", 451);
    raw.expect("MKD new", 451);
    receiver.does(Manner::Answer(200));
    receiver.wait_for(first);
    let queued = || gateway.metric("bucketport_events_queued{sink=\"hook\"}");
    eventually("room", SOON, || queued() < 0.5);
    for _ in 0..3 {
        can_never_be(&mut raw);
    }
    receiver.does(Manner::Close);
    assert_eq!(fill(&mut raw, "second"), first, "as much room as before");
}

/// A gateway that keeps what arrives of broken uploads.
fn keeping(limits: &str, sections: &str) -> Gateway {
    Setup::default()
        .store("resume_window = \"1h\"")
        .users(&format!(
            "[[users]]\nname = \"demo\"\npassword = \"secret\"\n[users.limits]\n{limits}\n{sections}"
        ))
        .start()
}

/// Breaks an upload to `file`; returns how much was kept.
fn break_off(gateway: &Gateway) -> usize {
    let mut raw = gateway.login();
    let mut data = raw.begin("STOR file");
    data.write_all(&[1; 1000]).expect("the gateway reads");
    // What is on the line when it is lost never arrives.
    sleep(Duration::from_millis(300));
    reset(&data);
    drop(data);
    raw.reply_is(426);
    raw.expect("SIZE file", 213).text().parse().expect("a number")
}

/// What is written down of broken uploads, as far as it changes when somebody takes one up.
fn records(gateway: &Gateway) -> Vec<(String, Vec<u8>)> {
    let folder = gateway.data().join(".bucketport");
    files_below(&folder)
        .into_iter()
        .map(|name| (name.clone(), fs::read(folder.join(name)).expect("it stays")))
        .collect()
}

/// Going on is refused with `code`, again and again, and nothing is written for that.
#[track_caller]
fn going_on_is_refused(gateway: &Gateway, raw: &mut Raw, kept: usize, code: u16) {
    let before = records(gateway);
    assert!(!before.is_empty());
    for _ in 0..3 {
        raw.expect(&format!("REST {kept}"), 350);
        raw.refused("STOR file", code);
        raw.refused("APPE file", code);
        raw.expect(&format!("REST {}", kept + 1), 350);
        raw.refused("STOR file", 554);
    }
    // What a refusal would have others do comes after its reply.
    sleep(Duration::from_millis(300));
    assert!(records(gateway) == before, "somebody has taken it up");
}

#[test]
fn who_is_refused_for_the_day_takes_up_nothing() {
    let gateway = keeping("files_per_day = 1", "");
    let kept = break_off(&gateway);
    let mut raw = gateway.login();
    raw.stor("other", b"1");
    going_on_is_refused(&gateway, &mut raw, kept, 452);
}

#[test]
fn who_is_refused_for_a_sink_takes_up_nothing() {
    let receiver = Receiver::start();
    receiver.does(Manner::Close);
    let gateway = keeping("", &required(&receiver));
    let kept = break_off(&gateway);
    let mut raw = gateway.login();
    let stored = fill(&mut raw, "other");
    going_on_is_refused(&gateway, &mut raw, kept, 451);
    receiver.does(Manner::Answer(200));
    receiver.wait_for(stored);
    eventually("room", SOON, || gateway.metric("bucketport_events_queued{sink=\"hook\"}") < 0.5);
    raw.expect(&format!("REST {kept}"), 350);
    assert_eq!(raw.upload("STOR file", b"rest").code, 226);
    assert_eq!(gateway.file("file"), [&vec![1; kept][..], b"rest"].concat());
}
