//! The limits of all users: who may log in as they are now, and with which share of what there is.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::Utc;

use super::accounts::Accounts;
use super::admission::{Admission, Applicant};
use super::exceeded::Refusal;
use crate::config::{LimitsConfig, Networks, UserLimits};
use crate::metrics::Metrics;

/// The limits of all users. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Limits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: LimitsConfig,
    accounts: Accounts,
    metrics: Arc<Metrics>,
}

impl Limits {
    /// Nobody is logged in.
    pub(crate) fn new(config: LimitsConfig, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { config, accounts: Accounts::default(), metrics }))
    }

    /// Whether a user whose `own` networks hold the address, which is asked before, may log in from there.
    pub(crate) fn let_in(&self, own: &Networks, address: IpAddr) -> bool {
        self.0.config.let_in(own, address)
    }

    /// A place for a session of `user`, who has limits of their `own` and is who they say.
    pub(crate) fn admit(
        &self,
        user: &str,
        own: &UserLimits,
        applicant: Applicant,
    ) -> Result<Arc<Admission>, Refusal> {
        self.try_admit(user, own, applicant).inspect_err(|refusal| {
            let (limit, scope) = refusal.counted();
            self.0.metrics.limited(limit, scope);
        })
    }

    fn try_admit(
        &self,
        user: &str,
        own: &UserLimits,
        applicant: Applicant,
    ) -> Result<Arc<Admission>, Refusal> {
        let Shared { config, accounts, metrics } = &*self.0;
        let limits = own.or(&config.each_user);
        if limits.requires_tls() && !applicant.encrypted {
            return Err(Refusal::TlsRequired);
        }
        if let Some(hours) = limits.hours.as_ref().filter(|hours| !hours.hold(Utc::now())) {
            return Err(Refusal::Hours(hours.clone()));
        }
        let address = applicant.address.to_canonical();
        let (place, shares) = accounts.open(user, address, &limits, config)?;
        Ok(Arc::new(Admission { limits, shares, metrics: Arc::clone(metrics), _place: place }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Hours, Limit, TrafficLimits};
    use crate::metrics::Scope;

    const HERE: &str = "127.0.0.1";

    fn limits(config: LimitsConfig) -> Limits {
        Limits::new(config, Arc::new(Metrics::new([], [])))
    }

    fn from(address: &str) -> Applicant {
        Applicant { address: address.parse().expect("an address"), encrypted: false }
    }

    fn accounts(limits: &Limits) -> usize {
        limits.0.accounts.len()
    }

    #[test]
    fn sessions_are_limited_by_user_and_address_and_in_all() {
        let each_user = UserLimits {
            sessions: Limit::Most(2),
            sessions_per_address: Limit::Most(1),
            ..UserLimits::default()
        };
        let limits = limits(LimitsConfig { sessions: Some(3), each_user, ..LimitsConfig::default() });
        let admit = |user: &str, address: &str| limits.admit(user, &UserLimits::default(), from(address));
        let first = admit("acme", HERE).expect("room");
        assert_eq!(admit("acme", HERE).err(), Some(Refusal::SessionsPerAddress(1)));
        assert_eq!(admit("acme", "::ffff:127.0.0.1").err(), Some(Refusal::SessionsPerAddress(1)), "the same");
        let second = admit("acme", "127.0.0.2").expect("room");
        let of_user = Some(Refusal::Sessions { most: 2, scope: Scope::User });
        assert_eq!(admit("acme", "127.0.0.3").err(), of_user);
        let third = admit("other", HERE).expect("another user");
        let of_all = Some(Refusal::Sessions { most: 3, scope: Scope::All });
        assert_eq!(admit("third", HERE).err(), of_all);
        drop(first);
        let again = admit("acme", HERE).expect("there is room again");
        drop((second, third, again));
        assert_eq!(accounts(&limits), 0, "nothing is left to remember");
    }

    #[test]
    fn hours_and_tls_are_asked_for() {
        let never = |text: &str| Hours::try_from(vec![text.to_owned()]).expect("hours");
        let limits = limits(LimitsConfig::default());
        // One of them does not hold now.
        let both = ["00:00-12:00", "12:00-24:00"].map(never).map(|hours| {
            let own = UserLimits { hours: Some(hours), ..UserLimits::default() };
            limits.admit("acme", &own, from(HERE)).map(|admission| admission.ended())
        });
        assert!(both.contains(&Ok(None)), "{both:?}");
        assert!(both.iter().any(|admitted| matches!(admitted, Err(Refusal::Hours(_)))), "{both:?}");
        let own = UserLimits { tls_required: Some(true), ..UserLimits::default() };
        assert_eq!(limits.admit("acme", &own, from(HERE)).err(), Some(Refusal::TlsRequired));
        let encrypted = Applicant { encrypted: true, ..from(HERE) };
        assert!(limits.admit("acme", &own, encrypted).expect("encrypted").requires_tls());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_user_has_used_outlives_sessions_and_new_limits_and_is_forgotten_in_time() {
        let limits = limits(LimitsConfig::default());
        let own = UserLimits {
            files_per_day: Limit::Most(1),
            upload_rate: Limit::Most(4096),
            ..UserLimits::default()
        };
        let admit = |own: &UserLimits| limits.admit("acme", own, from(HERE)).expect("room");
        admit(&own).upload(None).expect("the first").keep_file();
        assert_eq!(accounts(&limits), 1);
        let more = UserLimits { files_per_day: Limit::Most(2), ..own.clone() };
        let session = admit(&more);
        session.upload(None).expect("the second").keep_file();
        assert!(session.upload(None).is_err());
        drop(session);
        // Rates: whoever comes again has no new burst.
        let own = UserLimits { upload_rate: Limit::Most(4096), ..UserLimits::default() };
        let admit = |user: &str| limits.admit(user, &own, from(HERE)).expect("room");
        for _ in 0..3 {
            let mut pace = admit("fast").upload_pace();
            pace.owe(1024);
            pace.pay().await;
        }
        let mut pace = admit("fast").upload_pace();
        assert!(!pace.is_free());
        let begun = tokio::time::Instant::now();
        pace.owe(1024);
        pace.pay().await;
        assert!(begun.elapsed() > std::time::Duration::from_millis(200), "{:?}", begun.elapsed());
        drop(pace);
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        drop(admit("fast"));
        assert_eq!(accounts(&limits), 1, "the day of acme alone");
    }

    #[test]
    fn all_users_share_what_is_limited_in_all() {
        let traffic = TrafficLimits { bytes_per_day: Some(10), ..TrafficLimits::default() };
        let limits = limits(LimitsConfig { traffic, ..LimitsConfig::default() });
        let admit = |user: &str| limits.admit(user, &UserLimits::default(), from(HERE)).expect("room");
        let (first, second) = (admit("one"), admit("two"));
        let upload = first.upload(None).expect("room");
        upload.take(10).expect("room");
        upload.keep_file();
        let expected = crate::limits::Exceeded::BytesPerDay { most: 10, scope: Scope::All };
        assert_eq!(second.upload(None).err(), Some(expected));
    }
}
