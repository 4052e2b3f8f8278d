//! The facts of MLST and MLSD (RFC 3659 section 7): which ones, for files and for directories.

use crate::support::{Gateway, Place, Raw, on_each_store_and_in_memory};

on_each_store_and_in_memory! { crate::support::Setup::default();
    directories_have_a_time
    mlst_and_mlsd_agree
    the_selection_holds_for_both
    each_path_is_unique
}

/// The facts of `name` in MLSD of the working directory.
fn in_mlsd(raw: &mut Raw, name: &str) -> String {
    let lines = raw.list("MLSD");
    let found = lines.iter().find_map(|line| line.strip_suffix(name)?.strip_suffix(' '));
    found.unwrap_or_else(|| panic!("{name} in {lines:?}")).to_owned()
}

/// The facts of `name` in MLST.
fn in_mlst(raw: &mut Raw, name: &str) -> String {
    let reply = raw.expect(&format!("MLST {name}"), 250);
    let facts = reply.lines[1].strip_prefix(' ').expect("RFC 3659 section 7.2: a space before the facts");
    facts.split(' ').next().expect("facts").to_owned()
}

fn directories_have_a_time(place: &Place) {
    place.put("implied/x", b"x");
    let mut raw = place.gateway.login();
    raw.expect("MKD made", 257);
    for name in ["implied", "made"] {
        for facts in [in_mlsd(&mut raw, name), in_mlst(&mut raw, name)] {
            assert!(facts.starts_with("type=dir;"), "{facts}");
            let time = facts.split(';').find_map(|fact| fact.strip_prefix("modify="));
            let time = time.unwrap_or_else(|| panic!("no time in {facts}"));
            assert!(time.len() == 14 && time.bytes().all(|byte| byte.is_ascii_digit()), "{facts}");
        }
    }
    let root = raw.expect("MLST /", 250);
    assert!(root.lines[1].contains("modify="), "{root:?}");
}

fn mlst_and_mlsd_agree(place: &Place) {
    place.put("x", b"12345");
    place.put("implied/x", b"x");
    let mut raw = place.gateway.login();
    raw.expect("MKD made", 257);
    for name in ["x", "implied", "made"] {
        assert_eq!(in_mlsd(&mut raw, name), in_mlst(&mut raw, name));
    }
}

fn the_selection_holds_for_both(place: &Place) {
    place.put("x", b"12345");
    let mut raw = place.gateway.login();
    raw.expect("MKD made", 257);
    for (options, file, directory) in [
        ("size;", "size=5;", ""),
        ("type;", "type=file;", "type=dir;"),
        ("size;type;", "type=file;size=5;", "type=dir;"),
        ("", "", ""),
    ] {
        raw.expect(&format!("OPTS MLST {options}"), 200);
        for facts in [in_mlsd(&mut raw, "x"), in_mlst(&mut raw, "x")] {
            assert_eq!(facts, file, "{options}");
        }
        for facts in [in_mlsd(&mut raw, "made"), in_mlst(&mut raw, "made")] {
            assert_eq!(facts, directory, "{options}");
        }
    }
    // RFC 3659 section 7.9: without a fact only the space and the name are left.
    let mut lines = raw.list("MLSD");
    lines.sort();
    assert_eq!(lines, [" made", " x"]);
    assert_eq!(raw.expect("MLST x", 250).lines[1], "  /x");
}

/// The facts in the reply to OPTS MLST, and the line of MLST in FEAT.
fn select(raw: &mut Raw, argument: &str) -> (String, String) {
    let reply = raw.expect(&format!("OPTS {argument}"), 200);
    let features = raw.expect("FEAT", 211);
    let line = features.lines.iter().find(|line| line.starts_with(" MLST ")).expect("MLST is a feature");
    (reply.text().to_owned(), line.clone())
}

#[test]
fn the_reply_and_feat_follow_the_selection() {
    let gateway = Gateway::start();
    let mut raw = gateway.login();
    for (argument, reply, feature) in [
        ("MLST size;", "MLST OPTS size;", " MLST type;size*;modify;perm;unique;UNIX.mode;"),
        (
            "MLST type;size;modify;",
            "MLST OPTS type;size;modify;",
            " MLST type*;size*;modify*;perm;unique;UNIX.mode;",
        ),
        ("MLST modify;type;", "MLST OPTS type;modify;", " MLST type*;size;modify*;perm;unique;UNIX.mode;"),
        ("mlst Size;MODIFY;", "MLST OPTS size;modify;", " MLST type;size*;modify*;perm;unique;UNIX.mode;"),
        (
            "MLST unique;perm;size;UNIX.mode;media-type;",
            "MLST OPTS size;perm;unique;UNIX.mode;",
            " MLST type;size*;modify;perm*;unique*;UNIX.mode*;",
        ),
        ("MLST lang;", "MLST OPTS", " MLST type;size;modify;perm;unique;UNIX.mode;"),
        ("MLST type;type;", "MLST OPTS type;", " MLST type*;size;modify;perm;unique;UNIX.mode;"),
        ("MLST", "MLST OPTS", " MLST type;size;modify;perm;unique;UNIX.mode;"),
        // Without the last semicolon, as some clients send it.
        ("MLST type;size", "MLST OPTS type;size;", " MLST type*;size*;modify;perm;unique;UNIX.mode;"),
    ] {
        assert_eq!(select(&mut raw, argument), (reply.to_owned(), feature.to_owned()), "{argument}");
    }
}

#[test]
fn a_new_login_begins_with_the_usual_facts() {
    let gateway = Gateway::start();
    gateway.put("x", b"12345");
    let mut raw = gateway.login();
    select(&mut raw, "MLST size;");
    raw.expect("REIN", 220);
    let mut raw = raw.logged_in("demo", "secret");
    let facts = in_mlst(&mut raw, "x");
    assert!(facts.starts_with("type=file;size=5;modify=") && facts.ends_with(";perm=adfrw;"), "{facts}");
    let (_, feature) = select(&mut gateway.login(), "MLST type;size;modify;");
    assert_eq!(feature, " MLST type*;size*;modify*;perm;unique;UNIX.mode;");
}

fn each_path_is_unique(place: &Place) {
    for path in ["x", "y", "sub/x"] {
        place.put(path, b"x");
    }
    let mut raw = place.gateway.login();
    raw.expect("OPTS MLST unique;UNIX.mode;", 200);
    let mut seen = Vec::new();
    for (directory, names) in [("/", &["x", "y", "sub"][..]), ("/sub", &["x"])] {
        raw.expect(&format!("CWD {directory}"), 250);
        for name in names {
            let facts = in_mlsd(&mut raw, name);
            assert_eq!(facts, in_mlst(&mut raw, name), "{name}");
            let mode = if *name == "sub" { "UNIX.mode=0755;" } else { "UNIX.mode=0644;" };
            assert!(facts.ends_with(mode), "{facts}");
            seen.push(facts);
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn perm_tells_what_the_user_may_do() {
    let users = "[[users]]\nname = \"all\"\npassword = \"secret\"\n\
                 [[users]]\nname = \"in\"\npassword = \"secret\"\npermissions = [\"list\", \"write\", \"mkdir\"]\n\
                 [[users]]\nname = \"out\"\npassword = \"secret\"\npermissions = [\"list\", \"read\", \"delete\"]\n";
    let gateway = crate::support::Setup::default().users(users).start();
    gateway.put("x", b"x");
    gateway.put("sub/x", b"x");
    for (user, file, directory, root) in
        [("all", "adfrw", "cdeflmp", "celmp"), ("in", "", "celm", "celm"), ("out", "dr", "elp", "elp")]
    {
        let mut raw = gateway.connect().logged_in(user, "secret");
        raw.expect("OPTS MLST perm;", 200);
        for (name, expected) in [("x", file), ("sub", directory), ("/", root)] {
            assert_eq!(in_mlst(&mut raw, name), format!("perm={expected};"), "{user} {name}");
        }
        assert_eq!(in_mlsd(&mut raw, "x"), format!("perm={file};"), "{user}");
    }
}
