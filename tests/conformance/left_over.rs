//! What a crash leaves in a store is removed a day later.

use std::time::Duration;

use bucketport::storage::UploadMode;
use chrono::{TimeDelta, Utc};

use crate::data::{Step, body};
use crate::faults::run;
use crate::fixture::{Fixture, PART};
use crate::server::{Call, Fault};

/// Waits for the one record of an open upload, which nothing else waits for.
async fn recorded(fixture: &Fixture) {
    for _ in 0..1000 {
        if fixture.records().await.len() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the upload has no record");
}

#[tokio::test]
async fn multipart_uploads_of_a_crash_are_aborted_after_a_day() {
    run(async |fixture, faults| {
        let server = fixture.server().expect("S3");
        // An upload that cannot be aborted is left like one whose gateway was killed.
        faults.add(Call::AbortMultipart, 0, 1, Fault::Status(403));
        let script = vec![Step::Send(body(PART + 1, 1)), Step::Lose];
        let lost = fixture.upload_script("new", UploadMode::Replace, script).await;
        assert_err!(lost, Data(_));
        assert_ne!(server.open_uploads(), 0);
        recorded(fixture).await;

        let (store, metrics) = (fixture.store(), fixture.metrics());
        store.clean(metrics, Utc::now() + TimeDelta::hours(23)).await.expect("the store answers");
        assert_ne!(server.open_uploads(), 0, "it may be running");
        store.clean(metrics, Utc::now() + TimeDelta::hours(25)).await.expect("the store answers");
        assert_eq!(server.open_uploads(), 0);
        assert_eq!(fixture.records().await, [""; 0]);
        let cleaned = "bucketport_cleaned_total{store=\"landing\",what=\"upload\"} 1";
        assert!(metrics.render().contains(cleaned));
        fixture.assert_missing("new").await;
    })
    .await;
}

/// An upload that has ended, or was aborted by another replica, is no failure.
#[tokio::test]
async fn records_of_uploads_that_are_gone_are_removed() {
    let fixture = Fixture::on_s3_flat().await.expect("always there");
    let faults = &fixture.server().expect("S3").faults;
    // The upload is done, but its record cannot be removed.
    faults.add(Call::Delete, 0, 1, Fault::Status(403));
    fixture.put("file", &body(2 * PART, 1)).await;
    let refused = async {
        while faults.count(Call::Delete) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.expect("a record is removed");
    recorded(&fixture).await;
    let later = Utc::now() + TimeDelta::days(2);
    fixture.store().clean(fixture.metrics(), later).await.expect("gone is gone");
    fixture.assert_holds("file", &body(2 * PART, 1)).await;
    fixture.finish(Ok(())).await;
}

#[tokio::test]
async fn a_store_that_fails_is_reported() {
    run(async |fixture, faults| {
        faults.add(Call::List, 0, 50, Fault::Status(403));
        let cleaned = fixture.store().clean(fixture.metrics(), Utc::now()).await;
        assert_err!(cleaned, Refused(_));
        faults.clear();
    })
    .await;
}
