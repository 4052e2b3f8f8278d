//! A session's place under the limits, from its login to its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::account::Share;
use super::accounts::Place;
use super::allowance::Allowance;
use super::bucket::Bucket;
use super::exceeded::{Exceeded, Refusal};
use super::pace::Pace;
use crate::config::UserLimits;
use crate::metrics::{Limited, Metrics};

/// Who wants to log in, beside the name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applicant {
    /// Where the client is.
    pub address: IpAddr,
    /// Whether the control connection is encrypted.
    pub encrypted: bool,
}

/// A session's place under the limits; given back when the last clone of its `Arc` is dropped. It keeps the limits of its
/// login, whatever is read again.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(super) limits: UserLimits,
    /// The user's and that of all.
    pub(super) shares: [Share; 2],
    pub(super) metrics: Arc<Metrics>,
    pub(super) _place: Place,
}

impl Admission {
    /// How long the session may be idle, if the user has a setting.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.limits.idle_timeout
    }

    /// Whether data connections must be encrypted.
    pub(crate) fn requires_tls(&self) -> bool {
        self.limits.requires_tls()
    }

    /// Why the session may not go on, if it may not.
    pub(crate) fn ended(&self) -> Option<Refusal> {
        let hours = self.limits.hours.as_ref().filter(|hours| !hours.hold(Utc::now()))?;
        Some(Refusal::Hours(hours.clone()))
    }

    /// The rates of one upload.
    pub(crate) fn upload_pace(&self) -> Pace {
        self.pace(Limited::UploadRate, |share| &share.upload)
    }

    /// The rates of one download.
    pub(crate) fn download_pace(&self) -> Pace {
        self.pace(Limited::DownloadRate, |share| &share.download)
    }

    fn pace(&self, limit: Limited, of: impl Fn(&Share) -> &Option<Arc<Bucket>>) -> Pace {
        let bucket = |share: &Share| Some((share.scope, of(share).clone()?));
        Pace::new(self.shares.iter().filter_map(bucket).collect(), limit, &self.metrics)
    }

    /// What one upload may take, of which `announced` bytes are to come. Fails if it may not be at all.
    pub(crate) fn upload(&self, announced: Option<u64>) -> Result<Allowance, Exceeded> {
        let most = self.limits.file_size.most();
        let allowance = Allowance::begin(most, self.shares.to_vec(), &self.metrics);
        let allowance = allowance.and_then(|allowance| allowance.announced(announced).map(|()| allowance));
        allowance.inspect_err(|exceeded| {
            let (limit, scope) = exceeded.counted();
            self.metrics.limited(limit, scope);
        })
    }
}
