//! Downloads: whole from their offset on, of one version, or visibly broken.

use std::sync::Arc;

use bucketport::data::{Abort, AbortReason, DataError};
use bytes::Bytes;
use tokio::sync::Notify;

use crate::data::{FakeData, Step, assert_same, body};
use crate::fixture::{Fixture, PART};

pub(crate) async fn from_offsets(fixture: &Fixture) {
    for size in [0, 1, 1000, PART, 3 * PART + 7] {
        let bytes = body(size, 1);
        fixture.put("file", &bytes).await;
        for offset in [0, 1, size / 2, size.saturating_sub(1), size] {
            if offset <= size {
                let received = fixture.download("file", offset as u64).await.expect("not beyond the end");
                assert_same(&received, &bytes[offset..], &format!("{size} bytes from {offset}"));
            }
        }
        for beyond in [1, 1000] {
            assert_err!(fixture.download("file", (size + beyond) as u64).await, OffsetBeyondEnd);
        }
    }
}

pub(crate) async fn of_what_is_no_file(fixture: &Fixture) {
    fixture.put("dir/file", &body(3, 1)).await;
    for offset in [0, 1] {
        assert_err!(fixture.download("missing", offset).await, NotFound);
        assert_err!(fixture.download("dir/missing", offset).await, NotFound);
        assert_err!(fixture.download("dir", offset).await, IsADirectory);
    }
}

/// The client gets the old bytes whole, or a part of them and a reset; never a mix.
pub(crate) async fn is_one_version_when_replaced(fixture: &Fixture) {
    // Of equal size, so that only the version tells them apart; larger than the window, so that requests are to come.
    let size = 7 * PART + 7;
    let (old, new) = (body(size, 1), body(size, 2));
    for offset in [0, 10] {
        fixture.put("file", &old).await;
        let planned =
            fixture.store().plan_download(&fixture.path("file"), offset).await.expect("it is there");
        let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let script = [Step::Reached(Arc::clone(&reached)), Step::Wait(Arc::clone(&go))];
        let (data, seen) = FakeData::downloads_then(1, script);
        let rival = async {
            reached.notified().await;
            fixture.put("file", &new).await;
            go.notify_one();
        };
        let abort = Abort::new();
        let (result, ()) = tokio::join!(planned.run(data, &abort), rival);
        let seen = seen.lock().expect("not poisoned");
        let wanted = &old[usize::try_from(offset).expect("small")..];
        match result {
            Ok(_) => {
                assert_same(&seen.received, wanted, "the version that the download began with");
                assert!(seen.finished);
            }
            Err(error) => {
                assert!(matches!(error, bucketport::storage::Error::Replaced), "{error:?}");
                assert_same(&seen.received, &wanted[..seen.received.len()], "a part of the old version");
                assert!(seen.reset && !seen.finished);
            }
        }
    }
}

pub(crate) async fn is_reset_when_it_fails(fixture: &Fixture) {
    fixture.put("file", &body(3 * PART, 1)).await;
    for (step, after) in [(Step::Lose, 1), (Step::Stall, PART + 1)] {
        let planned = fixture.store().plan_download(&fixture.path("file"), 0).await.expect("it is there");
        let (data, seen) = FakeData::downloads_then(after, [step]);
        assert_err!(planned.run(data, &Abort::new()).await, Data(DataError::Lost(_) | DataError::Stalled(_)));
        let seen = seen.lock().expect("not poisoned");
        assert!(seen.reset && !seen.finished);
    }
}

pub(crate) async fn is_aborted(fixture: &Fixture) {
    fixture.put("file", &body(3 * PART, 1)).await;
    for name in ["file", "small"] {
        fixture.put("small", &Bytes::from_static(b"small")).await;
        let planned = fixture.store().plan_download(&fixture.path(name), 0).await.expect("it is there");
        let reached = Arc::new(Notify::new());
        let (data, seen) =
            FakeData::downloads_then(1, [Step::Reached(Arc::clone(&reached)), Step::StayForever]);
        let abort = Abort::new();
        let aborting = async {
            reached.notified().await;
            abort.abort(AbortReason::Requested);
        };
        let (result, ()) = tokio::join!(planned.run(data, &abort), aborting);
        assert_err!(result, Data(DataError::Aborted));
        assert!(seen.lock().expect("not poisoned").reset);
    }
}
