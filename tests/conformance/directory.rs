//! Directories: made by MKD, implied by what is in them, removed only when empty.

use bucketport::files;
use bucketport::path::VirtualPath;

use crate::data::body;
use crate::fixture::Fixture;

pub(crate) async fn made_and_removed(fixture: &Fixture) {
    let store = fixture.store();
    let (upper, lower) = (fixture.path("upper"), fixture.path("upper/lower"));
    assert_err!(store.remove_directory(&upper).await, NotFound);
    store.make_directory(&upper).await.expect("nothing is there");
    assert!(store.stat(&upper).await.expect("just made").is_directory());
    assert_err!(store.make_directory(&upper).await, AlreadyExists);
    store.make_directory(&lower).await.expect("nothing is there");
    assert_err!(store.remove_directory(&upper).await, NotEmpty);
    store.remove_directory(&lower).await.expect("empty");
    fixture.assert_missing("upper/lower").await;
    store.remove_directory(&upper).await.expect("empty");
    fixture.assert_missing("upper").await;
    assert_err!(store.remove_directory(&upper).await, NotFound);
}

pub(crate) async fn implied(fixture: &Fixture) {
    let store = fixture.store();
    fixture.put("a/b/file", &body(1, 1)).await;
    for name in ["a", "a/b"] {
        assert!(store.is_directory(&fixture.path(name)).await.expect("answers"));
        assert_err!(store.make_directory(&fixture.path(name)).await, AlreadyExists);
    }
    assert!(!store.is_directory(&fixture.path("a/b/file")).await.expect("answers"));
    // None goes before it is removed: neither with its last file nor with what was made in it.
    store.delete(&fixture.path("a/b/file")).await.expect("it is there");
    store.make_directory(&fixture.path("x/y/z")).await.expect("nothing is there");
    for name in ["a/b", "a", "x/y/z", "x/y", "x"] {
        assert!(store.is_directory(&fixture.path(name)).await.expect("answers"), "{name}");
        store.remove_directory(&fixture.path(name)).await.expect("empty");
        fixture.assert_missing(name).await;
    }
}

pub(crate) async fn only_when_empty(fixture: &Fixture) {
    let store = fixture.store();
    store.make_directory(&fixture.path("dir")).await.expect("nothing is there");
    fixture.put("dir/file", &body(1, 1)).await;
    assert_err!(store.remove_directory(&fixture.path("dir")).await, NotEmpty);
    store.delete(&fixture.path("dir/file")).await.expect("it is there");
    fixture.put("dir/deep/file", &body(1, 1)).await;
    assert_err!(store.remove_directory(&fixture.path("dir")).await, NotEmpty);
    fixture.assert_holds("dir/deep/file", &body(1, 1)).await;
}

pub(crate) async fn outlives_its_files(fixture: &Fixture) {
    let store = fixture.store();
    for make_first in [true, false] {
        if make_first {
            store.make_directory(&fixture.path("made")).await.expect("nothing is there");
        }
        fixture.put("made/file", &body(1, 1)).await;
        store.delete(&fixture.path("made/file")).await.expect("it is there");
        assert!(fixture.entries("made").await.expect("a directory still").is_empty());
        store.remove_directory(&fixture.path("made")).await.expect("empty");
        fixture.assert_missing("made").await;
    }
}

pub(crate) async fn of_a_file(fixture: &Fixture) {
    fixture.put("file", &body(1, 1)).await;
    assert_err!(fixture.store().make_directory(&fixture.path("file")).await, AlreadyExists);
    assert_err!(fixture.store().remove_directory(&fixture.path("file")).await, NotADirectory);
    fixture.assert_holds("file", &body(1, 1)).await;
}

pub(crate) async fn deleting_files(fixture: &Fixture) {
    let store = fixture.store();
    fixture.put("dir/file", &body(1, 1)).await;
    fixture.put("other", &body(1, 1)).await;
    assert_err!(store.delete(&fixture.path("missing")).await, NotFound);
    assert_err!(store.delete(&fixture.path("dir/missing")).await, NotFound);
    assert_err!(store.delete(&fixture.path("dir")).await, IsADirectory);
    store.delete(&fixture.path("other")).await.expect("it is there");
    fixture.assert_missing("other").await;
    assert_err!(store.delete(&fixture.path("other")).await, NotFound);
    fixture.assert_holds("dir/file", &body(1, 1)).await;
}

/// The marker is not there for the user, whatever they ask.
pub(crate) async fn markers_are_hidden(fixture: &Fixture) {
    let files = fixture.files();
    let at = |path: &str| VirtualPath::root().resolve(path).expect("no control characters");
    files.make_directory(&at("/dir")).expect("allowed").await.expect("nothing is there");
    assert!(fixture.entries("dir").await.expect("a directory").is_empty());
    for marker in ["/dir/.keep", "/.keep"] {
        let marker = at(marker);
        assert!(matches!(
            files.stat(&marker).await,
            Err(files::Error::Storage(bucketport::storage::Error::NotFound))
        ));
        assert!(files.list(&marker).await.is_err());
        assert!(files.plan_download(&marker, 0).await.is_err());
        assert!(files.delete(&marker).is_err());
        assert!(matches!(files.make_directory(&marker), Err(files::Error::Reserved)));
        assert!(matches!(files.rename(&at("/dir"), &marker).await, Err(files::Error::Reserved)));
    }
    files.enter(&at("/dir")).await.expect("a directory still");
}

/// Each level that MKD makes stands by itself, whoever removes what is below it.
pub(crate) async fn made_level_by_level(fixture: &Fixture) {
    let store = fixture.store();
    store.make_directory(&fixture.path("a/b/c")).await.expect("nothing is there");
    if fixture.folder().is_none() {
        for directory in ["a", "a/b", "a/b/c"] {
            let marker = fixture.path(&format!("{directory}/.keep"));
            assert!(store.exists(&marker).await.expect("answers"), "{directory}");
        }
    }
    store.make_directory(&fixture.path("a/b/d")).await.expect("nothing is there");
    for directory in ["a/b/c", "a/b/d", "a/b", "a"] {
        store.remove_directory(&fixture.path(directory)).await.expect(directory);
        fixture.assert_missing(directory).await;
    }
}
