//! What has ended lately, for whoever looks on: the last transfers and the last logins that failed.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::metrics::{Direction, TransferResult};
use crate::path::VirtualPath;

/// How many of each are kept.
const KEPT: usize = 100;
/// What a client calls itself is cut to so many characters.
const LONGEST_NAME: usize = 64;

/// The last of each kind.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    transfers: Last<EndedTransfer>,
    failed_logins: Last<FailedLogin>,
}

/// A transfer that has ended.
#[derive(Clone, Debug)]
pub(crate) struct EndedTransfer {
    pub ended: DateTime<Utc>,
    pub session: u64,
    pub user: String,
    pub peer: IpAddr,
    pub direction: Direction,
    pub result: TransferResult,
    pub store: Option<String>,
    pub path: VirtualPath,
    /// Bytes of the file that have crossed the data connection.
    pub bytes: u64,
    pub took: Duration,
}

/// A login that failed.
#[derive(Clone, Debug)]
pub(crate) struct FailedLogin {
    pub at: DateTime<Utc>,
    pub session: u64,
    /// As the client gave it: it may be nobody's, or a password that went to the wrong field.
    pub name: String,
    pub peer: IpAddr,
    pub reason: String,
}

impl Recent {
    /// A transfer has ended.
    pub(crate) fn transfer_ended(&self, transfer: EndedTransfer) {
        self.transfers.push(transfer);
    }

    /// A login has failed.
    pub(crate) fn login_failed(&self, login: FailedLogin) {
        let name = login.name.chars().take(LONGEST_NAME).collect();
        self.failed_logins.push(FailedLogin { name, ..login });
    }

    /// The last transfers, the latest first.
    pub(crate) fn transfers(&self) -> Vec<EndedTransfer> {
        self.transfers.latest_first()
    }

    /// The last logins that failed, the latest first.
    pub(crate) fn failed_logins(&self) -> Vec<FailedLogin> {
        self.failed_logins.latest_first()
    }
}

/// The last few of something.
#[derive(Debug)]
struct Last<T>(Mutex<VecDeque<T>>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Last<T> {
    fn push(&self, item: T) {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if items.len() == KEPT {
            items.pop_front();
        }
        items.push_back(item);
    }

    fn latest_first(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_ones_are_kept_and_names_are_cut() {
        let recent = Recent::default();
        for session in 0..250 {
            recent.login_failed(FailedLogin {
                at: Utc::now(),
                session,
                name: "é".repeat(1000),
                peer: IpAddr::from([127, 0, 0, 1]),
                reason: "wrong".to_owned(),
            });
        }
        let logins = recent.failed_logins();
        let sessions: Vec<u64> = logins.iter().map(|login| login.session).collect();
        assert_eq!(sessions, (150..250).rev().collect::<Vec<_>>());
        assert!(logins.iter().all(|login| login.name == "é".repeat(64)));
    }
}
