//! Renaming: the file is always at one of its names, whole.

use bucketport::storage::Existing;

use crate::data::body;
use crate::fixture::{Fixture, PART};

pub(crate) async fn moves(fixture: &Fixture) {
    for (size, from, to) in [(5, "a", "b"), (PART + 5, "b", "dir/c"), (0, "dir/c", "other/deep/d")] {
        let bytes = body(size, size as u64);
        fixture.put(from, &bytes).await;
        let (from_path, to_path) = (fixture.path(from), fixture.path(to));
        fixture.store().rename(&from_path, &to_path, Existing::Refuse).await.expect("nothing is there");
        fixture.assert_missing(from).await;
        fixture.assert_holds(to, &bytes).await;
    }
}

pub(crate) async fn onto_another(fixture: &Fixture) {
    let (from, to) = (fixture.path("from"), fixture.path("dir/to"));
    fixture.put("from", &body(10, 1)).await;
    fixture.put("dir/to", &body(20, 2)).await;
    assert_err!(fixture.store().rename(&from, &to, Existing::Refuse).await, AlreadyExists);
    fixture.assert_holds("from", &body(10, 1)).await;
    fixture.assert_holds("dir/to", &body(20, 2)).await;
    fixture.store().rename(&from, &to, Existing::Replace).await.expect("may be replaced");
    fixture.assert_missing("from").await;
    fixture.assert_holds("dir/to", &body(10, 1)).await;
}

pub(crate) async fn onto_itself(fixture: &Fixture) {
    fixture.put("file", &body(10, 1)).await;
    let file = fixture.path("file");
    for existing in [Existing::Replace, Existing::Refuse] {
        fixture.store().rename(&file, &file, existing).await.expect("changes nothing");
        fixture.assert_holds("file", &body(10, 1)).await;
    }
}

pub(crate) async fn onto_a_directory(fixture: &Fixture) {
    fixture.put("file", &body(10, 1)).await;
    fixture.put("dir/in it", &body(5, 2)).await;
    fixture.store().make_directory(&fixture.path("made")).await.expect("nothing is there");
    for directory in ["dir", "made"] {
        let renamed =
            fixture.store().rename(&fixture.path("file"), &fixture.path(directory), Existing::Replace).await;
        assert_err!(renamed, AlreadyExists);
    }
    fixture.assert_holds("file", &body(10, 1)).await;
    fixture.assert_holds("dir/in it", &body(5, 2)).await;
}

pub(crate) async fn of_what_is_no_file(fixture: &Fixture) {
    fixture.put("dir/file", &body(5, 2)).await;
    let to = fixture.path("to");
    assert_err!(fixture.store().rename(&fixture.path("missing"), &to, Existing::Replace).await, NotFound);
    assert_err!(fixture.store().rename(&fixture.path("dir"), &to, Existing::Replace).await, NotSupported(_));
    fixture.assert_missing("to").await;
    fixture.assert_holds("dir/file", &body(5, 2)).await;
}

/// The directory stays when its last file is renamed away.
pub(crate) async fn leaves_the_directory(fixture: &Fixture) {
    fixture.put("a/b/file", &body(5, 2)).await;
    fixture.store().make_directory(&fixture.path("made")).await.expect("nothing is there");
    fixture.put("made/file", &body(5, 3)).await;
    for (from, to) in [("a/b/file", "one"), ("made/file", "two")] {
        let renamed = fixture.store().rename(&fixture.path(from), &fixture.path(to), Existing::Refuse).await;
        renamed.expect("nothing is there");
    }
    for name in ["a/b", "made"] {
        assert!(fixture.entries(name).await.expect("a directory still").is_empty(), "{name}");
    }
}
