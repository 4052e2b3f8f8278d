//! What only a local folder has: links, directories of other programs, and a way of writing of its own.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use bucketport::data::Abort;
use bucketport::storage::{Error, Existing, UploadMode};
use bytes::Bytes;
use futures::future::join_all;
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::data::{FakeData, Step, body};
use crate::fixture::{Fixture, PlansUploads};

/// The most that is written at once.
pub(crate) const PIECE: usize = 256 * 1024;

pub(crate) async fn run(case: impl AsyncFnOnce(&Fixture)) {
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

/// A file is written in pieces of 256 KiB; what fits into one is written in one go.
#[tokio::test]
async fn sizes_around_a_piece() {
    run(async |fixture| {
        for size in [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 5 * PIECE + 7] {
            let bytes = body(size, 1);
            for mode in [UploadMode::Replace, UploadMode::Append] {
                fixture.put("dir/file", &body(3, 2)).await;
                fixture.upload("dir/file", mode, &bytes).await.expect("possible");
                let old: &[u8] = if mode == UploadMode::Append { &body(3, 2) } else { &[] };
                fixture.assert_holds("dir/file", &[old, &bytes].concat()).await;
            }
        }
        fixture.assert_nothing_left().await;
    })
    .await;
}

/// All found nothing when they were planned, and all end at once; a look before the end would not do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_creates_one_wins() {
    run(async |fixture| {
        for (round, size) in [10, 100_000, PIECE + 1].into_iter().cycle().take(30).enumerate() {
            let name = format!("round {round}");
            let go = Arc::new(Barrier::new(8));
            let mut rivals = JoinSet::new();
            for seed in 0..8 {
                let path = fixture.path(&name);
                let planned =
                    fixture.store().plan_upload(&path, UploadMode::Create).await.expect("nothing there");
                let go = Arc::clone(&go);
                rivals.spawn(async move {
                    let (data, _) = FakeData::uploads([Step::Send(body(size, seed))]);
                    go.wait().await;
                    (seed, planned.run(data, &Abort::new()).await)
                });
            }
            let mut winners = Vec::new();
            for (seed, result) in rivals.join_all().await {
                match result {
                    Ok(_) => winners.push(seed),
                    Err(error) => assert!(matches!(error, Error::AlreadyExists), "{error:?}"),
                }
            }
            assert_eq!(winners.len(), 1, "{name}: {winners:?}");
            fixture.assert_holds(&name, &body(size, winners[0])).await;
        }
        fixture.assert_nothing_left().await;
    })
    .await;
}

#[tokio::test]
async fn an_abort_after_some_pieces_leaves_no_file_and_no_directory() {
    run(async |fixture| {
        for pieces in [1, 2, 4] {
            let script = vec![Step::Send(body(pieces * PIECE + 1, 1)), Step::Lose];
            let lost = fixture.upload_script("upper/lower/new", UploadMode::Replace, script).await;
            assert_err!(lost, Data(_));
            fixture.assert_nothing_left().await;
            assert!(fixture.entries("").await.expect("a directory").is_empty());
        }
    })
    .await;
}

/// What is staged has a name of its own length.
#[tokio::test]
async fn names_as_long_as_the_file_system_takes() {
    run(async |fixture| {
        let name = "n".repeat(255);
        for size in [1, 2 * PIECE] {
            fixture.put(&name, &body(size, 1)).await;
            fixture.assert_holds(&name, &body(size, 1)).await;
        }
    })
    .await;
}

/// Opening a pipe would wait for somebody who writes to it.
#[tokio::test]
async fn pipes_are_no_files() {
    run(async |fixture| {
        let pipe = fixture.folder().expect("a local store").join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("part of every system");
        assert!(made.success());
        assert_err!(fixture.download("pipe", 0).await, NotFound);
        assert!(fixture.entries("").await.expect("a directory").is_empty());
    })
    .await;
}

/// Sessions delete the last file of a directory, which goes with it, while others upload there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_hold_against_directories_that_go() {
    run(async |fixture| {
        let bytes = &body(PIECE + 1, 1);
        join_all((0..4).map(|number| async move {
            for round in 0..50 {
                let (name, size) = (format!("a/b/{number}"), if round % 2 == 0 { 10 } else { PIECE + 1 });
                fixture.put(&name, &bytes.slice(..size)).await;
                fixture.store().delete(&fixture.path(&name)).await.expect("just made");
                for directory in ["a/b", "a"] {
                    // Whether it is empty now, and there at all, is up to the others.
                    let _ = fixture.store().remove_directory(&fixture.path(directory)).await;
                }
            }
        }))
        .await;
        for directory in ["a/b", "a"] {
            let _ = fixture.store().remove_directory(&fixture.path(directory)).await;
        }
        assert!(fixture.entries("").await.expect("a directory").is_empty());
    })
    .await;
}
