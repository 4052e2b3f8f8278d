//! Uploads: whole objects, atomically, or nothing.

use std::sync::Arc;

use bucketport::data::{Abort, AbortReason, DataError};
use bucketport::storage::UploadMode;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::data::{FakeData, Step, body};
use crate::fixture::{Fixture, PART, PlansUploads};

pub(crate) async fn sizes(fixture: &Fixture) {
    for (seed, size) in [0, 1, PART - 1, PART, PART + 1, 3 * PART + 7].into_iter().enumerate() {
        let bytes = body(size, seed as u64);
        let name = format!("of {size} bytes");
        fixture.put(&name, &bytes).await;
        fixture.assert_holds(&name, &bytes).await;
    }
}

pub(crate) async fn replaces(fixture: &Fixture) {
    for (seed, size) in [PART + 1, 3, 2 * PART, 0, 5].into_iter().enumerate() {
        let bytes = body(size, seed as u64);
        fixture.put("dir/file", &bytes).await;
        fixture.assert_holds("dir/file", &bytes).await;
    }
    assert_eq!(fixture.entries("dir").await.expect("a directory").len(), 1);
}

pub(crate) async fn creates(fixture: &Fixture) {
    for (size, name) in [(10, "small"), (PART + 1, "large")] {
        let (first, second) = (body(size, 1), body(size, 2));
        fixture.upload(name, UploadMode::Create, &first).await.expect("nothing is there");
        assert_err!(fixture.upload(name, UploadMode::Create, &second).await, AlreadyExists);
        fixture.assert_holds(name, &first).await;
    }
}

/// Both found nothing when they were planned; who commits first wins.
pub(crate) async fn creates_against_a_rival(fixture: &Fixture) {
    for (size, name) in [(10, "small"), (PART + 1, "large")] {
        let (ours, rivals) = (body(size, 1), body(20, 2));
        let planned = fixture
            .store()
            .plan_upload(&fixture.path(name), UploadMode::Create)
            .await
            .expect("nothing there");
        fixture.put(name, &rivals).await;
        let (data, _) = FakeData::uploads([Step::Send(ours)]);
        assert_err!(planned.run(data, &Abort::new()).await, AlreadyExists);
        fixture.assert_holds(name, &rivals).await;
    }
}

/// An object store could hold both, so only the local folder refuses.
pub(crate) async fn over_a_directory(fixture: &Fixture) {
    if fixture.folder().is_none() {
        return;
    }
    fixture.put("dir/file", &body(3, 1)).await;
    assert_err!(fixture.upload("dir", UploadMode::Replace, &body(3, 2)).await, IsADirectory);
    assert_err!(fixture.upload("dir/file/below", UploadMode::Replace, &body(3, 2)).await, NameNotAllowed(_));
    fixture.assert_holds("dir/file", &body(3, 1)).await;
}

/// The ways in which an upload ends early, each after `sent` bytes.
#[derive(Clone, Copy, Debug)]
enum End {
    Requested,
    ControlLost,
    Lost,
    Stalled,
}

const ENDS: [End; 4] = [End::Requested, End::ControlLost, End::Lost, End::Stalled];
const SENT: [usize; 4] = [0, 100, PART + 100, 3 * PART + 100];

async fn end_early(fixture: &Fixture, name: &str, mode: UploadMode, sent: usize, end: End) {
    let planned = fixture.store().plan_upload(&fixture.path(name), mode).await.expect("possible");
    let reached = Arc::new(Notify::new());
    let last = match end {
        End::Requested | End::ControlLost => Step::StayForever,
        End::Lost => Step::Lose,
        End::Stalled => Step::Stall,
    };
    let (data, seen) =
        FakeData::uploads([Step::Send(body(sent, 9)), Step::Reached(Arc::clone(&reached)), last]);
    let abort = Abort::new();
    let aborting = async {
        reached.notified().await;
        match end {
            End::Requested => abort.abort(AbortReason::Requested),
            End::ControlLost => abort.abort(AbortReason::ClientLost),
            End::Lost | End::Stalled => {}
        }
    };
    let (result, ()) = tokio::join!(planned.run(data, &abort), aborting);
    match end {
        End::Requested => assert_err!(result, Data(DataError::Aborted)),
        End::ControlLost => assert_err!(result, Data(DataError::ControlLost)),
        End::Lost => assert_err!(result, Data(DataError::Lost(_))),
        End::Stalled => assert_err!(result, Data(DataError::Stalled(_))),
    }
    assert!(seen.lock().expect("not poisoned").reset, "the client must not take it for done");
    fixture.assert_nothing_left().await;
}

pub(crate) async fn aborted_leaves_nothing(fixture: &Fixture) {
    for end in ENDS {
        for sent in SENT {
            end_early(fixture, "new", UploadMode::Replace, sent, end).await;
            fixture.assert_missing("new").await;
        }
    }
}

pub(crate) async fn aborted_leaves_the_old_file(fixture: &Fixture) {
    let old = body(1000, 1);
    fixture.put("old", &old).await;
    for end in ENDS {
        for sent in SENT {
            end_early(fixture, "old", UploadMode::Replace, sent, end).await;
            fixture.assert_holds("old", &old).await;
        }
    }
}

/// A directory exists because something is in it, on a local folder too.
pub(crate) async fn aborted_leaves_no_directory(fixture: &Fixture) {
    end_early(fixture, "upper/lower/new", UploadMode::Replace, 2 * PART, End::Lost).await;
    fixture.assert_missing("upper/lower").await;
    fixture.assert_missing("upper").await;
    fixture.store().make_directory(&fixture.path("made")).await.expect("nothing is there");
    end_early(fixture, "made/new", UploadMode::Replace, 2 * PART, End::Lost).await;
    assert!(fixture.entries("made").await.expect("still a directory").is_empty());
}

pub(crate) async fn dropped_leaves_nothing(fixture: &Fixture) {
    let old = body(1000, 1);
    fixture.put("old", &old).await;
    for name in ["old", "new"] {
        for sent in SENT {
            let planned = fixture
                .store()
                .plan_upload(&fixture.path(name), UploadMode::Replace)
                .await
                .expect("possible");
            let reached = Arc::new(Notify::new());
            let script = [Step::Send(body(sent, 9)), Step::Reached(Arc::clone(&reached)), Step::StayForever];
            let (data, _) = FakeData::uploads(script);
            let running = tokio::spawn(async move { planned.run(data, &Abort::new()).await });
            reached.notified().await;
            running.abort();
            assert!(running.await.expect_err("it never ends").is_cancelled());
            fixture.assert_nothing_left().await;
        }
    }
    fixture.assert_holds("old", &old).await;
    fixture.assert_missing("new").await;
    fixture.put("new", &Bytes::from_static(b"afterwards")).await;
}
