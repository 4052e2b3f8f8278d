//! What uploads put on their objects, and what comes of the checksum among it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bucketport::data::Abort;
use bucketport::storage::{Existing, UploadMode};
use bytes::Bytes;

use crate::data::{FakeData, Step, body};
use crate::fixture::{Fixture, PART, PlansUploads};
use crate::flat::{FlatBucket, Labels};

async fn flat() -> Fixture {
    Fixture::on_s3_flat().await.expect("always there")
}

/// As an IPv6 socket sees an IPv4 client.
const CLIENT: IpAddr = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());

fn bucket(fixture: &Fixture) -> &FlatBucket {
    fixture.server().and_then(|server| server.bucket()).expect("flat")
}

fn metadata<'a>(labels: &'a Labels, key: &str) -> Option<&'a str> {
    labels.metadata.as_ref()?.get(key).map(String::as_str)
}

async fn upload(fixture: &Fixture, name: &str, mode: UploadMode, size: usize) {
    upload_from(fixture, CLIENT, name, mode, size).await;
}

async fn upload_from(fixture: &Fixture, client: IpAddr, name: &str, mode: UploadMode, size: usize) {
    let store = Arc::new(fixture.store().owned_by("acme ü").used_from(client));
    let planned = store.plan_upload(&fixture.path(name), mode).await.expect("possible");
    let (data, _) = FakeData::uploads([Step::Send(body(size, 1))]);
    planned.run(data, &Abort::new()).await.expect("the store works");
}

#[tokio::test]
async fn files_say_what_they_are_and_whose() {
    let plain = flat().await;
    let fixture = plain.labelling("STANDARD_IA", ("team", "a b"));
    for size in [10, PART + 1] {
        upload(&fixture, "dir/é.jpg", UploadMode::Replace, size).await;
        upload(&fixture, "dir/é.jpg", UploadMode::Append, 5).await;
        let (from, to) = (fixture.path("dir/é.jpg"), fixture.path("dir/renamed"));
        for renamed in [false, true] {
            if renamed {
                fixture.store().rename(&from, &to, Existing::Replace).await.expect("possible");
            }
            let labels = bucket(&fixture).labels(if renamed { to.as_str() } else { from.as_str() });
            assert_eq!(labels.content_type.as_deref(), Some("image/jpeg"), "{size} {renamed}");
            assert_eq!(labels.storage_class.as_deref(), Some("STANDARD_IA"), "{size} {renamed}");
            assert_eq!(labels.tags.as_deref(), Some("team=a+b"), "{size} {renamed}");
            assert_eq!(metadata(&labels, "bucketportname"), Some("%C3%A9.jpg"), "{size} {renamed}");
            assert_eq!(metadata(&labels, "bucketportuploader"), Some("acme+%C3%BC"), "{size} {renamed}");
            assert_eq!(metadata(&labels, "bucketportclient"), Some("192.0.2.7"), "{size} {renamed}");
            let checksum = metadata(&labels, "bucketportsha256");
            assert_eq!(
                checksum.is_some(),
                size == 10,
                "only what is stored in one request has one: {checksum:?}"
            );
        }
    }
    fixture.finish(Ok(())).await;
}

#[tokio::test]
async fn the_address_of_a_client_is_as_usual() {
    let fixture = flat().await;
    let client = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));
    for size in [10, PART + 1] {
        upload_from(&fixture, client, "file", UploadMode::Replace, size).await;
        let labels = bucket(&fixture).labels(fixture.path("file").as_str());
        assert_eq!(metadata(&labels, "bucketportclient"), Some("2001:db8::7"), "{size}");
    }
    fixture.finish(Ok(())).await;
}

/// A record in an archive could not be read any more.
#[tokio::test]
async fn the_gateways_own_objects_have_no_labels() {
    let fixture = flat().await.labelling("GLACIER", ("team", "a")).keeping(Duration::from_hours(1));
    fixture.store().make_directory(&fixture.path("dir")).await.expect("nothing is there");
    let store = Arc::new(fixture.store().owned_by("acme"));
    let planned = store.plan_upload(&fixture.path("file"), UploadMode::Replace).await.expect("possible");
    let (data, _) = FakeData::uploads([Step::Send(body(10, 1)), Step::Lose]);
    assert_err!(planned.run(data, &Abort::new()).await, Data(_));
    let mut own = vec![fixture.path("dir/.keep").as_str().to_owned()];
    own.extend(fixture.records().await.iter().map(|record| format!("pre/fix/.bucketport/{record}")));
    assert_eq!(own.len(), 3, "{own:?}");
    for key in own {
        let labels = bucket(&fixture).labels(&key);
        assert_eq!((labels.storage_class, labels.tags, labels.content_type), (None, None, None), "{key}");
    }
    store.delete(&fixture.path("file")).await.expect("kept");
}

/// So that a client who asks for it need not wait for a download.
#[tokio::test]
async fn the_checksum_of_a_whole_file_is_told_without_reading_it() {
    let fixture = flat().await;
    fixture.put("file", &Bytes::from_static(b"abc")).await;
    bucket(&fixture).damage(fixture.path("file").as_str());
    let kept = async |name: &str, offset| {
        let planned = fixture.store().plan_download(&fixture.path(name), offset).await.expect("it is there");
        planned.kept_sha256()
    };
    let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(kept("file", 0).await, Some((of_abc.to_owned(), 3)));
    assert_eq!(kept("file", 1).await, None, "of a part none was kept");
    fixture.put("parts", &body(PART + 1, 1)).await;
    assert_eq!(kept("parts", 0).await, None);
    fixture.finish(Ok(())).await;
}

#[tokio::test]
async fn content_that_is_not_what_was_uploaded_is_noticed() {
    let fixture = flat().await;
    let bytes = body(PART, 1);
    fixture.put("file", &bytes).await;
    fixture.assert_holds("file", &bytes).await;
    bucket(&fixture).damage(fixture.path("file").as_str());
    let planned = fixture.store().plan_download(&fixture.path("file"), 0).await.expect("it is there");
    let (data, seen) = FakeData::downloads();
    assert_err!(planned.run(data, &Abort::new()).await, Store(_));
    let seen = std::mem::take(&mut *seen.lock().expect("not poisoned"));
    assert!(seen.reset && !seen.finished);
    // A part of it cannot be compared with anything.
    fixture.download("file", 1).await.expect("it is there");
    // Whoever wrote another file there, wrote its checksum or none.
    bucket(&fixture).plant(fixture.path("file").as_str(), b"another");
    fixture.assert_holds("file", b"another").await;
    fixture.finish(Ok(())).await;
}
