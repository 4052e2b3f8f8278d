//! Checksums of files (HASH and its like): the one that is kept with the object, where there is one, else computed from
//! what a download would give, in the memory that a download takes.

use std::ops::ControlFlow;

use crate::digest::{Algorithm, Hasher};
use crate::files::{Files, Result};
use crate::limits::Pace;
use crate::reply::Reply;
use crate::session::{Checksum, ChecksumReply, Pending};

/// The reply that tells the checksum which `pending` asks for. What has to be read for it is read no faster than `pace` allows.
pub(super) async fn reply(files: &Files, pending: &Pending, wanted: Checksum, pace: Pace) -> Result<Reply> {
    let (sum, end) = pending.abort.unless_requested(compute(files, pending, wanted, pace)).await?;
    Ok(match wanted.reply {
        ChecksumReply::Plain => Reply::new(250, sum),
        ChecksumReply::Named => {
            // The last byte, as in RANG; an empty file has none.
            let last = end.saturating_sub(1).max(wanted.from);
            let name = wanted.algorithm.name();
            Reply::new(213, format!("{name} {}-{last} {sum} {}", wanted.from, pending.path))
        }
    })
}

/// The checksum, and where the bytes end that it is of.
async fn compute(files: &Files, pending: &Pending, wanted: Checksum, pace: Pace) -> Result<(String, u64)> {
    let download = files.plan_download(&pending.path, wanted.from).await?;
    let whole = wanted.from == 0 && wanted.to.is_none();
    if whole
        && wanted.algorithm == Algorithm::Sha256
        && let Some((sum, size)) = download.kept_sha256()
    {
        return Ok((sum, size));
    }
    let mut hasher = Hasher::new(wanted.algorithm);
    let mut at = wanted.from;
    let end = wanted.to.unwrap_or(u64::MAX);
    let take = |bytes: &[u8]| {
        let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(left)];
        hasher.update(bytes);
        at += bytes.len() as u64;
        if at < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    download.read(pace, take).await?;
    Ok((hasher.finish(), at))
}
