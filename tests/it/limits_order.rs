//! Refusals in order: what can never be is told before what may be possible later, and a refusal holds nothing.

use std::time::Duration;

use crate::support::{Gateway, Manner, Raw, Receiver, Setup, eventually};

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
    let sections = format!(
        "[events_queue]\nmemory = 2\n[[events]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"{}\"\nrequired = true\n\
         types = [\"upload\", \"download\", \"delete\", \"rename\", \"mkdir\", \"rmdir\"]\n",
        receiver.url()
    );
    let gateway = adding("files_per_day = 10", &sections);
    let mut raw = gateway.login();
    let full = |raw: &mut Raw, round: &str| {
        let mut stored = 0;
        loop {
            let mut data = raw.pasv();
            let reply = raw.ask(&format!("STOR {round}{stored}"));
            if reply.code == 451 {
                return stored;
            }
            assert!(reply.code == 150 && stored < 5, "{reply:?}");
            let _ = std::io::Write::write_all(&mut data, b"x");
            drop(data);
            raw.reply_is(226);
            stored += 1;
        }
    };
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
    let first = full(&mut raw, "first");
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
    assert_eq!(full(&mut raw, "second"), first, "as much room as before");
}
