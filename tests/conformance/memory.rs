//! Many transfers at once live on a small `transfer.memory`: they wait for each other, but never for ever.

use std::time::Duration;

use bucketport::storage::UploadMode;
use bytes::Bytes;
use futures::future::join_all;

use crate::data::{assert_same, body};
use crate::fixture::{Fixture, PART};

const TRANSFERS: u64 = 40;
/// More than a part, so that every transfer needs memory twice.
const SIZE: usize = 6 * 1024 * 1024;
/// Two parts and a little.
const MEMORY: u64 = 12 * 1024 * 1024;
/// Many times what it takes.
const DEADLINE: Duration = Duration::from_mins(1);

async fn in_time<T>(transfers: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, transfers).await.expect("the transfers wait for each other for ever")
}

pub(crate) async fn many_uploads_share_a_little(fixture: &Fixture) {
    let narrow = &fixture.with_memory(MEMORY);
    let bytes = body(SIZE + usize::try_from(TRANSFERS).expect("small"), 1);
    let upload = |number: u64| {
        let bytes = bytes.slice(usize::try_from(number).expect("small")..);
        async move { narrow.put(&format!("file {number}"), &bytes).await }
    };
    in_time(join_all((0..TRANSFERS).map(upload))).await;
    narrow.assert_nothing_left().await;
    for number in 0..TRANSFERS {
        narrow
            .assert_holds(&format!("file {number}"), &bytes[usize::try_from(number).expect("small")..])
            .await;
    }
}

/// An append reads as well as it writes.
pub(crate) async fn many_appends_share_a_little(fixture: &Fixture) {
    let narrow = &fixture.with_memory(MEMORY);
    let old = &body(SIZE, 1);
    let added = &Bytes::from_static(b"added");
    let count = TRANSFERS / 2;
    join_all((0..count).map(|number| async move { narrow.put(&format!("file {number}"), old).await })).await;
    in_time(join_all((0..count).map(|number| async move {
        let appended = narrow.upload(&format!("file {number}"), UploadMode::Append, added).await;
        assert_eq!(appended.expect("can be appended to"), 5);
    })))
    .await;
    narrow.assert_nothing_left().await;
    let expected = [&old[..], added].concat();
    for number in 0..count {
        narrow.assert_holds(&format!("file {number}"), &expected).await;
    }
}

pub(crate) async fn many_downloads_share_a_little(fixture: &Fixture) {
    let narrow = &fixture.with_memory(MEMORY);
    let bytes = &body(3 * PART + 7, 1);
    narrow.put("file", bytes).await;
    in_time(join_all((0..20).map(|_| async move {
        assert_same(&narrow.download("file", 0).await.expect("it is there"), bytes, "file");
    })))
    .await;
    narrow.assert_nothing_left().await;
}
