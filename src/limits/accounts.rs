//! Every user's account, by name, for as long as it tells anything, and the places of sessions in them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::account::{Account, Share, Traffic};
use super::exceeded::Refusal;
use crate::config::{LimitsConfig, UserLimits};
use crate::metrics::Scope;

/// The most accounts of users without a session, whose day is remembered. An account is some 300 bytes.
const MOST_IDLE: usize = 100_000;
/// Fewer accounts are not looked through for those that tell nothing any more.
const FEW: usize = 1_000;

/// Every account. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Sessions of all users.
    sessions: usize,
    traffic: Traffic,
    by_user: HashMap<String, Account>,
    /// How many accounts there may be before they are looked through.
    swept_at: usize,
}

impl Accounts {
    /// A session of `user` at `address`, if there is room for one: its place, its share of what the user may have, and of what
    /// all may.
    pub(super) fn open(
        &self,
        user: &str,
        address: IpAddr,
        limits: &UserLimits,
        of_all: &LimitsConfig,
    ) -> Result<(Place, [Share; 2]), Refusal> {
        let mut state = self.lock();
        state.check_room(user, address, limits, of_all)?;
        state.sessions += 1;
        let all = state.traffic.share(Scope::All, of_all.traffic);
        let own = state.account(user).open(address, limits.traffic());
        drop(state);
        Ok((Place { accounts: self.clone(), user: user.to_owned(), address }, [own, all]))
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().by_user.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check_room(
        &self,
        user: &str,
        address: IpAddr,
        limits: &UserLimits,
        of_all: &LimitsConfig,
    ) -> Result<(), Refusal> {
        let account = self.by_user.get(user);
        let of_user = account.map_or(0, |account| account.sessions);
        let from_address = account.and_then(|account| account.by_address.get(&address)).copied();
        let full = |most: Option<usize>, sessions: usize| most.filter(|&most| sessions >= most);
        if let Some(most) = full(of_all.sessions, self.sessions) {
            return Err(Refusal::Sessions { most, scope: Scope::All });
        }
        if let Some(most) = full(limits.sessions.most(), of_user) {
            return Err(Refusal::Sessions { most, scope: Scope::User });
        }
        match full(limits.sessions_per_address.most(), from_address.unwrap_or_default()) {
            Some(most) => Err(Refusal::SessionsPerAddress(most)),
            None => Ok(()),
        }
    }

    fn account(&mut self, user: &str) -> &mut Account {
        if self.by_user.len() >= self.swept_at.max(FEW) {
            self.by_user.retain(|_, account| account.is_needed());
            // So that each login pays for a few of them only.
            self.swept_at = 2 * self.by_user.len();
        }
        self.by_user.entry(user.to_owned()).or_default()
    }

    fn close(&mut self, user: &str, address: IpAddr) {
        self.sessions -= 1;
        let crowded = self.by_user.len() > self.sessions.saturating_add(MOST_IDLE);
        if let Some(account) = self.by_user.get_mut(user) {
            account.close(address);
            if account.sessions == 0 && (crowded || !account.is_needed()) {
                self.by_user.remove(user);
            }
        }
    }
}

/// A session's place among those that there may be; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    accounts: Accounts,
    user: String,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.accounts.lock().close(&self.user, self.address);
    }
}
