//! A store that fails: what passes is retried, what stays is reported, and neither leaves anything behind.

use std::sync::Arc;
use std::time::Duration;

use bucketport::data::{Abort, AbortReason, DataError};
use bucketport::storage::{Error, Existing, UploadMode};
use tokio::sync::Notify;

use crate::data::{FakeData, Step, body};
use crate::fixture::{Fixture, PART, PlansUploads};
use crate::server::{Call, Fault, Faults};

/// Runs a case on both S3 servers.
pub(crate) async fn run(case: impl AsyncFn(&Fixture, &Faults)) {
    run_on([Fixture::on_s3().await, Fixture::on_s3_flat().await], case).await;
}

/// Runs a case on every server that can be made to fail: what it asks for has nothing to do with S3.
pub(crate) async fn run_everywhere(case: impl AsyncFn(&Fixture, &Faults)) {
    run_on([Fixture::on_s3().await, Fixture::on_s3_flat().await, Fixture::on_gcs().await], case).await;
}

async fn run_on<const N: usize>(fixtures: [Option<Fixture>; N], case: impl AsyncFn(&Fixture, &Faults)) {
    for fixture in fixtures {
        let fixture = fixture.expect("always there");
        let faults = Arc::clone(fixture.faults());
        case(&fixture, &faults).await;
        fixture.finish(Ok(())).await;
    }
}

/// The calls of an upload, the size that makes it use them, and how many to serve before the first that fails.
const CALLS: [(Call, usize, usize); 6] = [
    (Call::Put, 100, 0),
    (Call::CreateMultipart, PART + 1, 0),
    (Call::PutPart, 3 * PART, 0),
    (Call::PutPart, 3 * PART, 1),
    (Call::PutPart, 2 * PART + 1, 2),
    (Call::CompleteMultipart, 2 * PART, 0),
];

#[tokio::test]
async fn what_passes_is_retried() {
    run_everywhere(async |fixture, faults| {
        for (call, size, skip) in CALLS {
            let before = faults.count(call);
            fixture.put("counted", &body(size, 2)).await;
            let calls = faults.count(call) - before;
            for (status, mode) in [(503, UploadMode::Replace), (500, UploadMode::Create)] {
                let name = format!("{call:?} {skip} {status} {mode:?}");
                let before = faults.count(call);
                faults.add(call, skip, 1, Fault::Status(status));
                fixture.upload(&name, mode, &body(size, 1)).await.expect(&name);
                assert_eq!(faults.count(call) - before, calls + 1, "{name}: one more call");
                fixture.assert_holds(&name, &body(size, 1)).await;
                fixture.assert_nothing_left().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_stays_is_reported() {
    run_everywhere(async |fixture, faults| {
        let old = body(10, 1);
        fixture.put("old", &old).await;
        for (call, size, skip) in CALLS {
            for status in [403, 400] {
                for name in ["old", "new"] {
                    faults.add(call, skip, 1, Fault::Status(status));
                    let result = fixture.upload(name, UploadMode::Replace, &body(size, 2)).await;
                    let refused = matches!(result, Err(Error::Refused(_)));
                    let failed = matches!(result, Err(Error::Store(_)));
                    assert!(if status == 403 { refused } else { failed }, "{call:?} {status}: {result:?}");
                    fixture.assert_nothing_left().await;
                }
                fixture.assert_holds("old", &old).await;
                fixture.assert_missing("new").await;
            }
        }
    })
    .await;
}

/// A part fails while the client is silent: the upload does not wait for the client to find out.
#[tokio::test]
async fn a_failed_part_ends_the_upload_at_once() {
    run_everywhere(async |fixture, faults| {
        faults.add(Call::PutPart, 0, 1, Fault::Status(403));
        let script = vec![Step::Send(body(PART + 1, 1)), Step::StayForever];
        let upload = fixture.upload_script("new", UploadMode::Replace, script);
        let result = tokio::time::timeout(Duration::from_secs(10), upload).await.expect("does not wait");
        assert_err!(result, Refused(_));
        fixture.assert_missing("new").await;
    })
    .await;
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hold_up_an_abort() {
    run_everywhere(async |fixture, faults| {
        for (call, size) in [(Call::PutPart, PART + 1), (Call::PutPart, 7 * PART)] {
            faults.add(call, 0, 4, Fault::Hang);
            let planned = fixture
                .store()
                .plan_upload(&fixture.path("new"), UploadMode::Replace)
                .await
                .expect("possible");
            let (data, _) = FakeData::uploads([Step::Send(body(size, 1)), Step::StayForever]);
            let abort = Abort::new();
            let before = faults.count(call);
            let aborting = async {
                while faults.count(call) == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                abort.abort(AbortReason::Requested);
            };
            let run = async { tokio::join!(planned.run(data, &abort), aborting) };
            let (result, ()) = tokio::time::timeout(Duration::from_secs(5), run).await.expect("ends at once");
            assert_err!(result, Data(DataError::Aborted));
            fixture.assert_missing("new").await;
            faults.clear();
        }
    })
    .await;
}

/// The store has made the multipart upload but its answer is on the way when the client gives up.
#[tokio::test]
async fn an_abort_while_a_multipart_upload_is_created_leaves_none() {
    run_everywhere(async |fixture, faults| {
        for dropped in [false, true] {
            let go = Arc::new(Notify::new());
            faults.add(Call::CreateMultipart, 0, 1, Fault::AnswerAfter(Arc::clone(&go)));
            let planned = fixture
                .store()
                .plan_upload(&fixture.path("new"), UploadMode::Replace)
                .await
                .expect("possible");
            let (data, _) = FakeData::uploads([Step::Send(body(2 * PART, 1)), Step::StayForever]);
            let abort = Abort::new();
            let running = tokio::spawn({
                let abort = abort.clone();
                async move { planned.run(data, &abort).await }
            });
            while fixture.open_uploads() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if dropped {
                running.abort();
                assert!(running.await.expect_err("it never ends").is_cancelled());
            } else {
                abort.abort(AbortReason::Requested);
                assert_err!(running.await.expect("no panic"), Data(DataError::Aborted));
            }
            go.notify_one();
            fixture.assert_nothing_left().await;
            fixture.assert_missing("new").await;
        }
    })
    .await;
}

/// An abort that the store refuses does not change what the client hears.
#[tokio::test]
async fn a_refused_abort_is_left_to_the_lifecycle_rules() {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let faults = &fixture.server().expect("S3").faults;
    faults.add(Call::AbortMultipart, 0, 1, Fault::Status(403));
    let script = vec![Step::Send(body(PART + 1, 1)), Step::Lose];
    assert_err!(fixture.upload_script("new", UploadMode::Replace, script).await, Data(DataError::Lost(_)));
    fixture.assert_missing("new").await;
    assert_eq!(fixture.server().expect("S3").open_uploads(), 1);
}

#[tokio::test]
async fn a_download_that_fails_is_reset() {
    run_everywhere(async |fixture, faults| {
        let bytes = body(7 * PART, 1);
        fixture.put("file", &bytes).await;
        faults.add(Call::Get, 1, 1, Fault::Status(503));
        fixture.assert_holds("file", &bytes).await;
        faults.add(Call::Get, 2, 1, Fault::Status(403));
        let planned = fixture.store().plan_download(&fixture.path("file"), 0).await.expect("it is there");
        let (data, seen) = FakeData::downloads();
        assert_err!(planned.run(data, &Abort::new()).await, Refused(_));
        let seen = seen.lock().expect("not poisoned");
        assert!(seen.reset && !seen.finished);
        assert!(seen.received.len() < bytes.len());
    })
    .await;
}

#[tokio::test]
async fn a_rename_that_fails_loses_nothing() {
    run_everywhere(async |fixture, faults| {
        fixture.put("from", &body(10, 1)).await;
        let (from, to) = (fixture.path("from"), fixture.path("to"));
        for call in [Call::Head, Call::Copy, Call::Delete] {
            faults.add(call, 0, 1, Fault::Status(403));
            assert!(fixture.store().rename(&from, &to, Existing::Replace).await.is_err(), "{call:?}");
            fixture.assert_holds("from", &body(10, 1)).await;
        }
        fixture.store().rename(&from, &to, Existing::Replace).await.expect("the faults are over");
        fixture.assert_missing("from").await;
        fixture.assert_holds("to", &body(10, 1)).await;
    })
    .await;
}

/// Some servers know no conditional PUT; the option says so, and the HEAD before it must do.
#[tokio::test]
async fn without_conditional_puts_a_head_must_do() {
    run(async |fixture, _| {
        let plain = fixture.with_option("aws_conditional_put", "disabled");
        for (size, name) in [(10, "small"), (PART + 1, "large")] {
            plain.upload(name, UploadMode::Create, &body(size, 1)).await.expect("nothing is there");
            assert_err!(plain.upload(name, UploadMode::Create, &body(size, 2)).await, AlreadyExists);
            plain.assert_holds(name, &body(size, 1)).await;
        }
        plain.upload("appended", UploadMode::Append, &body(10, 3)).await.expect("nothing is there");
        plain.assert_holds("appended", &body(10, 3)).await;
    })
    .await;
}
