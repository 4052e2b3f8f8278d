//! Renaming directories: all that is in one moves, and nothing is lost or replaced.

use std::sync::Arc;
use std::time::Duration;

use bucketport::storage::{Error, Existing, Result};
use futures::StreamExt;
use tokio::sync::Notify;

use crate::data::body;
use crate::faults::run;
use crate::fixture::{Fixture, PART};
use crate::server::{Call, Fault};

/// More often than anything is tried.
const ALWAYS: usize = 50;

pub(crate) async fn rename(fixture: &Fixture, from: &str, to: &str) -> Result<()> {
    fixture.store().rename(&fixture.path(from), &fixture.path(to), Existing::Replace).await
}

/// A directory with files of one and of several parts, below each other, and an empty directory.
const TREE: [(&str, usize); 4] = [("a", 5), ("empty file", 0), ("sub/b", PART + 7), ("sub/deep/er/c", 3)];

pub(crate) async fn plant(fixture: &Fixture, directory: &str) {
    for (seed, (name, size)) in (1..).zip(TREE) {
        fixture.put(&format!("{directory}/{name}"), &body(size, seed)).await;
    }
    let empty = fixture.path(&format!("{directory}/made"));
    fixture.store().make_directory(&empty).await.expect("nothing is there");
}

/// Fails unless all of it is there, and nothing else.
pub(crate) async fn assert_planted(fixture: &Fixture, directory: &str) {
    for (seed, (name, size)) in (1..).zip(TREE) {
        fixture.assert_holds(&format!("{directory}/{name}"), &body(size, seed)).await;
    }
    let names: Vec<_> = fixture.entries(directory).await.expect("a directory").into_keys().collect();
    assert_eq!(names, ["a", "empty file", "made", "sub"], "{directory}");
    let made = format!("{directory}/made");
    assert!(fixture.entries(&made).await.expect("a directory").is_empty());
}

pub(crate) async fn moves_all(fixture: &Fixture) {
    plant(fixture, "from").await;
    for (from, to) in [("from", "to"), ("to", "other/deep/to"), ("other/deep", "other/from"), ("other", "x")]
    {
        rename(fixture, from, to).await.unwrap_or_else(|error| panic!("{from} to {to}: {error:?}"));
        fixture.assert_missing(from).await;
    }
    assert_planted(fixture, "x/from/to").await;
    assert_eq!(fixture.entries("").await.expect("a directory").into_keys().collect::<Vec<_>>(), ["x"]);
    fixture.assert_no_records().await;
}

pub(crate) async fn moves_more_than_a_page(fixture: &Fixture) {
    let names: Vec<_> = (0..1234).map(|number| format!("sub {}/{number:04}", number % 7)).collect();
    let putting = futures::stream::iter(&names).map(|name| async move {
        fixture.put(&format!("from/{name}"), &body(1, 1)).await;
    });
    putting.buffer_unordered(8).collect::<()>().await;
    rename(fixture, "from", "to").await.expect("nothing is there");
    fixture.assert_missing("from").await;
    for sub in 0..7 {
        let moved = fixture.entries(&format!("to/sub {sub}")).await.expect("a directory");
        let expected = names.iter().filter_map(|name| name.strip_prefix(&format!("sub {sub}/")));
        assert_eq!(moved, expected.map(|name| (name.to_owned(), Some(1))).collect());
    }
    fixture.assert_no_records().await;
}

pub(crate) async fn keeps_the_directory_above(fixture: &Fixture) {
    plant(fixture, "above/from").await;
    rename(fixture, "above/from", "to").await.expect("nothing is there");
    assert!(fixture.entries("above").await.expect("a directory still").is_empty());
    assert_planted(fixture, "to").await;
}

pub(crate) async fn onto_itself_and_others(fixture: &Fixture) {
    plant(fixture, "from").await;
    fixture.put("file", &body(5, 9)).await;
    fixture.put("full/file", &body(5, 9)).await;
    fixture.store().make_directory(&fixture.path("empty")).await.expect("nothing is there");
    rename(fixture, "from", "from").await.expect("changes nothing");
    for to in ["file", "full", "empty", "full/file"] {
        assert_err!(rename(fixture, "from", to).await, AlreadyExists);
    }
    assert_err!(rename(fixture, "from/sub", "from").await, AlreadyExists);
    assert_planted(fixture, "from").await;
    fixture.assert_holds("file", &body(5, 9)).await;
    fixture.assert_holds("full/file", &body(5, 9)).await;
    fixture.assert_no_records().await;
}

pub(crate) async fn into_itself(fixture: &Fixture) {
    plant(fixture, "from").await;
    for to in ["from/new", "from/sub/deep/new"] {
        assert_err!(rename(fixture, "from", to).await, NameNotAllowed(_));
    }
    assert_planted(fixture, "from").await;
    rename(fixture, "from", "from and more").await.expect("another directory");
    assert_planted(fixture, "from and more").await;
}

pub(crate) async fn of_what_is_missing(fixture: &Fixture) {
    assert_err!(rename(fixture, "missing", "to").await, NotFound);
    fixture.assert_missing("to").await;
}

/// Whatever fails while the files are copied, all stay and no copy does.
#[tokio::test]
async fn a_failure_while_copying_is_undone() {
    run(async |fixture, faults| {
        plant(fixture, "from").await;
        for (call, skip) in
            [(Call::Head, 3), (Call::Copy, 0), (Call::Copy, 3), (Call::List, 2), (Call::Put, 1)]
        {
            faults.add(call, skip, 1, Fault::Status(403));
            let result = rename(fixture, "from", "to").await;
            assert!(matches!(result, Err(Error::Refused(_))), "{call:?}: {result:?}");
            assert_planted(fixture, "from").await;
            fixture.assert_missing("to").await;
            fixture.assert_no_records().await;
        }
        rename(fixture, "from", "to").await.expect("the faults are over");
        assert_planted(fixture, "to").await;
    })
    .await;
}

/// A store confirms a copy that it has not made.
#[tokio::test]
async fn a_copy_that_was_not_made_is_noticed() {
    run(async |fixture, faults| {
        plant(fixture, "from").await;
        faults.add(Call::Copy, 2, ALWAYS, Fault::Answer(200, ""));
        assert_err!(rename(fixture, "from", "to").await, Store(_));
        faults.clear();
        assert_planted(fixture, "from").await;
        fixture.assert_missing("to").await;
        fixture.assert_no_records().await;
    })
    .await;
}

#[tokio::test]
async fn lost_answers_do_not_matter() {
    run(async |fixture, faults| {
        plant(fixture, "from").await;
        for (from, to, call) in [("from", "to", Call::Copy), ("to", "from", Call::Delete)] {
            faults.add(call, 0, 2, Fault::DoneThenReset);
            faults.add(call, 0, 1, Fault::DoneBut(500));
            rename(fixture, from, to).await.unwrap_or_else(|error| panic!("{call:?}: {error:?}"));
            assert_planted(fixture, to).await;
            fixture.assert_missing(from).await;
        }
        fixture.assert_no_records().await;
    })
    .await;
}

/// What is written to the old name while the files are copied is the client's, and stays.
#[tokio::test]
async fn what_is_written_meanwhile_stays() {
    run(async |fixture, faults| {
        fixture.put("from/a", &body(5, 1)).await;
        fixture.put("from/b", &body(5, 2)).await;
        let go = Arc::new(Notify::new());
        faults.add(Call::Copy, 0, 2, Fault::AnswerAfter(Arc::clone(&go)));
        let writing = async {
            while faults.count(Call::Copy) < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            fixture.put("from/a", &body(7, 3)).await;
            fixture.put("from/new", &body(5, 4)).await;
            go.notify_one();
            go.notify_one();
            // The second waits for a permit of its own.
            tokio::time::sleep(Duration::from_millis(50)).await;
            go.notify_one();
        };
        let (renamed, ()) = tokio::join!(rename(fixture, "from", "to"), writing);
        renamed.expect("nothing stands in its way");
        fixture.assert_holds("to/a", &body(5, 1)).await;
        fixture.assert_holds("to/b", &body(5, 2)).await;
        fixture.assert_holds("from/a", &body(7, 3)).await;
        fixture.assert_holds("from/new", &body(5, 4)).await;
        fixture.assert_missing("from/b").await;
    })
    .await;
}

/// What appears at the new name while the files are copied is not replaced, and nothing moves.
#[tokio::test]
async fn what_appears_at_the_new_name_stays() {
    run(async |fixture, faults| {
        plant(fixture, "from").await;
        let go = Arc::new(Notify::new());
        // The journal's first record.
        faults.add(Call::Put, 0, 1, Fault::AnswerAfter(Arc::clone(&go)));
        let before = faults.count(Call::Put);
        let writing = async {
            while faults.count(Call::Put) == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            fixture.put("to/sub/b", &body(9, 9)).await;
            go.notify_one();
        };
        let (renamed, ()) = tokio::join!(rename(fixture, "from", "to"), writing);
        assert_err!(renamed, AlreadyExists);
        fixture.assert_holds("to/sub/b", &body(9, 9)).await;
        assert_eq!(fixture.entries("to").await.expect("a directory").len(), 1);
        assert_planted(fixture, "from").await;
        fixture.assert_no_records().await;
    })
    .await;
}

/// Objects of other tools have no mark of ours, and a flat server's copies have etags of their own.
#[tokio::test]
async fn objects_of_other_tools_move() {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let bucket = fixture.server().and_then(|server| server.bucket()).expect("flat").clone();
    for key in ["from/a", "from/b/c", "from/b/.keep"] {
        bucket.plant(&format!("pre/fix/{key}"), b"12345");
    }
    rename(&fixture, "from", "to").await.expect("nothing is there");
    fixture.assert_holds("to/a", b"12345").await;
    fixture.assert_holds("to/b/c", b"12345").await;
    fixture.assert_missing("from").await;
    // What cannot be named cannot be moved: all stays.
    for (seed, foreign) in [(1, "to//x"), (2, "to/b/"), (3, "to/")] {
        bucket.plant(&format!("pre/fix/{foreign}"), b"");
        let to = format!("other {seed}");
        assert_err!(rename(&fixture, "to", &to).await, NotSupported(_));
        fixture.assert_holds("to/a", b"12345").await;
        fixture.assert_missing(&to).await;
        bucket.remove(&format!("pre/fix/{foreign}"));
    }
    fixture.assert_no_records().await;
    fixture.finish(Ok(())).await;
}

/// A client that leaves does not leave half a directory behind.
#[tokio::test]
async fn goes_on_without_its_client() {
    run(async |fixture, faults| {
        plant(fixture, "from").await;
        let go = Arc::new(Notify::new());
        faults.add(Call::Copy, 1, 1, Fault::AnswerAfter(Arc::clone(&go)));
        let before = faults.count(Call::Copy);
        let leaving = async {
            while faults.count(Call::Copy) < before + 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            result = rename(fixture, "from", "to") => panic!("it waits: {result:?}"),
            () = leaving => {}
        }
        go.notify_one();
        // Which is what draining waits for.
        fixture.assert_nothing_left().await;
        assert_planted(fixture, "to").await;
        fixture.assert_missing("from").await;
        fixture.assert_no_records().await;
    })
    .await;
}
