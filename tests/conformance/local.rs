//! What only a local folder has: links, and directories of other programs.

use std::os::unix::fs::symlink;

use bucketport::storage::{Existing, UploadMode};
use bytes::Bytes;
use tempfile::TempDir;

use crate::data::body;
use crate::fixture::Fixture;

async fn run(case: impl AsyncFnOnce(&Fixture)) {
    let fixture = Fixture::on_local().await.expect("always there");
    case(&fixture).await;
    fixture.finish(Ok(())).await;
}

#[tokio::test]
async fn links_out_of_the_store_are_refused() {
    run(async |fixture| {
        let outside = TempDir::new().expect("a temporary folder");
        std::fs::write(outside.path().join("secret"), "secret").expect("writable");
        let root = fixture.folder().expect("a local store");
        symlink(outside.path(), root.join("dir")).expect("no such name yet");
        symlink(outside.path().join("secret"), root.join("file")).expect("no such name yet");
        std::fs::create_dir(root.join("plain")).expect("no such name yet");
        symlink("../../..", root.join("plain/up")).expect("no such name yet");
        fixture.put("own", &body(1, 1)).await;
        let store = fixture.store();
        for name in ["file", "dir/secret", "dir/new", "dir/new/deeper", "dir", "plain/up", "plain/up/tmp"] {
            let path = fixture.path(name);
            assert_err!(fixture.download(name, 0).await, NameNotAllowed(_));
            for mode in [UploadMode::Replace, UploadMode::Create, UploadMode::Append, UploadMode::From(1)] {
                assert_err!(fixture.upload(name, mode, &body(1, 1)).await, NameNotAllowed(_));
            }
            assert_err!(store.list(&path).await, NameNotAllowed(_));
            assert_err!(store.stat(&path).await, NameNotAllowed(_));
            assert_err!(store.is_directory(&path).await, NameNotAllowed(_));
            assert_err!(store.delete(&path).await, NameNotAllowed(_));
            assert_err!(store.make_directory(&path).await, NameNotAllowed(_));
            assert_err!(store.remove_directory(&path).await, NameNotAllowed(_));
            let (own, other) = (fixture.path("own"), fixture.path("other"));
            assert_err!(store.rename(&path, &other, Existing::Replace).await, NameNotAllowed(_));
            assert_err!(store.rename(&own, &path, Existing::Replace).await, NameNotAllowed(_));
        }
        assert_eq!(std::fs::read(outside.path().join("secret")).expect("still there"), b"secret");
        assert_eq!(std::fs::read_dir(outside.path()).expect("still there").count(), 1);
        fixture.assert_holds("own", &body(1, 1)).await;
    })
    .await;
}

#[tokio::test]
async fn dangling_links_are_not_written_through() {
    run(async |fixture| {
        let outside = TempDir::new().expect("a temporary folder");
        let root = fixture.folder().expect("a local store");
        symlink(outside.path().join("new"), root.join("link")).expect("no such name yet");
        for mode in [UploadMode::Replace, UploadMode::Create, UploadMode::Append] {
            assert_err!(fixture.upload("link", mode, &body(1, 1)).await, NameNotAllowed(_));
            assert_err!(fixture.upload("link/below", mode, &body(1, 1)).await, NameNotAllowed(_));
        }
        assert_eq!(std::fs::read_dir(outside.path()).expect("still there").count(), 0);
        assert!(fixture.entries("").await.expect("a directory").is_empty());
    })
    .await;
}

#[tokio::test]
async fn links_within_the_store_are_followed() {
    run(async |fixture| {
        fixture.put("real/file", &body(3, 1)).await;
        let root = fixture.folder().expect("a local store");
        symlink(root.join("real"), root.join("link")).expect("no such name yet");
        fixture.assert_holds("link/file", &body(3, 1)).await;
        fixture.put("link/new", &body(4, 2)).await;
        fixture.assert_holds("real/new", &body(4, 2)).await;
        assert_eq!(fixture.entries("").await.expect("a directory").len(), 2);
    })
    .await;
}

#[tokio::test]
async fn directories_of_other_programs_need_no_marker() {
    run(async |fixture| {
        let root = fixture.folder().expect("a local store");
        std::fs::create_dir_all(root.join("theirs/inner")).expect("no such name yet");
        assert!(fixture.store().stat(&fixture.path("theirs")).await.expect("a directory").is_directory());
        assert_eq!(fixture.entries("theirs").await.expect("a directory").len(), 1);
        assert_err!(fixture.store().remove_directory(&fixture.path("theirs")).await, NotEmpty);
        fixture.store().remove_directory(&fixture.path("theirs/inner")).await.expect("empty");
        fixture.store().remove_directory(&fixture.path("theirs")).await.expect("empty");
        fixture.assert_missing("theirs").await;
    })
    .await;
}

#[tokio::test]
async fn staged_uploads_of_others_are_not_listed() {
    run(async |fixture| {
        let root = fixture.folder().expect("a local store");
        fixture.put("dir/file", &body(3, 1)).await;
        std::fs::write(root.join("dir/file#7"), "half").expect("writable");
        std::fs::write(root.join("dir/é#x"), "whole").expect("writable");
        let names: Vec<_> = fixture.entries("dir").await.expect("a directory").into_keys().collect();
        assert_eq!(names, ["file", "é#x"]);
        assert_err!(fixture.store().remove_directory(&fixture.path("dir")).await, NotEmpty);
        std::fs::remove_file(root.join("dir/file#7")).expect("it is there");
        fixture.put("dir/file", &Bytes::new()).await;
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_is_gone_is_noticed() {
    run(async |fixture| {
        fixture.store().probe().await.expect("it is there");
        let root = fixture.folder().expect("a local store");
        std::fs::remove_dir(root).expect("empty");
        assert!(fixture.store().probe().await.is_err());
        std::fs::create_dir(root).expect("gone");
        fixture.store().probe().await.expect("it is back");
    })
    .await;
}
