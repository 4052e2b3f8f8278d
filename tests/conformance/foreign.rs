//! Keys that other tools wrote into a bucket and that no path of ours can name.

use bytes::Bytes;

use crate::data::body;
use crate::fixture::{Entries, Fixture};
use crate::flat::FlatBucket;

async fn run(case: impl AsyncFnOnce(&Fixture, &FlatBucket)) {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let bucket = fixture.server().and_then(|server| server.bucket()).expect("flat").clone();
    case(&fixture, &bucket).await;
    fixture.finish(Ok(())).await;
}

fn entries(expected: &[(&str, Option<u64>)]) -> Entries {
    expected.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
}

#[tokio::test]
async fn markers_with_a_slash_are_directories() {
    run(async |fixture, bucket| {
        let store = fixture.store();
        bucket.plant("pre/fix/", b"");
        bucket.plant("pre/fix/theirs/", b"");
        bucket.plant("pre/fix/full/", b"");
        bucket.plant("pre/fix/full/file", b"12345");
        assert_eq!(
            fixture.entries("").await.expect("a directory"),
            entries(&[("full", None), ("theirs", None)])
        );
        assert_eq!(fixture.entries("theirs").await.expect("a directory"), entries(&[]));
        assert_eq!(fixture.entries("full").await.expect("a directory"), entries(&[("file", Some(5))]));
        assert!(store.stat(&fixture.path("theirs")).await.expect("a directory").is_directory());
        assert_err!(store.make_directory(&fixture.path("theirs")).await, AlreadyExists);
        assert_err!(store.delete(&fixture.path("theirs")).await, IsADirectory);
        assert_err!(store.remove_directory(&fixture.path("full")).await, NotEmpty);
        fixture.assert_holds("full/file", b"12345").await;
        // object_store cannot name the key `theirs/`, so the directory cannot be removed; that is said.
        assert_err!(store.remove_directory(&fixture.path("theirs")).await, NotSupported(_));
        assert!(bucket.holds("pre/fix/theirs/"));
    })
    .await;
}

#[tokio::test]
async fn keys_that_cannot_be_named_do_not_break_a_listing() {
    run(async |fixture, bucket| {
        for number in 0..30 {
            fixture.put(&format!("dir/file {number:02}"), &body(1, 1)).await;
        }
        fixture.put("dir/sub/file", &body(1, 1)).await;
        for key in ["dir//b", "dir//c", "dir/odd//x", "dir/./y", "dir/../z", "dir/zz//a/b"] {
            bucket.plant(&format!("pre/fix/{key}"), b"foreign");
        }
        let listed = fixture.entries("dir").await.expect("a directory");
        let expected = (0..30).map(|number| (format!("file {number:02}"), Some(1)));
        // These can be named, though nothing in them can.
        let directories = ["odd", "sub", "zz"].map(|name| (name.to_owned(), None));
        assert_eq!(listed, expected.chain(directories).collect());
        assert_eq!(fixture.entries("dir/zz").await.unwrap_or_default(), entries(&[]));
        assert_err!(fixture.store().remove_directory(&fixture.path("dir")).await, NotEmpty);
        assert_err!(fixture.store().remove_directory(&fixture.path("dir/zz")).await, NotEmpty);
        fixture.store().probe().await.expect("it answers");
    })
    .await;
}

#[tokio::test]
async fn a_bucket_of_unnameable_keys_is_empty() {
    run(async |fixture, bucket| {
        for number in 0..5 {
            bucket.plant(&format!("pre/fix//{number}"), b"foreign");
        }
        assert_eq!(fixture.entries("").await.unwrap_or_default(), entries(&[]));
        fixture.store().probe().await.expect("it answers");
        fixture.put("own", &Bytes::from_static(b"own")).await;
        assert_eq!(fixture.entries("").await.expect("a directory"), entries(&[("own", Some(3))]));
    })
    .await;
}

/// Object stores can; a listing then shows both, and a path means the file.
#[tokio::test]
async fn a_file_and_a_directory_may_share_a_name() {
    run(async |fixture, bucket| {
        bucket.plant("pre/fix/both", b"file");
        bucket.plant("pre/fix/both/inner", b"inner");
        assert!(!fixture.store().stat(&fixture.path("both")).await.expect("it is there").is_directory());
        fixture.assert_holds("both", b"file").await;
        fixture.assert_holds("both/inner", b"inner").await;
        fixture.store().delete(&fixture.path("both")).await.expect("a file");
        fixture.assert_holds("both/inner", b"inner").await;
    })
    .await;
}
