//! Listings: every entry once, page by page, and nothing that is not the user's.

use bucketport::files;
use bucketport::path::VirtualPath;
use bucketport::storage::{EntryKind, Listed};
use bytes::Bytes;
use futures::StreamExt;

use crate::data::body;
use crate::fixture::{Entries, Fixture};

/// More than two pages.
const MANY: usize = 2500;
const AT_ONCE: usize = 32;

pub(crate) async fn empty_root(fixture: &Fixture) {
    let home = fixture.files();
    assert!(home.stat(&VirtualPath::root()).await.expect("a home is always there").is_directory());
    home.enter(&VirtualPath::root()).await.expect("a home is always there");
    match home.list(&VirtualPath::root()).await.expect("a home is always there") {
        files::Listed::Directory(mut listing) => {
            while let Some(page) = listing.next_page().await.expect("a page") {
                assert_eq!(page, []);
            }
        }
        files::Listed::File(entry) => panic!("{entry:?}"),
    }
    fixture.store().probe().await.expect("it answers");
}

pub(crate) async fn files_and_directories(fixture: &Fixture) {
    for (path, size) in [("b.txt", 3), ("a/one", 1), ("a/deep/er/two", 2), ("ab", 4), ("z", 0)] {
        fixture.put(path, &body(size, 1)).await;
    }
    fixture.store().make_directory(&fixture.path("empty")).await.expect("nothing is there");
    let expected = |entries: &[(&str, Option<u64>)]| -> Entries {
        entries.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
    };
    let top = [("a", None), ("ab", Some(4)), ("b.txt", Some(3)), ("empty", None), ("z", Some(0))];
    assert_eq!(fixture.entries("").await.expect("a directory"), expected(&top));
    assert_eq!(
        fixture.entries("a").await.expect("a directory"),
        expected(&[("deep", None), ("one", Some(1))])
    );
    assert_eq!(fixture.entries("a/deep").await.expect("a directory"), expected(&[("er", None)]));
    assert_eq!(fixture.entries("empty").await.expect("a directory"), Entries::new());
}

async fn put_all(fixture: &Fixture, paths: Vec<String>) {
    let byte = &Bytes::from_static(b"x");
    let putting = paths.into_iter().map(|path| async move { fixture.put(&path, byte).await });
    futures::stream::iter(putting).buffer_unordered(AT_ONCE).collect::<()>().await;
}

pub(crate) async fn many(fixture: &Fixture) {
    put_all(fixture, (0..MANY).map(|number| format!("many/{number:05}")).collect()).await;
    fixture.store().make_directory(&fixture.path("many/made")).await.expect("nothing is there");
    let entries = fixture.entries("many").await.expect("a directory");
    let expected = (0..MANY).map(|number| (format!("{number:05}"), Some(1)));
    assert_eq!(entries, expected.chain([("made".to_owned(), None)]).collect());
}

pub(crate) async fn many_directories(fixture: &Fixture) {
    // Files and directories take turns, so that a page may end at either.
    let paths = (0..1500).map(|number| {
        if number % 2 == 0 { format!("many/{number:05}") } else { format!("many/{number:05}/in/it") }
    });
    put_all(fixture, paths.collect()).await;
    let entries = fixture.entries("many").await.expect("a directory");
    let expected = (0..1500).map(|number| (format!("{number:05}"), (number % 2 == 0).then_some(1)));
    assert_eq!(entries, expected.collect());
}

pub(crate) async fn of_a_file(fixture: &Fixture) {
    fixture.put("dir/file", &body(9, 1)).await;
    match fixture.store().list(&fixture.path("dir/file")).await.expect("it is there") {
        Listed::File(entry) => {
            assert_eq!((entry.name.as_str(), entry.kind), ("file", EntryKind::File { size: 9 }));
            let modified = entry.modified.expect("files have times");
            let age = chrono::Utc::now().signed_duration_since(modified).num_seconds().abs();
            assert!(age < 300, "{modified}");
        }
        Listed::Directory(_) => panic!("it is a file"),
    }
}

pub(crate) async fn of_what_is_missing(fixture: &Fixture) {
    fixture.put("dir/file", &body(9, 1)).await;
    for name in ["missing", "dir/missing", "di", "dir/file/below", "dir/fil"] {
        assert_err!(fixture.store().list(&fixture.path(name)).await, NotFound);
        assert_err!(fixture.store().stat(&fixture.path(name)).await, NotFound);
    }
}
