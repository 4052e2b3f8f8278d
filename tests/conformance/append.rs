//! APPE and REST + STOR: old bytes and new ones become one new object, unless somebody else was faster.

use std::sync::Arc;

use bucketport::data::Abort;
use bucketport::storage::UploadMode;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::data::{FakeData, Step, body};
use crate::fixture::{Fixture, PART, PlansUploads};

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) async fn to_missing_empty_and_small(fixture: &Fixture) {
    let mut whole = Vec::new();
    for (seed, size) in [0, 7, 0, 100, PART].into_iter().enumerate() {
        let added = body(size, seed as u64);
        let taken = fixture.upload("file", UploadMode::Append, &added).await.expect("can be appended to");
        assert_eq!(taken, size as u64, "old bytes are not counted");
        whole.extend_from_slice(&added);
        fixture.assert_holds("file", &whole).await;
    }
}

pub(crate) async fn to_several_parts(fixture: &Fixture) {
    let (old, added) = (body(3 * PART + 7, 1), body(PART + 3, 2));
    fixture.put("file", &old).await;
    fixture.upload("file", UploadMode::Append, &added).await.expect("can be appended to");
    fixture.assert_holds("file", &joined(&[&old, &added])).await;
    fixture.upload("file", UploadMode::Append, &Bytes::from_static(b"!")).await.expect("can be appended to");
    fixture.assert_holds("file", &joined(&[&old, &added, b"!"])).await;
}

pub(crate) async fn from_an_offset(fixture: &Fixture) {
    let old = Bytes::from_static(b"0123456789");
    for (offset, added, expected) in
        [(0, "ab", "ab"), (4, "ab", "0123ab"), (10, "ab", "0123456789ab"), (4, "", "0123"), (0, "", "")]
    {
        fixture.put("file", &old).await;
        fixture.upload("file", UploadMode::From(offset), &added.into()).await.expect("not beyond the end");
        fixture.assert_holds("file", expected.as_bytes()).await;
    }
    fixture.put("file", &old).await;
    assert_err!(fixture.upload("file", UploadMode::From(11), &old).await, OffsetBeyondEnd);
    fixture.assert_holds("file", &old).await;
    assert_err!(fixture.upload("missing", UploadMode::From(1), &old).await, OffsetBeyondEnd);
    fixture.assert_missing("missing").await;
    fixture
        .upload("missing", UploadMode::From(0), &old)
        .await
        .expect("nothing stays, so nothing need be there");
    fixture.assert_holds("missing", &old).await;
}

pub(crate) async fn from_an_offset_of_several_parts(fixture: &Fixture) {
    let (old, added) = (body(3 * PART + 7, 1), body(1000, 2));
    for offset in [1, PART, 2 * PART + 500, 3 * PART + 7] {
        fixture.put("file", &old).await;
        fixture.upload("file", UploadMode::From(offset as u64), &added).await.expect("not beyond the end");
        fixture.assert_holds("file", &joined(&[&old[..offset], &added])).await;
    }
}

/// Somebody writes after the append was planned, and while its bytes arrive.
pub(crate) async fn loses_to_a_rival(fixture: &Fixture) {
    for (old_size, added_size) in [(10, 10), (PART + 10, 10), (10, 2 * PART), (2 * PART + 9, 2 * PART)] {
        let (old, added, rivals) = (body(old_size, 1), body(added_size, 2), body(77, 3));
        for mode in [UploadMode::Append, UploadMode::From(5)] {
            fixture.put("file", &old).await;
            let planned = fixture.store().plan_upload(&fixture.path("file"), mode).await.expect("possible");
            let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let script =
                [Step::Send(added.clone()), Step::Reached(Arc::clone(&reached)), Step::Wait(Arc::clone(&go))];
            let (data, _) = FakeData::uploads(script);
            let rival = async {
                reached.notified().await;
                fixture.put("file", &rivals).await;
                go.notify_one();
            };
            let abort = Abort::new();
            let (result, ()) = tokio::join!(planned.run(data, &abort), rival);
            assert_err!(result, Changed);
            fixture.assert_holds("file", &rivals).await;
            fixture.assert_nothing_left().await;
        }
    }
    // The rival may have been first to create it, or may have deleted it.
    let planned =
        fixture.store().plan_upload(&fixture.path("new"), UploadMode::Append).await.expect("possible");
    fixture.put("new", &body(7, 4)).await;
    let (data, _) = FakeData::uploads([Step::Send(body(9, 5))]);
    assert_err!(planned.run(data, &Abort::new()).await, Changed | bucketport::storage::Error::AlreadyExists);
    fixture.assert_holds("new", &body(7, 4)).await;

    let planned =
        fixture.store().plan_upload(&fixture.path("new"), UploadMode::Append).await.expect("possible");
    fixture.store().delete(&fixture.path("new")).await.expect("it is there");
    let (data, _) = FakeData::uploads([Step::Send(body(9, 5))]);
    assert_err!(planned.run(data, &Abort::new()).await, Changed);
    fixture.assert_missing("new").await;
}

pub(crate) async fn aborted_keeps_the_old_file(fixture: &Fixture) {
    for size in [10, 2 * PART + 10] {
        let old = body(size, 1);
        fixture.put("file", &old).await;
        for sent in [10, PART] {
            let script = vec![Step::Send(body(sent, 2)), Step::Lose];
            assert_err!(fixture.upload_script("file", UploadMode::Append, script).await, Data(_));
            fixture.assert_nothing_left().await;
            fixture.assert_holds("file", &old).await;
        }
    }
}
