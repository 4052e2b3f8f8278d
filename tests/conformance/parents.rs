//! `check_parents`: an object store refuses what could not be in a file system.

use bucketport::storage::{Existing, UploadMode};

use crate::data::body;
use crate::fixture::{Fixture, PlansUploads};

const MODES: [UploadMode; 3] = [UploadMode::Replace, UploadMode::Create, UploadMode::Append];

pub(crate) async fn are_looked_at(fixture: &Fixture) {
    let checked = &fixture.with(|config| config.check_parents = true);
    let store = checked.store();
    checked.put("file", &body(5, 1)).await;
    checked.put("dir/sub/inner", &body(5, 2)).await;
    store.make_directory(&checked.path("made")).await.expect("nothing is there");
    for below in ["file/x", "file/deep/er/x", "dir/sub/inner/x"] {
        let path = checked.path(below);
        for mode in MODES {
            assert_err!(store.plan_upload(&path, mode).await, NameNotAllowed(_));
        }
        assert_err!(store.make_directory(&path).await, NameNotAllowed(_));
        for from in ["dir/sub/inner", "made"] {
            let from = checked.path(from);
            if !below.starts_with("dir/sub/inner") {
                assert_err!(store.rename(&from, &path, Existing::Replace).await, NameNotAllowed(_));
            }
        }
    }
    for directory in ["dir", "dir/sub", "made"] {
        let path = checked.path(directory);
        for mode in MODES {
            let planned = store.plan_upload(&path, mode).await;
            if checked.folder().is_some() {
                assert_err!(planned, IsADirectory);
            } else {
                assert_err!(planned, NameNotAllowed(_));
            }
        }
        assert_err!(store.make_directory(&path).await, AlreadyExists);
        assert_err!(store.rename(&checked.path("file"), &path, Existing::Replace).await, AlreadyExists);
    }
    // All else goes on as before.
    checked.put("dir/sub/inner", &body(6, 3)).await;
    checked.put("new/deep/file", &body(6, 3)).await;
    checked.assert_holds("file", &body(5, 1)).await;
    checked.assert_holds("dir/sub/inner", &body(6, 3)).await;
}

/// Without it an object store is not asked.
#[tokio::test]
async fn are_not_looked_at_unless_configured() {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    fixture.put("file", &body(5, 1)).await;
    fixture.put("file/below", &body(5, 2)).await;
    fixture.put("dir/inner", &body(5, 3)).await;
    fixture.put("dir", &body(5, 4)).await;
    for (name, seed) in [("file", 1), ("file/below", 2), ("dir/inner", 3), ("dir", 4)] {
        fixture.assert_holds(name, &body(5, seed)).await;
    }
    fixture.finish(Ok(())).await;
}
