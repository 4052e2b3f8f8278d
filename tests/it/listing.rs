//! LIST, NLST, MLSD and MLST: their forms, empty and missing directories, and large ones.

use std::time::{Duration, Instant};

use chrono::Utc;

use crate::support::{Place, on_each_store};

on_each_store! { crate::support::Setup::default();
    the_forms_that_clients_parse
    empty_directories
    missing_directories
    a_file_is_listed_alone
    facts_of_one
    thousands_of_files
    markers_are_hidden
}

fn the_forms_that_clients_parse(place: &Place) {
    let mut raw = place.gateway.login();
    raw.stor("a b.txt", b"12345");
    raw.expect("MKD sub", 257);
    let mut lines = raw.list("LIST");
    lines.sort();
    let today = Utc::now().format("%b %e ").to_string();
    let yesterday = (Utc::now() - chrono::TimeDelta::minutes(5)).format("%b %e ").to_string();
    let [file, directory] = &lines[..] else { panic!("{lines:?}") };
    let columns: Vec<_> = file.split_whitespace().collect();
    assert_eq!(&columns[..5], ["-rw-r--r--", "1", "ftp", "ftp", "5"]);
    assert!(file.ends_with(" a b.txt") && (file.contains(&today) || file.contains(&yesterday)), "{file}");
    let time = columns[7];
    assert!(time.len() == 5 && time.as_bytes()[2] == b':', "{file}");
    assert!(directory.starts_with("drwxr-xr-x 1 ftp ftp ") && directory.ends_with(" sub"), "{directory}");

    let mut names = raw.list("NLST");
    names.sort();
    assert_eq!(names, ["a b.txt", "sub"]);

    let mut facts = raw.list("MLSD");
    facts.sort();
    assert!(facts[0].starts_with("type=dir;") && facts[0].ends_with("; sub"), "{facts:?}");
    assert!(
        facts[1].starts_with("type=file;size=5;modify=20") && facts[1].ends_with("; a b.txt"),
        "{facts:?}"
    );
    for line in &facts {
        for fact in line.split_once(' ').expect("a space before the name").0.split_terminator(';') {
            assert!(fact.contains('='), "{line}");
        }
    }
}

fn empty_directories(place: &Place) {
    let mut raw = place.gateway.login();
    for command in ["LIST", "NLST", "MLSD", "LIST /", "MLSD /"] {
        assert_eq!(raw.list(command), [""; 0], "{command}");
    }
    raw.expect("MKD sub", 257);
    for command in ["LIST sub", "NLST sub", "MLSD sub", "LIST -la sub", "NLST sub/*"] {
        assert_eq!(raw.list(command), [""; 0], "{command}");
    }
}

fn missing_directories(place: &Place) {
    let mut raw = place.gateway.login();
    for command in ["LIST missing", "NLST missing", "MLSD missing", "LIST missing/*.txt", "NLST a/b/c"] {
        raw.refused(command, 550);
    }
    raw.expect("MLST missing", 550);
    raw.expect("STAT missing", 550);
    assert_eq!(raw.list("LIST"), [""; 0]);
}

fn a_file_is_listed_alone(place: &Place) {
    place.put("sub/x", b"12345");
    let mut raw = place.gateway.login();
    let lines = raw.list("LIST sub/x");
    assert!(lines.len() == 1 && lines[0].ends_with('x'), "{lines:?}");
    assert_eq!(raw.list("NLST sub/x").len(), 1);
    // RFC 3659 section 7.1: MLSD is for directories, and for all else 501 is the answer.
    raw.refused("MLSD sub/x", 501);
}

fn facts_of_one(place: &Place) {
    place.put("sub/x", b"12345");
    let mut raw = place.gateway.login();
    for path in ["sub/x", "/sub/x", "sub/../sub/./x"] {
        let reply = raw.expect(&format!("MLST {path}"), 250);
        let [_, facts, _] = &reply.lines[..] else { panic!("{reply:?}") };
        assert!(facts.starts_with(" type=file;size=5;modify=20") && facts.ends_with("; /sub/x"), "{facts}");
    }
    for (path, ending) in [("", "; /"), (" sub", "; /sub"), (" /", "; /"), (" sub/..", "; /")] {
        let reply = raw.expect(&format!("MLST{path}"), 250);
        let facts = &reply.lines[1];
        assert!(facts.starts_with(" type=dir;") && facts.ends_with(ending), "{reply:?}");
    }
    raw.expect("CWD sub", 250);
    assert!(raw.expect("MLST x", 250).lines[1].ends_with("; /sub/x"));
    assert!(raw.expect("MLST", 250).lines[1].ends_with("; /sub"));
}

fn thousands_of_files(place: &Place) {
    let names: Vec<_> = (0..3000).map(|number| format!("file {number:04}.txt")).collect();
    for name in &names {
        place.put(&format!("many/{name}"), b"");
    }
    place.put("many/sub/x", b"");
    let mut raw = place.gateway.login();
    let begun = Instant::now();
    let mut listed = raw.list("NLST many");
    listed.sort();
    let expected: Vec<_> = names.iter().map(|name| format!("many/{name}")).collect();
    assert_eq!(listed[..3000], expected[..]);
    assert_eq!(listed[3000..], ["many/sub"]);
    assert_eq!(raw.list("LIST many").len(), 3001);
    assert_eq!(raw.list("MLSD many").len(), 3001);
    assert_eq!(raw.list("NLST many/file 1*.txt").len(), 1000);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    // Closed before its end: no client has to take it all.
    drop(raw.begin("LIST many"));
    let code = raw.reply().code;
    assert!(matches!(code, 226 | 426), "{code}");
    raw.expect("NOOP", 200);
}

fn markers_are_hidden(place: &Place) {
    let mut raw = place.gateway.login();
    raw.expect("MKD sub", 257);
    raw.stor("sub/x", b"x");
    assert_eq!(raw.list("NLST sub"), ["sub/x"]);
    assert_eq!(raw.list("MLSD sub").len(), 1);
    for command in ["SIZE sub/.keep", "MLST sub/.keep", "DELE sub/.keep", "RNFR sub/.keep"] {
        raw.expect(command, 550);
    }
    raw.refused("RETR sub/.keep", 550);
    raw.refused("STOR sub/.keep", 553);
    raw.expect("RNFR sub/x", 350);
    raw.expect("RNTO sub/.keep", 553);
    assert_eq!(place.stored("sub/x").expect("stored"), b"x");
}
