//! The time that a client gives a file.

use bucketport::config::Permission;
use bucketport::files;
use bucketport::path::VirtualPath;
use bucketport::storage::{Dated, Listed};
use chrono::{DateTime, Utc};

use crate::data::body;
use crate::fixture::Fixture;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

pub(crate) async fn are_kept_or_left_alone(fixture: &Fixture) {
    let store = fixture.store();
    let path = fixture.path("dir/x");
    for given in ["2001-02-03T04:05:06Z", "1969-12-31T23:59:59Z", "2037-01-01T00:00:00Z"] {
        fixture.put("dir/x", &body(10, 1)).await;
        let before = store.stat(&path).await.expect("there").modified;
        let set = store.set_modified(&path, time(given)).await.expect("possible");
        // Only a folder has times of its own.
        assert_eq!(set == Dated::Done, fixture.folder().is_some());
        let expected = match set {
            Dated::Done => Some(time(given)),
            Dated::ByUpload => before,
        };
        let entry = store.stat(&path).await.expect("there");
        assert_eq!(entry.modified, expected);
        let Listed::Directory(mut listing) = store.list(&fixture.path("dir")).await.expect("there") else {
            panic!("a directory");
        };
        let page = listing.next_page().await.expect("a listing").expect("a page");
        let whole = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp());
        assert_eq!(page.iter().map(|entry| whole(entry.modified)).collect::<Vec<_>>(), [whole(expected)]);
        fixture.assert_holds("dir/x", &body(10, 1)).await;
    }
}

pub(crate) async fn are_for_files_that_are_there(fixture: &Fixture) {
    let store = fixture.store();
    fixture.put("dir/x", &body(10, 1)).await;
    let given = time("2001-02-03T04:05:06Z");
    for (name, is_directory) in [("missing", false), ("dir/x/below", false), ("dir", true)] {
        match store.set_modified(&fixture.path(name), given).await {
            // Nothing is looked at for what is not done.
            Ok(Dated::ByUpload) => assert!(fixture.folder().is_none(), "{name}"),
            Err(bucketport::storage::Error::IsADirectory) => assert!(is_directory, "{name}"),
            Err(bucketport::storage::Error::NotFound) => assert!(!is_directory, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

pub(crate) async fn are_set_by_who_may_write(fixture: &Fixture) {
    fixture.put("x", &body(10, 1)).await;
    let given = time("2001-02-03T04:05:06Z");
    let path = |name| VirtualPath::root().resolve(name).expect("plain");
    let reader = fixture.files_of([Permission::Read, Permission::List].into_iter().collect());
    let refused = reader.set_modified(&path("x"), given).await;
    assert!(matches!(refused, Err(files::Error::Denied(Permission::Write))), "{refused:?}");
    let writer = fixture.files_of([Permission::Write].into_iter().collect());
    writer.set_modified(&path("x"), given).await.expect("allowed");
    for (name, reserved) in [("/", false), (".keep", true), (".bucketport/x", true)] {
        match writer.set_modified(&path(name), given).await {
            Err(files::Error::Root) => assert!(!reserved, "{name}"),
            Err(files::Error::Reserved) => assert!(reserved, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}
