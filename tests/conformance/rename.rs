//! Renaming: the file is always at one of its names, whole.

use std::sync::Arc;
use std::time::Duration;

use bucketport::storage::{Existing, Result};
use tokio::sync::Notify;

use crate::data::body;
use crate::facts::without_etag;
use crate::faults::{run, run_everywhere};
use crate::fixture::{Fixture, PART};
use crate::server::{Call, Fault, Faults};

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

/// A file that is too large for one request to copy is moved in parts.
pub(crate) async fn moves_what_cannot_be_copied(fixture: &Fixture) {
    let narrow = fixture.store().copying_at_most(10);
    for (size, from, to) in
        [(10, "a", "b"), (11, "b", "c"), (2 * PART + 5, "c", "dir/d"), (PART, "dir/d", "a")]
    {
        let bytes = body(size, size as u64);
        fixture.put(from, &bytes).await;
        narrow.rename(&fixture.path(from), &fixture.path(to), Existing::Replace).await.expect("possible");
        fixture.assert_missing(from).await;
        fixture.assert_holds(to, &bytes).await;
    }
    for (seed, name) in [(1, "small"), (2, "sub/large")] {
        fixture.put(&format!("from/{name}"), &body(12 * seed, seed as u64)).await;
    }
    narrow.rename(&fixture.path("from"), &fixture.path("to"), Existing::Replace).await.expect("possible");
    fixture.assert_missing("from").await;
    for (seed, name) in [(1, "small"), (2, "sub/large")] {
        fixture.assert_holds(&format!("to/{name}"), &body(12 * seed, seed as u64)).await;
    }
}

/// It never asks for the copy, and what fails on the way loses nothing.
#[tokio::test]
async fn what_cannot_be_copied_is_never_lost() {
    run(async |fixture, faults| {
        let narrow = fixture.store().copying_at_most(10);
        let bytes = body(2 * PART + 5, 1);
        fixture.put("from", &bytes).await;
        fixture.put("to", &body(5, 2)).await;
        let (from, to) = (fixture.path("from"), fixture.path("to"));
        for call in [Call::Get, Call::CreateMultipart, Call::PutPart, Call::CompleteMultipart, Call::Delete] {
            // The first delete is that of the upload's own record.
            let skip = usize::from(call == Call::Delete);
            faults.add(call, skip, 1, Fault::Status(403));
            assert!(narrow.rename(&from, &to, Existing::Replace).await.is_err(), "{call:?}");
            fixture.assert_holds("from", &bytes).await;
            fixture.assert_nothing_left().await;
            let old = if call == Call::Delete { bytes.clone() } else { body(5, 2) };
            fixture.assert_holds("to", &old).await;
        }
        narrow.rename(&from, &to, Existing::Replace).await.expect("the faults are over");
        fixture.assert_missing("from").await;
        fixture.assert_holds("to", &bytes).await;
        assert_eq!(faults.count(Call::Copy), 0);
    })
    .await;
}

/// Renames `from` to `to`, and does `other` when the first request of this kind has arrived, which meets a fault that waits.
async fn with_a_rival(
    (fixture, faults): (&Fixture, &Faults),
    (call, fault): (Call, fn(Arc<Notify>) -> Fault),
    existing: Existing,
    other: impl Future<Output = ()>,
) -> Result<()> {
    let go = Arc::new(Notify::new());
    let before = faults.count(call);
    faults.add(call, 0, 1, fault(Arc::clone(&go)));
    let rival = async {
        while faults.count(call) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // So that it is done, unless it waits.
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.await;
        go.notify_one();
    };
    let (from, to) = (fixture.path("from"), fixture.path("to"));
    let narrow = fixture.store().copying_at_most(100);
    let (renamed, ()) = tokio::join!(narrow.rename(&from, &to, existing), rival);
    renamed
}

/// An upload of the same size, in the same second perhaps, on servers that tell etags and on those that do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_to_the_old_name_stays() {
    run_everywhere(async |fixture, faults| {
        for etags in [true, false] {
            fixture.put("from", &body(10, 1)).await;
            if !etags {
                faults.add(Call::Head, 0, 1000, Fault::Edited(without_etag));
            }
            let when = (Call::Copy, Fault::AnswerAfter as fn(_) -> _);
            let renamed = with_a_rival((fixture, faults), when, Existing::Replace, async {
                fixture.put("from", &body(10, 2)).await;
            });
            assert_err!(renamed.await, Changed);
            faults.clear();
            fixture.assert_holds("from", &body(10, 2)).await;
            fixture.assert_holds("to", &body(10, 1)).await;
            fixture.store().delete(&fixture.path("to")).await.expect("there");
        }
    })
    .await;
}

/// Somebody uploads to the new name when it was looked at and nothing was there: where the store has a copy that replaces
/// nothing, and for what is copied through the gateway, that upload stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_appears_at_the_new_name_is_not_replaced() {
    let (gcs, s3) = (Fixture::on_gcs().await, Fixture::on_s3_flat().await);
    let (gcs, s3) = (gcs.expect("always there"), s3.expect("always there"));
    for (fixture, name, size, call) in [
        (&gcs, "", 10, Call::Copy),
        (&gcs, "/in a directory", 10, Call::Copy),
        (&gcs, "", 101, Call::Put),
        (&s3, "", 101, Call::Put),
    ] {
        let (from, to) = (format!("from{name}"), format!("to{name}"));
        fixture.put(&from, &body(size, 1)).await;
        let when = (call, Fault::DoneAfter as fn(_) -> _);
        let renamed = with_a_rival((fixture, fixture.faults()), when, Existing::Refuse, async {
            fixture.put(&to, &body(size, 2)).await;
        });
        assert_err!(renamed.await, AlreadyExists);
        fixture.assert_holds(&from, &body(size, 1)).await;
        fixture.assert_holds(&to, &body(size, 2)).await;
        fixture.assert_no_records().await;
        fixture.clean().await;
    }
    gcs.finish(Ok(())).await;
    s3.finish(Ok(())).await;
}
