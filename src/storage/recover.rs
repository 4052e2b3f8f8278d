//! What others have left unfinished is finished or undone.

use std::time::Duration;

use super::driver::{LeftOver, Swept};
use super::error::Result;
use super::journal::{Kind, Record};
use super::relocation::{Decision, Relocation};
use super::rename_directory::settle;
use super::store::Store;

/// The most that are taken up at a time; the next time takes the others.
const MOST: usize = 1000;

impl Store {
    /// Finishes or undoes every rename of a directory that was left in order, or that nobody has worked on for
    /// `older_than`: [`RENAME_ABANDONED`](super::RENAME_ABANDONED) or more, unless it is known that nobody else is alive.
    /// The clocks of this machine and of the store are compared. Returns how many.
    pub async fn recover_renames(&self, older_than: Duration) -> Result<u64> {
        let mut recovered = 0;
        for Record { name, .. } in self.records(Kind::Rename, MOST).await? {
            match self.recover_rename(&name, older_than).await {
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

    /// Removes what uploads of processes that died have left beside the files. Dropping the future stops it.
    pub async fn sweep(&self, left_over: LeftOver) -> Result<Swept> {
        self.whole.sweep(left_over).await
    }

    /// Whether it was there to be recovered.
    async fn recover_rename(&self, name: &str, older_than: Duration) -> Result<bool> {
        let Some(relocation) = Relocation::take_over(self, name, older_than).await? else {
            return Ok(false);
        };
        let (from, to) = (relocation.from.to_string(), relocation.to.to_string());
        match settle(relocation, Decision::Undo).await? {
            Decision::Undo => tracing::warn!(from, to, "undid an unfinished rename of a directory"),
            Decision::Finish => tracing::warn!(from, to, "finished an unfinished rename of a directory"),
        }
        Ok(true)
    }
}
