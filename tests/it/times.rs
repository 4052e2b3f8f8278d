//! The time of a file, which clients set after an upload, with MFMT or with MDTM.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::{Gateway, Place, Setup, lftp, on_each_store_and_in_memory};

on_each_store_and_in_memory! { crate::support::Setup::default();
    a_time_is_kept_where_it_can_be_and_no_failure_elsewhere
}

fn a_time_is_kept_where_it_can_be_and_no_failure_elsewhere(place: &Place) {
    let mut raw = place.gateway.login();
    assert!(raw.expect("FEAT", 211).lines.contains(&" MFMT".to_owned()));
    for (command, time) in [
        ("MFMT 20200131010203 x", "20200131010203"),
        ("mfmt 20210131010203.456 /x", "20210131010203"),
        ("MDTM 19991231235959 x", "19991231235959"),
        ("MDTM 19691231235959 ./x", "19691231235959"),
    ] {
        raw.stor("x", b"12345");
        let before = raw.expect("MDTM x", 213).text().to_owned();
        let reply = raw.ask(command);
        let after = raw.expect("MDTM x", 213).text().to_owned();
        match reply.code {
            213 => {
                assert_eq!(reply.text(), format!("Modify={time}; /x"));
                assert_eq!(after, time, "{command}");
            }
            202 => assert_eq!(after, before, "{command}"),
            _ => panic!("{command}: {reply:?}"),
        }
        let keeps = place.gateway.data().exists();
        assert_eq!(reply.code == 213, keeps, "{command}: {reply:?}");
        for facts in [raw.list("MLSD").remove(0), raw.expect("MLST x", 250).lines.remove(1)] {
            assert!(facts.contains(&format!("modify={after};")), "{facts}");
        }
        let listed = raw.list("LIST").remove(0);
        assert!(listed.contains(&format!(" {} x", &after[..4])) || !keeps, "{listed}");
    }
    assert_eq!(raw.retr("x"), b"12345");
    // A new content has a time of its own again.
    raw.stor("x", b"12345");
    assert!(raw.expect("MDTM x", 213).text() > "2024");
    for wrong in ["MFMT", "MFMT x", "MFMT 20200131010203", "MFMT 20200231010203 x", "MFMT 2020 x"] {
        raw.expect(wrong, 501);
    }
}

#[test]
fn what_has_no_time_to_set() {
    let users = "[[users]]\nname = \"demo\"\npassword = \"secret\"\n\
                 [[users]]\nname = \"in\"\npassword = \"secret\"\npermissions = [\"write\"]\n\
                 [[users]]\nname = \"out\"\npassword = \"secret\"\npermissions = [\"list\", \"read\", \"delete\"]\n";
    let gateway = Setup::default().users(users).start();
    gateway.put("dir/x", b"x");
    gateway.put("dir/20200131010203 x", b"with a time in its name");
    let mut raw = gateway.login();
    for path in ["missing", "dir", "/", "dir/.keep", "dir/x/y"] {
        raw.expect(&format!("MFMT 20200131010203 {path}"), 550);
    }
    gateway.connect().logged_in("in", "secret").expect("MFMT 20200131010203 dir/x", 213);
    gateway.connect().logged_in("out", "secret").expect("MFMT 20200131010203 dir/x", 550);
    raw.expect("CWD dir", 250);
    // What begins with a time has one; such a name is asked for in another way.
    raw.expect("MDTM 20200131010203 missing", 550);
    raw.expect("MDTM 20010131010203 x", 213);
    assert!(raw.expect("MDTM ./20200131010203 x", 213).text() > "2024");
    assert_eq!(raw.expect("MDTM x", 213).text(), "20010131010203");
}

#[test]
fn lftp_keeps_the_times_of_what_it_mirrors() {
    let gateway = Gateway::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("x");
    fs::write(&file, b"content").expect("a writable folder");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(&file).and_then(|file| file.set_modified(time)).expect("our own file");
    let mirror = format!(
        "open -u demo,secret ftp://{}; mirror -R -v {} sent; bye",
        gateway.ftp,
        folder.path().display()
    );
    lftp(&mirror).success();
    let kept = fs::metadata(gateway.data().join("sent/x")).and_then(|metadata| metadata.modified());
    assert_eq!(kept.expect("stored"), time);
    assert_eq!(gateway.login().expect("MDTM sent/x", 213).text(), "20010909014640");
    // By its time it is seen to be there.
    let again = lftp(&mirror).success();
    assert!(!again.contains("Transferring"), "{again}");
}
