//! Uploads as one streaming request, with `unftp-sbe-gcs`: whole or not at all, although that client tries nothing again and
//! its uploads carry no mark.

use std::time::Duration;

use bucketport::data::{Abort, AbortReason, DataError};
use bucketport::storage::{Error, UploadMode};

use crate::data::{FakeData, Step, body};
use crate::fixture::{Fixture, PART, PlansUploads};
use crate::gcs::GcsServer;
use crate::server::{Call, Fault};

const SMALL: usize = 100;
const LARGE: usize = 2 * PART + 7;
const MODES: [UploadMode; 3] = [UploadMode::Replace, UploadMode::Create, UploadMode::Append];

async fn fixture() -> Fixture {
    Fixture::on_gcs_streamed().await.expect("always there")
}

fn server(fixture: &Fixture) -> &GcsServer {
    fixture.gcs().expect("Google Cloud Storage")
}

#[tokio::test]
async fn an_upload_is_one_request() {
    let fixture = fixture().await;
    for (number, size) in (1..).zip([0, SMALL, LARGE]) {
        fixture.put("file", &body(size, number)).await;
        fixture.assert_holds("file", &body(size, number)).await;
        let faults = fixture.faults();
        assert_eq!(u64::try_from(faults.count(Call::Stream)), Ok(number), "{size}");
        assert_eq!(faults.count(Call::Put) + faults.count(Call::CreateMultipart), 0, "{size}");
    }
    fixture.finish(Ok(())).await;
}

/// The server must never see an end that the client did not send.
#[tokio::test]
async fn the_body_of_an_upload_that_is_given_up_breaks_off() {
    let fixture = fixture().await;
    let old = body(10, 1);
    fixture.put("file", &old).await;
    for dropped in [false, true] {
        let broken = server(&fixture).broken_bodies();
        let planned = fixture.store().plan_upload(&fixture.path("file"), UploadMode::Replace).await;
        let planned = planned.expect("possible");
        let calls = fixture.faults().count(Call::Stream);
        let abort = Abort::new();
        let running = tokio::spawn({
            let (data, _) = FakeData::uploads([Step::Send(body(LARGE, 2)), Step::StayForever]);
            let abort = abort.clone();
            async move { planned.run(data, &abort).await }
        });
        while fixture.faults().count(Call::Stream) == calls {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if dropped {
            running.abort();
            assert!(running.await.expect_err("it never ends").is_cancelled());
        } else {
            abort.abort(AbortReason::Requested);
            assert_err!(running.await.expect("no panic"), Data(DataError::Aborted));
        }
        fixture.assert_nothing_left().await;
        let breaking = async {
            while server(&fixture).broken_bodies() == broken {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), breaking).await.expect("the body breaks off");
        fixture.assert_holds("file", &old).await;
    }
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_done() {
    let fixture = fixture().await;
    for size in [SMALL, LARGE] {
        for mode in MODES {
            for fault in [Fault::DoneBut(500), Fault::DoneBut(200), Fault::DoneThenReset] {
                let name = format!("{size} {mode:?} {fault:?}");
                if mode == UploadMode::Append {
                    fixture.put(&name, &body(SMALL, 1)).await;
                }
                let kept = if mode == UploadMode::Append { SMALL } else { 0 };
                fixture.faults().add(Call::Stream, 0, 1, fault);
                let uploaded = fixture.upload(&name, mode, &body(size, 2)).await;
                fixture.faults().clear();
                assert_eq!(uploaded.unwrap_or_else(|error| panic!("{name}: {error:?}")), size as u64);
                fixture.assert_holds(&name, &[&body(kept, 1)[..], &body(size, 2)].concat()).await;
            }
        }
    }
    fixture.finish(Ok(())).await;
}

/// What stands there is as large as what was sent, and is not what was sent.
#[tokio::test]
async fn an_upload_that_was_not_done_is_not_taken_for_done() {
    let fixture = fixture().await;
    let old = body(LARGE, 1);
    fixture.put("old", &old).await;
    let faults = [Fault::Reset, Fault::Status(500), Fault::Answer(500, ""), Fault::Answer(200, "")];
    for fault in faults.into_iter().chain([Fault::Status(401), Fault::Answer(403, ""), Fault::Status(403)]) {
        for name in ["old", "new"] {
            fixture.faults().add(Call::Stream, 0, 1, fault.clone());
            let result = fixture.upload(name, UploadMode::Replace, &body(LARGE, 2)).await;
            let refused = matches!(fault, Fault::Status(403) | Fault::Answer(403, _));
            match result {
                Err(Error::Refused(_)) if refused => {}
                Err(Error::Store(_)) if !refused => {}
                other => panic!("{fault:?}: {other:?}"),
            }
            fixture.assert_nothing_left().await;
        }
        fixture.assert_holds("old", &old).await;
        fixture.assert_missing("new").await;
    }
}

/// A small body is still at hand, so the client that tries again has it.
#[tokio::test]
async fn a_small_upload_that_fails_is_tried_again() {
    let fixture = fixture().await;
    for fault in [Fault::Reset, Fault::Status(503), Fault::Status(401), Fault::Answer(200, "")] {
        fixture.faults().add(Call::Stream, 0, 1, fault.clone());
        fixture.put("file", &body(SMALL, 1)).await;
        fixture.assert_holds("file", &body(SMALL, 1)).await;
        fixture.store().delete(&fixture.path("file")).await.expect("it is there");
    }
    // What holds for both clients is reported.
    fixture.faults().add(Call::Stream, 0, 1, Fault::Status(403));
    fixture.faults().add(Call::Put, 0, 1, Fault::Status(403));
    assert_err!(fixture.upload("file", UploadMode::Replace, &body(SMALL, 1)).await, Refused(_));
    fixture.assert_missing("file").await;
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hold_up_an_abort() {
    let fixture = fixture().await;
    fixture.faults().add(Call::Stream, 0, 1, Fault::Hang);
    let planned = fixture.store().plan_upload(&fixture.path("new"), UploadMode::Replace).await;
    let planned = planned.expect("possible");
    let (data, _) = FakeData::uploads([Step::Send(body(LARGE, 1)), Step::StayForever]);
    let abort = Abort::new();
    let aborting = async {
        while fixture.faults().count(Call::Stream) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        abort.abort(AbortReason::Requested);
    };
    let run = async { tokio::join!(planned.run(data, &abort), aborting) };
    let (result, ()) = tokio::time::timeout(Duration::from_secs(5), run).await.expect("ends at once");
    assert_err!(result, Data(DataError::Aborted));
    fixture.assert_missing("new").await;
    fixture.assert_nothing_left().await;
}

/// A server can make every other request wait until the end of the body, which waits for the answer to one of them.
#[tokio::test]
async fn a_store_that_answers_nothing_during_an_upload_ends_it() {
    let fixture = fixture().await;
    let old = body(10, 1);
    let modes = [UploadMode::Append, UploadMode::Create];
    for (mode, size) in modes.into_iter().flat_map(|mode| [(mode, SMALL), (mode, LARGE)]) {
        let name = format!("{mode:?} {size}");
        if mode == UploadMode::Append {
            fixture.put(&name, &old).await;
        }
        let planned = fixture.store().plan_upload(&fixture.path(&name), mode).await.expect("possible");
        let before = fixture.faults().count(Call::Head);
        fixture.faults().add(Call::Head, 0, 1, Fault::Hang);
        let (data, _) = FakeData::uploads([Step::Send(body(size, 2))]);
        let abort = Abort::new();
        let waiting = async {
            while fixture.faults().count(Call::Head) == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // From here on everything waits, so the clock goes on to whatever gives up first.
            tokio::time::pause();
        };
        let (result, ()) = tokio::join!(planned.run(data, &abort), waiting);
        tokio::time::resume();
        let Err(Error::Store(why)) = result else { panic!("{name}: {result:?}") };
        assert!(format!("{why:?}").contains("what stands at the name"), "{name}: {why:?}");
        assert_eq!(fixture.faults().count(Call::Head), before + 1, "{name}");
        if mode == UploadMode::Append {
            fixture.assert_holds(&name, &old).await;
        } else {
            fixture.assert_missing(&name).await;
        }
        fixture.assert_nothing_left().await;
    }
}
