//! A store that says no: what it means is known from its code, at once, whatever was asked.

use std::time::{Duration, Instant};

use bucketport::storage::{Error, Existing, Result, UploadMode};

use crate::data::body;
use crate::faults::run_everywhere as run;
use crate::fixture::{Fixture, PART};
use crate::server::{Call, Fault};

/// Far below what a retry takes that goes on until the store is believed to be dead.
const AT_ONCE: Duration = Duration::from_secs(5);

/// What a refusal comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    TooLarge,
    NotSupported,
    NoSpace,
    Quota,
    Refused,
    Locked,
    Archived,
    Clock,
    Expired,
    Store,
}

impl Kind {
    fn of(error: &Error) -> Self {
        match error {
            Error::NameNotAllowed(_) => Self::Name,
            Error::TooLarge(_) => Self::TooLarge,
            Error::NotSupported(_) => Self::NotSupported,
            Error::NoSpace(_) => Self::NoSpace,
            Error::QuotaExceeded(_) => Self::Quota,
            Error::Refused(_) => Self::Refused,
            Error::Locked(_) => Self::Locked,
            Error::Archived(_) => Self::Archived,
            Error::ClockSkew(_) => Self::Clock,
            Error::ExpiredCredentials(_) => Self::Expired,
            Error::Store(_) => Self::Store,
            other => panic!("{other:?} is no refusal"),
        }
    }
}

/// Answers that nothing is gained by asking for again.
const ANSWERS: [(u16, &str, Kind); 18] = [
    (400, "<Error><Code>KeyTooLongError</Code></Error>", Kind::Name),
    (400, "<Error><Code>XMinioInvalidObjectName</Code></Error>", Kind::Name),
    (414, "", Kind::Name),
    (400, "<Error><Code>EntityTooLarge</Code></Error>", Kind::TooLarge),
    (413, "<html>too large for this proxy</html>", Kind::TooLarge),
    (
        400,
        "<Error><Code>InvalidRequest</Code><Message>Content-MD5 is required</Message></Error>",
        Kind::NotSupported,
    ),
    (405, "<Error><Code>MethodNotAllowed</Code></Error>", Kind::NotSupported),
    (501, "<Error><Code>NotImplemented</Code></Error>", Kind::NotSupported),
    (507, "<Error><Code>XMinioStorageFull</Code></Error>", Kind::NoSpace),
    (507, "", Kind::NoSpace),
    (403, "<Error><Code>QuotaExceeded</Code></Error>", Kind::Quota),
    (403, "<Error><Code>AccessDenied</Code></Error>", Kind::Refused),
    (403, "<Error><Code>InvalidAccessKeyId</Code></Error>", Kind::Refused),
    (403, "<Error><Code>InvalidObjectState</Code></Error>", Kind::Archived),
    (403, "<Error><Code>ObjectLocked</Code></Error>", Kind::Locked),
    (403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", Kind::Clock),
    (400, "<Error><Code>ExpiredToken</Code></Error>", Kind::Expired),
    (404, "<Error><Code>NoSuchBucket</Code></Error>", Kind::Store),
];

/// What is asked of the store, and the calls that it makes. The file `there` stands.
async fn ask(fixture: &Fixture, call: Call, name: &str) -> Result<()> {
    let store = fixture.store();
    let there = fixture.path("there");
    match call {
        Call::Put => fixture.upload(name, UploadMode::Replace, &body(100, 1)).await.map(drop),
        Call::CreateMultipart | Call::PutPart | Call::CompleteMultipart => {
            fixture.upload(name, UploadMode::Replace, &body(2 * PART, 1)).await.map(drop)
        }
        Call::Copy => store.rename(&there, &fixture.path(name), Existing::Replace).await,
        Call::Delete => store.delete(&there).await,
        Call::Get => fixture.download("there", 0).await.map(drop),
        Call::List => fixture.entries("").await.map(drop),
        Call::Head | Call::AbortMultipart | Call::Stream | Call::Item => unreachable!("not asked of it"),
    }
}

const CALLS: [Call; 8] = [
    Call::Put,
    Call::CreateMultipart,
    Call::PutPart,
    Call::CompleteMultipart,
    Call::Copy,
    Call::Delete,
    Call::Get,
    Call::List,
];

/// A device drops a file after a permanent code and sends it again after a transient one, so the code must be right; and
/// it must not wait for what will not come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_means_one_thing_at_once_for_every_call() {
    run(async |fixture, faults| {
        fixture.put("there", &body(100, 3)).await;
        for call in CALLS {
            for (number, (status, answer, expected)) in ANSWERS.into_iter().enumerate() {
                let name = format!("{call:?} {number}");
                faults.add(call, 0, 100, Fault::Answer(status, answer));
                let begun = Instant::now();
                let result = ask(fixture, call, &name).await;
                let took = begun.elapsed();
                faults.clear();
                let error = result.expect_err(&name);
                assert_eq!(Kind::of(&error), expected, "{call:?} {status} {answer}: {error:?}");
                assert!(took < AT_ONCE, "{call:?} {status} {answer}: {took:?}");
                fixture.assert_missing(&name).await;
                fixture.assert_holds("there", &body(100, 3)).await;
                fixture.assert_nothing_left().await;
            }
        }
    })
    .await;
}

/// S3 answers some requests with 200 before it knows, and says in the body what came of them.
#[tokio::test]
async fn an_error_behind_a_200_is_one() {
    run(async |fixture, faults| {
        fixture.put("there", &body(100, 3)).await;
        for call in [Call::Copy, Call::CompleteMultipart, Call::List, Call::Delete] {
            for (answer, expected) in [
                ("<Error><Code>AccessDenied</Code></Error>", Kind::Refused),
                ("<Error><Code>QuotaExceeded</Code></Error>", Kind::Quota),
            ] {
                faults.add(call, 0, 100, Fault::Answer(200, answer));
                let error = ask(fixture, call, "new").await.expect_err(answer);
                faults.clear();
                assert_eq!(Kind::of(&error), expected, "{call:?} {answer}: {error:?}");
                fixture.assert_missing("new").await;
                fixture.assert_holds("there", &body(100, 3)).await;
            }
        }
    })
    .await;
}

/// What passes by itself is waited for, on every call, also where nothing was asked for under a condition.
#[tokio::test]
async fn a_conflict_that_passes_is_waited_for() {
    run(async |fixture, faults| {
        for call in CALLS {
            fixture.put("there", &body(100, 3)).await;
            for answer in ["<Error><Code>OperationAborted</Code></Error>", ""] {
                let name = format!("{call:?} {}", answer.len());
                fixture.put("there", &body(100, 3)).await;
                faults.add(call, 0, 2, Fault::Answer(409, answer));
                ask(fixture, call, &name).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            }
        }
    })
    .await;
}
