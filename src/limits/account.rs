//! What is shared by all sessions of one user, or of all: how many there are, rates, and what has been uploaded today.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::bucket::Bucket;
use super::day::{Today, date};
use crate::config::TrafficLimits;
use crate::metrics::Scope;

/// One user's account.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) sessions: usize,
    /// Only addresses that are connected.
    pub(super) by_address: HashMap<IpAddr, usize>,
    traffic: Traffic,
}

/// The rates and the day of an account.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    upload: Option<Arc<Bucket>>,
    download: Option<Arc<Bucket>>,
    today: Arc<Today>,
}

/// What a session has of an account.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) scope: Scope,
    pub(super) upload: Option<Arc<Bucket>>,
    pub(super) download: Option<Arc<Bucket>>,
    pub(super) today: Arc<Today>,
    pub(super) files_per_day: Option<u64>,
    pub(super) bytes_per_day: Option<u64>,
}

impl Account {
    /// Counts a session, and gives it its share as the limits are now.
    pub(super) fn open(&mut self, client: IpAddr, limits: TrafficLimits) -> Share {
        self.sessions += 1;
        *self.by_address.entry(client).or_default() += 1;
        self.traffic.share(Scope::User, limits)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, client: IpAddr) {
        self.sessions -= 1;
        if let Some(count) = self.by_address.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&client);
            }
        }
    }

    /// Whether a new one would tell something else.
    pub(super) fn is_needed(&self) -> bool {
        let busy = |bucket: &Option<Arc<Bucket>>| bucket.as_ref().is_some_and(|bucket| !bucket.is_idle());
        let Traffic { upload, download, today } = &self.traffic;
        self.sessions > 0 || busy(upload) || busy(download) || !today.is_empty(date())
    }
}

impl Traffic {
    /// What a session gets under these limits. Sessions from before they changed keep their rates, which they do not share
    /// with new ones then.
    pub(super) fn share(&mut self, scope: Scope, limits: TrafficLimits) -> Share {
        set_rate(&mut self.upload, limits.upload_rate);
        set_rate(&mut self.download, limits.download_rate);
        Share {
            scope,
            upload: self.upload.clone(),
            download: self.download.clone(),
            today: Arc::clone(&self.today),
            files_per_day: limits.files_per_day,
            bytes_per_day: limits.bytes_per_day,
        }
    }
}

fn set_rate(bucket: &mut Option<Arc<Bucket>>, rate: Option<u64>) {
    if bucket.as_ref().map(|bucket| bucket.rate()) != rate {
        *bucket = rate.map(|rate| Arc::new(Bucket::new(rate)));
    }
}
