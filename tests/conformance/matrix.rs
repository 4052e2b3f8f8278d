//! Every operation, with every fault at every call that it makes. Whatever the store does: what is said to be done is done
//! whole, what is said to have failed has changed nothing that was not said, nothing is lost, and it ends in time.

use std::time::Duration;

use bucketport::storage::{Error, Existing, Result, UploadMode};
use bytes::Bytes;

use crate::data::body;
use crate::faults::run_everywhere as run;
use crate::fixture::{Fixture, PART};
use crate::server::{Call, Fault, Faults};

const SOON: Duration = Duration::from_mins(1);

const OPERATIONS: [Operation; 9] = [
    Operation::Upload(UploadMode::Replace, 100),
    Operation::Upload(UploadMode::Replace, PART + 1),
    Operation::Upload(UploadMode::Create, 100),
    Operation::Upload(UploadMode::Append, 100),
    Operation::Download,
    Operation::Rename,
    Operation::Delete,
    Operation::MakeDirectory,
    Operation::RemoveDirectory,
];

const CALLS: [Call; 9] = [
    Call::Put,
    Call::Copy,
    Call::CreateMultipart,
    Call::PutPart,
    Call::CompleteMultipart,
    Call::Get,
    Call::Head,
    Call::List,
    Call::Delete,
];

fn faults_at_a_call() -> [(&'static str, Fault); 9] {
    [
        ("500 once", Fault::Status(500)),
        ("403", Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>")),
        ("404", Fault::Status(404)),
        ("409", Fault::Answer(409, "<Error><Code>OperationAborted</Code></Error>")),
        ("412", Fault::Status(412)),
        ("200 of an error", Fault::Answer(200, "<Error><Code>AccessDenied</Code></Error>")),
        ("200 of nothing", Fault::Answer(200, "")),
        ("done but 500", Fault::DoneBut(500)),
        ("done and reset", Fault::DoneThenReset),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Upload(UploadMode, usize),
    Download,
    Rename,
    Delete,
    MakeDirectory,
    RemoveDirectory,
}

/// What stands before each operation, and after it where it is not its business.
struct Before {
    old: Bytes,
    other: Bytes,
}

impl Operation {
    async fn prepare(self, fixture: &Fixture, name: &str) -> Before {
        let before = Before { old: body(30, 1), other: body(40, 2) };
        fixture.put(&format!("{name}/other"), &before.other).await;
        if !matches!(self, Self::Upload(UploadMode::Create, _)) {
            fixture.put(&format!("{name}/file"), &before.old).await;
        }
        if matches!(self, Self::RemoveDirectory) {
            fixture.store().make_directory(&fixture.path(&format!("{name}/dir"))).await.expect("new");
        }
        before
    }

    async fn perform(self, fixture: &Fixture, name: &str) -> Result<()> {
        let store = fixture.store();
        let file = format!("{name}/file");
        let dir = fixture.path(&format!("{name}/dir"));
        match self {
            Self::Upload(mode, size) => fixture.upload(&file, mode, &body(size, 3)).await.map(drop),
            Self::Download => {
                let got = fixture.download(&file, 0).await?;
                assert!(got == body(30, 1), "{name}: other bytes pass for the file");
                Ok(())
            }
            Self::Rename => {
                store
                    .rename(&fixture.path(&file), &fixture.path(&format!("{name}/new")), Existing::Replace)
                    .await
            }
            Self::Delete => store.delete(&fixture.path(&file)).await,
            Self::MakeDirectory => store.make_directory(&dir).await,
            Self::RemoveDirectory => store.remove_directory(&dir).await,
        }
    }

    /// Compares what is there now with what was said.
    async fn check(self, fixture: &Fixture, name: &str, before: &Before, result: &Result<()>) {
        let (done, file) = (result.is_ok(), format!("{name}/file"));
        fixture.assert_holds(&format!("{name}/other"), &before.other).await;
        match self {
            Self::Upload(mode, size) => {
                let kept = if mode == UploadMode::Append { &before.old[..] } else { &[] };
                let whole = [kept, &body(size, 3)].concat();
                match fixture.download(&file, 0).await {
                    Ok(held) if done => assert!(held == whole, "{name}: 226 without the whole file"),
                    // Of an upload that failed the object may be there only if no answer said so, and then whole.
                    Ok(held) => assert!(held == before.old || held == whole, "{name}: neither old nor new"),
                    Err(Error::NotFound) => {
                        assert!(!done && mode == UploadMode::Create, "{name}: the file is gone");
                    }
                    Err(error) => panic!("{name}: {error:?}"),
                }
            }
            Self::Download => fixture.assert_holds(&file, &before.old).await,
            Self::Rename => {
                let new = format!("{name}/new");
                if done {
                    fixture.assert_missing(&file).await;
                    fixture.assert_holds(&new, &before.old).await;
                } else {
                    // Both names for a moment, or for longer; but one of them at least.
                    let held = [fixture.download(&file, 0).await, fixture.download(&new, 0).await];
                    assert!(held.iter().any(Result::is_ok), "{name}: the file is lost");
                    assert!(held.iter().flatten().all(|held| *held == before.old), "{name}: other bytes");
                }
            }
            Self::Delete => match fixture.download(&file, 0).await {
                Ok(held) => assert!(!done && held == before.old, "{name}: 250, and it is still there"),
                Err(error) => assert!(matches!(error, Error::NotFound), "{name}: {error:?}"),
            },
            Self::MakeDirectory | Self::RemoveDirectory => {
                let is = fixture
                    .store()
                    .is_directory(&fixture.path(&format!("{name}/dir")))
                    .await
                    .expect("answers");
                let made = matches!(self, Self::MakeDirectory);
                assert!(!done || is == made, "{name}: 250, and it is not so");
            }
        }
    }
}

async fn at_each_call(fixture: &Fixture, faults: &Faults, operation: Operation, times: usize) {
    for call in CALLS {
        // Those of an upload in parts are for the gateway's own record of it, which a fault may leave to the janitor.
        let is_own = matches!(operation, Operation::Upload(_, size) if size > PART);
        if is_own && matches!(call, Call::Put | Call::Delete) {
            continue;
        }
        for (what, fault) in faults_at_a_call() {
            // A delete that is confirmed is believed, and so is that there is nothing to delete: a look after each would cost
            // a request.
            if call == Call::Delete && ["200 of nothing", "404"].contains(&what) {
                continue;
            }
            // Nobody has heard the name of that multipart upload, so only the store's own rules can end it.
            if call == Call::CreateMultipart && matches!(fault, Fault::DoneBut(_) | Fault::DoneThenReset) {
                continue;
            }
            // The second call of a kind as well: it is often the one that looks what became of the first.
            for skip in [0, 1] {
                let name =
                    format!("{operation:?} {call:?} {what} {skip} {times}").replace(['(', ')', ','], "");
                let before = operation.prepare(fixture, &name).await;
                faults.add(call, skip, times, fault.clone());
                let performing = operation.perform(fixture, &name);
                let result = tokio::time::timeout(SOON, performing).await;
                let result = result.unwrap_or_else(|_| panic!("{name}: takes too long"));
                faults.clear();
                operation.check(fixture, &name, &before, &result).await;
                fixture.assert_nothing_left().await;
            }
        }
    }
}

/// Tests of their own for each group of operations, so that they run side by side: most of their time is waiting.
macro_rules! groups {
    ($($name:ident: $operations:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            run(async |fixture, faults| {
                for operation in $operations {
                    at_each_call(fixture, faults, *operation, 1).await;
                }
            })
            .await;
        })*
    };
}

groups! {
    a_fault_while_replacing: &OPERATIONS[..1];
    a_fault_while_sending_parts: &OPERATIONS[1..2];
    a_fault_while_creating: &OPERATIONS[2..3];
    a_fault_while_appending: &OPERATIONS[3..4];
    a_fault_while_downloading: &OPERATIONS[4..5];
    a_fault_while_renaming: &OPERATIONS[5..6];
    a_fault_while_deleting: &OPERATIONS[6..7];
    a_fault_while_changing_directories: &OPERATIONS[7..];
}
