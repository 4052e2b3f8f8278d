//! What others have left unfinished is finished or undone.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::driver::Swept;
use super::error::Result;
use super::journal::{Kind, Record};
use super::relocation::{Phase, Relocation};
use super::rename_directory::{finish, undo};
use super::store::Store;

/// A rename of a directory on which nobody has worked for so long is nobody's any more: who works on one writes its record
/// again every minute, and takes it for lost after five.
pub const RENAME_ABANDONED: Duration = Duration::from_mins(10);

/// The most that are taken up at a time; the next time takes the others.
const MOST: usize = 1000;

impl Store {
    /// Finishes or undoes every rename of a directory that was left in order, or that nobody has worked on for
    /// `older_than`: [`RENAME_ABANDONED`] or more, unless it is known that nobody else is alive. The clocks of this machine
    /// and of the store are compared. Returns how many.
    pub async fn recover_renames(&self, older_than: Duration) -> Result<u64> {
        let mut records = Vec::new();
        // The listing is not to change while it is read.
        self.each_record(Kind::Rename, |record| {
            if records.len() < MOST {
                records.push(record);
            }
            Box::pin(std::future::ready(()))
        })
        .await?;
        let mut recovered = 0;
        for record in records {
            let name = record.name.clone();
            match self.recover_rename(record, older_than).await {
                Ok(true) => recovered += 1,
                Ok(false) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        name,
                        error,
                        "an unfinished rename of a directory waits for the next clean-up"
                    );
                }
            }
        }
        Ok(recovered)
    }

    /// Removes what uploads of processes that died have left beside the files, if nobody has written to it for
    /// `older_than`. Dropping the future stops it.
    pub async fn sweep(&self, older_than: Duration) -> Result<Swept> {
        self.whole.sweep(older_than).await
    }

    /// Whether it was there to be recovered.
    async fn recover_rename(&self, record: Record, older_than: Duration) -> Result<bool> {
        let abandoned = record.written.is_some_and(|written| age(written) >= older_than);
        let Some(relocation) = Relocation::take_over(self, &record.name, abandoned).await? else {
            return Ok(false);
        };
        let (from, to) = (relocation.from.to_string(), relocation.to.to_string());
        match relocation.phase() {
            Phase::Copying => {
                undo(relocation).await?;
                tracing::warn!(from, to, "undid an unfinished rename of a directory");
            }
            Phase::Deleting => {
                finish(relocation).await?;
                tracing::warn!(from, to, "finished an unfinished rename of a directory");
            }
        }
        Ok(true)
    }
}

/// How old something is that was written then.
fn age(written: DateTime<Utc>) -> Duration {
    (Utc::now() - written).to_std().unwrap_or_default()
}
