//! What only a local folder does with its directories, and with what died processes have left in them.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bucketport::data::Abort;
use bucketport::storage::{Existing, LeftOver, UploadMode};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::data::{FakeData, Step, body};
use crate::fixture::PlansUploads;
use crate::local::{PIECE, run};

/// With `fsync` all ways of writing work as they do without.
#[tokio::test]
async fn a_durable_folder_works() {
    run(async |fixture| {
        let durable = fixture.with(|config| config.fsync = true);
        for size in [0, 10, PIECE + 1, 3 * PIECE] {
            let bytes = body(size, 1);
            for mode in [UploadMode::Create, UploadMode::Replace, UploadMode::From(0)] {
                durable.upload("deep/er/file", mode, &bytes).await.expect("possible");
                durable.assert_holds("deep/er/file", &bytes).await;
            }
            for (from, to) in [("deep/er/file", "new/file"), ("new/file", "new/other"), ("new", "moved/new")]
            {
                let renamed =
                    durable.store().rename(&durable.path(from), &durable.path(to), Existing::Refuse).await;
                renamed.unwrap_or_else(|error| panic!("{from} to {to}: {error:?}"));
            }
            durable.assert_holds("moved/new/other", &bytes).await;
            durable.store().make_directory(&durable.path("made/deep")).await.expect("nothing is there");
            durable.store().delete(&durable.path("moved/new/other")).await.expect("it is there");
            for directory in ["moved/new", "moved", "made/deep", "made", "deep/er", "deep"] {
                durable.store().remove_directory(&durable.path(directory)).await.expect(directory);
            }
        }
        durable.assert_nothing_left().await;
    })
    .await;
}

/// What died processes have left goes when it is old enough; nothing else does.
#[tokio::test]
async fn only_old_staged_files_are_swept() {
    run(async |fixture| {
        let outside = TempDir::new().expect("a temporary folder");
        std::fs::write(outside.path().join(".bucketport#1"), "theirs").expect("writable");
        let root = fixture.folder().expect("a local store");
        std::fs::create_dir_all(root.join("a/b")).expect("no such name yet");
        std::fs::create_dir(root.join(".bucketport#9")).expect("no such name yet");
        symlink(outside.path(), root.join("link")).expect("no such name yet");
        symlink(outside.path().join(".bucketport#1"), root.join(".bucketport#8")).expect("no such name yet");
        let others = ["file", "file#7", ".bucketport#x", "a/.bucketport", "a/b/.bucketport#"];
        let staged =
            [".bucketport#1", "a/.bucketport#22", "a/b/.bucketport#333", ".bucketport#9/.bucketport#4"];
        for name in others.iter().chain(&staged).chain(&["a/.bucketport#5"]) {
            std::fs::write(root.join(name), "12345").expect("writable");
        }
        let day = Duration::from_hours(24);
        let old = SystemTime::now() - 2 * day;
        for name in others.iter().chain(&staged) {
            let file = std::fs::File::options().write(true).open(root.join(name)).expect("just made");
            file.set_modified(old).expect("our own file");
        }
        let left_over = LeftOver { older_than: day, ..LeftOver::default() };
        let swept = fixture.store().sweep(left_over.clone()).await.expect("readable");
        assert_eq!((swept.files, swept.bytes), (4, 20));
        for name in staged {
            assert!(!root.join(name).exists(), "{name}");
        }
        for name in others.iter().chain(&["a/.bucketport#5", ".bucketport#9", ".bucketport#8"]) {
            assert!(root.join(name).symlink_metadata().is_ok(), "{name}");
        }
        assert!(outside.path().join(".bucketport#1").exists());
        // This one is in use.
        assert_eq!(fixture.store().sweep(left_over).await.expect("readable").files, 0);
        std::fs::remove_file(root.join("a/.bucketport#5")).expect("it is there");
        std::fs::remove_file(root.join("file#7")).expect("it is there");
        std::fs::remove_file(root.join(".bucketport#8")).expect("it is there");
    })
    .await;
}

/// What it has written so far went with the directory; at the next try the directory is made again.
#[tokio::test]
async fn an_upload_whose_directory_is_renamed_may_be_tried_again() {
    run(async |fixture| {
        fixture.put("dir/other", &body(1, 1)).await;
        let path = fixture.path("dir/new");
        let planned = fixture.store().plan_upload(&path, UploadMode::Replace).await.expect("possible");
        let (sent, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let steps =
            [Step::Send(body(2 * PIECE, 1)), Step::Reached(Arc::clone(&sent)), Step::Wait(Arc::clone(&go))];
        let (data, _) = FakeData::uploads(steps);
        let renaming = async {
            sent.notified().await;
            let (dir, moved) = (fixture.path("dir"), fixture.path("moved"));
            fixture.store().rename(&dir, &moved, Existing::Refuse).await.expect("nothing is there");
            go.notify_one();
        };
        let abort = Abort::new();
        let (result, ()) = tokio::join!(planned.run(data, &abort), renaming);
        assert_err!(result, Changed);
        let moved = fixture.folder().expect("a local store").join("moved");
        for left in
            std::fs::read_dir(moved).expect("it was moved").map(|entry| entry.expect("readable").path())
        {
            // The sweep's, later.
            if left.to_string_lossy().contains("/.bucketport#") {
                std::fs::remove_file(left).expect("it is there");
            }
        }
        fixture.put("dir/new", &body(2 * PIECE, 1)).await;
        fixture.assert_holds("dir/new", &body(2 * PIECE, 1)).await;
    })
    .await;
}

/// DELE and RNTO take files, never a directory: an administrator's folder keeps its mode, and a home stays.
#[tokio::test]
async fn folders_of_others_outlive_their_files() {
    run(async |fixture| {
        let folder = fixture.folder().expect("a local store").join("drop");
        std::fs::create_dir(&folder).expect("no such name yet");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o2770)).expect("our own folder");
        let inode = folder.metadata().expect("just made").ino();
        // The folder as a directory of the store, and as the home itself.
        let home = Arc::new(fixture.store().within(&fixture.path("drop")));
        for store in [fixture.store(), &home] {
            for name in ["drop/deleted", "drop/renamed"] {
                fixture.put(name, &body(5, 1)).await;
            }
            store.delete(&fixture.path("drop/deleted")).await.expect("it is there");
            store
                .rename(&fixture.path("drop/renamed"), &fixture.path("drop/x"), Existing::Replace)
                .await
                .expect("there");
            store.delete(&fixture.path("drop/x")).await.expect("it is there");
            let metadata = folder.metadata().expect("it stays");
            assert_eq!((metadata.ino(), metadata.mode() & 0o7777), (inode, 0o2770));
        }
        fixture.put("drop/away", &body(5, 1)).await;
        fixture
            .store()
            .rename(&fixture.path("drop/away"), &fixture.path("y"), Existing::Replace)
            .await
            .expect("there");
        assert_eq!(folder.metadata().expect("it stays").ino(), inode);
    })
    .await;
}

/// One step, whatever is in it: links, names that no client could have made, empty folders, the time of each.
#[tokio::test]
async fn a_directory_is_renamed_in_one_step() {
    run(async |fixture| {
        let root = fixture.folder().expect("a local store");
        std::fs::create_dir_all(root.join("from/theirs")).expect("no such name yet");
        std::fs::write(root.join("from/odd#1"), "x").expect("writable");
        symlink("/nowhere", root.join("from/link")).expect("no such name yet");
        let inode = root.join("from").metadata().expect("just made").ino();
        let store = fixture.store();
        store
            .rename(&fixture.path("from"), &fixture.path("new/to"), Existing::Refuse)
            .await
            .expect("possible");
        assert_eq!(root.join("new/to").metadata().expect("moved").ino(), inode);
        assert!(root.join("new/to/link").is_symlink() && root.join("new/to/odd#1").exists());
        // Out of the home, into a link that leads back, below a file, onto a pipe: all stays where it is.
        let outside = TempDir::new().expect("a temporary folder");
        symlink(outside.path(), root.join("out")).expect("no such name yet");
        symlink(root.join("new/to/theirs"), root.join("back")).expect("no such name yet");
        fixture.put("file", &body(1, 1)).await;
        for to in ["out/x", "back/x", "file/x"] {
            let renamed = store.rename(&fixture.path("new/to"), &fixture.path(to), Existing::Replace).await;
            assert_err!(renamed, NameNotAllowed(_));
        }
        assert_eq!(root.join("new/to").metadata().expect("not moved").ino(), inode);
        assert_eq!(std::fs::read_dir(outside.path()).expect("still there").count(), 0);
        std::fs::remove_file(root.join("new/to/odd#1")).expect("it is there");
    })
    .await;
}
