//! `SITE XFER`: libunftp's own extension point, through which everything goes that it lacks or that moves bytes. Its
//! handler runs without libunftp's session lock, and needs none of libunftp's data connections: it takes the client's
//! own from the session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use libunftp::options::{Reply as Answer, ReplyCode, SiteCommandContext, SiteCommandHandler};
use tracing::Instrument;
use unftp_core::storage::{ErrorKind, Result};

use super::authenticator::SessionUser;
use super::command::{self, Backend, fenced};
use super::digest;
use super::limited::Limited;
use super::listing::{self, About, Format};
use super::metered::Metered;
use super::summed::{Sum, Summed};
use crate::config::EventType;
use crate::data::{Abort, Content, DataError};
use crate::events::Details;
use crate::files::{self, Files, transfer_result};
use crate::limits::Admission;
use crate::metrics::{ByteCount, Direction, TransferResult};
use crate::path::VirtualPath;
use crate::recent::EndedTransfer;
use crate::reply::Reply;
use crate::session::{Operation, Pending, Transfer};
use crate::spans;
use crate::storage::{Dated, Stored, UploadMode};

/// What follows SITE on the pair. Clients cannot use it: the edge passes no SITE command on.
pub(super) const NAME: &str = "XFER";

/// Does what `SITE XFER <verb> <path>` asks for.
#[derive(Debug)]
pub(super) struct Handler;

#[async_trait]
impl SiteCommandHandler<Backend, SessionUser> for Handler {
    async fn handle(&self, context: &SiteCommandContext<Backend, SessionUser>) -> Answer {
        // The reply for the client stands in the session; libunftp's metrics count this one.
        match context.storage.handle(&context.arguments).await {
            Ok(()) => Answer::new(ReplyCode::CommandOkay, "done"),
            Err(_) => Answer::new(ReplyCode::LocalError, "not done"),
        }
    }
}

impl Backend {
    async fn handle(&self, arguments: &str) -> Result<()> {
        let (mut pending, files) =
            self.take_if(|pending| arguments == command::argument(pending.operation, &pending.path))?;
        let transfer = pending.transfer.take();
        let reply = match (pending.operation, transfer) {
            (Operation::Stor, Some(transfer)) => {
                let mode = match transfer.offset {
                    0 => UploadMode::Replace,
                    offset => UploadMode::From(offset),
                };
                self.upload(&pending, files, transfer, mode).await?
            }
            (Operation::Appe, Some(transfer)) => {
                self.upload(&pending, files, transfer, UploadMode::Append).await?
            }
            (Operation::Retr, Some(transfer)) => self.download(&pending, files, transfer).await?,
            (Operation::List, Some(transfer)) => self.list(&pending, files, transfer, Format::Long).await?,
            (Operation::Nlst, Some(transfer)) => self.list(&pending, files, transfer, Format::Names).await?,
            (Operation::Mlsd, Some(transfer)) => {
                let facts = Format::Facts(self.session.facts());
                self.list(&pending, files, transfer, facts).await?
            }
            (Operation::Mlst, _) => self.describe(&pending, files).await?,
            (Operation::Mfmt, _) => {
                let time = pending.time.ok_or(ErrorKind::LocalError)?;
                self.date(&pending, files, time).await?
            }
            (Operation::Hash, _) => {
                let wanted = pending.checksum.ok_or(ErrorKind::LocalError)?;
                // The client makes the gateway read the file, as a download does.
                let pace = self.admission()?.download_pace();
                self.run(pending.operation, digest::reply(files, &pending, wanted, pace)).await?
            }
            (
                Operation::Stor
                | Operation::Appe
                | Operation::Retr
                | Operation::List
                | Operation::Nlst
                | Operation::Mlsd,
                None,
            )
            | (
                Operation::Cwd
                | Operation::Mkd
                | Operation::Rmd
                | Operation::Dele
                | Operation::Rnfr
                | Operation::Rnto
                | Operation::Size
                | Operation::Mdtm
                | Operation::Stat,
                _,
            ) => return Err(ErrorKind::LocalError.into()),
        };
        self.session.answer(reply);
        Ok(())
    }

    async fn upload(
        &self,
        pending: &Pending,
        files: &Files,
        transfer: Transfer,
        mode: UploadMode,
    ) -> Result<Reply> {
        let direction = if mode == UploadMode::Append { Direction::Append } else { Direction::Upload };
        let admission = self.admission()?;
        self.move_file(pending, files, direction, async |abort: &Abort| {
            let content = transfer.opener.content();
            // What is sent with other line ends may be larger than the file.
            let announced = transfer.announced.filter(|_| content == Content::AsSent);
            // First what does not depend on load: to try again later would not help whoever may not do it at all.
            let possible = abort.unless_requested(files.check_upload(&pending.path, mode, content)).await?;
            let allowance = Arc::new(admission.upload(announced).map_err(DataError::from)?);
            allowance.begins_at(possible.begins_at()).map_err(DataError::from)?;
            let stored_at = possible.made_path().cloned();
            // Room for the event before anything is stored, so that a refusal means that nothing was.
            let path = stored_at.as_ref().unwrap_or(&pending.path);
            let telling = self.announce(EventType::Upload, path, None, files)?;
            // And before what was kept of a broken upload is taken up, or who is refused would hold it up for others.
            let mut plan = abort.unless_requested(possible.take_up()).await?;
            // What an append leaves of the old file is read as for a download, to be written again.
            plan.read_at(admission.download_pace());
            let bytes = self.counted_bytes(pending, files, direction);
            let data = Metered::open(transfer.opener.open().await?, &pending.moved, bytes);
            let mut data = Limited::upload(data, admission.upload_pace(), &allowance);
            let sum = Sum::default();
            if telling.is_heard() {
                data = Summed::open(data, &sum);
            }
            let stored = plan.run(data, abort).await;
            match stored.as_ref().map_or_else(transfer_result, |_| TransferResult::Ok) {
                TransferResult::Ok => allowance.keep_file(),
                TransferResult::ClientLost | TransferResult::Stalled | TransferResult::Aborted => {
                    allowance.keep_bytes();
                }
                TransferResult::Rejected | TransferResult::StoreError | TransferResult::ServerError => {}
            }
            let Stored { taken, size, etag, version, sha256 } = stored?;
            // Semantics decision: what the store was sent has the better sum; where old bytes are before the new ones there is none.
            let passed = sum.get().filter(|_| taken == size).map(|sum| format!("crc32:{sum}"));
            let checksum = sha256.map(|sum| format!("sha256:{sum}")).or(passed);
            let (size, transferred) = (Some(size), Some(taken));
            telling
                .tell(Details { size, transferred, etag, version, checksum, ..Details::default() })
                .await?;
            Ok(Moved { bytes: taken, stored_at })
        })
        .await
    }

    /// The session's place under the limits, which it has since its login.
    fn admission(&self) -> Result<Arc<Admission>> {
        self.session.admission().ok_or_else(|| ErrorKind::LocalError.into())
    }

    async fn download(&self, pending: &Pending, files: &Files, transfer: Transfer) -> Result<Reply> {
        let admission = self.admission()?;
        self.move_file(pending, files, Direction::Download, async |abort: &Abort| {
            let plan = abort.unless_requested(files.plan_download(&pending.path, transfer.offset)).await?;
            let telling = self.announce(EventType::Download, &pending.path, None, files)?;
            if transfer.opener.content() == Content::AsSent {
                pending.expect(plan.size());
            }
            let bytes = self.counted_bytes(pending, files, Direction::Download);
            let data = Metered::open(transfer.opener.open().await?, &pending.moved, bytes);
            let data = Limited::download(data, admission.download_pace());
            let sent = plan.run(data, abort).await?;
            telling.tell(Details { transferred: Some(sent), ..Details::default() }).await?;
            Ok(Moved { bytes: sent, stored_at: None })
        })
        .await
    }

    /// Counts the bytes of a transfer that was planned, so that a store has it.
    fn counted_bytes(&self, pending: &Pending, files: &Files, direction: Direction) -> ByteCount {
        let store = files.store(&pending.path).unwrap_or_default();
        self.front.metrics.transfer_bytes(direction, store, files.user())
    }

    /// Runs a file transfer and accounts for it.
    async fn move_file<'a, F>(
        &self,
        pending: &'a Pending,
        files: &Files,
        direction: Direction,
        work: impl FnOnce(&'a Abort) -> F,
    ) -> Result<Reply>
    where
        F: Future<Output = files::Result<Moved>>,
    {
        let (store, user, metrics) = (files.store(&pending.path), files.user(), &self.front.metrics);
        let _active = metrics.transfer_active(direction);
        let traffic = self.session.traffic();
        let begun = Instant::now();
        self.run(pending.operation, async {
            // A panic is accounted for like any other failure.
            let span = spans::transfer(direction.label(), user, store, &pending.path);
            let moved = fenced(work(&pending.abort)).instrument(span.clone()).await;
            let took = begun.elapsed();
            let result = moved.as_ref().map_or_else(transfer_result, |_| TransferResult::Ok);
            span.record("result", result.label());
            let bytes = pending.moved.load(Ordering::Relaxed);
            span.record("bytes", bytes);
            metrics.transfer_ended(direction, user, result, took);
            let path =
                moved.as_ref().ok().and_then(|moved| moved.stored_at.as_ref()).unwrap_or(&pending.path);
            if let Some(traffic) = &traffic {
                traffic.add(direction, bytes);
            }
            self.front.recent.transfer_ended(EndedTransfer {
                ended: Utc::now(),
                session: self.session.id,
                user: user.to_owned(),
                peer: self.session.peer.ip(),
                direction,
                result,
                store: store.map(str::to_owned),
                path: path.clone(),
                bytes,
                took,
            });
            tracing::info!(
                direction = direction.label(),
                result = result.label(),
                store,
                %path,
                bytes = moved.as_ref().map_or(bytes, |moved| moved.bytes),
                seconds = took.as_secs_f64(),
                "transfer ended"
            );
            Ok(moved?.reply())
        })
        .await
    }

    /// Sends a listing to the client's data connection.
    async fn list(
        &self,
        pending: &Pending,
        files: &Files,
        transfer: Transfer,
        format: Format,
    ) -> Result<Reply> {
        let abort = &pending.abort;
        self.run(pending.operation, async {
            let names = self.session.names();
            let found = listing::find(files, &pending.path, &transfer.argument, (format, names));
            let (listed, selection) = abort.unless_requested(found).await?;
            let mut data = transfer.opener.open().await?;
            match abort.unless_requested(listing::send(listed, &selection, data.as_mut())).await {
                Ok(left_out) => {
                    self.count_left_out(files, pending, left_out);
                    data.finish().await?;
                    Ok(done())
                }
                Err(error) => {
                    // Without a reset the client would take what it got for the whole.
                    data.reset();
                    Err(error)
                }
            }
        })
        .await
    }

    /// MFMT (draft-somers-ftp-mfxx section 3.1).
    async fn date(&self, pending: &Pending, files: &Files, time: DateTime<Utc>) -> Result<Reply> {
        let path = &pending.path;
        self.run(pending.operation, async {
            Ok(match pending.abort.unless_requested(files.set_modified(path, time)).await? {
                Dated::Done => {
                    tracing::info!(verb = pending.operation.verb(), %path, %time, "done");
                    Reply::new(213, format!("Modify={}; {path}", time.format("%Y%m%d%H%M%S")))
                }
                // Semantics decision: not done and no failure (RFC 959 section 4.2). Clients take a 5yz for a failure of the
                // upload before it.
                Dated::ByUpload => {
                    Reply::new(202, "Superfluous: the time of a file is that of its upload here")
                }
            })
        })
        .await
    }

    /// MLST (RFC 3659 section 7.2).
    async fn describe(&self, pending: &Pending, files: &Files) -> Result<Reply> {
        self.run(pending.operation, async {
            let entry = pending.abort.unless_requested(files.progress(&pending.path)).await?;
            let about = About::one(files, &pending.path);
            let path = pending.path.as_str();
            let facts = listing::described(&entry, self.session.facts(), path, &about);
            // The facts stand on a line of their own that begins with a space.
            let lines = vec![format!("Listing {}", pending.path), format!(" {facts}"), "End".to_owned()];
            Ok(Reply::of_lines(250, lines))
        })
        .await
    }
}

/// A file that has crossed a data connection.
struct Moved {
    bytes: u64,
    /// Where it is, if that is not where the client said.
    stored_at: Option<VirtualPath>,
}

impl Moved {
    fn reply(&self) -> Reply {
        match &self.stored_at {
            // In the words of RFC 1123 section 4.1.2.9, which has them for the 150 of a STOU.
            Some(path) => Reply::new(226, format!("Transfer complete, FILE: {}", path.file_name())),
            None => done(),
        }
    }
}

fn done() -> Reply {
    Reply::new(226, "Transfer complete")
}
