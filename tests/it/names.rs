//! Names as arguments: what NLST answers can be used, wildcards may be part of a name, and a slash is not.

use crate::support::{Place, on_each_store_and_in_memory};

on_each_store_and_in_memory! { crate::support::Setup::default();
    nlst_answers_what_can_be_given_to_retr
    a_name_comes_before_the_pattern_that_it_is
    patterns_match_where_nothing_has_that_name
    a_name_does_not_end_in_a_slash
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// RFC 1123 section 4.1.2.7.
fn nlst_answers_what_can_be_given_to_retr(place: &Place) {
    place.put("in/a", b"a");
    place.put("in/sub/b", b"b");
    let mut raw = place.gateway.login();
    for (command, names) in [
        ("NLST in", ["in/a", "in/sub"]),
        ("NLST in/", ["in/a", "in/sub"]),
        ("NLST /in", ["/in/a", "/in/sub"]),
        ("NLST -a in", ["in/a", "in/sub"]),
        ("NLST in/../in", ["in/../in/a", "in/../in/sub"]),
        ("NLST in/*", ["in/a", "in/sub"]),
    ] {
        assert_eq!(sorted(raw.list(command)), names, "{command}");
    }
    assert_eq!(raw.list("NLST in/sub"), ["in/sub/b"]);
    assert_eq!(raw.list("NLST"), ["in"]);
    assert_eq!(raw.list("NLST /"), ["/in"]);
    raw.expect("CWD in", 250);
    assert_eq!(sorted(raw.list("NLST")), ["a", "sub"]);
    for directory in [".", "..", "/in", "../in/sub", "sub"] {
        for name in raw.list(&format!("NLST {directory}")) {
            raw.expect(&format!("MLST {name}"), 250);
        }
    }
    assert_eq!(raw.list("NLST a"), ["a"]);
    assert_eq!(raw.list("NLST /in/a"), ["/in/a"]);
    assert_eq!(raw.list("NLST ../in/a"), ["../in/a"]);
}

fn a_name_comes_before_the_pattern_that_it_is(place: &Place) {
    place.put("x [1]/a", b"a");
    place.put("x 1", b"what the pattern matches");
    place.put("b*", b"b");
    place.put("bc", b"bc");
    place.put("q?/a", b"a");
    let mut raw = place.gateway.login();
    raw.expect("MKD empty [2]", 257);
    for (path, names) in [
        ("/x [1]", &["/x [1]/a"][..]),
        ("x [1]", &["x [1]/a"]),
        ("x [1]/", &["x [1]/a"]),
        ("x [1]/*", &["x [1]/a"]),
        ("b*", &["b*"]),
        ("q?", &["q?/a"]),
        ("empty [2]", &[]),
    ] {
        assert_eq!(raw.list(&format!("NLST {path}")), names, "{path}");
        assert_eq!(raw.list(&format!("LIST {path}")).len(), names.len(), "{path}");
    }
}

fn patterns_match_where_nothing_has_that_name(place: &Place) {
    for name in ["x 1", "x 2", "x 3", "y 1"] {
        place.put(name, b"x");
    }
    let mut raw = place.gateway.login();
    assert_eq!(sorted(raw.list("NLST x [12]")), ["x 1", "x 2"]);
    assert_eq!(raw.list("LIST x [12]").len(), 2);
    assert_eq!(sorted(raw.list("NLST ? 1")), ["x 1", "y 1"]);
    assert_eq!(raw.list("NLST z*"), [""; 0]);
    // A file has nothing below it that could match.
    raw.refused("NLST x 1/*", 550);
}

/// A device whose name is empty sends the directory alone.
fn a_name_does_not_end_in_a_slash(place: &Place) {
    place.put("x", b"x");
    place.put("in/y", b"y");
    let mut raw = place.gateway.login();
    for command in ["STOR", "APPE"] {
        for path in ["/in/", "in/", "new/", "x/", "in//", "new/sub/"] {
            raw.refused(&format!("{command} {path}"), 553);
        }
    }
    for path in ["in/", "new/", "x/"] {
        raw.expect("RNFR x", 350);
        raw.expect(&format!("RNTO {path}"), 553);
    }
    assert_eq!(place.objects(), ["in/y", "x"]);
    // Directories may be named so.
    raw.expect("MKD made/", 257);
    raw.expect("CWD made/", 250);
    raw.expect("CDUP", 250);
    raw.expect("RMD made/", 250);
}
